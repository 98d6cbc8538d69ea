"""Hooks for ``custom_hooks`` and ``default_hooks`` of a config, and the learning rate schedule ``TimmCosineLR``."""

from mixpro_mm.hooks.checkpoints import AtomicCheckpointHook, CheckpointCheckHook
from mixpro_mm.hooks.classes import ClassCheckHook
from mixpro_mm.hooks.labeling import LabelingHook
from mixpro_mm.hooks.loss import NonFiniteLossError, NonFiniteLossHook
from mixpro_mm.hooks.randomness import IterSeedHook
from mixpro_mm.hooks.schedule import TimmCosineLR
from mixpro_mm.hooks.transfer import TransferCheckHook

__all__ = ['AtomicCheckpointHook', 'CheckpointCheckHook', 'ClassCheckHook', 'IterSeedHook', 'LabelingHook',
           'NonFiniteLossError', 'NonFiniteLossHook', 'TimmCosineLR', 'TransferCheckHook']  # fmt: skip
