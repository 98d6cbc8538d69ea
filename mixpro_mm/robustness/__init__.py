"""How well a classifier holds up: occlusion, natural adversarial images, out-of-distribution images, calibration.

The functions on arrays need NumPy only; what needs torch and mmengine is imported when it is first asked for.
"""

import importlib

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

__all__ = [
    'CalibrationMetric',
    'OODMetric',
    'OcclusionTestLoop',
    'RecordedTestLoop',
    'aurra',
    'expected_calibration_error',
    'fpr95',
    'fpr_at_recall',
    'ood_aupr',
    'ood_auroc',
    'rms_calibration_error',
    'slice_confidence',
]

HOMES = {
    'CalibrationMetric': 'metrics',
    'OODMetric': 'metrics',
    'OcclusionTestLoop': 'occlusion',
    'RecordedTestLoop': 'record',
}


def __getattr__(name: str):
    if name not in HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(f'{__name__}.{HOMES[name]}'), name)
