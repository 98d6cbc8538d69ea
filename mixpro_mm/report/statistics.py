"""Differences between two methods, paired by seed, with Student's 95 % interval."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

__all__ = ['PairedDifference', 'paired_difference']

# Relative to the largest value. Results have four decimals, so equal differences may differ by 2e-4.
ROUNDING = 1e-5


@dataclass(frozen=True)
class PairedDifference:
    """Mean difference of ``n`` pairs.

    Args:
        n: Number of pairs.
        mean: Mean difference.
        sd: Sample standard deviation of the differences; 0 if they are equal up to rounding.
        interval: Student's 95 % interval of the mean; (nan, nan) if ``sd`` is 0.
    """

    n: int
    mean: float
    sd: float
    interval: tuple[float, float]

    @property
    def min_detectable_difference(self) -> float:
        """Half the width of the interval; infinite if ``sd`` is 0, because a few seeds can agree by chance."""
        return (self.interval[1] - self.interval[0]) / 2 if self.sd else math.inf


def paired_difference(values: dict[int, float], base: dict[int, float]) -> PairedDifference:
    """Compute ``values`` - ``base`` over the seeds that both have.

    Args:
        values: Seed -> result.
        base: Seed -> result of the other method.

    Raises:
        ValueError: if there are fewer than two shared seeds, or one of their values is not finite.
    """
    seeds = sorted(values.keys() & base.keys())
    if len(seeds) < 2:
        raise ValueError(f'a paired difference needs at least two shared seeds, got {len(seeds)}')
    broken = [seed for seed in seeds if not (math.isfinite(values[seed]) and math.isfinite(base[seed]))]
    if broken:
        raise ValueError(f'no finite result with seed {", ".join(map(str, broken))}')
    a, b = (np.array([side[seed] for seed in seeds], dtype=float) for side in (values, base))
    mean, sd = float((a - b).mean()), float((a - b).std(ddof=1))
    if sd <= ROUNDING * max(np.abs(a).max(), np.abs(b).max()):
        return PairedDifference(len(seeds), mean, 0.0, (math.nan, math.nan))
    interval = stats.ttest_rel(a, b).confidence_interval(0.95)
    return PairedDifference(len(seeds), mean, sd, (float(interval.low), float(interval.high)))
