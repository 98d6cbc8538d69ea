"""Speed of training steps of classifiers on a GPU: precisions, methods in pairs, and from JPEG files."""

import argparse
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import torch
from mmengine.dataset import Compose, default_collate
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS, DefaultScope
from torch import Tensor
from torch.utils.data import DataLoader

from mixpro_mm.benchmark.loading import SIZES, Files, init_worker, photographs, pipelines
from mixpro_mm.benchmark.measure import spread, steps
from mixpro_mm.benchmark.methods import BASE, METHODS
from mixpro_mm.benchmark.workbench import Session, Workbench

__all__ = ['compare_methods', 'mixpro_session', 'precision', 'time_steps', 'train_classifier', 'train_from_files']

WARM_UP = 5  # steps from files before the clock starts


class Autocast(OptimWrapper):
    """``AmpOptimWrapper``, which mmengine has for GPUs only, on a CPU: bfloat16, which needs no scaling of the loss."""

    @contextmanager
    def optim_context(self, model):
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16):
            yield


def precision(device: str, dtype: str | None) -> dict:
    """Return the config of an optimizer wrapper: fp32, AMP in ``dtype``, or on a CPU AMP in bfloat16."""
    if dtype is None:
        return dict(type=OptimWrapper)
    return dict(type=AmpOptimWrapper, dtype=dtype) if device == 'cuda' else dict(type=Autocast)


def time_steps(draw: Callable[[], dict], step: Callable[[dict], Tensor], images: int, args: argparse.Namespace) -> dict:
    """Return figures of a step, which returns the loss of ``images`` drawn images, after two other steps."""
    losses, seconds = [float(step(draw())) for _ in range(2)], []
    if args.device == 'cuda':
        torch.cuda.reset_peak_memory_stats()
    for _ in range(args.rounds):
        data = draw()
        if args.device == 'cuda':
            torch.cuda.synchronize()
        start = time.perf_counter()
        losses.append(float(step(data)))  # waits for the GPU
        seconds.append(time.perf_counter() - start)
    median = spread(seconds)['median_s']
    figures = dict(images=images, rounds=len(seconds), ms_per_step=1000 * median, images_per_s=images / median)
    figures |= dict(first_loss=losses[0], last_loss=losses[-1], ok=all(map(math.isfinite, losses)))
    if args.device == 'cuda':
        figures['peak_mib'] = torch.cuda.max_memory_allocated() / 2**20
    return figures


def _workbench(args: argparse.Namespace, backbone: str, batch: int) -> Workbench:
    settings = dict(threads=torch.get_num_threads(), seed=0, classes=1000, amp='none', clock='wall', minutes=10.0)
    return Workbench(SimpleNamespace(**vars(args) | settings | dict(backbone=backbone, batch=batch)))


def mixpro_session(args: argparse.Namespace, backbone: str, batch: int, dtype: str | None = None) -> Session:
    """Return MixPro in training on a classifier, with the hook that labels by attention."""
    bench = _workbench(args, backbone, batch)
    # without the clock of the benchmark, which waits for the GPU and interrupts graphs
    optimizer = torch.optim.AdamW(bench.model.parameters(), lr=1e-3, weight_decay=0.05)
    bench.optim = OPTIM_WRAPPERS.build(dict(precision(args.device, dtype), optimizer=optimizer))
    return Session(bench, 'MixPro')


@contextmanager
def _attached(args, backbone: str, batch: int, dtype: str | None, compiled: bool) -> Iterator[Session]:
    """Attach MixPro to a classifier, compiled as by ``compile=True`` of mmengine's Runner."""
    session = mixpro_session(args, backbone, batch, dtype)
    if compiled:
        torch.compiler.reset()  # otherwise graphs of other models count towards the limit of recompilations
        session.bench.model.train_step = torch.compile(session.bench.model.train_step)
    with session.attached():
        yield session


def train_classifier(args, backbone: str, batch: int, dtype: str | None, compiled: bool) -> dict:
    """Train a classifier with MixPro on one batch of noise."""
    with _attached(args, backbone, batch, dtype, compiled) as session:
        return time_steps(partial(session.bench.draw, batch), session.iterate, batch, args)


def compare_methods(args: argparse.Namespace, backbone: str, batch: int) -> list[dict]:
    """Return the records of the benchmark's section ``step`` in fp32: each method paired with CutMix, as Table 2."""
    names = [name for name in METHODS if args.methods == 'all' or name in (BASE, 'MixPro')]
    return [dict(record, check=record['method']) for record in steps(_workbench(args, backbone, batch), names)]


def train_from_files(args, backbone: str, batch: int, dtype: str | None, compiled: bool, name: str) -> dict:
    """Train a classifier with MixPro on photographs that the workers of a data loader read by a pipeline."""
    workers = len(os.sched_getaffinity(0))
    queued = 2 * workers  # batches that a DataLoader reads ahead
    rounds = max(args.rounds, 4 * queued)
    with tempfile.TemporaryDirectory() as folder, DefaultScope.overwrite_default_scope('mmpretrain'):
        load = Compose(pipelines(args.size)[name])
        files = Files(load, photographs(Path(folder), SIZES[0]), batch * (WARM_UP + rounds + 2 * queued))
        options = dict(num_workers=workers, pin_memory=args.device == 'cuda', worker_init_fn=init_worker)
        batches = iter(DataLoader(files, batch_size=batch, collate_fn=default_collate, **options))
        with _attached(args, backbone, batch, dtype, compiled) as session:
            # also takes the batches that were read while the model was compiled
            losses = [float(session.iterate(next(batches))) for _ in range(WARM_UP + queued)]
            start = time.perf_counter()
            found = [session.iterate(next(batches)) for _ in range(rounds)]
            losses += [float(loss) for loss in found]  # waits for the GPU
            seconds = time.perf_counter() - start
        del batches  # ends the workers
    figures = dict(images=batch, rounds=rounds, workers=workers, images_per_s=batch * rounds / seconds)
    return figures | dict(first_loss=losses[0], last_loss=losses[-1], ok=all(map(math.isfinite, losses)))
