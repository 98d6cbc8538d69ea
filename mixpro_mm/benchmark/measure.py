"""Time and memory of training steps, mixing and labelling. Methods are interleaved and compared in pairs."""

import ctypes
import gc
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from scipy.stats import ttest_rel
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from mixpro_mm.benchmark.methods import BASE, METHODS
from mixpro_mm.benchmark.workbench import Session, Workbench
from mixpro_mm.hooks.labeling import loss_module
from mixpro_mm.labeling import find_attention_block

__all__ = ['growth', 'labelling', 'memory', 'mixing', 'steps']

# options of glibc's mallopt: M_MMAP_MAX, M_TRIM_THRESHOLD, M_MMAP_THRESHOLD; usual are those to which glibc adapts
ALLOCATION = dict(reused={-4: 0, -1: 2**31 - 1}, fresh={-4: 65536, -1: 1 << 17, -3: 1 << 17})
USUAL_ALLOCATION = {-4: 65536, -1: 1 << 26, -3: 1 << 25}
PARTS = ('forward and backward', 'with optimizer')
COMPARED = (BASE, 'MixPro')


def interleave(tasks: dict[str, Callable], settings: SimpleNamespace) -> dict[str, list]:
    """Return the results of each task, which run once a round in random order. The first round is dropped.

    The end is after ``rounds``, or after ``minutes`` and at least three rounds.
    """
    rng, end = np.random.default_rng(settings.seed), time.perf_counter() + 60 * settings.minutes
    figures = {name: [] for name in tasks}
    for number in range(settings.rounds + 1):
        if number > 3 and time.perf_counter() > end:
            break
        for name in rng.permutation(list(tasks)).tolist():
            figures[name].append(tasks[name]())
    return {name: values[1:] for name, values in figures.items()}


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Return the number of rounds, median, mean and sample standard deviation (0 for one round)."""
    std = float(np.std(seconds, ddof=1)) if len(seconds) > 1 else 0.0
    return dict(rounds=len(seconds), median_s=float(np.median(seconds)), mean_s=float(np.mean(seconds)), std_s=std)


def ratio(seconds: Sequence[float], base: Sequence[float] | None, name: str = BASE.lower()) -> dict[str, float]:
    """Return ``ratio_to_NAME``, the geometric mean of the ratios of paired rounds.

    ``_low`` and ``_high`` are the 95 % confidence interval of a paired t-test of the logarithms. One round has none.
    """
    if base is None or base is seconds:
        return {}
    key, logs, base_logs = f'ratio_to_{name}', np.log(seconds), np.log(base)
    found = {key: (logs - base_logs).mean()}
    if len(seconds) > 1:
        found[f'{key}_low'], found[f'{key}_high'] = ttest_rel(logs, base_logs).confidence_interval()
    return {key: float(np.exp(value)) for key, value in found.items()}


def origin(bench: Workbench, section: str, method: str, batch: int | None = None) -> dict:
    """Return the settings of a record."""
    place = dict(backbone=Path(bench.settings.backbone).stem, batch_images=batch or bench.settings.batch)
    return dict(section=section, method=method, **place, size_px=bench.settings.size)


def steps(bench: Workbench, names: Sequence[str]) -> list[dict]:
    """Return two records for each method: mixing, forward and backward pass; and these with update and hooks."""
    sessions = {name: Session(bench, name) for name in names}
    seconds = interleave({name: session.step for name, session in sessions.items()}, bench.settings)
    records = []
    for part, title in enumerate(PARTS):
        timed = {name: [figures[part] for figures in seconds[name]] for name in names}
        for name in names:
            own = dict(origin(bench, 'step', name), part=title, **spread(timed[name]))
            numbers = {id(p): p.numel() for net in sessions[name].networks() for p in net.parameters()}.values()
            own |= dict(images_per_s=bench.settings.batch / own['median_s'], parameters_millions=sum(numbers) / 1e6)
            records.append(own | ratio(timed[name], timed.get(BASE)))
    return records


def memory(bench: Workbench, names: Sequence[str]) -> list[dict]:
    """Return a record for each method: peak memory of a step in MiB."""
    return [dict(origin(bench, 'memory', name), peak_mib=peak_bytes(Session(bench, name)) / 2**20) for name in names]


class PeakMemory(TorchDispatchMode):
    """Tracks the peak memory in bytes of the given tensors and of those that operators return."""

    def __init__(self, tensors: Iterable[Tensor]):
        super().__init__()
        self.alive, self.peak = WeakIdKeyDictionary(), 0
        self._add(tensors)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self._add(tree_leaves(result))
        return result

    def _add(self, values: Iterable) -> None:
        for storage in (value.untyped_storage() for value in values if isinstance(value, Tensor)):
            self.alive[storage] = storage.nbytes()
        self.peak = max(self.peak, sum(self.alive.values()))


def peak_bytes(session: Session) -> int:
    """Return the peak bytes of a training step after a warm-up step, from CUDA's allocator or :class:`PeakMemory`."""
    bench = session.bench
    session.step()
    gc.collect()
    if bench.device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats()
        session.step()
        return torch.cuda.max_memory_allocated()
    found = [bench.draw(bench.settings.batch)['inputs']]
    found += [value for state in bench.optim.optimizer.state.values() for value in state.values()]
    found += [value for net in session.networks() for value in (*net.parameters(), *net.buffers())]
    with PeakMemory(found) as tracked:
        session.step()
    return tracked.peak


