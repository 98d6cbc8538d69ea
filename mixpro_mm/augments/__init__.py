"""Mixing methods, as entries of mmpretrain's BATCH_AUGMENTS."""

from mixpro_mm.augments.base import MixAugment
from mixpro_mm.augments.host import mend_random_batch_augment
from mixpro_mm.augments.mask_mix import MaskMix, MixPro
from mixpro_mm.augments.region_mix import RegionMix

__all__ = ['MaskMix', 'MixAugment', 'MixPro', 'RegionMix']

mend_random_batch_augment()
