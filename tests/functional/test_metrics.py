import itertools
import math

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from mixpro_mm.functional import aurra, expected_calibration_error, fpr95, fpr_at_recall, ood_aupr, ood_auroc
from mixpro_mm.functional.metrics import ood_aupr_in, slice_confidence, whole_classes
from mixpro_mm.functional.metrics import rms_calibration_error as rms

RANKED = {
    'rms': lambda c, z: rms(c, z, 10),
    'rms full': lambda c, z: rms(c, z, 10, drop_last_bin=False),
    'aurra': aurra,
    'ece': expected_calibration_error,
}


def draw(seed, number, levels=None):
    """Return confidences, all distinct or of few levels, and correlated correctness."""
    rng = np.random.default_rng(seed)
    confidence = rng.random(number) if levels is None else rng.integers(0, levels + 1, number) / levels
    return confidence, (rng.random(number) < 0.2 + 0.5 * confidence).astype(int)


def rms_by_loop(confidence, correct, size, drop):
    """Compute the definition by loops for distinct confidences."""
    pairs = np.array(sorted(zip(confidence, correct, strict=True)))
    bins = np.split(pairs, range(size, len(pairs) - size + 1, size))
    gaps = [len(members) * (members[:, 0].mean() - members[:, 1].mean()) ** 2 for members in bins]
    return math.sqrt(sum(gaps[:-1] if drop else gaps) / len(pairs))


def test_rms_calibration_error_by_hand():
    """Bins of 2: (0.1, 0.3) and (0.6, 0.7, 0.9), which takes the remaining example.

    First: 0.2 - 1/2 = -0.3, weight 2/5, term 0.036. Second: 2.2/3 - 2/3 = 1/15, weight 3/5, term 0.6/225.
    """
    examples = [0.7, 0.1, 0.9, 0.3, 0.6], [1, 0, 1, 1, 0]
    assert rms(*examples, 2) == pytest.approx(math.sqrt(0.036))
    assert rms(*examples, 2, drop_last_bin=False) == pytest.approx(math.sqrt(0.036 + 0.6 / 225))
    assert rms(*examples, 9, drop_last_bin=False) == pytest.approx(abs(2.6 / 5 - 3 / 5))


@pytest.mark.parametrize('number', [1, 50, 100, 199, 200, 250, 299, 300, 7500])
def test_rms_calibration_error_is_the_protocol(number):
    confidence, correct = draw(number, number)
    expected = rms_by_loop(confidence, correct, 100, False)
    assert rms(confidence, correct, drop_last_bin=False) == pytest.approx(expected, rel=1e-12)
    if number >= 200:
        assert rms(confidence, correct) == pytest.approx(rms_by_loop(confidence, correct, 100, True), rel=1e-12)
    else:
        with pytest.raises(ValueError, match=f'{number} examples in bins of 100 are a single bin, .* at least 200 exa'):
            rms(confidence, correct)


def test_a_tie_across_a_cut_is_shared():
    """Four of confidence 0.5, two correct, bins of 2: no error if ties are shared, 1/2 in the given order."""
    correct = [1, 1, 0, 0]
    assert rms_by_loop([0.5, 0.5 + 1e-15, 0.5 + 2e-15, 0.5 + 3e-15], correct, 2, False) == pytest.approx(0.5)
    assert rms([0.5] * 4, correct, 2, drop_last_bin=False) == 0


@pytest.mark.parametrize('seed', range(5))
def test_aurra_of_ties_is_the_mean_over_all_their_orders(seed):
    confidence, correct = draw(seed, 7, levels=2)
    areas = [
        sum(sum(correct[i] for i in order[:k]) / k for k in range(1, 8)) / 7
        for order in itertools.permutations(range(7))
        if all(confidence[a] >= confidence[b] for a, b in itertools.pairwise(order))
    ]
    assert len(areas) > 1
    assert aurra(confidence, correct) == pytest.approx(sum(areas) / len(areas))


