"""Random numbers that depend on the iteration and on nothing before it, so that a resumed run draws the same.

mmengine seeds the generators once and saves no state of theirs, so a resumed run draws masks, partners, drop path and
transforms from the beginning again. Here every iteration has seeds of its own, made from a key by NumPy's
``SeedSequence``, whose streams do not overlap as those of ``seed + iteration`` and ``seed + rank`` would.
"""

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

ENTRY = 'iter_seed'  # beside 'state_dict' in a checkpoint


class Purpose(IntEnum):
    """What the numbers of an iteration are for; part of the key."""

    FETCH = 0  # load and transform its batch
    STEP = 1  # mix it and train on it: partners, masks, drop path, dropout


def seed_generators(seed: int, rank: int, iteration: int, purpose: Purpose) -> None:
    """Seed the global generators of Python, NumPy and torch (CPU, and the current GPU where CUDA is in use).

    Args:
        seed: Of the run, the same on all ranks; at least 0, like the others.
        rank: Of this process.
        iteration: From 0, over the whole run.
        purpose: What the numbers are for.

    Raises:
        ValueError: if a number is negative.
    """
    words = np.random.SeedSequence(seed, spawn_key=(rank, iteration, purpose)).generate_state(8).tolist()
    np.random.seed(words[:4])  # noqa: NPY002  the hosts draw from this one
    random.seed(words[4] << 32 | words[5])
    of_torch = words[6] << 32 | words[7]
    torch.default_generator.manual_seed(of_torch)  # torch.manual_seed takes ten times as long where CUDA sleeps
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(of_torch)


@register(HOOKS)
class IterSeedHook(Hook):
    """Seeds everything random in training by (seed, rank, iteration, purpose): resumed runs continue bit by bit.

    The step of an iteration and the fetch of its batch each begin with freshly seeded generators: the numbers are the
    same for any ``num_workers``, with and without ``persistent_workers``, and validation in between changes nothing.
    The rank is always part of the key, whatever ``diff_rank_seed`` says. The seeds of the run and of the sampler, which
    mmengine may draw at every start, are saved in the checkpoint and restored by a resume.

    Not exact, with a warning: a resume in the middle of an epoch of a loop by epoch, which mmengine starts over; one of
    a loop by iteration with worker processes and a sampler that cannot skip (``InfiniteSampler`` can); another number
    of processes; a checkpoint written without this hook. ``docs/scale.md`` has the whole list.
    """

    priority = 95  # after hooks that draw (VERY_LOW is 90), before NonFiniteLossHook, which keeps the state (LOWEST)

    def __init__(self):
        self._state: dict | None = None  # goes into the checkpoint
        self._loaded: dict | None = None  # came out of it
        self._keys: _WorkerKeys | None = None

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Read the seeds of the run that is resumed."""
        if runner._resume:
            self._loaded = dict(checkpoint.get(ENTRY, {}))

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Save the seeds."""
        if self._state is not None:
            checkpoint[ENTRY] = dict(self._state)

    def before_train(self, runner) -> None:
        """Agree on the seeds among all ranks, and hand them to the workers of the loader."""
        self.after_train(runner)  # a run that stopped halfway did not
        loop, loaded = runner.train_loop, self._loaded
        loader, sampler = loop.dataloader, _sampler_of(loop.dataloader)
        drawn = [dict(seed=runner.seed, sampler=getattr(sampler, 'seed', None), world_size=get_world_size())]
        broadcast_object_list(drawn)  # with diff_rank_seed, the seed of rank 0 is that of the run
        seeds = {name: (loaded or {}).get(name, drawn[0][name]) for name in ('seed', 'sampler')}
        for sentence in _doubts(loop, sampler, loaded):
            print_log(f'IterSeedHook: {sentence}', 'current', logging.WARNING)
        if any(seeds[name] != drawn[0][name] for name in seeds):
            print_log(f'IterSeedHook: goes on with the seeds of the checkpoint, {seeds}, not {drawn[0]}', 'current')
        if seeds['sampler'] is not None and hasattr(sampler, 'seed'):
            sampler.seed = seeds['sampler']
        self._state, self._loaded = {**drawn[0], **seeds}, None
        self._keys = _WorkerKeys(loader, seeds['seed'], _endless(loop, sampler))

    def before_train_epoch(self, runner) -> None:
        """Seed the fetch of the first batch."""
        self._fetch(runner.iter)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Seed the step."""
        seed_generators(self._state['seed'], get_rank(), runner.iter, Purpose.STEP)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Seed the fetch of the next batch."""
        self._fetch(runner.iter + 1)

    def after_val(self, runner) -> None:
        """Seed the fetch of the next batch again, if training goes on: validation may have drawn."""
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
    """Replaces ``worker_init_fn`` and ``collate_fn`` of a loader: its workers seed before each batch they fetch.

    Each of W workers fetches every W-th batch; one that persists continues with the next epoch.
    """

    def __init__(self, loader: DataLoader, seed: int, endless: bool):
        self.seed, self.rank = seed, get_rank()
        self.length = None if endless else len(loader)  # batches until the iterator of the loader ends
        self.first = self.place = 0  # the iteration of its first batch, and the next batch of this worker after that
        self.loader, self.found = loader, (loader.worker_init_fn, loader.collate_fn, loader.generator)
        self.init_worker, self.collate_samples, generator = self.found
        loader.worker_init_fn, loader.collate_fn = self.init, self.collate
        if generator is None:  # torch draws from it at every new iterator, else from the global one
            loader.generator = torch.Generator()
        loader._iterator = None  # persistent workers were started without keys

    def __getstate__(self) -> dict:
        """Goes to a worker without the loader."""
        return {**self.__dict__, 'loader': None, 'found': None}

    def expect(self, iteration: int) -> None:
        """An iterator made from now on begins with the batch of this iteration."""
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
    """The sampler that shuffles, which a batch sampler may hold."""
    inner = getattr(loader.batch_sampler, 'sampler', None)
    return inner if not hasattr(loader.sampler, 'seed') and hasattr(inner, 'seed') else loader.sampler


def _endless(loop, sampler) -> bool:
    """Whether the iterator of the loader never ends."""
    without_end = hasattr(sampler, 'skip') or isinstance(loop.dataloader.dataset, IterableDataset)
    return isinstance(loop, IterBasedTrainLoop) and without_end


def _doubts(loop, sampler, loaded: dict | None) -> list[str]:
    """Sentences on why a resumed run will not continue bit by bit."""
    if loaded is None:
        return []
    found, loader = [], loop.dataloader
    if not loaded:
        found.append('the checkpoint was written without this hook, so nothing says what its run would have drawn')
    elif (before := loaded['world_size']) != (now := get_world_size()):
        found.append(f'the checkpoint was written by {before} processes and this run has {now}, which see other images')
    if isinstance(loop, IterBasedTrainLoop):
        if loop.iter and loader.num_workers and not hasattr(sampler, 'skip'):
            found.append(f'{type(sampler).__name__} cannot skip, so workers draw other numbers; InfiniteSampler can')
    elif done := loop.iter % len(loader):
        found.append(
            f'the checkpoint was written {done} of {len(loader)} iterations into an epoch, which starts over; write '
            'checkpoints by epoch'
        )
    return found
