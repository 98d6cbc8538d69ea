"""A run in miniature, in this process or in one of its own."""

import contextlib
import os
import subprocess
import sys
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
RUN = """
import sys
from mmengine.config import Config
from mmengine.runner import Runner
Runner.from_cfg(Config.fromfile(sys.argv[1])).train()
"""


@pytest.fixture(scope='session')
def tiny():
    """The config of DeiT-micro on twelve digits: three epochs of three iterations, with every guard."""

    def config(work_dir, **changes):
        config = Config.fromfile(CONFIG)
        config.merge_from_dict(dict(TINY, work_dir=str(work_dir)))
        config.merge_from_dict(changes)
        return config

    return config


@pytest.fixture(scope='session')
def train(tiny):
    """Train that here; the Runner when it is done."""

    def run(work_dir, **changes):
        runner = Runner.from_cfg(tiny(work_dir, **changes))
        runner.train()
        return runner

    return run


@pytest.fixture
def train_apart(tiny, tmp_path):
    """Train that in a process of its own, after some lines of code; its exit code and what it wrote to stderr."""

    def run(work_dir, before='', **changes):
        tiny(work_dir, **changes).dump(tmp_path / 'config.py')
        command = [sys.executable, '-c', before + RUN, str(tmp_path / 'config.py')]
        done = subprocess.run(command, capture_output=True, text=True, timeout=400, cwd=tmp_path)
        return done.returncode, done.stderr

    return run


@pytest.fixture(scope='session')
def undisturbed(train, tmp_path_factory):
    """The work dir of a run that nothing disturbed, all its checkpoints kept."""
    work_dir = tmp_path_factory.mktemp('undisturbed')
    train(work_dir, **{'default_hooks.checkpoint.max_keep_ckpts': -1})
    return work_dir


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, and a function that sets its size in megabytes."""
    folder = tmp_path / 'disk'
    folder.mkdir()

    def mount(*options):
        return subprocess.run(['mount', *options], capture_output=True, check=False).returncode == 0

    if os.getuid() or not mount('-t', 'tmpfs', '-o', 'size=32m', 'tmpfs', str(folder)):
        pytest.skip('mounting a small disk is not allowed here')
    try:
        yield folder, lambda size: mount('-o', f'remount,size={size}m', str(folder))
    finally:
        subprocess.run(['umount', '-l', str(folder)], check=True)


@pytest.fixture
def bomb(tmp_path):
    """Writes a checkpoint with tensors and code beside them, and tells whether the code was run."""

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'boom'),)

    def write(path, source):
        content = torch.load(source, weights_only=False)
        torch.save(dict(content, beside=Bomb()), path)
        return path

    def exploded():
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(tmp_path / 'boom')
            return True
        return False

    return write, exploded
