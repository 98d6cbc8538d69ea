"""Whole training steps of several methods: their speed, their memory, and whether an attention map appears."""

import gc
from collections.abc import Callable, Sequence

from mixpro_mm.benchmark.maps import MapDetector, attention_shapes
from mixpro_mm.benchmark.memory import peak_bytes
from mixpro_mm.benchmark.methods import BASE
from mixpro_mm.benchmark.rounds import interleave
from mixpro_mm.benchmark.statistics import paired_ratio, spread
from mixpro_mm.benchmark.workbench import Session, Workbench

__all__ = ['MIB', 'PARTS', 'measure_memory', 'measure_steps', 'ratios']

PARTS = ('forward and backward', 'with optimizer')
MIB = 2**20


def measure_steps(
    bench: Workbench, names: Sequence[str], rounds: int, budget_s: float, report: Callable[[int, int], None]
) -> list[dict]:
    """Two records a method: mixing + forward + loss + backward, and the same with update and hooks.

    Args:
        bench: where to train.
        names: of methods, as of ``METHODS``.
        rounds: as of ``interleave``, like the two that follow.
    """
    sessions = {name: Session(bench, name) for name in names}
    turns = {name: session.turn for name, session in sessions.items()}
    seconds = interleave(turns, rounds, bench.settings.seed, budget_s, report)
    records = []
    for part, title in enumerate(PARTS):
        timed = {name: [figures[part] for figures in seconds[name]] for name in names}
        for name in names:
            figures = spread(timed[name])
            records.append(
                dict(
                    section='step',
                    method=name,
                    part=title,
                    backbone=bench.settings.backbone,
                    batch_images=bench.settings.batch,
                    size_px=bench.settings.size,
                    parameters_millions=sessions[name].parameters() / 1e6,
                    rounds=len(timed[name]),
                    **figures,
                    images_per_s=bench.settings.batch / figures['median_s'],
                    **ratios(timed[name], timed.get(BASE), bench.settings.seed),
                )
            )
    return records


def measure_memory(bench: Workbench, names: Sequence[str], report: Callable[[int, int], None]) -> list[dict]:
    """A record a method: peak memory of a step, and how many attention maps are made in a step of two images."""
    shapes = attention_shapes(bench.model, bench.model.data_preprocessor(bench.draw(2))['inputs'])
    records, peaks = [], {}
    for done, name in enumerate(names):
        gc.collect()  # the networks of the method before
        session = Session(bench, name)
        peaks[name] = peak_bytes(session)
        with session.attached(), MapDetector(shapes) as detector:
            session.step(2)
        records.append(
            dict(
                section='memory',
                method=name,
                backbone=bench.settings.backbone,
                batch_images=bench.settings.batch,
                size_px=bench.settings.size,
                peak_mib=peaks[name] / MIB,
                attention_maps=len(detector.found),
                attention_maps_from=sorted({origin for origin, _ in detector.found}),
            )
        )
        del session
        report(done + 1, len(names))
    for record in records:
        if BASE in peaks:
            record[f'ratio_to_{BASE.lower()}'] = peaks[record['method']] / peaks[BASE]
    return records


def ratios(seconds: list[float], base: list[float] | None, seed: int) -> dict[str, float]:
    """``ratio_to_cutmix`` of paired rounds with both ends of its interval; nothing where CutMix was not timed."""
    if base is None:
        return {}
    ratio, key = paired_ratio(seconds, base, seed), f'ratio_to_{BASE.lower()}'
    return {key: ratio.median, f'{key}_low': ratio.low, f'{key}_high': ratio.high}
