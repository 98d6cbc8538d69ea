"""Time and memory of training steps: methods take turns in each round and are compared round by round."""

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy import stats
from torch.distributed._tools.mem_tracker import MemTracker

from mixpro_mm.benchmark.methods import BASE
from mixpro_mm.benchmark.workbench import Session, Settings, Workbench

__all__ = ['PARTS', 'growth_cases', 'interleave', 'measure_growth', 'measure_memory', 'measure_steps', 'origin',
           'peak_bytes', 'ratio', 'spread']  # fmt: skip

PARTS = ('forward and backward', 'with optimizer')
COMPARED = (BASE, 'MixPro')
LEAST_ROUNDS = 3
MIB = 2**20


def interleave(tasks: dict[str, Callable], rounds: int, budget_s: float = math.inf, seed: int = 0) -> dict[str, list]:
    """Run every task once a round, each round in another order; what the first round returns is dropped.

    Args:
        tasks: Name -> what returns one figure.
        rounds: To keep; fewer, but at least three, if the budget is used up before.
        budget_s: Seconds after which no further round begins.
        seed: Of the orders.

    Returns:
        Name -> a figure per kept round; the n-th figures of all tasks belong to the same round.
    """
    rng, begin = np.random.default_rng(seed), time.perf_counter()
    figures = {name: [] for name in tasks}
    for number in range(rounds + 1):
        if number > min(LEAST_ROUNDS, rounds) and time.perf_counter() - begin > budget_s:
            break
        for name in rng.permutation(list(tasks)).tolist():
            figures[name].append(tasks[name]())
    return {name: values[1:] for name, values in figures.items()}


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Number of rounds, median, mean and sample standard deviation (0 for a single round)."""
    std = float(np.std(seconds, ddof=1)) if len(seconds) > 1 else 0.0
    return dict(rounds=len(seconds), median_s=float(np.median(seconds)), mean_s=float(np.mean(seconds)), std_s=std)


def ratio(seconds: Sequence[float], base: Sequence[float] | None, name: str = BASE.lower()) -> dict[str, float]:
    """``ratio_to_NAME``, the geometric mean of the ratios of paired rounds, with ``_low`` and ``_high``.

    These are the ends of Student's paired 95 % interval of the logarithms; a single round has none.
    """
    if base is None or base is seconds:
        return {}
    log, log_base, key = np.log(seconds), np.log(base), f'ratio_to_{name}'
    found = {key: float(np.exp((log - log_base).mean()))}
    if len(seconds) > 1:
        ends = stats.ttest_rel(log, log_base).confidence_interval()
        found |= {f'{key}_low': float(np.exp(ends.low)), f'{key}_high': float(np.exp(ends.high))}
    return found


def origin(bench: Workbench, section: str, method: str, batch: int | None = None) -> dict:
    """What every record says of where its figures are from."""
    settings = bench.settings
    place = dict(backbone=settings.backbone, batch_images=batch or settings.batch, size_px=settings.size)
    return dict(section=section, method=method, **place)


def measure_steps(bench: Workbench, names: Sequence[str], turns: Callable = interleave) -> list[dict]:
    """Two records a method: mixing, forward and backward pass; and these with the update and the hooks.

    Args:
        bench: Where to train.
        names: Of ``METHODS``.
        turns: :func:`interleave` with its rounds and budget; the same below.
    """
    sessions = {name: Session(bench, name) for name in names}
    seconds = turns({name: session.turn for name, session in sessions.items()})
    records = []
    for part, title in enumerate(PARTS):
        timed = {name: [figures[part] for figures in seconds[name]] for name in names}
        for name in names:
            own = dict(origin(bench, 'step', name), part=title, **spread(timed[name]))
            own['images_per_s'] = bench.settings.batch / own['median_s']
            own['parameters_millions'] = sessions[name].parameters() / 1e6
            records.append(own | ratio(timed[name], timed.get(BASE)))
    return records


def measure_memory(bench: Workbench, names: Sequence[str]) -> list[dict]:
    """A record a method: peak memory of a step in MiB."""
    return [
        dict(origin(bench, 'memory', name), peak_mib=peak_bytes(Session(bench, name)) / MIB)
        for name in names
    ]


def peak_bytes(session: Session) -> int:
    """Largest total of tensors alive during a training step, after one step to warm up.

    On CUDA the peak of the allocator. On a CPU weights, optimizer, batch and every tensor that an operator returns.
    """
    bench = session.bench
    with session.attached():
        session.step()
        gc.collect()
        if bench.device.type == 'cuda':
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            session.step()
            return torch.cuda.max_memory_allocated()
        tracker = MemTracker()
        tracker.track_external(*session.networks(), bench.optim.optimizer, bench.draw(bench.settings.batch)['inputs'])
        with tracker:
            session.step()
    return tracker.get_tracker_snapshot('peak')[bench.device]['Total']


def growth_cases(settings: Settings) -> list[tuple[str, Settings]]:
    """(what grows, settings): the batch times 1, 2 and 4; three image sizes, multiples of 32 px; three heads."""
    sizes = {max(32, 32 * round(settings.size * factor / 32)) for factor in (5 / 7, 10 / 7)}
    axes = dict(batch=[settings.batch * factor for factor in (1, 2, 4)])
    axes |= dict(size=sorted({settings.size, *sizes}), classes=sorted({10, settings.classes, 21841}))
    return [(along, replace(settings, **{along: value})) for along, values in axes.items() for value in values]


def measure_growth(settings: Settings, turns: Callable = interleave) -> list[dict]:
    """A record a case and method: seconds of a step of CutMix and of MixPro with update and hooks, and peak memory."""
    records = []
    for along, case in growth_cases(settings):
        bench = Workbench(case)
        peaks = {record['method']: record['peak_mib'] for record in measure_memory(bench, COMPARED)}
        for step in measure_steps(bench, COMPARED, turns):
            if step['part'] == PARTS[1]:
                own = dict(section='growth', along=along, classes=case.classes, peak_mib=peaks[step['method']])
                records.append(step | own)
    return records
