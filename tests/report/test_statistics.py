import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from mixpro_mm.report.statistics import (
    PairedDifference,
    bootstrap_coverage,
    bootstrap_interval,
    paired_difference,
)


def pairs(differences, base=50.0):
    return paired_difference(
        {s: base + d for s, d in enumerate(differences)}, dict.fromkeys(range(len(differences)), base)
    )


def all_resamples(differences):
    """Oracle: every one of the n**n resamples, and the ends that leave 2.5 % of them at or beyond."""
    means = sorted(float(np.mean(resample)) for resample in product(differences, repeat=len(differences)))
    beyond = math.ceil(0.025 * len(means) - 1e-9)
    return means[beyond - 1], means[-beyond]


def test_worked_by_hand():
    """Differences 1, 2, 6: mean 3, sd sqrt((4 + 1 + 9) / 2); of 27 resamples one has mean 1 and one has mean 6."""
    found = paired_difference({7: 51.0, 3: 62.0, 5: 76.0}, {3: 60.0, 5: 70.0, 7: 50.0})
    assert found.n == 3
    assert found.mean == pytest.approx(3)
    assert found.sd == pytest.approx(math.sqrt(7))
    assert found.bootstrap == pytest.approx((1, 6))  # one of 27 is more than 2.5 %
    half = 4.302653 * math.sqrt(7 / 3)  # t(2), two-sided 95 %, from a printed table
    assert found.student == pytest.approx((3 - half, 3 + half), rel=1e-6)
    assert found.visible == pytest.approx(half, rel=1e-6)


@pytest.mark.parametrize('n', [2, 3, 4, 5, 6])
def test_the_bootstrap_is_that_of_all_resamples(n):
    differences = np.random.default_rng(n).normal(0.5, 1, n)
    assert bootstrap_interval(differences) == pytest.approx(all_resamples(differences))


def test_equal_differences_are_counted_as_often_as_they_occur():
    differences = [0.0, 0.0, 0.0, 1.0, 1.0]  # binomial(5, 0.4) / 5: 7.8 % at 0, 1 % at 1, 8.7 % at 0.8 and above
    assert bootstrap_interval(differences) == pytest.approx((0, 0.8))
    assert bootstrap_interval(differences) == pytest.approx(all_resamples(differences))


@pytest.mark.parametrize('n', [2, 5, 12])
def test_student_is_that_of_scipy(n):
    generator = np.random.default_rng(n)
    values, base = generator.normal(70, 3, n), generator.normal(69, 3, n)
    found = paired_difference(dict(enumerate(values)), dict(enumerate(base)))
    interval = stats.ttest_rel(values, base).confidence_interval(0.95)
    assert found.student == pytest.approx((interval.low, interval.high))


def test_many_pairs_draw_their_resamples_the_same_every_time():
    differences = np.random.default_rng(0).normal(0.3, 1, 40)
    low, high = bootstrap_interval(differences)
    assert (low, high) == bootstrap_interval(differences)
    # with 40 numbers the bootstrap is close to mean -+ 1.96 standard errors
    error = differences.std() / math.sqrt(40)
    assert (low, high) == pytest.approx(
        (differences.mean() - 1.96 * error, differences.mean() + 1.96 * error), abs=0.03
    )


@pytest.mark.parametrize('n', [3, 5, 20])
def test_both_sides_exchanged_turn_the_signs(n):
    generator = np.random.default_rng(n)
    a, b = (dict(enumerate(generator.normal(50, 2, n))) for _ in range(2))
    there, back = paired_difference(a, b), paired_difference(b, a)
    assert back.mean == pytest.approx(-there.mean) and back.sd == pytest.approx(there.sd)
    assert back.bootstrap == pytest.approx((-there.bootstrap[1], -there.bootstrap[0]))
    assert back.student == pytest.approx((-there.student[1], -there.student[0]))
    assert there.bootstrap[0] <= there.mean <= there.bootstrap[1]


def test_what_all_runs_of_a_seed_share_makes_no_difference():
    """Pairing is by seed, whatever the order of the dicts."""
    values = {0: 51.0, 1: 62.5, 2: 70.2}
    shifted = {2: 169.2, 0: 150.0, 1: 160.5}
    assert paired_difference(values, shifted).mean == pytest.approx(-98.6666667)
    assert paired_difference(values, shifted).sd == pytest.approx(np.std([-99, -98, -99], ddof=1))


