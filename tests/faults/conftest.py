"""Fixtures for small trainings."""

import os
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

CONFIG = Path(__file__).parents[2] / 'configs' / 'digits' / 'deit-micro_mixpro_digits.py'
TINY = dict(
    train_dataloader=dict(batch_size=4, dataset=dict(indices=12)),
    val_dataloader=dict(dataset=dict(indices=8)),
    test_dataloader=dict(dataset=dict(indices=8)),
    train_cfg=dict(max_epochs=3, val_interval=10),
    param_scheduler=[],
    randomness=dict(seed=3),
    default_hooks=dict(
        logger=dict(interval=1),
        checkpoint=dict(type='mixpro_mm.AtomicCheckpointHook', interval=1, max_keep_ckpts=1),
        iter_seed=dict(type='mixpro_mm.IterSeedHook'),
        checkpoint_check=dict(type='mixpro_mm.CheckpointCheckHook'),
        class_check=dict(type='mixpro_mm.ClassCheckHook'),
        nonfinite_loss=dict(type='mixpro_mm.NonFiniteLossHook'),
    ),
    log_level='ERROR',
)


@pytest.fixture(scope='session')
def tiny():
    """Return a config of DeiT-micro on twelve digits: three epochs of three iterations."""

    def config(work_dir, **changes):
        config = Config.fromfile(CONFIG)
        config.merge_from_dict(dict(TINY, work_dir=str(work_dir)))
        config.merge_from_dict(changes)
        return config

    return config


@pytest.fixture(scope='session')
def train(tiny):
    """Train in this process and return the Runner."""

    def run(work_dir, **changes):
        runner = Runner.from_cfg(tiny(work_dir, **changes))
        runner.train()
        return runner

    return run


@pytest.fixture(scope='session')
def undisturbed(train, tmp_path_factory):
    """Return the work dir of an uninterrupted run with all checkpoints."""
    work_dir = tmp_path_factory.mktemp('undisturbed')
    train(work_dir, **{'default_hooks.checkpoint.max_keep_ckpts': -1})
    return work_dir


@pytest.fixture
def bomb(undisturbed, tmp_path):
    """Return a checkpoint with code, and the folder that the code makes."""

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'boom'),)

    content = torch.load(undisturbed / 'epoch_2.pth', weights_only=False)
    torch.save(dict(content, beside=Bomb()), tmp_path / 'bomb.pth')
    return tmp_path / 'bomb.pth', tmp_path / 'boom'
