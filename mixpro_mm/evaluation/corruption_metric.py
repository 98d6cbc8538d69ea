"""Accuracy and calibration under common corruptions."""

import logging
from collections.abc import Sequence

import numpy as np
from mmengine.logging import print_log

from mixpro_mm.evaluation.metrics import CalibrationMetric, field_of
from mixpro_mm.functional.metrics import expected_calibration_error
from mixpro_mm.registry import METRICS, register
from mixpro_mm.utils.arguments import one_of

__all__ = ['ALEXNET_ERRORS', 'CorruptionMetric']

# Mean error of AlexNet on ImageNet-C over the severities, in percent, as in the code of Hendrycks and Dietterich
# (https://github.com/hendrycks/robustness)
ALEXNET_ERRORS = dict(
    gaussian_noise=88.6428, shot_noise=89.4468, impulse_noise=92.2640, defocus_blur=81.9880, glass_blur=82.6268,
    motion_blur=78.5948, zoom_blur=79.8360, snow=86.6816, frost=82.6572, fog=81.9324, brightness=56.4592,
    contrast=85.3204, elastic_transform=64.6056, pixelate=71.7840, jpeg_compression=60.6500,
)  # fmt: skip
SEVERITIES = {1, 2, 3, 4, 5}


@register(METRICS)
class CorruptionMetric(CalibrationMetric):
    """Accuracy and calibration under corruptions (Hendrycks and Dietterich, ICLR 2019), in percent.

    Reports ``NAME/SEVERITY/top1`` and ``NAME/SEVERITY/ece`` of each set, ``NAME/top1``, its mean over the severities,
    and ``top1`` and ``ece``, the means over all sets. With ``reference``, also the corruption errors ``NAME/ce``, the
    mean error relative to that of the reference, and ``mce``, their mean over the 15 corruptions of ImageNet-C; both
    need all 75 sets, and are omitted with a warning otherwise.

    Args:
        classes: See :class:`ConfidenceMetric`.
        reference: 'alexnet' for the errors of AlexNet on ImageNet-C, None for no relative errors.
        bins (int): Number of bins of the ECE.
        **kwargs: Of :class:`ConfidenceMetric`.

    Raises:
        ValueError: See :class:`CalibrationMetric`; also if ``reference`` is unknown, or a sample has no ``corruption``
            or ``severity`` (of :class:`CorruptedDataset`).
    """

    default_prefix = 'corruption'

    def __init__(
        self, classes: Sequence[int] | str | None = None, reference: str | None = None, bins: int = 15, **kwargs
    ):
        super().__init__(classes, bins=bins, **kwargs)
        self.reference = reference and one_of('reference', reference, ('alexnet',))

    def outcome(self, sample: dict, predicted: int, kept: np.ndarray | None) -> tuple[bool, str, int]:
        """Return whether the prediction is correct, the corruption and the severity."""
        how = (field_of(sample, name, self) for name in ('corruption', 'severity'))
        return super().outcome(sample, predicted, kept), *how

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute the metrics from (confidence, (correct, corruption, severity)) of all images."""
        sets: dict[tuple[str, int], list] = {}
        for confidence, (correct, *how) in results:
            sets.setdefault(tuple(how), []).append((confidence, correct))
        top1, ece = {}, {}
        for how, pairs in sets.items():
            confidence, correct = np.asarray(pairs, dtype=np.float64).T
            top1[how], ece[how] = correct.mean(), expected_calibration_error(confidence, correct, self.bins)
        metrics = dict(top1=np.mean([*top1.values()]), ece=np.mean([*ece.values()]))
        mean = {}
        for name in dict.fromkeys(name for name, _ in sets):
            levels = sorted(level for other, level in sets if other == name)
            mean[name] = metrics[f'{name}/top1'] = np.mean([top1[name, level] for level in levels])
            for level in levels:
                metrics |= {f'{name}/{level}/top1': top1[name, level], f'{name}/{level}/ece': ece[name, level]}
        return {name: 100 * float(value) for name, value in metrics.items()} | self._relative(mean, set(sets))

    def _relative(self, top1: dict[str, float], sets: set) -> dict[str, float]:
        """Return the corruption errors and their mean."""
        if self.reference is None:
            return {}
        if lacking := {(name, level) for name in ALEXNET_ERRORS for level in SEVERITIES} - sets:
            what = f'{len(lacking)} of the 75 sets of ImageNet-C are missing: mce is not reported'
            print_log(f'{type(self).__name__}: {what}', 'current', logging.WARNING)
            return {}
        ce = {name: 100 * 100 * (1 - float(top1[name])) / error for name, error in ALEXNET_ERRORS.items()}
        return dict(mce=float(np.mean([*ce.values()]))) | {f'{name}/ce': error for name, error in ce.items()}
