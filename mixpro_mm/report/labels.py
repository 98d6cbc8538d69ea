"""Display names and order of pre-trainings and metrics."""

from collections.abc import Iterable

__all__ = ['PRETRAININGS', 'canonical', 'in_order', 'label', 'measure']

LABELS = {
    'mixpro': 'MixPro', 'cutmix': 'CutMix', 'transmix': 'TransMix', 'mixup': 'Mixup', 'tokenmix': 'TokenMix',
    'smmix': 'SMMix', 'manifold-mixup': 'Manifold Mixup', 'mixtoken': 'MixToken', 'maskmix': 'MaskMix',
    'gridmix': 'GridMix', 'patchmix': 'PatchMix', 'attentive-cutmix': 'Attentive CutMix',
    'saliencymix': 'SaliencyMix', 'puzzlemix': 'Puzzle Mix', 'none': 'no mixing',
    'deit-micro': 'DeiT-micro', 'random-2x': 'random (2x scale)',
    'top1': 'top-1', 'bbox_mAP': 'box AP', 'segm_mAP': 'mask AP', 'bbox_mAP_50': 'box AP50', 'bbox_mAP_75': 'box AP75',
    'segm_mAP_50': 'mask AP50', 'segm_mAP_75': 'mask AP75',
    'occlusion_random': 'mean top-1: random occlusion', 'occlusion_salient': 'mean top-1: salient occlusion',
    'occlusion_non-salient': 'mean top-1: non-salient occlusion', 'ece': 'ECE',
    'A_top1': 'adversarial set: top-1', 'A_rms_calibration_error': 'adversarial set: calibration error',
    'A_aurra': 'adversarial set: AURRA',
    'O_aupr': 'out of distribution: AUPR', 'O_auroc': 'out of distribution: AUROC',
    'O_fpr95': 'out of distribution: FPR95',
    'linear': 'linear top-1', 'random': 'random weights', 'probe': 'Frozen features',
    'classification': 'Classification', 'segmentation': 'Segmentation', 'detection': 'Detection',
    'robustness': 'Robustness',
}  # fmt: skip
PRETRAININGS = (
    'scratch', 'random', 'none', 'official', 'baseline', 'mixup', 'manifold-mixup', 'cutmix', 'mixtoken', 'gridmix',
    'patchmix', 'attentive-cutmix', 'saliencymix', 'puzzlemix', 'transmix', 'tokenmix', 'smmix', 'maskmix', 'mixpro',
)  # fmt: skip
LOWER_IS_BETTER = ('A_rms_calibration_error', 'O_fpr95', 'ece')


def label(name: str) -> str:
    """Return the display name of a key, ``'bbox_mAP'`` -> ``'box AP'``; unknown keys are returned unchanged."""
    if name.startswith('knn_'):
        return f'k-NN top-1 (k = {name.removeprefix("knn_")})'
    return LABELS.get(name, name)


def canonical(pretraining: str) -> str:
    """Return the key of a pre-training given as key or label in any case; unknown names are returned unchanged."""
    wanted = pretraining.casefold()
    return next((name for name in PRETRAININGS if wanted in (name, label(name).casefold())), pretraining)


def measure(metric: str) -> str:
    """Return the label of a metric, with a note if lower is better."""
    return label(metric) + (' (lower is better)' if metric in LOWER_IS_BETTER else '')


def in_order(names: Iterable[str]) -> list[str]:
    """Return unique names in the order of ``PRETRAININGS``; unknown names come before MixPro, which is last."""
    known = (*PRETRAININGS[:-1], None, PRETRAININGS[-1])
    return sorted(dict.fromkeys(names), key=lambda name: known.index(name if name in known else None))
