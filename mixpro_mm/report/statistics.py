"""Differences between two methods paired over seeds: mean, two 95 % intervals, and the verdict they allow.

A seed fixes initial weights and the order of the data for both methods alike, so that the two runs of a seed are a
pair. The intervals are about the seed only: a run repeated on another test set would differ in more than that.
"""

import math
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from scipy.special import stdtrit

__all__ = [
    'NOT_SUPPORTED', 'SUPPORTED', 'UNDECIDED', 'PairedDifference', 'bootstrap_coverage', 'bootstrap_interval',
    'paired_difference',
]  # fmt: skip

SUPPORTED, NOT_SUPPORTED, UNDECIDED = 'supported', 'not supported', 'undecided at this size'
TAIL = 0.025  # on either side of a 95 % interval
EXACT = 50_000  # different resamples up to which all are counted: 9 pairs
RESAMPLES = 10_000  # drawn where there are more
# Of the largest value: a smaller deviation of the differences is that of rounding, not of seeds. Results are in percent
# with four decimals, so that equal differences may lie 2e-4 apart.
ROUNDING = 1e-5


@dataclass(frozen=True)
class PairedDifference:
    """The differences of ``n`` pairs, in the unit of the values.

    Args:
        n: Number of pairs.
        mean: Of the differences.
        sd: Their sample standard deviation; 0 where they are equal but for rounding.
        bootstrap: 95 % percentile interval of the mean over resamples of the pairs.
        student: 95 % interval of the mean by Student's t with n - 1 degrees of freedom.
    """

    n: int
    mean: float
    sd: float
    bootstrap: tuple[float, float]
    student: tuple[float, float]

    @property
    def visible(self) -> float:
        """The smallest mean difference that would have been told from zero: half the width of Student's interval.

        Infinite where the differences have no spread: they do not show how far chance moves them.
        """
        if self.sd == 0:
            return math.inf
        return (self.student[1] - self.student[0]) / 2

    def verdict(self, lower_is_better: bool = False) -> str:
        """What the pairs say of the claim that the first method is better.

        'supported' where both intervals lie on the better side of zero, 'not supported' where both lie on the worse
        side, else 'undecided at this size'. An interval that touches zero lies on neither side. Differences without
        spread are undecided: scores come in steps, a few seeds may fall on the same one, and then an interval has no
        width whatever chance does.
        """
        if self.sd == 0:
            return UNDECIDED
        ends = [*self.bootstrap, *self.student]
        above, below = min(ends) > 0, max(ends) < 0
        better, worse = (below, above) if lower_is_better else (above, below)
        return SUPPORTED if better else NOT_SUPPORTED if worse else UNDECIDED


def paired_difference(values: dict[int, float], base: dict[int, float]) -> PairedDifference:
    """Compare two methods run with the same seeds: ``values`` - ``base``.

    Args:
        values: Result of the method in question for each seed.
        base: Result of the method it is compared with, for the same seeds.

    Raises:
        ValueError: if a seed stands on one side only, there are fewer than two, or a value is not a finite number.
    """
    alone = sorted(values.keys() ^ base.keys())
    if alone:
        raise ValueError(f'no pair for {_seeds(alone)}: one side only')
    if len(values) < 2:
        raise ValueError('one seed says nothing about chance' if values else 'no seed was run on both sides')
    broken = sorted(seed for seed in values if not math.isfinite(values[seed]) or not math.isfinite(base[seed]))
    if broken:
        raise ValueError(f'{_seeds(broken)} gave no finite number')
    differences = np.array([values[seed] - base[seed] for seed in sorted(values)], dtype=float)
    n, mean, sd = len(differences), float(differences.mean()), float(differences.std(ddof=1))
    if sd <= ROUNDING * max(map(abs, [*values.values(), *base.values()])):
        sd = 0.0
    half = float(stdtrit(n - 1, 1 - TAIL)) * sd / math.sqrt(n)
    return PairedDifference(n, mean, sd, bootstrap_interval(differences), (mean - half, mean + half))


def bootstrap_interval(differences: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of the mean of (n,) numbers over all n**n resamples; 10,000 drawn ones from n = 10 on.

    Each end is the outermost mean that cuts off 2.5 % of the resamples or more. Resamples that differ in order only
    have one mean and are counted, not made one by one.
    """
    shares, weights = _resamples(len(differences), seed)
    low, high = _ends(np.asarray(differences, dtype=float)[None] @ shares.T, weights)
    return float(low[0]), float(high[0])


def bootstrap_coverage(n: int, trials: int = 10_000, seed: int = 0) -> float:
    """How often the bootstrap's 95 % interval of ``n`` normal differences really holds their true mean, in [0, 1].

    A simulation; with so few differences the interval is too narrow, and this says by how much.
    """
    shares, weights = _resamples(n, seed)
    generator, hits = np.random.default_rng(seed), 0
    for start in range(0, trials, 500):
        draws = generator.standard_normal((min(500, trials - start), n))
        low, high = _ends(draws @ shares.T, weights)
        hits += np.count_nonzero((low <= 0) & (high >= 0))
    return hits / trials


def _resamples(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(M, n) share of each number in a resample, and (M,) how many of the resamples are so."""
    if math.comb(2 * n - 1, n) > EXACT:
        drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
        return drawn / n, np.ones(RESAMPLES)
    chosen = np.array(list(combinations_with_replacement(range(n), n)))
    counts = (chosen[:, :, None] == np.arange(n)).sum(1)
    orders = [math.factorial(n) // math.prod(math.factorial(count) for count in row) for row in counts.tolist()]
    return counts / n, np.array(orders, dtype=float)


def _ends(means: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of (T, M) means, each row so often as the (M,) weights say: (T,) lower and (T,) upper end of 95 % of them."""
    return _cut(means, weights), -_cut(-means, weights)  # the same rule for both, so that turned signs turn the ends


def _cut(means: np.ndarray, weights: np.ndarray) -> np.ndarray:
    order = np.argsort(means, axis=1, kind='stable')
    reached = np.cumsum(weights[order], axis=1) >= TAIL * weights.sum()
    place = np.take_along_axis(order, reached.argmax(1)[:, None], axis=1)
    return np.take_along_axis(means, place, axis=1)[:, 0]


def _seeds(seeds: list[int]) -> str:
    return f'seed{"s" * (len(seeds) > 1)} {", ".join(map(str, seeds))}'
