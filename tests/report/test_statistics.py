"""Tests of paired differences against values worked by hand and scipy."""

import math

import numpy as np
import pytest
from scipy import stats

from mixpro_mm.report.statistics import paired_difference


def test_worked_by_hand():
    """Differences are 1, 2, 6: mean 3, sd sqrt((4 + 1 + 9) / 2). Seeds without a pair do not count."""
    found = paired_difference({7: 51.0, 3: 62.0, 5: 76.0, 8: 90.0}, {3: 60.0, 5: 70.0, 7: 50.0, 9: -90.0})
    assert (found.n, found.mean, found.sd) == (3, pytest.approx(3), pytest.approx(math.sqrt(7)))
    half = 4.302653 * math.sqrt(7 / 3)  # t(2), two-sided 95 %, from a printed table
    assert found.interval == pytest.approx((3 - half, 3 + half), rel=1e-6)
    assert found.min_detectable_difference == pytest.approx(half, rel=1e-6)


def test_the_interval_has_95_percent_coverage():
    draws = np.random.default_rng(1).normal(2, 3, (600, 4))
    found = [paired_difference(dict(enumerate(row)), dict.fromkeys(range(4), 0.0)).interval for row in draws]
    assert np.mean([low <= 2 <= high for low, high in found]) == pytest.approx(0.95, abs=0.025)
    expected = stats.ttest_1samp(draws[0], 0).confidence_interval()
    assert found[0] == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(
    ('values', 'base'),
    [
        ({0: 50.0, 1: 50.0}, {0: 50.0, 1: 50.0}),
        ({0: 98.9474, 1: 99.6491, 2: 98.5965}, {0: 98.2456, 1: 98.9474, 2: 97.8947}),  # two of 285 images, rounded
    ],
)
def test_equal_differences_have_no_interval(values, base):
    found = paired_difference(values, base)
    assert found.sd == 0 and found.min_detectable_difference == math.inf and np.isnan(found.interval).all()


def test_a_spread_above_rounding_counts():
    found = paired_difference({0: 51.0, 1: 51.001, 2: 50.999}, dict.fromkeys(range(3), 50.0))
    assert found.sd == pytest.approx(1e-3) and found.interval[0] > 0.99


@pytest.mark.parametrize(
    ('values', 'base', 'message'),
    [
        ({0: 1.0, 1: 1.0}, {1: 2.0, 3: 1.0}, 'two shared seeds, got 1'),
        ({0: 1.0, 1: math.nan, 2: 1.0}, {0: 1.0, 1: 2.0, 2: math.inf}, 'with seed 1, 2'),
    ],
)
def test_invalid_input_raises(values, base, message):
    with pytest.raises(ValueError, match=message):
        paired_difference(values, base)
