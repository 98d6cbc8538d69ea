"""The end of a stage at a signal."""

import os
from types import SimpleNamespace

import pytest
from mmengine.hooks import CheckpointHook
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop

from mixpro_mm.study.stop import StopHook


class Saver(CheckpointHook):
    """Counts how often it saves."""

    saved = 0

    def _save_checkpoint(self, runner):
        self.saved += 1


class ExitError(Exception):
    """In the place of the end of the process."""


@pytest.fixture
def hook(monkeypatch):
    def leave(code):
        raise ExitError(code)

    monkeypatch.setattr(os, '_exit', leave)
    return StopHook()


def training(kind, by_epoch):
    return SimpleNamespace(train_loop=kind.__new__(kind), hooks=[Saver(by_epoch=by_epoch)])


def test_a_training_by_iterations_saves_after_the_iteration(hook):
    runner = training(IterBasedTrainLoop, False)
    hook.before_train(runner)
    hook.after_train_iter(runner, 0)
    hook._stop(12, None)
    hook._stop(12, None)
    with pytest.raises(ExitError, match='75'):
        hook.after_train_iter(runner, 1)
    assert runner.hooks[0].saved == 1


@pytest.mark.parametrize(
    ('kind', 'by_epoch', 'steps'),
    [
        (EpochBasedTrainLoop, True, ['before_train']),
        (IterBasedTrainLoop, True, ['before_train']),
        (IterBasedTrainLoop, False, []),
        (IterBasedTrainLoop, False, ['before_train', 'before_val']),
        (IterBasedTrainLoop, False, ['before_train', 'before_val', 'after_val', 'after_train']),
    ],
)
def test_otherwise_the_process_exits_at_once(hook, kind, by_epoch, steps):
    """In epochs, before the training, in a validation and in the tests."""
    runner = training(kind, by_epoch)
    for step in steps:
        getattr(hook, step)(runner)
    with pytest.raises(ExitError, match='75'):
        hook._stop(12, None)
    assert runner.hooks[0].saved == 0


def test_workers_that_inherit_the_handler_continue(hook, monkeypatch):
    monkeypatch.setattr(os, 'getpid', lambda: -1)
    hook._stop(12, None)
    assert not hook.stopping
