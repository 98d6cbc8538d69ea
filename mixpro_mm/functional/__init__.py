"""Masks and mixed targets: plain torch, no state, no mm* package."""

from mixpro_mm.mixing.masks import random_mask, region_mask, to_pixels
from mixpro_mm.mixing.target import MixedTarget

__all__ = ['MixedTarget', 'random_mask', 'region_mask', 'to_pixels']
