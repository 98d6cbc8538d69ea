"""Mixing methods, registered in BATCH_AUGMENTS of mmpretrain if it is installed."""

from mixpro_mm.augments.attentive_cutmix import AttentiveCutMix
from mixpro_mm.augments.base import MixAugment
from mixpro_mm.augments.block_mix import BlockMix
from mixpro_mm.augments.grid_mix import GridMix
from mixpro_mm.augments.manifold_mixup import ManifoldMixup
from mixpro_mm.augments.mask_mix import MaskMix, MixPro
from mixpro_mm.augments.mix_token import MixToken
from mixpro_mm.augments.patch_mix import PatchMix
from mixpro_mm.augments.puzzle_mix import PuzzleMix
from mixpro_mm.augments.random_batch_augment import patch_random_batch_augment
from mixpro_mm.augments.region_mix import RegionMix
from mixpro_mm.augments.saliency_mix import SaliencyMix
from mixpro_mm.augments.smmix import SMMix
from mixpro_mm.augments.token_mix import TokenMix
from mixpro_mm.registry import HAS_MMPRETRAIN

__all__ = [
    'AttentiveCutMix',
    'BlockMix',
    'GridMix',
    'ManifoldMixup',
    'MaskMix',
    'MixAugment',
    'MixPro',
    'MixToken',
    'PatchMix',
    'PuzzleMix',
    'RegionMix',
    'SMMix',
    'SaliencyMix',
    'TokenMix',
]

if HAS_MMPRETRAIN:
    patch_random_batch_augment()