@pytest.mark.parametrize(
    ('bootstrap', 'student', 'verdict', 'turned'),
    [
        ((0.1, 2), (0.01, 3), 'supported', 'not supported'),
        ((-2, -0.1), (-3, -0.01), 'not supported', 'supported'),
        ((0.1, 2), (-0.1, 3), 'undecided at this size', 'undecided at this size'),  # Student is not sure
        ((-0.1, 2), (0.1, 3), 'undecided at this size', 'undecided at this size'),  # the bootstrap is not
        ((-2, -0.1), (-3, 0.1), 'undecided at this size', 'undecided at this size'),
        ((0.0, 2), (0.1, 3), 'undecided at this size', 'undecided at this size'),  # touches zero
        ((0.0, 0.0), (0.0, 0.0), 'undecided at this size', 'undecided at this size'),
    ],
)
def test_the_verdict_takes_both_intervals(bootstrap, student, verdict, turned):
    found = PairedDifference(3, 0.0, 1.0, bootstrap, student)
    assert found.verdict() == verdict
    assert found.verdict(lower_is_better=True) == turned


@pytest.mark.parametrize(
    ('values', 'base'),
    [
        ({0: 50.0, 1: 50.0, 2: 50.0}, {0: 50.0, 1: 50.0, 2: 50.0}),
        ({0: 98.5, 1: 99.0, 2: 99.5}, {0: 97.5, 1: 98.0, 2: 98.5}),  # all a point better: no spread to the last bit
        ({0: 98.5965, 1: 98.2456, 2: 97.8947}, {0: 98.2456, 1: 97.8947, 2: 97.5438}),  # here but for the last bits
        ({0: 98.9474, 1: 99.6491, 2: 98.5965}, {0: 98.2456, 1: 98.9474, 2: 97.8947}),  # two of 285 images, rounded
    ],
)
def test_differences_without_spread_are_undecided(values, base):
    """Scores come in steps, so that a few seeds may differ by the same step; that is no sure sign."""
    for found in (paired_difference(values, base), paired_difference(base, values)):
        assert found.verdict() == found.verdict(lower_is_better=True) == 'undecided at this size'
        assert found.sd == 0 and found.visible == math.inf


def test_a_small_spread_is_one():
    """A thousandth of a point is more than rounding to four decimals."""
    found = pairs([1.0, 1.001, 0.999])
    assert found.sd == pytest.approx(1e-3) and found.verdict() == 'supported'


def test_what_cannot_be_compared_is_one_sentence():
    one = {0: 50.0, 1: 51.0}
    for values, base, sentence in (
        ({0: 1.0, 3: 1.0}, one, 'no pair for seeds 1, 3: one side only'),
        ({0: 1.0}, one, 'no pair for seed 1: one side only'),
        ({0: 1.0}, {0: 2.0}, 'one seed says nothing about chance'),
        ({}, {}, 'no seed was run on both sides'),
        ({0: 1.0, 1: math.nan}, one, 'seed 1 gave no finite number'),
        (one, {0: math.inf, 1: math.nan}, 'seeds 0, 1 gave no finite number'),
    ):
        with pytest.raises(ValueError) as error:
            paired_difference(values, base)
        assert str(error.value) == sentence


def test_the_bootstrap_over_few_seeds_is_too_narrow():
    """Two or three: only all differences on one side of the truth miss it, so the coverage is 1 - 2 / 2**n exactly."""
    assert bootstrap_coverage(2) == pytest.approx(0.5, abs=0.015)
    assert bootstrap_coverage(3) == pytest.approx(0.75, abs=0.013)
    # no formula from here on: frozen, with three standard errors of 10,000 trials
    assert bootstrap_coverage(4) == pytest.approx(0.80, abs=0.015)
    assert bootstrap_coverage(5) == pytest.approx(0.84, abs=0.015)
    assert bootstrap_coverage(20, trials=300) > 0.89


def test_the_coverage_is_that_of_independent_trials():
    """Five differences around 2 with deviation 3; Student, beside it, holds what it promises."""
    generator, trials = np.random.default_rng(1), 1500
    found = [pairs(row) for row in generator.normal(2, 3, (trials, 5))]
    bootstrap = np.mean([low <= 2 <= high for low, high in (one.bootstrap for one in found)])
    student = np.mean([low <= 2 <= high for low, high in (one.student for one in found)])
    assert bootstrap == pytest.approx(bootstrap_coverage(5), abs=0.03)
    assert student == pytest.approx(0.95, abs=0.02)
