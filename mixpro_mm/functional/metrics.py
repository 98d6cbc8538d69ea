"""Calibration, confidence ranking and out-of-distribution detection from one confidence per image.

Hendrycks et al., "Natural Adversarial Examples", CVPR 2021 (RMS calibration error, AURRA, AUPR: Table 5 of MixPro);
Guo et al., "On Calibration of Modern Neural Networks", ICML 2017 (ECE).

Metrics are floats in [0, 1] and independent of the order of the examples: tied confidences share their mean
correctness, and tied scores are one threshold. Inputs are arrays or lists: ``confidence`` (N,) in [0, 1], ``correct``
(N,) of 0 and 1 or bool, ``in_confidence`` (N,) and ``out_confidence`` (M,) in [0, 1] of in- and out-of-distribution
examples. Empty input, NaN, infinity, values out of range and unequal lengths raise ValueError.
"""

import numpy as np
from numpy.typing import ArrayLike

from mixpro_mm.utils.arguments import positive_int

__all__ = [
    'aurra',
    'expected_calibration_error',
    'fpr95',
    'fpr_at_recall',
    'ood_aupr',
    'ood_aupr_in',
    'ood_auroc',
    'rms_calibration_error',
    'slice_confidence',
    'whole_classes',
]

MASS_TOLERANCE = 0.05  # of the sum of softmax scores; bfloat16 stays within 0.01


