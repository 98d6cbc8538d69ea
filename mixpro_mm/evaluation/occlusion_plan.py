"""The points that an occlusion test measures, and the curves made of its counts."""

import hashlib
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import NamedTuple

from mixpro_mm.functional.patch_drop import MODES, PROTOCOLS, default_ratios, information_loss
from mixpro_mm.utils.arguments import one_of, positive_int

__all__ = ['Point', 'curves_of', 'metric_name', 'plan_points', 'seed_of']


class Point(NamedTuple):
    """One run of one point of a curve: dropped by ``mode`` is the share ``ratio``."""

    mode: str
    ratio: float
    run: int


def plan_points(
    ratios: Sequence[float] | Mapping[str, Sequence[float]] | None, modes: Sequence[str], protocol: str, repeats: int
) -> list[Point]:
    """All points to measure, those that are drawn at random ``repeats`` times; arguments as of OcclusionTestLoop.

    Raises:
        ValueError: for an unknown mode or protocol, a ratio outside of [0, 1], two ratios that only differ in digits
            that their names do not have, or less than one of anything.
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
            raise ValueError(f'ratios must differ in six digits, by which their metrics are named: {same} do not')
        runs = range(repeats if mode == 'random' else 1)
        points += [Point(mode, float(ratio), run) for ratio in wanted for run in runs]
    return points


def metric_name(mode: str, ratio: float) -> str:
    """``occlusion/random_0.1``: what a point of a curve is called among the metrics."""
    return f'occlusion/{mode}_{float(ratio):g}'


def curves_of(points: list[Point], right: list[int], dropped: list[int], images: int, grid: int, protocol: str) -> dict:
    """Mode -> its points in the order planned, from counts over all images.

    Args:
        points: As of :func:`plan_points`.
        right: Images classified rightly, one number for each point.
        dropped: Patches dropped in all images together, one number for each point.
        images: Their number.
        grid: Patches along a side.
        protocol: As of :func:`plan_points`.

    Returns:
        Of each point ``ratio``, ``information_loss`` (what to plot it at), ``patches_dropped`` (mean share),
        ``top1`` in percent, mean of ``runs``, and their sample standard deviation ``std``, None for one run.
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
    """A seed for torch that any change of the numbers changes altogether."""
    return int.from_bytes(hashlib.sha256(repr(tuple(map(int, numbers))).encode()).digest()[:7], 'big')
