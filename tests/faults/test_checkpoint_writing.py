"""A full disk or a kill while a checkpoint is written leaves the previous checkpoint, from which training resumes."""

import os
import re
from pathlib import Path

import pytest
import torch
from mmengine.hooks import checkpoint_hook

from mixpro_mm.hooks import AtomicCheckpointHook
from mixpro_mm.utils.checkpoint import read_state_dict

# a limit on the file size replaces a full disk
LIMIT = 'import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))\n'
# kills the process with half of the second checkpoint on the disk
KILLED = """
import os
from mixpro_mm.hooks import checkpoints
sync, synced = os.fsync, []
def fsync(file):
    synced.append(sync(file))
    if len(synced) == 2:
        os.ftruncate(file, os.fstat(file).st_size // 2)
        os.kill(os.getpid(), 9)
os.fsync = fsync
"""


def weights(path):
    return read_state_dict(path)[0]


def assert_same_weights(path, other):
    tensors, others = weights(path), weights(other)
    assert tensors.keys() == others.keys()
    assert [name for name in tensors if not torch.equal(tensors[name], others[name])] == []


def checkpoints(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.endswith('.pth'))


@pytest.mark.long
def test_a_file_that_may_not_grow_so_large_leaves_none(tmp_path, train_apart):
    code, said = train_apart(tmp_path / 'work', LIMIT.format(size=1_000_000))
    assert code == 1
    sentence = said.strip().splitlines()[-1]
    assert 'epoch_1.pth cannot be written: File too large (it takes 2.' in sentence
    assert sentence.endswith('there is no checkpoint yet, free some space.')
    assert checkpoints(tmp_path / 'work') == []
    assert not (tmp_path / 'work' / 'last_checkpoint').exists()


def test_a_kill_in_the_middle_of_writing_leaves_the_one_before(tmp_path, train_apart, train, undisturbed):
    """With max_keep_ckpts=1, where mmengine has already removed the only checkpoint."""
    work_dir = tmp_path / 'work'
    code, _ = train_apart(work_dir, KILLED)
    assert code == -9
    draft, whole = checkpoints(work_dir)
    assert re.fullmatch(r'\.\d+-epoch_2\.pth', draft) and whole == 'epoch_1.pth'
    with pytest.raises(ValueError, match='cannot be read: it is truncated'):
        read_state_dict(work_dir / draft)
    assert (work_dir / 'last_checkpoint').read_text() == str(work_dir / 'epoch_1.pth')
    for name in ('.17-last_checkpoint.tmp', '.17-results.json'):
        (work_dir / name).write_text('half')
    train(work_dir, resume=True)
    assert checkpoints(work_dir) == ['epoch_3.pth'] and [path.name for path in work_dir.glob('.*')] == [
        '.17-results.json'  # another process may be writing it
    ]
    assert_same_weights(work_dir / 'epoch_3.pth', undisturbed / 'epoch_3.pth')


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


@pytest.mark.long
def test_what_is_kept_is_what_the_host_keeps(tmp_path, train):
    """The last two and the best, as with mmengine's own hook."""
    kept = {}
    for kind in ('CheckpointHook', 'mixpro_mm.AtomicCheckpointHook'):
        work_dir = tmp_path / kind
        keep = dict(type=kind, max_keep_ckpts=2, save_best='accuracy/top1', interval=1)
        runner = train(work_dir, **{'default_hooks.checkpoint': keep, 'train_cfg.val_interval': 1})
        info = {key: value for key, value in runner.message_hub.runtime_info.items() if 'ckpt' in key}
        last = (work_dir / 'last_checkpoint').read_text()
        kept[kind] = checkpoints(work_dir), str(info).replace(kind, ''), last.replace(kind, '')
    assert kept['CheckpointHook'] == kept['mixpro_mm.AtomicCheckpointHook']
    assert {'epoch_2.pth', 'epoch_3.pth'} < set(kept['CheckpointHook'][0])


@pytest.mark.slow
def test_the_best_one_stays_until_the_better_one_is_written(tmp_path, train, monkeypatch):
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
    keep = dict(type='mixpro_mm.AtomicCheckpointHook', max_keep_ckpts=1, save_best='accuracy/top1', interval=1)
    with pytest.raises(RuntimeError, match=r'best_accuracy_top1_epoch_2\.pth cannot be written: No space left'):
        train(tmp_path, **{'default_hooks.checkpoint': keep, 'train_cfg.val_interval': 1})
    assert checkpoints(tmp_path) == ['best_accuracy_top1_epoch_1.pth', 'epoch_2.pth']
    assert all(weights(tmp_path / name) for name in checkpoints(tmp_path))
    assert Path((tmp_path / 'last_checkpoint').read_text()).name == 'epoch_2.pth'
