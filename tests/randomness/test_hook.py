"""Seeds that IterSeedHook restores, its warnings, and its changes to the loader."""

from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

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


def entry_of(path):
    return torch.load(path, weights_only=False)['iter_seed']


def edit(path, change):
    checkpoint = torch.load(path, weights_only=False)
    change(checkpoint)
    torch.save(checkpoint, path)


def test_a_checkpoint_says_where_its_numbers_came_from(tmp_path):
    runner = kit.runner(tmp_path, [kit.HOOK], randomness=dict(seed=None))
    runner.train()
    sampler = runner.train_dataloader.sampler.seed
    assert entry_of(kit.half(tmp_path)) == dict(seed=runner.seed, sampler=sampler, world_size=1)
    assert sentences(runner) == []


def test_seeds_drawn_at_random_are_taken_up_again_and_kept(tmp_path):
    kit.runner(tmp_path / 'one', [kit.HOOK], randomness=dict(seed=None)).train()
    entry = entry_of(kit.half(tmp_path / 'one'))
    runner = kit.runner(
        tmp_path / 'two',
        [kit.HOOK],
        randomness=dict(seed=None),
        resume=True,
        load_from=str(kit.half(tmp_path / 'one')),
    )
    other = runner.build_dataloader(kit.loader(), seed=runner.seed).sampler.seed
    assert other != entry['sampler']
    runner.train()
    assert runner.train_dataloader.sampler.seed == entry['sampler']
    assert entry_of(tmp_path / 'two' / 'epoch_2.pth') == entry
    (line,) = sentences(runner)
    assert line.startswith('uses the seeds of the checkpoint') and str(entry['sampler']) in line


@pytest.mark.parametrize(
    ('hooks', 'change', 'words'),
    [
        ([], lambda entry: None, 'written without this hook'),
        ([kit.HOOK], lambda entry: entry.update(world_size=8), 'written by 8 processes, but this run has 1'),
    ],
)
def test_a_checkpoint_of_another_kind_of_run_is_named(hooks, change, words, tmp_path):
    kit.runner(tmp_path / 'one', hooks).train()
    edit(kit.half(tmp_path / 'one'), lambda checkpoint: change(checkpoint.get('iter_seed')))
    (line,) = sentences(resume(tmp_path / 'two', kit.half(tmp_path / 'one')))
    assert words in line


def test_a_resume_in_the_middle_of_an_epoch_is_named(tmp_path):
    saver = dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2))
    kit.runner(tmp_path / 'one', [kit.HOOK], default_hooks=saver).train()
    (line,) = sentences(resume(tmp_path / 'two', tmp_path / 'one' / 'iter_2.pth'))
    assert '2 of 3 iterations into an epoch' in line and 'restarts' in line


@pytest.mark.parametrize(('workers', 'expected'), [(0, 0), (1, 1)])
def test_workers_behind_a_sampler_that_cannot_be_wound_forward_are_named(workers, expected, tmp_path):
    settings = dict(by_epoch=False, data=kit.loader(workers, dataset=kit.Noisy(6 * kit.BATCH)))
    kit.runner(tmp_path / 'one', [kit.HOOK], **settings).train()
    lines = sentences(resume(tmp_path / 'two', kit.half(tmp_path / 'one'), **settings))
    assert len(lines) == expected
    assert all('DefaultSampler cannot skip' in line and 'InfiniteSampler' in line for line in lines)


class Stop(Hook):
    """Interrupt the first of two trainings."""

    stopped = False

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if not self.stopped:
            self.stopped = True
            raise KeyboardInterrupt


def found(loader):
    return loader.worker_init_fn, loader.collate_fn, loader.generator


def test_the_loader_is_left_as_it_was_found(tmp_path):
    runner = kit.runner(tmp_path, [kit.HOOK, Stop()])
    loader = runner.build_dataloader(kit.loader(), seed=kit.SEED)
    runner._train_dataloader = loader
    before = found(loader)
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    runner.train()  # again, after an interrupted training
    assert all(one is other for one, other in zip(found(loader), before, strict=True))


def test_workers_keep_what_the_host_or_the_user_does_at_their_start(tmp_path):
    marks = tmp_path / 'marks'
    marks.mkdir()

    def mark(worker_id):
        (marks / str(worker_id)).touch()

    data = kit.loader(2) | dict(worker_init_fn=dict(type=mark))
    kit.train(tmp_path / 'run', [kit.HOOK], data=data)
    assert sorted(path.name for path in marks.iterdir()) == ['0', '1']
