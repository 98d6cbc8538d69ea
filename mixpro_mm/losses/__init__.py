"""Losses around a loss of mmpretrain that get the targets of mixed batches, some with parameters of their own."""

from mixpro_mm.losses.branch_loss import BranchLoss
from mixpro_mm.losses.host import patch_model_classifiers
from mixpro_mm.losses.learnable_factor import LearnableFactor, hand_factor_over
from mixpro_mm.losses.local_context import LocalContextLoss, cell_means, local_context
from mixpro_mm.losses.wrapper import LossWrapper, wrappers_of

__all__ = [
    'BranchLoss',
    'LearnableFactor',
    'LocalContextLoss',
    'LossWrapper',
    'cell_means',
    'hand_factor_over',
    'local_context',
    'wrappers_of',
]

patch_model_classifiers()
