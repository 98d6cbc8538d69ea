"""Calibration, confidence ranking and out-of-distribution detection, from one confidence per image.

Definitions: Hendrycks et al., "Natural Adversarial Examples", CVPR 2021 (RMS calibration error, AURRA, AUPR; what
Table 5 of MixPro reports); Guo et al., "On Calibration of Modern Neural Networks", ICML 2017 (ECE).

The metrics are floats in [0, 1] and do not depend on the order of the examples: examples with tied confidences share
their mean correctness before anything is ranked, and tied scores are one threshold. The reference only sorts, so for
ties its result depends on their order.

``confidence`` is (N,) in [0, 1], ``correct`` is (N,) of 0 and 1 (or bool); arrays and lists alike. Empty input, NaN,
infinity, values beyond these ranges and lengths that differ are a ValueError.
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
    'ood_auroc',
    'rms_calibration_error',
    'slice_confidence',
    'whole_classes',
]

MASS_TOLERANCE = 0.05  # softmaxed scores sum to one but for this; bfloat16 stays within 0.01


def rms_calibration_error(
    confidence: ArrayLike, correct: ArrayLike, bin_size: int = 100, drop_last_bin: bool = True
) -> float:
    """``sqrt(sum_b n_b / N * (mean confidence - mean correctness in b) ** 2)`` over bins of equal counts.

    Examples are sorted by confidence, ascending, and cut into ``N // bin_size`` bins of ``bin_size`` (at least one);
    the last one also takes the ``N % bin_size`` most confident that are left. Where tied confidences lie on both sides
    of a cut, each side has the mean correctness of all of them.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) of 0 and 1.
        bin_size: Examples in a bin.
        drop_last_bin: Leave the last bin, the most confident one, out of the sum, as the released code of the reference
            does; weights stay ``n_b / N`` with all N. False sums over every bin.

    Raises:
        ValueError: also if the last bin is to be dropped and is the only one: what is left, zero, would read as
            perfect calibration.
    """
    confidence, correct = _ranked(confidence, correct)
    bin_size = positive_int('bin_size', bin_size)
    total = len(confidence)
    starts = np.arange(max(total // bin_size, 1)) * bin_size
    if drop_last_bin and len(starts) == 1:
        raise ValueError(
            f'{total} examples in bins of {bin_size} are a single bin, and drop_last_bin leaves nothing of it; '
            f'take at least {2 * bin_size} examples, a smaller bin_size or drop_last_bin=False'
        )
    counts = np.diff(starts, append=total)
    gaps = (np.add.reduceat(confidence, starts) - np.add.reduceat(correct, starts)) / counts
    terms = counts * gaps**2
    return float(np.sqrt(terms[: -1 if drop_last_bin else None].sum() / total))


def aurra(confidence: ArrayLike, correct: ArrayLike) -> float:
    """Area under the response rate accuracy curve: mean over k = 1 ... N of the accuracy of the k most confident.

    With ties, it is the mean of what all orders of the tied examples would give.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) of 0 and 1.
    """
    _, correct = _ranked(confidence, correct)
    return float(np.mean(np.cumsum(correct[::-1]) / np.arange(1, len(correct) + 1)))


def expected_calibration_error(confidence: ArrayLike, correct: ArrayLike, bins: int = 15) -> float:
    """``sum_b n_b / N * |mean confidence - mean correctness in b|`` over bins of equal width (Guo et al., eq. 3).

    Bin i holds ``i / bins <= confidence < (i + 1) / bins``, the last one also confidence 1. (Guo et al. close bins
    above instead of below, which matters for confidences on an edge only.)

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) of 0 and 1.
        bins: Number of bins.
    """
    confidence, correct = _ranked(confidence, correct)
    bins = positive_int('bins', bins)
    member = np.searchsorted(np.arange(1, bins) / bins, confidence, side='right')
    return float(np.abs(np.bincount(member, confidence - correct)).sum() / len(confidence))


def ood_aupr(in_confidence: ArrayLike, out_confidence: ArrayLike) -> float:
    """Average precision of finding out-of-distribution examples by low confidence.

    Out-of-distribution is the positive class, the score is ``-confidence``; step-wise, without interpolation:
    ``sum_t (recall_t - recall_(t-1)) * precision_t`` over distinct confidences t, ascending. All confidences equal give
    the share of positives, M / (N + M).

    Args:
        in_confidence: (N,) in [0, 1], of in-distribution examples.
        out_confidence: (M,) in [0, 1], of out-of-distribution examples.
    """
    false, true = _flagged(in_confidence, out_confidence)
    return float((np.diff(true, prepend=0) * (true / (true + false))).sum() / true[-1])


def ood_auroc(in_confidence: ArrayLike, out_confidence: ArrayLike) -> float:
    """Share of pairs in which the out-of-distribution example has the lower confidence; a tie counts half.

    Args:
        in_confidence: (N,) in [0, 1], of in-distribution examples.
        out_confidence: (M,) in [0, 1], of out-of-distribution examples.
    """
    false, true = _flagged(in_confidence, out_confidence)
    return float((np.diff(false, prepend=0) * (true + np.append(0, true[:-1]))).sum() / (2 * false[-1] * true[-1]))


def fpr_at_recall(in_confidence: ArrayLike, out_confidence: ArrayLike, recall: float = 0.95) -> float:
    """Share of in-distribution examples flagged when at least ``recall`` of the out-of-distribution ones are.

    An example is flagged if its confidence is at most a threshold. The threshold is the lowest confidence that occurs
    at which the recall of the out-of-distribution class reaches ``recall``; nothing is interpolated, and examples tied
    with the threshold are flagged on both sides. (Much code on the subject has it the other way round, at 95 % recall
    of the in-distribution class, or takes the recall nearest to 95 %.)

    Args:
        in_confidence: (N,) in [0, 1], of in-distribution examples.
        out_confidence: (M,) in [0, 1], of out-of-distribution examples.
        recall: In (0, 1].
    """
    if not 0 < recall <= 1:
        raise ValueError(f'recall must lie in (0, 1], got {recall}')
    false, true = _flagged(in_confidence, out_confidence)
    return float(false[np.argmax(true / true[-1] >= recall)] / false[-1])


def fpr95(in_confidence: ArrayLike, out_confidence: ArrayLike) -> float:
    """:func:`fpr_at_recall` at 95 % recall of the out-of-distribution class."""
    return fpr_at_recall(in_confidence, out_confidence, 0.95)


def slice_confidence(scores: ArrayLike, classes: ArrayLike | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Confidence and prediction of a classifier that may name only some of its classes.

    Dividing softmaxed scores by their sum over the classes S that stay is softmax over the logits z of S alone, for the
    sum over all classes cancels::

        p_i / sum_{j in S} p_j = (exp z_i / sum_k exp z_k) / (sum_{j in S} exp z_j / sum_k exp z_k)
                               = exp z_i / sum_{j in S} exp z_j                                     for i in S

    Only scores that underflowed are lost: fp32 has digits down to 1e-38, fp16 only down to 6e-5.

    Args:
        scores: (N, C), softmaxed.
        classes: (S,) columns that stay, distinct; None for all.

    Returns:
        Confidence (N,) float64 in [1 / S, 1], and predicted column (N,) of the C; the first in ``classes`` of equals.

    Raises:
        ValueError: Scores are negative, not finite or do not sum to one; all of the slice are zero; ``classes`` is
            empty, has doubles or columns that are not there.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or not scores.size:
        raise ValueError(f'scores must have the shape (N, C), got {scores.shape}')
    mass = scores.sum(axis=1)
    odd = ~((np.abs(mass - 1) <= MASS_TOLERANCE) & (scores >= 0).all(axis=1))  # NaN is odd, too
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
            f'{(mass == 0).sum()} of {len(scores)} rows have only zeros in the {len(classes)} classes that stay, so '
            'nothing tells these apart: the scores underflowed; compute them in float32'
        )
    best = part.argmax(axis=1)
    return part[np.arange(len(part)), best] / mass, classes[best]


def whole_classes(values: ArrayLike, name: str, width: int | None = None) -> np.ndarray:
    """Indices of classes (S,) as they were given, after the check.

    Args:
        values: (S,) whole numbers from 0 on, distinct.
        name: What the sentence calls them.
        width: Number of scores (C) that they are columns of, if it is known.

    Raises:
        ValueError: There are none, they are not whole numbers, one comes twice, or one is below 0 or not below C.
    """
    classes = np.asarray(values)
    whole = classes.ndim == 1 and classes.size and np.issubdtype(classes.dtype, np.integer)
    top = np.inf if width is None else width
    if not whole or len(np.unique(classes)) != len(classes) or classes.min() < 0 or classes.max() >= top:
        kind = 'class indices from 0 on' if width is None else f'columns of {width} scores (0 to {width - 1})'
        raise ValueError(f'{name} must be distinct {kind}, got {classes.tolist()!s:.80}')
    return classes


def _ranked(confidence: ArrayLike, correct: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both (N,) float64 after the checks, by confidence ascending; tied examples share their mean correctness."""
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
    """In- and out-of-distribution examples flagged at each distinct confidence, ascending: both (T,) int."""
    inside = np.sort(_confidences(in_confidence, 'in_confidence'))
    outside = np.sort(_confidences(out_confidence, 'out_confidence'))
    thresholds = np.union1d(inside, outside)
    return np.searchsorted(inside, thresholds, side='right'), np.searchsorted(outside, thresholds, side='right')


def _confidences(values: ArrayLike, name: str) -> np.ndarray:
    vector = _vector(values, name)
    odd = ~((vector >= 0) & (vector <= 1))  # NaN is odd, too
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
        raise ValueError(f'{name} must hold at least one example and have the shape (N,), got {vector.shape}')
    return vector
