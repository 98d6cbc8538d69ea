"""Calibration and out-of-distribution metrics in percent, for ``test_evaluator`` of an mmpretrain config."""

import logging
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mixpro_mm.functional import metrics as functional
from mixpro_mm.registry import METRICS, register
from mixpro_mm.utils.arguments import positive_int

__all__ = ['CalibrationMetric', 'ConfidenceMetric', 'OODMetric']


class ConfidenceMetric(BaseMetric):
    """Base class of metrics that collect ``(confidence, outcome)`` of every image.

    The confidence is the maximum of the softmax over the logits of ``classes``, computed in float64 from the scores
    (``functional.metrics.slice_confidence``). Use scores of fp32, because small ones underflow in fp16.

    Args:
        classes: Columns of the scores to use. None: all; 'dataset': the ``indices`` in the metainfo of the data set,
            which are columns of ``num_outputs`` scores if the metainfo has that number.
        **kwargs: ``prefix``, ``collect_device``, ``collect_dir`` of mmengine's ``BaseMetric``.

    Raises:
        ValueError: ``classes`` is invalid. While testing: the data set has no ``indices``, the number of scores is not
            ``num_outputs``, or a sample lacks a field.
    """

    def __init__(self, classes: Sequence[int] | str | None = None, **kwargs):
        super().__init__(**kwargs)
        if isinstance(classes, str) and classes != 'dataset':
            raise ValueError(f"classes must be None, a list of class indices or 'dataset', got {classes!r}")
        if classes is not None and not isinstance(classes, str):
            classes = functional.whole_classes(classes, 'classes')
        self.classes = classes

    @abstractmethod
    def outcome(self, sample: dict, predicted: int, kept: np.ndarray | None) -> Any:
        """Return the outcome of an image; ``predicted`` is one of the ``kept`` columns of its scores (None: all)."""

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Collect one pair per image; each of ``data_samples`` is a dict with ``pred_score`` (C,)."""
        if not data_samples:
            return
        scores = torch.stack([field_of(sample, 'pred_score', self).detach().cpu().double() for sample in data_samples])
        kept = self.kept_classes(scores.shape[-1])
        confidence, predicted = functional.slice_confidence(scores.numpy(), kept)
        outcomes = [self.outcome(*each, kept) for each in zip(data_samples, predicted.tolist(), strict=True)]
        self.results.extend(zip(confidence.tolist(), outcomes, strict=True))

    def is_correct(self, sample: dict, predicted: int, kept: np.ndarray | None) -> bool:
        """Return whether the prediction is ``gt_label``.

        This is a position in ``indices`` of the data set if it has them, else in ``classes`` if it is a list, else a
        class of the model.
        """
        label = whole_number(field_of(sample, 'gt_label', self), 'gt_label', self)
        named = self.dataset_indices(len(sample['pred_score']))
        named = kept if named is None else named
        count = len(sample['pred_score']) if named is None else len(named)
        if not 0 <= label < count:
            raise ValueError(f'gt_label {label} is not one of the {count} classes (0 to {count - 1})')
        true = label if named is None else int(named[label])
        if kept is not None and true not in kept:
            raise ValueError(f'gt_label {label} is class {true} of the model, not one of the {len(kept)} in `classes`')
        return predicted == true

    def kept_classes(self, width: int) -> np.ndarray | None:
        """Return the columns of ``width`` scores to use, None for all."""
        if not isinstance(self.classes, str):
            return self.classes
        indices = self.dataset_indices(width)
        if indices is None:
            raise ValueError(
                f"{type(self).__name__}(classes='dataset') needs `indices` in the metainfo of the data set, which has "
                f'{sorted(self.dataset_meta or {})}'
            )
        return indices

    def dataset_indices(self, width: int) -> np.ndarray | None:
        """Return the model output, of ``width``, of each class of the data set, None without ``indices``."""
        meta = self.dataset_meta or {}
        if meta.get('indices') is None:
            return None
        outputs = meta.get('num_outputs', width)
        if outputs != width:
            raise ValueError(
                f'the model has {width} outputs, but `indices` of the data set are columns of {outputs}: set '
                f'metainfo=dict(indices=[...], num_outputs={width}) of the data set to the columns of its '
                f'{len(meta["indices"])} classes'
            )
        return functional.whole_classes(meta['indices'], '`indices` of the data set')


@register(METRICS)
class CalibrationMetric(ConfidenceMetric):
    """Calibration of a classifier (Hendrycks et al., CVPR 2021; ImageNet-A in Table 5).

    Reports in percent: ``top1``, ``rms_calibration_error`` (the released protocol without the last bin; omitted with a
    warning if there is only one bin), ``rms_calibration_error_full`` (all bins), ``aurra``, ``ece``.

    Labels are those of :meth:`ConfidenceMetric.is_correct`. With classes=None, ImageNet-A is scored among all 1,000
    classes.

    Args:
        classes: See :class:`ConfidenceMetric`.
        bin_size (int): Images per bin of the RMS calibration error.
        bins (int): Number of bins of the ECE.
        **kwargs: Of :class:`ConfidenceMetric`.

    Raises:
        ValueError: See :class:`ConfidenceMetric`; also if a label is not one of the classes.
    """

    default_prefix = 'calibration'

    def __init__(self, classes: Sequence[int] | str | None = None, bin_size: int = 100, bins: int = 15, **kwargs):
        super().__init__(classes, **kwargs)
        self.bin_size = positive_int('bin_size', bin_size)
        self.bins = positive_int('bins', bins)

    def outcome(self, sample: dict, predicted: int, kept: np.ndarray | None) -> bool:
        """Return whether the prediction is correct."""
        return self.is_correct(sample, predicted, kept)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute the metrics from all pairs (confidence, correct)."""
        confidence, correct = _columns(results)
        full = functional.rms_calibration_error(confidence, correct, self.bin_size, drop_last_bin=False)
        metrics = dict(top1=float(correct.mean()), rms_calibration_error_full=full)
        if len(results) >= 2 * self.bin_size:
            metrics['rms_calibration_error'] = functional.rms_calibration_error(confidence, correct, self.bin_size)
        else:
            bins = f'{len(results)} images are a single bin of {self.bin_size}'
            what = f'{type(self).__name__}: {bins}: only rms_calibration_error_full is reported'
            print_log(what, 'current', logging.WARNING)
        metrics['aurra'] = functional.aurra(confidence, correct)
        metrics['ece'] = functional.expected_calibration_error(confidence, correct, self.bins)
        return {name: 100 * value for name, value in metrics.items()}


