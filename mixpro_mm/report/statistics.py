"""Differences between two methods, paired over seeds, with Student's 95 % interval."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

__all__ = ['PairedDifference', 'paired_difference']

# Relative to the largest value. Results are in percent with four decimals, so equal differences may lie 2e-4 apart.
ROUNDING = 1e-5


@dataclass(frozen=True)
class PairedDifference:
    """The differences of ``n`` pairs, in the unit of the values.

    Args:
        n: Number of pairs.
        mean: Mean difference.
        sd: Sample standard deviation of the differences; 0 where they are equal but for rounding.
        interval: Student's 95 % interval of the mean; (nan, nan) without spread.
    """

    n: int
    mean: float
    sd: float
    interval: tuple[float, float]

    @property
    def min_detectable_difference(self) -> float:
        """Half the width of the interval; infinite without spread, for a few seeds may differ by the same step."""
        return (self.interval[1] - self.interval[0]) / 2 if self.sd else math.inf


def paired_difference(values: dict[int, float], base: dict[int, float]) -> PairedDifference:
    """``values`` - ``base`` over the seeds that both have.

    Args:
        values, base: seed -> result of either method.

    Raises:
        ValueError: fewer than two shared seeds, or a value of one is not finite.
    """
    seeds = sorted(values.keys() & base.keys())
    if len(seeds) < 2:
        raise ValueError(f'a paired difference needs two shared seeds, there are {len(seeds)}')
    broken = [seed for seed in seeds if not (math.isfinite(values[seed]) and math.isfinite(base[seed]))]
    if broken:
        raise ValueError(f'no finite result with seed {", ".join(map(str, broken))}')
    a, b = (np.array([side[seed] for seed in seeds], dtype=float) for side in (values, base))
    mean, sd = float((a - b).mean()), float((a - b).std(ddof=1))
    if sd <= ROUNDING * max(np.abs(a).max(), np.abs(b).max()):
        return PairedDifference(len(seeds), mean, 0.0, (math.nan, math.nan))
    interval = stats.ttest_rel(a, b).confidence_interval(0.95)
    return PairedDifference(len(seeds), mean, sd, (float(interval.low), float(interval.high)))
