"""What the hook takes up again, what it says, and that it leaves the loader as it was."""

from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

from mixpro_mm.hooks import NonFiniteLossHook
from mixpro_mm.hooks.randomness import IterSeedHook
from tests.randomness import kit


def sentences(runner):
    """What the hook has written into the log of a run."""
    (log,) = Path(runner.log_dir).glob('*.log')
    return [line.split('IterSeedHook: ')[1] for line in log.read_text().splitlines() if 'IterSeedHook: ' in line]


def resume(folder, start, **settings):
    """A Runner that has resumed and trained to its end."""
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
    assert other != entry['sampler']  # what this run would have shuffled by
    runner.train()
    assert runner.train_dataloader.sampler.seed == entry['sampler']
    assert entry_of(tmp_path / 'two' / 'epoch_2.pth') == entry
    (line,) = sentences(runner)
    assert line.startswith('goes on with the seeds of the checkpoint') and str(entry['sampler']) in line


def test_a_start_from_weights_alone_takes_up_nothing(tmp_path):
    kit.runner(tmp_path / 'one', [kit.HOOK], randomness=dict(seed=8)).train()
    runner = kit.runner(tmp_path / 'two', [kit.HOOK], load_from=str(kit.half(tmp_path / 'one')))
    runner.train()
    assert entry_of(kit.half(tmp_path / 'two'))['seed'] == kit.SEED and sentences(runner) == []


@pytest.mark.parametrize(
    ('hooks', 'change', 'words'),
    [
        ([], lambda entry: None, 'written without this hook'),
        ([kit.HOOK], lambda entry: entry.update(world_size=8), 'written by 8 processes and this run has 1'),
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
    assert '2 of 3 iterations into an epoch' in line and 'starts over' in line


@pytest.mark.parametrize(('workers', 'expected'), [(0, 0), (1, 1)])
def test_workers_behind_a_sampler_that_cannot_be_wound_forward_are_named(workers, expected, tmp_path):
    settings = dict(by_epoch=False, data=kit.loader(workers, dataset=kit.Noisy(6 * kit.BATCH)))
    kit.runner(tmp_path / 'one', [kit.HOOK], **settings).train()
    lines = sentences(resume(tmp_path / 'two', kit.half(tmp_path / 'one'), **settings))
    assert len(lines) == expected
    assert all('DefaultSampler cannot skip' in line and 'InfiniteSampler' in line for line in lines)


class Stop(Hook):
    """Ends the first of two trainings halfway, as an error does."""

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
    runner.train()  # again, after a training that had no end
    assert all(one is other for one, other in zip(found(loader), before, strict=True))


def test_workers_keep_what_the_host_or_the_user_does_at_their_start(tmp_path):
    marks = tmp_path / 'marks'
    marks.mkdir()

    def mark(worker_id):
        (marks / str(worker_id)).touch()

    data = kit.loader(2) | dict(worker_init_fn=dict(type=mark))
    kit.train(tmp_path / 'run', [kit.HOOK], data=data)
    assert sorted(path.name for path in marks.iterdir()) == ['0', '1']


def test_tests_and_validation_without_training_go_through(tmp_path):
    runner = kit.runner(tmp_path, [kit.HOOK], validation=1)
    assert 0 <= runner.val()['accuracy/top1'] <= 100


class Draws(Hook):
    """A hook that draws, as late as mmengine's own come."""

    priority = 'VERY_LOW'


def test_it_comes_after_all_other_hooks(tmp_path):
    """So that what they draw lies before the seeds, also where it stands first in a config; the guard only looks."""
    guard, others = dict(type='mixpro_mm.NonFiniteLossHook'), [kit.LABELS, dict(type='SyncBuffersHook'), Draws()]
    for number, hooks in enumerate(([kit.HOOK, *others, guard], [guard, *others, kit.HOOK])):
        runner = kit.runner(tmp_path / str(number), hooks)
        assert [type(hook) for hook in runner.hooks[-2:]] == [IterSeedHook, NonFiniteLossHook]
