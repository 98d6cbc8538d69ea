"""Accuracy and calibration under common corruptions."""

import logging
from collections.abc import Sequence

import numpy as np
from mmengine.logging import print_log

from mixpro_mm.datasets.corruptions import ALL_CORRUPTIONS, SEVERITIES
from mixpro_mm.evaluation.metrics import ConfidenceMetric, field_of
from mixpro_mm.functional.metrics import expected_calibration_error
from mixpro_mm.registry import METRICS, register
from mixpro_mm.utils.arguments import one_of, positive_int

__all__ = ['ALEXNET_ERRORS', 'CorruptionMetric']

# Mean error of AlexNet on ImageNet-C over the severities, in percent, as in the code of Hendrycks and Dietterich
# (https://github.com/hendrycks/robustness)
ALEXNET_ERRORS = dict(
    gaussian_noise=88.6428, shot_noise=89.4468, impulse_noise=92.2640, defocus_blur=81.9880, glass_blur=82.6268,
    motion_blur=78.5948, zoom_blur=79.8360, snow=86.6816, frost=82.6572, fog=81.9324, brightness=56.4592,
    contrast=85.3204, elastic_transform=64.6056, pixelate=71.7840, jpeg_compression=60.6500,
)  # fmt: skip
SETS = [(name, severity) for name in ALL_CORRUPTIONS for severity in SEVERITIES]


@register(METRICS)
class CorruptionMetric(ConfidenceMetric):
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
        ValueError: See :class:`ConfidenceMetric` and its ``is_correct``; also if ``reference`` is unknown, or a sample
            has no ``corruption`` or ``severity`` (of :class:`CorruptedDataset`).
    """

    default_prefix = 'corruption'

    def __init__(
        self, classes: Sequence[int] | str | None = None, reference: str | None = None, bins: int = 15, **kwargs
    ):
        super().__init__(classes, **kwargs)
        self.bins = positive_int('bins', bins)
        self.reference = reference and one_of('reference', reference, ('alexnet',))

    def outcome(self, sample: dict, predicted: int, kept: np.ndarray | None) -> int:
        """Return twice the position of the set in ``SETS``, plus 1 if the prediction is correct: a cached small int."""
        how = tuple(field_of(sample, name, self) for name in ('corruption', 'severity'))
        if how not in SETS:
            raise ValueError(f'corruption and severity of a sample, {how}, are none of imagecorruptions')
        return 2 * SETS.index(how) + self.is_correct(sample, predicted, kept)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute the metrics from pairs (confidence, outcome)."""
        confidence, outcome = np.asarray(results, dtype=np.float64).T
        number, correct = np.divmod(outcome.astype(int), 2)
        top1, ece = {}, {}
        for each in np.unique(number):
            inside = number == each
            top1[SETS[each]] = correct[inside].mean()
            ece[SETS[each]] = expected_calibration_error(confidence[inside], correct[inside], self.bins)
        metrics = dict(top1=np.mean([*top1.values()]), ece=np.mean([*ece.values()]))
        mean = {}
        for name in dict.fromkeys(name for name, _ in top1):
            levels = [level for other, level in top1 if other == name]
            mean[name] = metrics[f'{name}/top1'] = np.mean([top1[name, level] for level in levels])
            for level in levels:
                metrics |= {f'{name}/{level}/top1': top1[name, level], f'{name}/{level}/ece': ece[name, level]}
        return {name: 100 * float(value) for name, value in metrics.items()} | self._relative(mean, set(top1))

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
