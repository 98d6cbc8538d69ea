"""``IterSeedHook``, which seeds the generators in each iteration so that a resumed run is exact."""

import logging
import random
from collections.abc import Iterator
from enum import IntEnum

import numpy as np
import torch
from mmengine.dist import broadcast_object_list, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import IterBasedTrainLoop
from torch.utils.data import IterableDataset, get_worker_info

from mixpro_mm.registry import HOOKS, register

__all__ = ['IterSeedHook', 'Purpose', 'seed_generators']


class Purpose(IntEnum):
    """Use of the random numbers of an iteration."""

    FETCH = 0  # load and transform the batch
    STEP = 1  # mix the batch and train: partners, masks, drop path, dropout


def seed_generators(seed: int, rank: int, iteration: int, purpose: Purpose) -> None:
    """Seed the global generators of Python, NumPy and torch (CPU, and the current GPU if CUDA is initialized).

    ``SeedSequence`` gives independent streams, unlike ``seed + iteration`` or ``seed + rank``. ``iteration`` counts
    from 0; negative numbers raise a ValueError.
    """
    words = np.random.SeedSequence(seed, spawn_key=(rank, iteration, purpose)).generate_state(8).tolist()
    np.random.seed(words[:4])  # noqa: NPY002  the toolkits use this generator
    random.seed(words[4] << 32 | words[5])
    of_torch = words[6] << 32 | words[7]
    torch.default_generator.manual_seed(of_torch)  # torch.manual_seed is ten times slower without CUDA
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(of_torch)


@register(HOOKS)
class IterSeedHook(Hook):
    """Seed the generators in each iteration by (seed, rank, iteration, purpose), so that resumed runs are bit-exact.

    mmengine seeds the generators once and does not save their state. This hook seeds them before each training step
    and the loading of each batch. The numbers do not depend on workers or validation, and differ between ranks. The
    checkpoint stores the seeds of the run and of the sampler. A warning says why a resumed run is not exact.
    """

    priority = 95  # after hooks that draw numbers (VERY_LOW is 90)

    def __init__(self):
        self._state: dict | None = None  # written to the checkpoint
        self._loaded: dict | None = None  # read from the checkpoint
        self._found = self._keys = None  # loader and its settings; functions for its workers

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        if runner._resume:
            self._loaded = dict(checkpoint.get('iter_seed', {}))

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        if self._state is not None:
            checkpoint['iter_seed'] = dict(self._state)

    def before_train(self, runner) -> None:
        """Set the same seeds on all ranks and in the workers of the loader."""
        self.after_train(runner)  # an interrupted run did not call it
        loop, loader, loaded = runner.train_loop, runner.train_loop.dataloader, self._loaded
        sampler = getattr(loader.batch_sampler, 'sampler', loader.sampler)
        own = [dict(seed=runner.seed, sampler=getattr(sampler, 'seed', None), world_size=get_world_size())]
        broadcast_object_list(own)  # with diff_rank_seed, ranks have other seeds
        for sentence in _doubts(loop, sampler, loaded):
            print_log(f'IterSeedHook: {sentence}', 'current', logging.WARNING)
        self._state, self._loaded = {**own[0], **(loaded or {}), 'world_size': get_world_size()}, None
        if self._state != own[0]:
            print_log(f'IterSeedHook: uses the seeds of the checkpoint, {self._state}, not {own[0]}', 'current')
        if self._state['sampler'] is not None and hasattr(sampler, 'seed'):
            sampler.seed = self._state['sampler']
        endless = hasattr(sampler, 'skip') or isinstance(loader.dataset, IterableDataset)
        length = None if endless and isinstance(loop, IterBasedTrainLoop) else len(loader)
        self._found = loader, loader.worker_init_fn, loader.collate_fn, loader.generator
        self._keys = _WorkerKeys(self._state['seed'], length, loader.worker_init_fn, loader.collate_fn)
        loader.worker_init_fn, loader.collate_fn = self._keys.init, self._keys.collate
        if loader.generator is None:  # otherwise each new iterator draws from the global generator
            loader.generator = torch.Generator()
        loader._iterator = None  # restart persistent workers

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        seed_generators(self._state['seed'], get_rank(), runner.iter, Purpose.STEP)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self._fetch(runner.iter + 1)

    def after_val(self, runner) -> None:
        """Seed the loading of the next batch again, because validation may draw numbers."""
        if self._found is not None:
            self._fetch(runner.iter)

    before_train_epoch = after_val

    def after_train(self, runner) -> None:
        if self._found is not None:
            loader, loader.worker_init_fn, loader.collate_fn, loader.generator = self._found
        self._found = None

    def _fetch(self, iteration: int) -> None:
        seed_generators(self._state['seed'], get_rank(), iteration, Purpose.FETCH)
        self._keys.first = iteration
        loader, *_, generator = self._found
        if generator is None:
            loader.generator.manual_seed(torch.initial_seed())


class _WorkerKeys:
    """``worker_init_fn`` and ``collate_fn`` that seed a worker before each batch; each of W loads every W-th batch."""

    def __init__(self, seed: int, length: int | None, init_worker, collate_samples):
        self.seed, self.rank, self.length = seed, get_rank(), length  # batches of one iterator; None if endless
        self.init_worker, self.collate_samples = init_worker, collate_samples
        self.first = self.place = 0  # iteration of its first batch; next batch of this worker

    def init(self, worker_id: int) -> None:
        if self.init_worker is not None:
            self.init_worker(worker_id)
        self.place = worker_id
        self._seed()

    def collate(self, samples):
        batch, worker = self.collate_samples(samples), get_worker_info()
        if worker is not None:
            self.place += worker.num_workers
            if self.length is not None and self.place >= self.length:
                self.first, self.place = self.first + self.length, worker.id
            self._seed()
        return batch

    def _seed(self) -> None:
        seed_generators(self.seed, self.rank, self.first + self.place, Purpose.FETCH)


def _doubts(loop, sampler, loaded: dict | None) -> Iterator[str]:
    """Yield the reasons why a resumed run is not bit-exact."""
    if loaded is None:
        return
    if not loaded:
        yield 'the checkpoint was written without this hook, so the seeds of its run are unknown'
    elif (before := loaded['world_size']) != (now := get_world_size()):
        yield f'the checkpoint was written by {before} processes, but this run has {now}'
    length = None if isinstance(loop, IterBasedTrainLoop) else len(loop.dataloader)
    if length and loop.iter % length:
        yield f'the checkpoint was written {loop.iter % length} of {length} iterations into an epoch, which restarts'
    if not length and loop.iter and loop.dataloader.num_workers and not hasattr(sampler, 'skip'):
        yield f'{type(sampler).__name__} cannot skip, so workers draw other numbers; use InfiniteSampler'
