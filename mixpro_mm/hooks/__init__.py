"""Hooks that stop a run in one sentence, before it loses something or trains on what it should not."""

from mixpro_mm.guard.classes import ClassCheckHook
from mixpro_mm.guard.loss import NonFiniteLossError, NonFiniteLossHook
from mixpro_mm.guard.reading import CheckpointCheckHook
from mixpro_mm.guard.writing import AtomicCheckpointHook

__all__ = [
    'AtomicCheckpointHook',
    'CheckpointCheckHook',
    'ClassCheckHook',
    'NonFiniteLossError',
    'NonFiniteLossHook',
]
