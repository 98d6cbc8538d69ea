"""What mixing and labelling cost by themselves."""

from collections.abc import Callable, Sequence

import torch

from mixpro_mm.benchmark.allocator import reused_memory
from mixpro_mm.benchmark.alone import LabellingAlone, MixingAlone
from mixpro_mm.benchmark.models import patch_size
from mixpro_mm.benchmark.rounds import interleave
from mixpro_mm.benchmark.statistics import paired_ratio, spread
from mixpro_mm.benchmark.workbench import Session, Workbench
from mixpro_mm.mixing import random_mask, to_pixels

__all__ = ['WHERE', 'measure_labelling', 'measure_mixing']

WHERE = 'torch.where(mask, x, x[perm])'
STEPS = 2  # at the large batch, which may take most of a minute each on a CPU


def measure_mixing(
    bench: Workbench, names: Sequence[str], rounds: int, budget_s: float, report: Callable[[int, int], None]
) -> list[dict]:
    """A record a method that mixes, and one of plain torch on the same tensors, all compared with the latter.

    Memory is reused where that can be had (``memory`` tells): otherwise most of the time goes into new pages for the
    mixed batch, now for one and now for another, as the heap happens to lie.
    """
    batch, size = bench.settings.alone_batch, bench.settings.size
    works = {name: MixingAlone(Session(bench, name), batch, size) for name in names}
    works = {name: work for name, work in works.items() if work.session.augment is not None}
    plain = MixingAlone(Session(bench, 'Baseline'), batch, size)
    index = torch.randperm(batch, device=bench.device)
    # cells as MaskMix has them, half of them true: a mask that changes from pixel to pixel would slow torch.where down
    cell = 4 * patch_size(bench.settings.backbone)
    grid = (-(-size // cell),) * 2
    mask = random_mask(torch.full((batch,), grid[0] * grid[1] // 2), grid, device=bench.device)
    mask = to_pixels(mask, cell, (size, size)).contiguous()

    def alone(work: MixingAlone) -> float:
        with work.session.attached():
            return work.seconds()

    tasks = {name: lambda work=work: alone(work) for name, work in works.items()}
    tasks[WHERE] = lambda: plain.seconds(lambda images, scores: torch.where(mask, images, images[index]))
    with reused_memory(bench.device) as reused:
        seconds = interleave(tasks, rounds, bench.settings.seed, budget_s, report)
    records = []
    for name in tasks:
        ratio = paired_ratio(seconds[name], seconds[WHERE], bench.settings.seed)
        records.append(
            dict(
                section='mixing',
                method=name,
                memory='reused' if reused else 'usual',
                batch_images=batch,
                size_px=size,
                rounds=len(seconds[name]),
                **spread(seconds[name]),
                ratio_to_where=ratio.median,
                ratio_to_where_low=ratio.low,
                ratio_to_where_high=ratio.high,
            )
        )
    return records


def measure_labelling(
    bench: Workbench, names: Sequence[str], rounds: int, budget_s: float, report: Callable[[int, int], None]
) -> list[dict]:
    """A record a method with attention labels: what they cost, and as a share of a whole step of the same batch."""
    batch, size = bench.settings.alone_batch, bench.settings.size
    sessions = {name: Session(bench, name) for name in names}
    sessions = {n: s for n, s in sessions.items() if s.labeling is not None and s.labeling.labeling.uses_attention}
    if not sessions:
        return []
    works = {}
    for name, session in sessions.items():
        with session.attached():
            works[name] = LabellingAlone(session, batch, size)

    def alone(name: str) -> list[float]:
        with sessions[name].attached():
            return works[name].seconds()

    tasks = {name: lambda name=name: alone(name) for name in sessions}
    seconds = interleave(tasks, rounds, bench.settings.seed, budget_s / 4, report)
    step_s = min(session.turn(batch)[0] for session in list(sessions.values())[-1:] * STEPS)
    return [
        dict(
            section='labelling',
            method=name,
            backbone=bench.settings.backbone,
            batch_images=batch,
            size_px=size,
            rounds=len(figures),
            **spread([whole for _, whole in figures]),
            step_s=step_s,
            attention_median_s=spread([attention for attention, _ in figures])['median_s'],
            share_of_step=spread([whole for _, whole in figures])['median_s'] / step_s,
        )
        for name, figures in seconds.items()
    ]
