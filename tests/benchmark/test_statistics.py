"""Figures against values worked out by hand, and the bootstrap against its exact distribution."""

import pytest
from scipy.stats import binom

from mixpro_mm.benchmark.statistics import exponent, paired_ratio, spread


def test_spread_of_five_values():
    figures = spread([1.0, 2.0, 3.0, 4.0, 10.0])
    assert figures == dict(median_s=3.0, mean_s=4.0, std_s=pytest.approx(12.5**0.5), iqr_s=2.0)
    assert spread([7.0], unit='ms') == dict(median_ms=7.0, mean_ms=7.0, std_ms=0.0, iqr_ms=0.0)


def test_rounds_are_compared_one_by_one():
    """A machine three times slower in the middle round leaves the ratio alone; the ratio of sums would be 1.19."""
    ratio = paired_ratio([1.1, 3.6, 1.1], [1.0, 3.0, 1.0])
    assert ratio.median == pytest.approx(1.1)
    assert (ratio.low, ratio.high) == (pytest.approx(1.1), pytest.approx(1.2))
    assert paired_ratio([2.0, 4.0], [1.0, 2.0]) == (2.0, 2.0, 2.0)


def test_interval_is_that_of_the_bootstrapped_median():
    """The median of n = 11 draws is at most the k-th ratio with the probability of six or more draws up to it."""
    ratios = [float(k) for k in range(1, 12)]
    at_most = {k: binom.sf(5, 11, k / 11) for k in range(1, 12)}
    low = min(k for k in at_most if at_most[k] > 0.025)
    high = min(k for k in at_most if at_most[k] > 0.975)
    assert all(abs(p - q) > 0.005 for p in at_most.values() for q in (0.025, 0.975))  # 2000 resamples tell them apart
    assert paired_ratio(ratios, [1.0] * 11) == (6.0, low, high)


@pytest.mark.parametrize(('values', 'base'), [([1.0], [1.0, 2.0]), ([], [])])
def test_rounds_without_a_partner_are_refused(values, base):
    with pytest.raises(ValueError, match=f'got {len(values)} and {len(base)}'):
        paired_ratio(values, base)


@pytest.mark.parametrize(
    ('sizes', 'seconds', 'power'),
    [
        ((1, 2, 4), (3.0, 6.0, 12.0), 1.0),
        ((1, 2, 4), (5.0, 20.0, 80.0), 2.0),
        ((64, 128, 256), (0.5, 0.5, 0.5), 0.0),
        ((1, 2, 4), (1.0, 1.0, 4.0), 1.0),  # the best line through 0, 0 and 2 over 0, 1 and 2 has slope 1
    ],
)
def test_power_of_a_size(sizes, seconds, power):
    assert exponent(sizes, seconds) == pytest.approx(power)


def test_one_size_has_no_power():
    with pytest.raises(ValueError, match=r'at least two different sizes .* got \[3, 3\]'):
        exponent([3, 3], [1.0, 2.0])
