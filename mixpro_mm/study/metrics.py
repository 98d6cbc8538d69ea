"""Which numbers of a stage's test become results, and what they are called there."""

from mixpro_mm.measures import METRIC_NAMES

__all__ = ['EVALUATIONS', 'METRICS', 'MULTI_SCALE', 'OPTIONAL', 'PUBLISHABLE', 'ROBUSTNESS']

MULTI_SCALE = ' (MS)'  # ends the names of what a second test measures, several scales and flips averaged
# what the hosts' metrics report -> (name in the results, factor to percent)
METRICS = {reported: (name, factor) for reported, (_, name, factor) in METRIC_NAMES.items()}
METRICS[f'mIoU{MULTI_SCALE}'] = (f'mIoU{MULTI_SCALE}', 1.0)
# further tests of a classifier; what they report comes under 'NAME/', and goes under the task 'robustness'
EVALUATIONS = ('occlusion', 'A', 'O')
ROBUSTNESS = {
    'occlusion/calibration/ece': ('ece', 1.0),
    'A/calibration/top1': ('A_top1', 1.0),
    'A/calibration/rms_calibration_error': ('A_rms_calibration_error', 1.0),
    'A/calibration/aurra': ('A_aurra', 1.0),
    'O/ood/aupr': ('O_aupr', 1.0),
    'O/ood/auroc': ('O_auroc', 1.0),
    'O/ood/fpr95': ('O_fpr95', 1.0),
}
# measured at every test, but results only where a published number stands beside them
OPTIONAL = ('bbox_mAP_50', 'bbox_mAP_75', 'segm_mAP_50', 'segm_mAP_75')
PUBLISHABLE = tuple(name for name, _ in (*METRICS.values(), *ROBUSTNESS.values()))