@register(METRICS)
class OODMetric(ConfidenceMetric):
    """Out-of-distribution detection by low confidence (Hendrycks et al., CVPR 2021; ImageNet-O in Table 5).

    Reports in percent: ``aupr``, ``auroc``, ``fpr95`` with out-of-distribution as the positive class, and ``aupr_in``
    with in-distribution as the positive class. ``ood`` of a sample, 1 or 0, is a data field or meta field of
    ``DataSample`` (``algorithm_keys`` or ``meta_keys`` of ``PackInputs``, or from :class:`OODDataset`).

    Args:
        classes: See :class:`ConfidenceMetric`.
        **kwargs: Of :class:`ConfidenceMetric`.

    Raises:
        ValueError: See :class:`ConfidenceMetric`; also if ``ood`` is not 0 or 1, or is the same for all images.
    """

    default_prefix = 'ood'

    def outcome(self, sample: dict, predicted: int, kept: np.ndarray | None) -> bool:
        """Return whether the image is out of distribution."""
        flag = whole_number(field_of(sample, 'ood', self), 'ood', self)
        if flag not in (0, 1):
            raise ValueError(f'`ood` of a sample must be 0 or 1, got {flag}')
        return bool(flag)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute the metrics from all pairs (confidence, out of distribution)."""
        confidence, ood = _columns(results)
        if not 0 < ood.sum() < len(ood):
            raise ValueError(
                f'{type(self).__name__} needs images of both kinds, but {int(ood.sum())} of {len(ood)} have ood = 1'
            )
        parts = confidence[ood == 0], confidence[ood == 1]
        metrics = dict(aupr=functional.ood_aupr, aupr_in=functional.ood_aupr_in, auroc=functional.ood_auroc)
        metrics['fpr95'] = functional.fpr95
        return {name: 100 * metric(*parts) for name, metric in metrics.items()}


def _columns(results: list) -> np.ndarray:
    """(2, N) float64 of N pairs."""
    return np.asarray(results, dtype=np.float64).reshape(-1, 2).T


def field_of(sample: dict, name: str, metric: BaseMetric):
    """Return a field of a sample; raise a ValueError if it has none."""
    if sample.get(name) is None:
        raise ValueError(f'{type(metric).__name__} reads `{name}` of each sample, but one has only {sorted(sample)}')
    return sample[name]


def whole_number(value, name: str, metric: BaseMetric) -> int:
    """Return a field as int; raise a ValueError if it is not one whole number."""
    array = np.asarray(value.cpu() if isinstance(value, torch.Tensor) else value)
    if array.size != 1 or array.dtype.kind not in 'bui':
        raise ValueError(f'{type(metric).__name__} needs one whole number as `{name}` of a sample, got {value}')
    return int(array.reshape(()))
