"""Random numbers by key; seeds that IterSeedHook restores, its warnings, and its changes to the loader."""

import itertools
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook

from mixpro_mm.hooks.randomness import Purpose, seed_generators
from tests.randomness import kit


def sentences(runner):
    """Return the log messages of the hook."""
    (log,) = Path(runner.log_dir).glob('*.log')
    return [line.split('IterSeedHook: ')[1] for line in log.read_text().splitlines() if 'IterSeedHook: ' in line]


def resume(folder, start, **settings):
    """Resume and finish a run; return its Runner."""
    runner = kit.runner(folder, [kit.HOOK], resume=True, load_from=str(start), **settings)
    runner.train()
    return runner


def by_iterations(workers):
    return dict(by_epoch=False, data=kit.loader(workers, dataset=kit.Noisy(6 * kit.BATCH)))


def test_seeds_drawn_at_random_are_in_the_checkpoint_and_restored(tmp_path):
    first = kit.runner(tmp_path / 'one', [kit.HOOK], randomness=dict(seed=None))
    first.train()
    entry = torch.load(kit.half(tmp_path / 'one'), weights_only=False)['iter_seed']
    assert entry == dict(seed=first.seed, sampler=first.train_dataloader.sampler.seed, world_size=1)
    assert sentences(first) == []
    second = resume(tmp_path / 'two', kit.half(tmp_path / 'one'), randomness=dict(seed=None))
    assert second.train_dataloader.sampler.seed == entry['sampler']
    assert torch.load(tmp_path / 'two' / 'epoch_2.pth', weights_only=False)['iter_seed'] == entry
    (line,) = sentences(second)
    assert line.startswith('uses the seeds of the checkpoint') and str(entry['sampler']) in line


SAVER = dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2))


@pytest.mark.parametrize(
    ('hooks', 'settings', 'change', 'words'),
    [
        ([], {}, {}, ['written without this hook']),
        ([kit.HOOK], {}, dict(world_size=8), ['written by 8 processes, but this run has 1']),
        ([kit.HOOK], dict(default_hooks=SAVER), {}, ['2 of 3 iterations into an epoch', 'restarts']),
        ([kit.HOOK], by_iterations(0), {}, []),
        ([kit.HOOK], by_iterations(1), {}, ['DefaultSampler cannot skip', 'InfiniteSampler']),
    ],
)
def test_warnings_name_why_a_resumed_run_is_not_exact(hooks, settings, change, words, tmp_path):
    kit.runner(tmp_path / 'one', hooks, **settings).train()
    path = tmp_path / 'one' / 'iter_2.pth' if 'default_hooks' in settings else kit.half(tmp_path / 'one')
    checkpoint = torch.load(path, weights_only=False)
    checkpoint.get('iter_seed', {}).update(change)
    torch.save(checkpoint, path)
    lines = sentences(resume(tmp_path / 'two', path, **settings))
    assert len(lines) == bool(words) and all(word in lines[0] for word in words)


class Stop(Hook):
    """Interrupt the first of two trainings."""

    stopped = False

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if not self.stopped:
            self.stopped = True
            raise KeyboardInterrupt


def test_the_loader_is_left_as_it_was_found(tmp_path):
    runner = kit.runner(tmp_path, [kit.HOOK, Stop()])
    loader = runner.build_dataloader(kit.loader(), seed=kit.SEED)
    runner._train_dataloader = loader
    before = loader.worker_init_fn, loader.collate_fn, loader.generator
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    runner.train()  # again, after an interrupted training
    assert (loader.worker_init_fn, loader.collate_fn, loader.generator) == before


def test_workers_keep_what_the_host_or_the_user_does_at_their_start(tmp_path):
    marks = tmp_path / 'marks'
    marks.mkdir()

    def mark(worker_id):
        (marks / str(worker_id)).touch()

    data = kit.loader(2) | dict(worker_init_fn=dict(type=mark))
    kit.train(tmp_path / 'run', [kit.HOOK], data=data)
    assert sorted(path.name for path in marks.iterdir()) == ['0', '1']


def drawn(*key, count=1):
    """Return the first numbers of each generator for a key."""
    seed_generators(*key)
    python, of_numpy = [random.random() for _ in range(count)], np.random.random(count).tolist()  # noqa: NPY002
    return python, of_numpy, torch.rand(count, dtype=torch.float64).tolist()


def test_a_key_gives_the_same_numbers_whatever_was_drawn_before():
    first = drawn(3, 1, 20, Purpose.STEP, count=5)
    kit.disturb()
    assert drawn(3, 1, 20, Purpose.STEP, count=5) == first


def test_frozen_numbers():
    """Existing checkpoints depend on these numbers; a change needs a release note."""
    python, of_numpy, of_torch = drawn(0, 1, 2, Purpose.STEP)
    assert (python, of_numpy, of_torch) == ([0.5371212782631095], [0.053279515701455726], [0.9356189959440572])


def test_every_part_of_the_key_matters_and_no_stream_is_another_shifted():
    """With ``seed + rank + iteration`` most keys would share streams."""
    keys = itertools.product(range(3), range(4), range(30), Purpose)
    firsts = [drawn(*key, count=3) for key in keys]
    for generator in range(3):
        values = [value for first in firsts for value in first[generator]]
        assert len(set(values)) == len(values) == 3 * 4 * 30 * 2 * 3


def test_the_gpu_is_seeded_where_cuda_is_in_use(monkeypatch):
    seeds = []
    monkeypatch.setattr(torch.cuda, 'manual_seed', seeds.append)
    seed_generators(0, 0, 0, Purpose.STEP)
    assert seeds == []
    monkeypatch.setattr(torch.cuda, 'is_initialized', lambda: True)
    seed_generators(0, 0, 0, Purpose.STEP)
    assert seeds == [torch.initial_seed()]
