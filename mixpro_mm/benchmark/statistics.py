"""Figures of repeated timings: middle and spread, a paired ratio with its interval, a power law through sizes."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor

__all__ = ['Ratio', 'exponent', 'paired_ratio', 'spread']

RESAMPLES = 2000


class Ratio(NamedTuple):
    """Median of the ratios of the rounds, and its bootstrap 95 % interval."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float], unit: str = 's') -> dict[str, float]:
    """Median, mean, sample standard deviation (0 for a single value) and interquartile range, the unit in the keys."""
    numbers = torch.tensor(values, dtype=torch.float64)
    low, median, high = (_quantile(numbers, q) for q in (0.25, 0.5, 0.75))
    std = numbers.std().item() if len(numbers) > 1 else 0.0
    return {
        f'median_{unit}': median,
        f'mean_{unit}': numbers.mean().item(),
        f'std_{unit}': std,
        f'iqr_{unit}': high - low,
    }


def paired_ratio(values: Sequence[float], base: Sequence[float], seed: int = 0) -> Ratio:
    """How much longer ``values`` took than ``base``, each compared with its neighbour of the same round.

    What slows a machine down for a while slows both down; so the ratio is taken within each round. The interval is that
    of the median over rounds drawn with replacement (percentile bootstrap).

    Raises:
        ValueError: if the rounds are not the same in number.
    """
    if len(values) != len(base) or not values:
        raise ValueError(
            f'paired rounds must be as many on both sides and at least one, got {len(values)} and {len(base)}'
        )
    ratios = torch.tensor(values, dtype=torch.float64) / torch.tensor(base, dtype=torch.float64)
    drawn = torch.randint(len(ratios), (RESAMPLES, len(ratios)), generator=Generator().manual_seed(seed))
    medians = ratios[drawn].quantile(0.5, dim=1)
    return Ratio(*(_quantile(numbers, q) for numbers, q in ((ratios, 0.5), (medians, 0.025), (medians, 0.975))))


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """p of the power law ``seconds ~ sizes ** p``, by least squares on logarithms; 1 is linear cost.

    Raises:
        ValueError: if there are not two different sizes.
    """
    if len(sizes) != len(seconds) or len(set(sizes)) < 2:
        raise ValueError(f'a power law needs at least two different sizes with a time each, got {list(sizes)}')
    x, y = ([math.log(value) for value in row] for row in (sizes, seconds))
    centre_x, centre_y = sum(x) / len(x), sum(y) / len(y)
    slopes = sum((a - centre_x) * (b - centre_y) for a, b in zip(x, y, strict=True))
    return slopes / sum((a - centre_x) ** 2 for a in x)


def _quantile(numbers: Tensor, q: float) -> float:
    return numbers.quantile(q).item()
