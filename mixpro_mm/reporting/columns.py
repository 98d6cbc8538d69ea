"""Columns of the tables: (metric in the results, title in the paper); and names that several tables share."""

__all__ = ['ALPHA', 'AP', 'BESIDE5', 'BETA', 'CROSS', 'MIOU', 'NAMES', 'OCCLUSION', 'PRETRAININGS', 'TABLE5']

ALPHA, BETA, CROSS = '\N{GREEK SMALL LETTER ALPHA}', '\N{GREEK SMALL LETTER BETA}', '\N{MULTIPLICATION SIGN}'
MIOU = (('mIoU', 'mIoU'), ('mIoU (MS)', '+MS'))
AP = tuple(
    (f'{kind}_mAP{key}', f'AP{letter}{sign}')
    for kind, letter in (('bbox', 'ᵇ'), ('segm', 'ᵐ')) for key, sign in (('', ''), ('_50', '₅₀'), ('_75', '₇₅'))
)  # fmt: skip
TABLE5 = (
    ('A_top1', 'Top1-Acc'), ('A_rms_calibration_error', 'Calib-Error'), ('A_aurra', 'AURRAC'), ('O_aupr', 'AUPRC'),
)  # fmt: skip
BESIDE5 = (('O_auroc', 'AUROC'), ('O_fpr95', 'FPR95'), ('ece', 'ECE, clean images'))  # measured here, not in the paper
OCCLUSION = tuple((f'occlusion_{mode}', mode) for mode in ('random', 'salient', 'non-salient'))
PRETRAININGS = ('scratch', 'none', 'baseline', 'cutmix', 'transmix', 'tokenmix', 'maskmix', 'mixpro')
NAMES = dict(baseline='Mixup + CutMix', none='no mixing', cutmix='CutMix', transmix='TransMix', tokenmix='TokenMix',
             maskmix='MaskMix', mixpro='MixPro')  # fmt: skip
