"""Everything a config names in ``custom_hooks``, and the learning rate schedule of the recipes."""

from mixpro_mm.hooks.classes import ClassCheckHook
from mixpro_mm.hooks.labeling import LabelingHook
from mixpro_mm.hooks.loss import NonFiniteLossError, NonFiniteLossHook
from mixpro_mm.hooks.randomness import IterSeedHook
from mixpro_mm.hooks.reading import CheckpointCheckHook
from mixpro_mm.hooks.schedule import TimmCosineLR
from mixpro_mm.hooks.transfer import TransferCheckHook
from mixpro_mm.hooks.writing import AtomicCheckpointHook

__all__ = [
    'AtomicCheckpointHook',
    'CheckpointCheckHook',
    'ClassCheckHook',
    'IterSeedHook',
    'LabelingHook',
    'NonFiniteLossError',
    'NonFiniteLossHook',
    'TimmCosineLR',
    'TransferCheckHook',
]
