"""A study killed at random points gives the results of an uninterrupted study."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mixpro_mm.utils.checkpoint import read_checkpoint

ROOT = Path(__file__).parents[2]
KILLS = 20
STAGE = f"""
_base_ = '{ROOT}/configs/digits/deit-micro_mixpro_digits.py'
train_dataloader = dict(batch_size=4, dataset=dict(indices=12))
val_dataloader = dict(dataset=dict(indices=100))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=25, val_interval=100)
param_scheduler = []
default_hooks = dict(
    checkpoint=dict(interval=1, max_keep_ckpts=1),
    iter_seed=dict(type='mixpro_mm.IterSeedHook'),
)
"""
CUTMIX = """
model = dict(train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]))
custom_hooks = []
"""
STUDY = """
title = 'Killed'
seed = 5
jobs = 2
stages = [
    dict(name='made', command=['-c', 'import time; time.sleep(1); open("{made}", "w").write("x")'], creates='{made}'),
    dict(name='first', config='first.py', task='classification', backbone='DeiT', pretraining='mixpro', needs=['made']),
    dict(name='second', config='second.py', task='classification', backbone='DeiT', pretraining='cutmix'),
    dict(name='third', config='second.py', task='classification', backbone='DeiT', pretraining='transmix',
         checkpoint='first'),
]
"""


def command(folder, name):
    """Return the command line of a study of this name."""
    (folder / f'{name}.py').write_text(STUDY.format(made=folder / f'{name}.made'))
    return [sys.executable, f'{ROOT}/tools/study.py', f'{folder}/{name}.py', '--work-dir', f'{folder}/{name}']


def outcome(work_dir):
    """Return results.json without times and hashes, and the weights of each stage."""
    content, weights = json.loads((work_dir / 'results.json').read_text()), {}
    content['study'].pop('date')
    for stage in content['study']['stages']:
        stage.pop('seconds')
        done = json.loads((work_dir / stage['name'] / 'done.json').read_text())
        tensors = read_checkpoint(done['checkpoint'])[0]
        weights[stage['name']] = {key: value.numpy().tobytes() for key, value in tensors.items()}
    for record in content['records']:
        record.pop('checkpoint_sha256')  # depends on the time
    return content, weights


def kill(process, whom):
    """Kill the study, one stage or all processes; return whether a process was running."""
    if process.poll() is not None:
        return False
    if whom == 'group':
        os.killpg(process.pid, signal.SIGKILL)
        return True
    lists = Path(f'/proc/{process.pid}/task').glob('*/children')
    targets = [process.pid] if whom == 'study' else [int(pid) for path in lists for pid in path.read_text().split()]
    if targets:
        os.kill(targets[0], signal.SIGKILL)
    return bool(targets)


def run_and_kill(folder, name, kills, rng, seconds):
    """Restart the study until it finishes, and kill its first runs at random times; return the number of kills.

    Starting takes longer than training here, so every other time counts from the first new checkpoint.
    """
    hits = 0
    while True:
        with (folder / f'{name}.log').open('w+') as log:
            process = subprocess.Popen(
                command(folder, name), cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
            if hits < kills:
                wait = rng.uniform(0.2, 0.6) * seconds
                if hits % 2 == 0:
                    before, wait = set((folder / name).glob('*/epoch_*.pth')), rng.uniform(0, 3)
                    while process.poll() is None and set((folder / name).glob('*/epoch_*.pth')) == before:
                        time.sleep(0.05)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=wait)
                hit = kill(process, ('group', 'study', 'stage')[hits % 3])
                hits += hit
            code = process.wait(timeout=900)
            log.seek(0)
            printed = log.read()
        assert 'Traceback' not in printed
        if code == 0:
            return hits
        assert hit and (code == -9 or 'failed (exit code -9)' in printed), printed


@pytest.mark.long
def test_twenty_kills_change_nothing(tmp_path):
    """A killed study has the weights and results of an uninterrupted one."""
    (tmp_path / 'first.py').write_text(STAGE)
    (tmp_path / 'second.py').write_text(STAGE + CUTMIX)
    rng, begin, hits = random.Random(1), time.monotonic(), 0
    subprocess.run(command(tmp_path, 'whole'), check=True, capture_output=True, cwd=tmp_path, timeout=900)
    seconds, wanted = time.monotonic() - begin, outcome(tmp_path / 'whole')
    for number in range(2 * KILLS):  # a finished study restarts under another name
        hit = run_and_kill(tmp_path, f'killed-{number}', KILLS - hits, rng, seconds)
        assert outcome(tmp_path / f'killed-{number}') == wanted
        hits += hit
        if hits == KILLS:
            break
        seconds *= 1 if hit else 0.7  # it finished before the kill
    assert hits == KILLS
    assert any('resumed epoch' in log.read_text() for log in tmp_path.glob('killed-*/*/stage.log'))
