"""PVT, CA-Swin, a faster ViT classifier, and losses for mixed labels."""

from mixpro_mm.models.branch_loss import BranchLoss
from mixpro_mm.models.ca_swin import CASwin
from mixpro_mm.models.class_token_vit import ClassTokenViT
from mixpro_mm.models.classifiers import patch_model_classifiers
from mixpro_mm.models.learnable_factor import LearnableFactor, connect_factor
from mixpro_mm.models.local_context_loss import LocalContextLoss, cell_means, local_context
from mixpro_mm.models.loss_wrapper import LossWrapper, wrappers_of
from mixpro_mm.models.pvt import PVT
from mixpro_mm.models.timm_init import TimmInit

__all__ = [
    'PVT',
    'BranchLoss',
    'CASwin',
    'ClassTokenViT',
    'LearnableFactor',
    'LocalContextLoss',
    'LossWrapper',
    'TimmInit',
    'cell_means',
    'connect_factor',
    'local_context',
    'wrappers_of',
]

patch_model_classifiers()
