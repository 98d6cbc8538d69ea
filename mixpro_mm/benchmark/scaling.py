"""How the cost of mixing and of labelling grows with the batch and with the image."""

from collections.abc import Callable

from mixpro_mm.benchmark.allocator import reused_memory
from mixpro_mm.benchmark.alone import LabellingAlone
from mixpro_mm.benchmark.rounds import interleave
from mixpro_mm.benchmark.statistics import exponent, spread
from mixpro_mm.benchmark.workbench import Session, Workbench

__all__ = ['measure_scaling', 'scaling_sizes']


def scaling_sizes(batch: int, size: int) -> dict[str, list[tuple[int, int]]]:
    """Three (batch, side) each for 'batch' and for 'pixels', a factor of two apart; sides in steps of 32 pixels."""
    sides = [max(32, 32 * round(size * factor / 32)) for factor in (1, 2**0.5, 2)]
    return dict(batch=[(batch * factor, size) for factor in (1, 2, 4)], pixels=[(batch, side) for side in sides])


def measure_scaling(bench: Workbench, rounds: int, budget_s: float, report: Callable[[int, int], None]) -> list[dict]:
    """A record for each of three batches and three sizes, for MaskMix's mixing and for MixPro's labelling.

    With memory that is reused, for the price of fresh memory is not proportional to its size.
    """
    sizes = scaling_sizes(bench.settings.alone_batch, bench.settings.size)
    session, tasks = Session(bench, 'MixPro'), {}
    with session.attached(), reused_memory(bench.device):
        for batch, size in dict.fromkeys(shape for shapes in sizes.values() for shape in shapes):
            tasks['labelling', batch, size] = LabellingAlone(session, batch, size)
            tasks['mixing', batch, size] = tasks['labelling', batch, size].mixing
        figures = interleave(
            {name: task.seconds for name, task in tasks.items()}, rounds, bench.settings.seed, budget_s, report
        )
    records = []
    for what in ('mixing', 'labelling'):
        for along, shapes in sizes.items():
            seconds = [
                [figure[-1] if what == 'labelling' else figure for figure in figures[what, *shape]] for shape in shapes
            ]
            power = exponent([b * s * s for b, s in shapes], [spread(row)['median_s'] for row in seconds])
            for (batch, size), row in zip(shapes, seconds, strict=True):
                median = spread(row)
                records.append(
                    dict(
                        section='scaling',
                        what=what,
                        along=along,
                        batch_images=batch,
                        size_px=size,
                        rounds=len(row),
                        **median,
                        nanoseconds_per_pixel=median['median_s'] / (batch * size * size) * 1e9,
                        exponent=power,
                    )
                )
    return records
