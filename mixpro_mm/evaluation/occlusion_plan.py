"""The measured points of an occlusion test and the curves computed from its counts."""

import hashlib
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import NamedTuple

from mixpro_mm.functional.patch_drop import MODES, PROTOCOLS, default_ratios, information_loss
from mixpro_mm.utils.arguments import one_of, positive_int

__all__ = ['Point', 'curves_of', 'metric_name', 'plan_points', 'seed_of']


class Point(NamedTuple):
    """One run of one point of a curve: ``mode`` drops the fraction ``ratio`` of the patches."""

    mode: str
    ratio: float
    run: int


def plan_points(
    ratios: Sequence[float] | Mapping[str, Sequence[float]] | None, modes: Sequence[str], protocol: str, repeats: int
) -> list[Point]:
    """Return all points to measure, random ones ``repeats`` times; for the arguments see OcclusionTestLoop.

    Raises:
        ValueError: A mode or protocol is unknown, a ratio is outside of [0, 1], or two ratios have the same name.
    """
    modes = [modes] if isinstance(modes, str) else list(modes)
    if not modes or len(set(modes)) < len(modes) or not set(modes) <= set(MODES):
        raise ValueError(f'modes must be some of {", ".join(MODES)}, each once, got {modes}')
    one_of('protocol', protocol, PROTOCOLS)
    positive_int('repeats', repeats)
    if isinstance(ratios, Mapping) and set(ratios) != set(modes):
        raise ValueError(
            f'ratios name the modes {", ".join(sorted(ratios))}, but the modes are {", ".join(sorted(modes))}'
        )
    points = []
    for mode in modes:
        wanted = ratios[mode] if isinstance(ratios, Mapping) else ratios
        wanted = list(default_ratios(mode, protocol) if wanted is None else wanted)
        if not wanted or len(set(wanted)) < len(wanted) or not all(0 <= ratio <= 1 for ratio in wanted):
            raise ValueError(f'ratios must be different numbers from 0 to 1, got {wanted} for {mode} patches')
        names = [metric_name(mode, ratio) for ratio in wanted]
        if same := [ratio for ratio, name in zip(wanted, names, strict=True) if names.count(name) > 1]:
            raise ValueError(f'ratios must differ in six digits: {same} do not')
        runs = range(repeats if mode == 'random' else 1)
        points += [Point(mode, float(ratio), run) for ratio in wanted for run in runs]
    return points


def metric_name(mode: str, ratio: float) -> str:
    """Return the metric name of a point, for example ``occlusion/random_0.1``."""
    return f'occlusion/{mode}_{float(ratio):g}'


def curves_of(points: list[Point], right: list[int], dropped: list[int], images: int, grid: int, protocol: str) -> dict:
    """Compute the curve of each mode from counts over all images.

    Args:
        points: Points of :func:`plan_points`.
        right: Number of correctly classified images of each point.
        dropped: Number of dropped patches in all images of each point.
        images: Number of images.
        grid: Patches along a side.
        protocol: See :func:`plan_points`.

    Returns:
        A dict from modes to lists of points with ``ratio``, ``information_loss`` (x-axis), ``patches_dropped`` (mean
        fraction), ``top1`` (percent, mean of ``runs``) and their sample standard deviation ``std`` (None for one run).
    """
    groups = {}
    for point, hits, gone in zip(points, right, dropped, strict=True):
        groups.setdefault((point.mode, point.ratio), []).append((100 * hits / images, gone / images / grid**2))
    curves = {}
    for (mode, ratio), runs in groups.items():
        top1 = [run[0] for run in runs]
        point = dict(
            ratio=ratio,
            information_loss=information_loss(mode, ratio, grid**2, protocol),
            patches_dropped=mean(run[1] for run in runs),
            top1=mean(top1),
            std=stdev(top1) if len(runs) > 1 else None,
            runs=top1,
        )
        curves.setdefault(mode, []).append(point)
    return curves


def seed_of(*numbers: int) -> int:
    """Return a hash of the numbers as a seed for torch."""
    return int.from_bytes(hashlib.sha256(repr(tuple(map(int, numbers))).encode()).digest()[:7], 'big')