@pytest.mark.parametrize('levels', [None, 15, 45])
@pytest.mark.parametrize('bins', [1, 10, 15])
def test_expected_calibration_error_by_loop(levels, bins):
    confidence, correct = draw(2, 500, levels)
    total = 0.0
    for i in range(bins):
        inside = [c >= i / bins and (c < (i + 1) / bins or i == bins - 1) for c in confidence]
        total += abs(sum(c - z for c, z, here in zip(confidence, correct, inside, strict=True) if here)) / 500
    assert expected_calibration_error(confidence, correct, bins) == pytest.approx(total, abs=1e-12)


@pytest.mark.parametrize('levels', [None, 7, 1])
@pytest.mark.parametrize('sizes', [(300, 80), (40, 400), (1, 30), (30, 1)])
def test_separation_is_that_of_scikit_learn(sizes, levels):
    rng = np.random.default_rng(sum(sizes))
    inside, outside = rng.beta(4, 2, sizes[0]), rng.beta(3, 3, sizes[1])
    if levels:
        inside, outside = (np.round(part * levels) / levels for part in (inside, outside))
    labels, score = np.repeat([0, 1], sizes), -np.r_[inside, outside]
    assert ood_aupr(inside, outside) == pytest.approx(average_precision_score(labels, score), rel=1e-12)
    known = average_precision_score(1 - labels, -score)
    assert ood_aupr_in(inside, outside) == pytest.approx(known, rel=1e-12)
    assert ood_auroc(inside, outside) == pytest.approx(roc_auc_score(labels, score), rel=1e-12)
    fpr, tpr, _ = roc_curve(labels, score, drop_intermediate=False)
    for recall in (0.05, 0.5, 0.8, 0.95, 1.0):
        expected = min(f for f, t in zip(fpr, tpr, strict=True) if t >= recall)
        assert fpr_at_recall(inside, outside, recall) == pytest.approx(expected)
    assert fpr95(inside, outside) == fpr_at_recall(inside, outside) == fpr_at_recall(inside, outside, 0.95)


