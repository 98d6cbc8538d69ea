"""Equations of the paper and metrics as functions on tensors and arrays."""

from mixpro_mm.functional.lam import attention_lam, combine, cosine_factor, linear_factor, parabolic_factor
from mixpro_mm.functional.masks import random_mask, region_mask, to_pixels
from mixpro_mm.functional.metrics import (
    aurra,
    expected_calibration_error,
    fpr95,
    fpr_at_recall,
    ood_aupr,
    ood_auroc,
    rms_calibration_error,
    slice_confidence,
)
from mixpro_mm.functional.target import MixedTarget

__all__ = ['MixedTarget', 'attention_lam', 'aurra', 'combine', 'cosine_factor', 'expected_calibration_error', 'fpr95']
__all__ += ['fpr_at_recall', 'linear_factor', 'ood_aupr', 'ood_auroc', 'parabolic_factor', 'random_mask', 'region_mask']
__all__ += ['rms_calibration_error', 'slice_confidence', 'to_pixels']