def rms_calibration_error(
    confidence: ArrayLike, correct: ArrayLike, bin_size: int = 100, drop_last_bin: bool = True
) -> float:
    """Return ``sqrt(sum_b n_b / N * (mean confidence - mean correctness in b) ** 2)`` over bins of equal counts.

    Examples are sorted by confidence, ascending, and cut into ``N // bin_size`` bins (at least one); the last bin also
    takes the remaining ``N % bin_size`` examples.

    Args:
        bin_size: Examples per bin.
        drop_last_bin: Omit the last, most confident bin from the sum, as the released code of the reference does.
            Weights stay ``n_b / N`` with all N.

    Raises:
        ValueError: If the only bin would be dropped, or the input is invalid.
    """
    confidence, correct = _ranked(confidence, correct)
    bin_size = positive_int('bin_size', bin_size)
    total = len(confidence)
    starts = np.arange(max(total // bin_size, 1)) * bin_size
    if drop_last_bin and len(starts) == 1:
        raise ValueError(
            f'{total} examples in bins of {bin_size} are a single bin, which drop_last_bin drops; '
            f'use at least {2 * bin_size} examples, a smaller bin_size or drop_last_bin=False'
        )
    counts = np.diff(starts, append=total)
    gaps = (np.add.reduceat(confidence, starts) - np.add.reduceat(correct, starts)) / counts
    terms = counts * gaps**2
    return float(np.sqrt(terms[: -1 if drop_last_bin else None].sum() / total))


def aurra(confidence: ArrayLike, correct: ArrayLike) -> float:
    """Return the area under the response rate accuracy curve: the mean accuracy of the k most confident, k = 1 ... N.

    With ties, the result is the mean over all orders of the tied examples.
    """
    _, correct = _ranked(confidence, correct)
    return float(np.mean(np.cumsum(correct[::-1]) / np.arange(1, len(correct) + 1)))


def expected_calibration_error(confidence: ArrayLike, correct: ArrayLike, bins: int = 15) -> float:
    """Return ``sum_b n_b / N * |mean confidence - mean correctness in b|`` over bins of equal width (Guo, eq. 3).

    Bin i contains ``i / bins <= confidence < (i + 1) / bins``, the last one also confidence 1. (Guo et al. close bins
    at the upper edge.)

    Args:
        bins: Number of bins.
    """
    confidence, correct = _ranked(confidence, correct)
    bins = positive_int('bins', bins)
    member = np.searchsorted(np.arange(1, bins) / bins, confidence, side='right')
    return float(np.abs(np.bincount(member, confidence - correct)).sum() / len(confidence))


def ood_aupr(in_confidence: ArrayLike, out_confidence: ArrayLike) -> float:
    """Return the average precision of detecting out-of-distribution examples by low confidence.

    Out-of-distribution is the positive class, the score is ``-confidence``. There is no interpolation:
    ``sum_t (recall_t - recall_(t-1)) * precision_t`` over distinct confidences t, ascending.
    """
    return _average_precision(*_flagged(in_confidence, out_confidence))


def ood_aupr_in(in_confidence: ArrayLike, out_confidence: ArrayLike) -> float:
    """Return the average precision of detecting in-distribution examples by high confidence.

    In-distribution is the positive class, the score is ``confidence``; else as :func:`ood_aupr`.
    """
    counts = _flagged(in_confidence, out_confidence)
    inside, outside = (np.diff(count, prepend=0)[::-1].cumsum() for count in counts)  # from the highest confidence on
    return _average_precision(outside, inside)


def ood_auroc(in_confidence: ArrayLike, out_confidence: ArrayLike) -> float:
    """Return the fraction of pairs in which the out-of-distribution example is less confident; a tie counts half."""
    false, true = _flagged(in_confidence, out_confidence)
    return float((np.diff(false, prepend=0) * (true + np.append(0, true[:-1]))).sum() / (2 * false[-1] * true[-1]))


def fpr_at_recall(in_confidence: ArrayLike, out_confidence: ArrayLike, recall: float = 0.95) -> float:
    """Return the fraction of in-distribution examples flagged at a given recall of out-of-distribution examples.

    An example is flagged if its confidence is at most the threshold: the lowest confidence at which the recall of the
    out-of-distribution class reaches ``recall``, without interpolation. (Other code may use the recall of the
    in-distribution class, or the recall nearest to 95 %.)

    Args:
        recall: In (0, 1].
    """
    if not 0 < recall <= 1:
        raise ValueError(f'recall must lie in (0, 1], got {recall}')
    false, true = _flagged(in_confidence, out_confidence)
    return float(false[np.argmax(true / true[-1] >= recall)] / false[-1])


def fpr95(in_confidence: ArrayLike, out_confidence: ArrayLike) -> float:
    """Return :func:`fpr_at_recall` at 95 % recall."""
    return fpr_at_recall(in_confidence, out_confidence, 0.95)


def slice_confidence(scores: ArrayLike, classes: ArrayLike | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return confidence and prediction of a classifier restricted to some of its classes.

    Softmax scores divided by their sum over the classes S equal the softmax over the logits of S, because the sum over
    all classes cancels. Only scores that underflowed are lost.

    Args:
        scores: (N, C) softmax scores.
        classes: (S,) distinct columns; None for all.

    Returns:
        Confidence (N,) float64 in [1 / S, 1], and predicted column (N,) of the C; the first in ``classes`` on a tie.

    Raises:
        ValueError: If scores are negative, not finite or do not sum to one, all scores of the slice are zero, or
            ``classes`` is invalid.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or not scores.size:
        raise ValueError(f'scores must have the shape (N, C), got {scores.shape}')
    mass = scores.sum(axis=1)
    odd = ~((np.abs(mass - 1) <= MASS_TOLERANCE) & (scores >= 0).all(axis=1))  # includes NaN
    if odd.any():
        raise ValueError(
            f'scores must be softmaxed, but {odd.sum()} of {len(scores)} rows have negative or non-finite values or do '
            f'not sum to 1; the first of them sums to {mass[odd][0]:g}'
        )
    width = scores.shape[1]
    classes = np.arange(width) if classes is None else whole_classes(classes, 'classes', width)
    part = scores[:, classes]
    mass = part.sum(axis=1)
    if not mass.all():
        raise ValueError(
            f'{(mass == 0).sum()} of {len(scores)} rows have only zeros in the {len(classes)} classes: '
            'the scores underflowed; compute them in float32'
        )
    best = part.argmax(axis=1)
    return part[np.arange(len(part)), best] / mass, classes[best]


def whole_classes(values: ArrayLike, name: str, width: int | None = None) -> np.ndarray:
    """Check class indices and return them as an array (S,).

    Args:
        values: (S,) distinct non-negative integers.
        name: Name in the error message.
        width: Number of columns C, if known.

    Raises:
        ValueError: If there are no indices, or they are not integers, not distinct, negative or at least C.
    """
    classes = np.asarray(values)
    whole = classes.ndim == 1 and classes.size and np.issubdtype(classes.dtype, np.integer)
    top = np.inf if width is None else width
    if not whole or len(np.unique(classes)) != len(classes) or classes.min() < 0 or classes.max() >= top:
        kind = 'class indices from 0 on' if width is None else f'columns of {width} scores (0 to {width - 1})'
        raise ValueError(f'{name} must be distinct {kind}, got {classes.tolist()!s:.80}')
    return classes


def _average_precision(false: np.ndarray, true: np.ndarray) -> float:
    """Return the average precision, given the numbers of false and true positives at each threshold, (T,) ascending."""
    return float((np.diff(true, prepend=0) * (true / (true + false))).sum() / true[-1])


def _ranked(confidence: ArrayLike, correct: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return both as (N,) float64, by ascending confidence; tied examples share their mean correctness."""
    confidence, correct = _confidences(confidence, 'confidence'), _vector(correct, 'correct')
    if len(confidence) != len(correct):
        raise ValueError(f'confidence has {len(confidence)} examples and correct has {len(correct)}')
    odd = (correct != 0) & (correct != 1)
    if odd.any():
        at = int(odd.argmax())
        raise ValueError(f'correct must be 0 or 1, got {correct[at]} at position {at}')
    values, group, counts = np.unique(confidence, return_inverse=True, return_counts=True)
    share = np.bincount(group, correct) / counts
    return np.repeat(values, counts), np.repeat(share, counts)


def _flagged(in_confidence: ArrayLike, out_confidence: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of in- and out-of-distribution examples flagged at each distinct confidence, (T,) int."""
    inside = np.sort(_confidences(in_confidence, 'in_confidence'))
    outside = np.sort(_confidences(out_confidence, 'out_confidence'))
    thresholds = np.union1d(inside, outside)
    return np.searchsorted(inside, thresholds, side='right'), np.searchsorted(outside, thresholds, side='right')


def _confidences(values: ArrayLike, name: str) -> np.ndarray:
    vector = _vector(values, name)
    odd = ~((vector >= 0) & (vector <= 1))  # includes NaN
    if odd.any():
        at = int(odd.argmax())
        raise ValueError(f'{name} must lie in [0, 1], got {vector[at]} at position {at}')
    return vector


def _vector(values: ArrayLike, name: str) -> np.ndarray:
    try:
        vector = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{name} must be one number per example: {error}') from error
    if vector.ndim != 1 or not vector.size:
        raise ValueError(f'{name} must have the shape (N,) with at least one example, got {vector.shape}')
    return vector
