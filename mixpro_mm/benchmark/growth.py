"""How time and memory of a training step grow with batch, resolution, number of classes and number of processes."""

import contextlib
import gc
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch

from mixpro_mm.benchmark.memory import peak_bytes
from mixpro_mm.benchmark.methods import BASE
from mixpro_mm.benchmark.ranks import Ranks
from mixpro_mm.benchmark.rounds import interleave
from mixpro_mm.benchmark.statistics import spread
from mixpro_mm.benchmark.training import MIB, ratios
from mixpro_mm.benchmark.workbench import Session, Settings, Workbench

__all__ = ['COMPARED', 'RANKS', 'Case', 'growth_cases', 'measure_growth']

COMPARED = (BASE, 'MixPro')
RANKS = (1, 2, 4)
FEW, MANY = 10, 21841  # classes: of CIFAR-10, and of all ImageNet


class Case(NamedTuple):
    """What a step is asked to do; the batch is that of each rank."""

    batch: int
    size: int
    classes: int
    ranks: int


def growth_cases(settings: Settings, ranks: Sequence[int] = RANKS) -> dict[str, list[Case]]:
    """Axis -> its cases, all else as in the settings, in one process; new sides are multiples of 32 pixels."""
    start = Case(settings.batch, settings.size, settings.classes, 1)
    low, high = (max(32, 32 * round(settings.size * factor / 32)) for factor in (5 / 7, 10 / 7))
    return dict(
        batch=[start._replace(batch=settings.batch * factor) for factor in (1, 2, 4)],
        size=[start._replace(size=size) for size in sorted({low, settings.size, high})],
        classes=[start._replace(classes=classes) for classes in sorted({FEW, settings.classes, MANY})],
        ranks=[start._replace(ranks=count) for count in ranks],
    )


def measure_growth(
    settings: Settings,
    rounds: int,
    budget_s: float,
    report: Callable[[int, int], None],
    ranks: Sequence[int] = RANKS,
) -> list[dict]:
    """A record a method, axis and case: a whole step with update and hooks, its peak memory, and what ranks sum up.

    The cases of an axis take turns in each round. Several ranks train as DDP does, each a batch of its own; the slowest
    counts. On GPUs there are no more ranks than GPUs.

    Args:
        settings: model, images, device and precision.
        rounds: as of ``interleave``, like the two that follow.
        ranks: numbers of processes.
    """
    if settings.device == 'cuda':
        ranks = [count for count in ranks if count <= torch.cuda.device_count()]
    axes, records = growth_cases(settings, ranks), []
    for done, (along, cases) in enumerate(axes.items()):
        tell = lambda now, whole, done=done: report(done * whole + now, len(axes) * whole)  # noqa: E731
        records += _measure(settings, along, cases, rounds, budget_s / len(axes), tell)
    return records


def _measure(settings: Settings, along: str, cases: list[Case], rounds: int, budget_s: float, report) -> list[dict]:
    """The records of an axis; its models are let go with it."""
    tasks, peaks, reduced = {}, {}, {}
    with contextlib.ExitStack() as stack:
        for case in cases:
            own = replace(settings, batch=case.batch, size=case.size, classes=case.classes)
            if case.ranks > 1:
                group = stack.enter_context(Ranks(case.ranks, own, COMPARED))
                for name in COMPARED:
                    reduced[case, name] = group.reduced_bytes(name)
                    kept = 0 if settings.device == 'cuda' else reduced[case, name]
                    peaks[case, name] = group.peak_bytes(name) + kept
                    tasks[case, name] = lambda group=group, name=name: group.seconds(name)
                continue
            gc.collect()  # the models of the axis before
            others = torch.cuda.memory_allocated() if settings.device == 'cuda' else 0
            bench = Workbench(own)
            for session in [Session(bench, name) for name in COMPARED]:
                peaks[case, session.name], reduced[case, session.name] = peak_bytes(session) - others, 0
                tasks[case, session.name] = lambda session=session: session.turn()[1]
        seconds = interleave(tasks, rounds, settings.seed, budget_s, report)
    return [
        dict(
            section='growth',
            method=name,
            along=along,
            backbone=settings.backbone,
            batch_images=case.batch,
            size_px=case.size,
            classes=case.classes,
            ranks=case.ranks,
            rounds=len(seconds[case, name]),
            **spread(seconds[case, name]),
            images_per_s=case.ranks * case.batch / spread(seconds[case, name])['median_s'],
            peak_mib=peaks[case, name] / MIB,
            reduced_mib=reduced[case, name] / MIB,
            **ratios(seconds[case, name], seconds[case, BASE], settings.seed),
        )
        for case in cases
        for name in COMPARED
    ]