def growth(bench: Workbench, names: Sequence[str]) -> list[dict]:
    """Return time and peak memory of a step of CutMix and MixPro for growing batches, images and classes."""
    own, records = bench.settings, []
    sizes = {own.size, *(max(32, 32 * round(own.size * factor / 32)) for factor in (5 / 7, 10 / 7))}
    axes = dict(batch=[own.batch, 2 * own.batch, 4 * own.batch], size=sizes, classes={10, own.classes, 21841})
    for along, value in [(along, value) for along, values in axes.items() for value in sorted(values)]:
        case = SimpleNamespace(**{**vars(own), 'minutes': own.minutes / 9, along: value})
        bench = Workbench(case)
        for peak, step in zip(memory(bench, COMPARED), steps(bench, COMPARED)[len(COMPARED) :], strict=True):
            records.append(peak | step | dict(section='growth', along=along, classes=case.classes))
    return records


def mixing(bench: Workbench, names: Sequence[str]) -> list[dict]:
    """Return records of each method that mixes: seconds for ``alone_batch`` images, relative to torch.where.

    On a CPU with glibc, allocations take fresh memory of the system, or reuse memory. MaskMix also mixes uint8.
    """
    (images, scores), records = _batch(bench), []
    images = images.mul(40).add(128).clamp(0, 255)
    glibc = bench.device.type == 'cpu' and hasattr(ctypes.CDLL(None), 'mallopt')
    for memory in ALLOCATION if glibc else ('device',):
        with allocated(ALLOCATION.get(memory)):
            for dtype, methods in (torch.float32, names), (torch.uint8, {'MaskMix'} & {*names}):
                own = dict(memory=memory, dtype=str(dtype).removeprefix('torch.'))
                found = _mix(bench, methods, images.to(dtype), scores) if methods else ()
                records += [record | own for record in found]
    return records


@contextmanager
def allocated(options: dict[int, int] | None) -> Iterator[None]:
    """Allocate memory with options of glibc's ``mallopt``, and as usual afterwards; None changes nothing."""
    try:
        for option, value in (options or {}).items():
            ctypes.CDLL(None).mallopt(option, value)
        yield
    finally:
        for option, value in USUAL_ALLOCATION.items() if options else ():
            ctypes.CDLL(None).mallopt(option, value)


def _mix(bench: Workbench, names: Sequence[str], images: Tensor, scores: Tensor) -> list[dict]:
    size, buffer = bench.settings.size, torch.empty_like(images)
    mask = (torch.arange(size, device=bench.device) < size // 2).expand(len(images), 1, size, size).contiguous()
    partner = torch.randperm(len(images), device=bench.device)

    def timed(work: Callable[[Tensor, Tensor], object]) -> float:
        buffer.copy_(images)  # mmpretrain's methods modify their input
        start = bench.now()
        work(buffer, scores)
        return bench.now() - start

    def mixed(session: Session) -> float:
        with session.attached():
            return timed(session.augment)

    sessions = [Session(bench, name) for name in names if METHODS[name][0]]
    tasks = {session.name: lambda session=session: mixed(session) for session in sessions}
    tasks['torch.where'] = lambda: timed(lambda images, scores: torch.where(mask, images, images[partner]))
    seconds = interleave(tasks, bench.settings)
    return [
        origin(bench, 'mixing', name, len(images)) | spread(values) | ratio(values, seconds['torch.where'], 'where')
        for name, values in seconds.items()
    ]


def labelling(bench: Workbench, names: Sequence[str]) -> list[dict]:
    """Return time and share of a step of labelling ``alone_batch`` images, for each method with attention labels."""
    sessions = [Session(bench, name) for name in names if METHODS[name][1] not in (None, 'AreaLabeling')]
    if not sessions:
        return []
    images, scores = _batch(bench)
    block, outputs = find_attention_block(bench.model), {}
    with ExitStack() as stack, torch.no_grad(), bench.optim.optim_context(bench.model):
        for layer in (getattr(block.attn, name) for name in block.projections):
            stack.enter_context(layer.register_forward_hook(lambda at, _, out: outputs.update({at: out.detach()})))
        logits = bench.model(images, mode='tensor')
    tasks = {s.name: lambda s=s: label(s, images, scores, outputs, logits)[1] for s in sessions}
    seconds = interleave(tasks, bench.settings)
    step_s = min(sessions[-1].step(len(images))[0] for _ in range(2))
    records = [origin(bench, 'labelling', name, len(images)) | spread(seconds[name]) for name in seconds]
    return [dict(record, step_s=step_s, share_of_step=record['median_s'] / step_s) for record in records]


def label(session: Session, images: Tensor, scores: Tensor, outputs: dict, logits: Tensor) -> tuple[Tensor, float]:
    """Return the labels (B, K) that the session's hooks give to mixed images, and their time in seconds.

    The query and key projections are replaced by ``outputs``, and the loss by a function that returns its labels.
    """
    loss = loss_module(session.bench.model)
    with session.attached(), ExitStack() as stack:
        mixed, scores = session.augment(images, scores)
        for layer, output in outputs.items():
            stack.enter_context(patch.object(layer, 'forward', lambda entered, output=output: output))
        stack.enter_context(patch.object(loss, 'forward', lambda logits, target: target))
        start = session.bench.now()
        for layer in outputs:
            layer(mixed)
        target = loss(logits, scores)
        return target, session.bench.now() - start


def _batch(bench: Workbench) -> tuple[Tensor, Tensor]:
    """Return normalised images (B, 3, H, W) and one-hot labels (B, K)."""
    settings = bench.settings
    images = torch.randn(settings.alone_batch, 3, settings.size, settings.size, device=bench.device)
    classes = torch.arange(len(images), device=bench.device) % settings.classes
    return images, F.one_hot(classes, settings.classes).float()
