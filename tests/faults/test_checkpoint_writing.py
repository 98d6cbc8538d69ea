"""A full disk or a kill while a checkpoint is written leaves the previous checkpoint, from which training resumes."""

import os
import re
import subprocess
import sys

import pytest
import torch
from mmengine.hooks import checkpoint_hook

from mixpro_mm.hooks import AtomicCheckpointHook
from mixpro_mm.utils.checkpoint import read_checkpoint

# a limit on the file size replaces a full disk
LIMIT = 'import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n'
# kills the process with half of the second checkpoint on the disk
KILLED = """
import os
sync, synced = os.fsync, []
def fsync(file):
    synced.append(sync(file))
    if len(synced) == 2:
        os.ftruncate(file, os.fstat(file).st_size // 2)
        os.kill(os.getpid(), 9)
os.fsync = fsync
"""
RUN = """
import sys
from mmengine.config import Config
from mmengine.runner import Runner
Runner.from_cfg(Config.fromfile(sys.argv[1])).train()
"""
BEST = dict(type='mixpro_mm.AtomicCheckpointHook', max_keep_ckpts=1, save_best='accuracy/top1', interval=1)


def train_apart(config, path, before):
    """Train in a new process after the code ``before``; return its exit code and stderr."""
    config.dump(path)
    command = [sys.executable, '-c', before + RUN, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, cwd=path.parent)
    return done.returncode, done.stderr


def checkpoints(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.endswith('.pth'))


@pytest.mark.long
def test_a_full_disk_leaves_no_file(tmp_path, tiny):
    work_dir = tmp_path / 'work'
    code, error = train_apart(tiny(work_dir), tmp_path / 'config.py', LIMIT)
    message = error.strip().splitlines()[-1]
    assert code == 1 and 'epoch_1.pth cannot be written: File too large' in message
    assert 'there is no checkpoint yet' in message
    assert checkpoints(work_dir) == [] and not (work_dir / 'last_checkpoint').exists()


def test_a_kill_while_writing_leaves_the_previous_checkpoint(tmp_path, tiny, train, undisturbed):
    """With max_keep_ckpts=1, where mmengine has already removed the only checkpoint."""
    work_dir = tmp_path / 'work'
    code, _ = train_apart(tiny(work_dir), tmp_path / 'config.py', KILLED)
    assert code == -9
    draft, whole = checkpoints(work_dir)
    assert re.fullmatch(r'\.\d+-epoch_2\.pth', draft) and whole == 'epoch_1.pth'
    with pytest.raises(ValueError, match='cannot be read: it is truncated'):
        read_checkpoint(work_dir / draft)
    assert (work_dir / 'last_checkpoint').read_text() == str(work_dir / 'epoch_1.pth')
    for name in ('.17-last_checkpoint.tmp', '.17-results.json'):
        (work_dir / name).write_text('half')
    train(work_dir, resume=True)
    assert checkpoints(work_dir) == ['epoch_3.pth'] and [path.name for path in work_dir.glob('.*')] == [
        '.17-results.json'  # another process may be writing it
    ]
    ours, others = (read_checkpoint(folder / 'epoch_3.pth')[0] for folder in (work_dir, undisturbed))
    assert ours.keys() == others.keys() and all(torch.equal(ours[name], others[name]) for name in ours)


def test_an_interrupted_write_of_last_checkpoint_keeps_the_old_one(tmp_path, train, monkeypatch):
    def interrupt(path, mode):
        open(path, mode).close()  # the file is empty now
        raise KeyboardInterrupt

    train(tmp_path, **{'train_cfg.max_epochs': 1})
    monkeypatch.setattr(checkpoint_hook, 'open', interrupt, raising=False)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, resume=True, **{'train_cfg.max_epochs': 2})
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'epoch_1.pth')
    assert checkpoints(tmp_path) == ['epoch_1.pth', 'epoch_2.pth']
    monkeypatch.undo()
    train(tmp_path, resume=True)
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'epoch_3.pth')
    assert not list(tmp_path.glob('.*'))


@pytest.mark.slow
def test_the_best_checkpoint_stays_until_the_better_one_is_written(tmp_path, train, monkeypatch):
    score = iter([1.0, 2.0])
    save_best = AtomicCheckpointHook._save_best_checkpoint

    def save(hook, runner, metrics):
        better = next(score)
        if better == 2.0:
            monkeypatch.setattr(os, 'fsync', full)
        save_best(hook, runner, {'accuracy/top1': better})

    def full(_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(AtomicCheckpointHook, '_save_best_checkpoint', save)
    with pytest.raises(RuntimeError, match=r'best_accuracy_top1_epoch_2\.pth cannot be written: No space left'):
        train(tmp_path, **{'default_hooks.checkpoint': BEST, 'train_cfg.val_interval': 1})
    assert checkpoints(tmp_path) == ['best_accuracy_top1_epoch_1.pth', 'epoch_2.pth']
    assert all(read_checkpoint(tmp_path / name)[0] for name in checkpoints(tmp_path))
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'epoch_2.pth')
