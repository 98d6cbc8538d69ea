"""``IterSeedHook``, which seeds the generators in each iteration so that a resumed run is exact."""

import logging
import random
from enum import IntEnum

import numpy as np
import torch
from mmengine.dist import broadcast_object_list, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import IterBasedTrainLoop
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from mixpro_mm.registry import HOOKS, register

__all__ = ['IterSeedHook', 'Purpose', 'seed_generators']

ENTRY = 'iter_seed'  # key in a checkpoint


class Purpose(IntEnum):
    """Use of the random numbers of an iteration."""

    FETCH = 0  # load and transform the batch
    STEP = 1  # mix the batch and train: partners, masks, drop path, dropout


def seed_generators(seed: int, rank: int, iteration: int, purpose: Purpose) -> None:
    """Seed the global generators of Python, NumPy and torch (CPU, and the current GPU if CUDA is initialized).

    ``SeedSequence`` gives independent streams, unlike ``seed + iteration`` or ``seed + rank``.

    Args:
        seed: Seed of the run, the same on all ranks.
        rank: Rank of this process.
        iteration: Iteration of the run, from 0.
        purpose: Use of the random numbers.

    Raises:
        ValueError: If a number is negative.
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
    and before the loading of each batch. The numbers do not depend on ``num_workers``, ``persistent_workers`` or
    validation, and differ between ranks for any ``diff_rank_seed``. The checkpoint stores the seeds of the run and of
    the sampler; a resumed run restores them.

    A resumed run is not exact, and a warning says so, in the middle of an epoch of an epoch-based loop; in an
    iteration-based loop with worker processes and a sampler that cannot skip (``InfiniteSampler`` can); with another
    number of processes; and from a checkpoint without the seeds. See ``docs/scale.md``.
    """

    priority = 95  # after hooks that draw numbers (VERY_LOW is 90), before NonFiniteLossHook (LOWEST)

    def __init__(self):
        self._state: dict | None = None  # written to the checkpoint
        self._loaded: dict | None = None  # read from the checkpoint
        self._keys: _WorkerKeys | None = None

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Read the seeds of the resumed run."""
        if runner._resume:
            self._loaded = dict(checkpoint.get(ENTRY, {}))

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Save the seeds."""
        if self._state is not None:
            checkpoint[ENTRY] = dict(self._state)

    def before_train(self, runner) -> None:
        """Set the same seeds on all ranks and in the workers of the loader."""
        self.after_train(runner)  # an interrupted run did not call it
        loop, loaded = runner.train_loop, self._loaded
        loader, sampler = loop.dataloader, _sampler_of(loop.dataloader)
        drawn = [dict(seed=runner.seed, sampler=getattr(sampler, 'seed', None), world_size=get_world_size())]
        broadcast_object_list(drawn)  # with diff_rank_seed, ranks have other seeds
        seeds = {name: (loaded or {}).get(name, drawn[0][name]) for name in ('seed', 'sampler')}
        for sentence in _doubts(loop, sampler, loaded):
            print_log(f'IterSeedHook: {sentence}', 'current', logging.WARNING)
        if any(seeds[name] != drawn[0][name] for name in seeds):
            print_log(f'IterSeedHook: uses the seeds of the checkpoint, {seeds}, not {drawn[0]}', 'current')
        if seeds['sampler'] is not None and hasattr(sampler, 'seed'):
            sampler.seed = seeds['sampler']
        self._state, self._loaded = {**drawn[0], **seeds}, None
        endless = hasattr(sampler, 'skip') or isinstance(loader.dataset, IterableDataset)
        self._keys = _WorkerKeys(loader, seeds['seed'], endless and isinstance(loop, IterBasedTrainLoop))

    def before_train_epoch(self, runner) -> None:
        """Seed the loading of the first batch."""
        self._fetch(runner.iter)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Seed the step."""
        seed_generators(self._state['seed'], get_rank(), runner.iter, Purpose.STEP)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Seed the loading of the next batch."""
        self._fetch(runner.iter + 1)

    def after_val(self, runner) -> None:
        """Seed the loading of the next batch again, because validation may draw numbers."""
        if self._keys is not None:
            self._fetch(runner.iter)

    def after_train(self, runner) -> None:
        """Restore the loader."""
        if self._keys is not None:
            self._keys.release()
        self._keys = None

    def _fetch(self, iteration: int) -> None:
        seed_generators(self._state['seed'], get_rank(), iteration, Purpose.FETCH)
        self._keys.expect(iteration)


class _WorkerKeys:
    """Replace ``worker_init_fn`` and ``collate_fn`` of a loader so that workers seed before each batch.

    Each of W workers loads every W-th batch. A persistent worker continues with the next epoch.
    """

    def __init__(self, loader: DataLoader, seed: int, endless: bool):
        self.seed, self.rank = seed, get_rank()
        self.length = None if endless else len(loader)  # batches of one iterator
        self.first = self.place = 0  # iteration of its first batch; next batch of this worker
        self.loader, self.found = loader, (loader.worker_init_fn, loader.collate_fn, loader.generator)
        self.init_worker, self.collate_samples, generator = self.found
        loader.worker_init_fn, loader.collate_fn = self.init, self.collate
        if generator is None:  # otherwise each new iterator draws from the global generator
            loader.generator = torch.Generator()
        loader._iterator = None  # restart persistent workers

    def __getstate__(self) -> dict:
        return {**self.__dict__, 'loader': None, 'found': None}  # not sent to workers

    def expect(self, iteration: int) -> None:
        self.first = iteration
        if self.found[2] is None:
            self.loader.generator.manual_seed(torch.initial_seed())

    def release(self) -> None:
        self.loader.worker_init_fn, self.loader.collate_fn, self.loader.generator = self.found

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


def _sampler_of(loader: DataLoader):
    """Return the seeded sampler, which may be inside a batch sampler."""
    inner = getattr(loader.batch_sampler, 'sampler', None)
    return inner if not hasattr(loader.sampler, 'seed') and hasattr(inner, 'seed') else loader.sampler


def _doubts(loop, sampler, loaded: dict | None) -> list[str]:
    """Return the reasons why a resumed run is not bit-exact."""
    if loaded is None:
        return []
    found, loader = [], loop.dataloader
    if not loaded:
        found.append('the checkpoint was written without this hook, so the seeds of its run are unknown')
    elif (before := loaded['world_size']) != (now := get_world_size()):
        found.append(f'the checkpoint was written by {before} processes, but this run has {now}, so batches differ')
    if isinstance(loop, IterBasedTrainLoop):
        if loop.iter and loader.num_workers and not hasattr(sampler, 'skip'):
            found.append(f'{type(sampler).__name__} cannot skip, so workers draw other numbers; use InfiniteSampler')
    elif done := loop.iter % len(loader):
        found.append(
            f'the checkpoint was written {done} of {len(loader)} iterations into an epoch, which restarts; write '
            'checkpoints by epoch'
        )
    return found