@pytest.mark.parametrize('count', [20, 40, 60, 100, 140, 2000])
def test_recall_of_exactly_95_percent_is_enough(count):
    """An in-distribution example just above 95 % of the others is not flagged."""
    outside = np.arange(1, count + 1) / (2 * count)
    reached = outside[count * 95 // 100 - 1]
    assert fpr95([np.nextafter(reached, 1), 1.0], outside) == 0
    assert fpr95([reached, 1.0], outside) == 0.5  # tied with the threshold


@pytest.mark.parametrize('levels', [None, 3])
@pytest.mark.parametrize('name', RANKED)
def test_order_of_examples_and_kind_of_array_do_not_matter(name, levels):
    confidence, correct = draw(6, 237, levels)
    value = RANKED[name](confidence, correct)
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(237)
        assert RANKED[name](confidence[order], correct[order]) == value  # to the last bit
    confidence, correct = draw(11, 60, levels=8)  # eighths are exact in every precision
    value = RANKED[name](confidence, correct)
    assert type(value) is float and 0 <= value <= 1
    assert RANKED[name](confidence.tolist(), correct.tolist()) == value
    assert RANKED[name](confidence.astype(np.float16), correct.astype(bool)) == value


@pytest.mark.parametrize('name', RANKED)
@pytest.mark.parametrize(
    ('confidence', 'correct', 'sentence'),
    [
        ([], [], r'confidence must have the shape \(N,\) .*got \(0,\)'),
        (0.5, 1, r'confidence must have .* got \(\)'),
        ([0.5, math.nan], [0, 1], r'confidence must lie in \[0, 1\], got nan at position 1'),
        ([-0.1, 0.5], [0, 1], 'got -0.1 at position 0'),
        ([0.5, 0.6, 1.0000001], [0, 1, 1], 'got 1.0000001 at position 2'),
        ([0.5, 0.6], [0], 'confidence has 2 examples and correct has 1'),
        ([0.5, 0.6], [0, 2], 'correct must be 0 or 1, got 2.0 at position 1'),
        ([0.5, 0.6], [0, math.nan], 'correct must be 0 or 1, got nan at position 1'),
        ([0.5, [0.6, 0.7]], [0, 1], 'confidence must be one number per example'),
    ],
)
def test_invalid_ranked_input_raises(name, confidence, correct, sentence):
    with pytest.raises(ValueError, match=sentence):
        RANKED[name](confidence, correct)


@pytest.mark.parametrize('metric', [ood_aupr, ood_auroc, fpr95])
@pytest.mark.parametrize('bad', [[], [math.nan], [1.5], [-1e-9], [math.inf], [[0.5]], 0.5])
def test_invalid_confidences_raise(metric, bad):
    for name, parts in (('in', (bad, [0.5, 0.7])), ('out', ([0.5, 0.7], bad))):
        with pytest.raises(ValueError, match=f'^{name}_confidence must'):
            metric(*parts)


@pytest.mark.parametrize('number', [0, -1, 2.5, None])
def test_bins_and_recall_out_of_range_raise(number):
    with pytest.raises(ValueError, match='bin_size must be a whole number of at least 1'):
        rms([0.5], [1], number, drop_last_bin=False)
    with pytest.raises(ValueError, match='bins must be a whole number of at least 1'):
        expected_calibration_error([0.5], [1], number)
    for recall in (0, 1.01, math.nan):
        with pytest.raises(ValueError, match='recall must lie in'):
            fpr_at_recall([0.5], [0.5], recall)


def test_classes_stay_as_they_were_given():
    for given in ([4, 0, 2], (4, 0, 2), np.array([4, 0, 2], np.uint8)):
        assert whole_classes(given, 'c').tolist() == whole_classes(given, 'c', 5).tolist() == [4, 0, 2]
    with pytest.raises(ValueError, match=r'^c must be distinct columns of 4 scores \(0 to 3\), got \[4, 0, 2\]$'):
        whole_classes([4, 0, 2], 'c', 4)
    with pytest.raises(ValueError, match=r'^c must be distinct class indices from 0 on, got \[4, 0, 4\]$'):
        whole_classes([4, 0, 4], 'c')


@pytest.mark.parametrize('scale', [0.1, 3.0, 30.0])
def test_slicing_scores_is_slicing_logits(scale):
    rng = np.random.default_rng(0)
    logits, classes = scale * rng.standard_normal((50, 100)), rng.permutation(100)[:20]
    for chosen, given in ((classes, classes), (np.arange(100), None)):
        before = softmax(logits[:, chosen], axis=1)
        confidence, predicted = slice_confidence(softmax(logits, axis=1), given)
        np.testing.assert_allclose(confidence, before.max(axis=1), rtol=1e-9)
        assert np.array_equal(predicted, chosen[before.argmax(axis=1)])
    for dtype in (np.float32, np.float16):  # the ratio 3 : 1 is kept down to the smallest normal number
        small = float(np.finfo(dtype).tiny)
        confidence, predicted = slice_confidence(np.array([[1, small, 3 * small]], dtype), [1, 2])
        assert confidence == pytest.approx([0.75], rel=1e-3) and predicted.tolist() == [2]


SCORES = [[0.2, 0.7, 0.1]]


@pytest.mark.parametrize(
    ('scores', 'classes', 'sentence'),
    [
        ([[1.0, 0, 0], [0.5, 0.5, 0]], [1, 2], '1 of 2 rows have only zeros in the 2 classes.*float32'),
        ([[2.0, -1.0, 0.0]], None, 'scores must be softmaxed, but 1 of 1 rows'),
        ([[0.5, math.nan, 0.5]], None, 'sums to nan'),
        ([0.5, 0.5], None, r'shape \(N, C\), got \(2,\)'),
        (np.zeros((0, 3)), None, r'got \(0, 3\)'),
        (SCORES, [], r'^classes must be distinct columns of 3 scores \(0 to 2\), got \[\]$'),
        *((SCORES, wrong, 'columns of 3 scores') for wrong in ([0, 3], [-1, 0], [1, 1], [True, False, True])),
    ],
)
def test_invalid_scores_raise(scores, classes, sentence):
    with pytest.raises(ValueError, match=sentence):
        slice_confidence(scores, classes)
