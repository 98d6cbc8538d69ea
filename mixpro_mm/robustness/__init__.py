"""How well a classifier holds up: occlusion, natural adversarial images, out-of-distribution images, calibration."""

from mixpro_mm.robustness.functional import (
    aurra,
    expected_calibration_error,
    fpr95,
    fpr_at_recall,
    ood_aupr,
    ood_auroc,
    rms_calibration_error,
    slice_confidence,
)
from mixpro_mm.robustness.metrics import CalibrationMetric, OODMetric
from mixpro_mm.robustness.occlusion import OcclusionTestLoop

__all__ = [
    'CalibrationMetric',
    'OODMetric',
    'OcclusionTestLoop',
    'aurra',
    'expected_calibration_error',
    'fpr95',
    'fpr_at_recall',
    'ood_aupr',
    'ood_auroc',
    'rms_calibration_error',
    'slice_confidence',
]
