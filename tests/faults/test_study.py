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

from mixpro_mm.utils.checkpoint import read_state_dict

ROOT = Path(__file__).parents[2]
STAGE = """
_base_ = '{base}'
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


@pytest.fixture(scope='module')
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp('killed')
    cutmix = "model = dict(train_cfg=dict(augments=[dict(type='Mixup'), dict(type='CutMix')]))\ncustom_hooks = []\n"
    for name, more in (('first', ''), ('second', cutmix)):
        base = ROOT / 'configs' / 'digits' / 'deit-micro_mixpro_digits.py'
        (root / f'{name}.py').write_text(STAGE.format(base=base) + more)
    return root


@pytest.fixture(scope='module')
def command(study):
    """Return the command line of a study with a given name."""

    def of(name):
        (study / f'{name}.py').write_text(STUDY.format(made=study / f'{name}.made'))
        tool = str(ROOT / 'tools' / 'study.py')
        return [sys.executable, tool, str(study / f'{name}.py'), '--work-dir', str(study / name)]

    return of


def results(work_dir):
    """Return results.json without times and checkpoint hashes."""
    content = json.loads((work_dir / 'results.json').read_text())
    content['study'].pop('date')
    for stage in content['study']['stages']:
        stage.pop('seconds')
    for record in content['records']:
        record.pop('checkpoint_sha256')  # depends on the time; weights are compared
    return content


def weights(work_dir):
    tensors = {}
    for stage in json.loads((work_dir / 'results.json').read_text())['study']['stages']:
        name = stage['name']
        done = json.loads((work_dir / name / 'done.json').read_text())
        state_dict = read_state_dict(done['checkpoint'])[0]
        tensors |= {f'{name}.{key}': value.numpy().tobytes() for key, value in state_dict.items()}
    return tensors


def children(pid):
    """Return the descendants of process ``pid``."""
    found = []
    for task in Path(f'/proc/{pid}/task').glob('*/children'):
        for child in map(int, task.read_text().split()):
            found += [child, *children(child)]
    return found


def kill(process, whom):
    """Kill the study, one stage or all processes; return whether a process was running."""
    if process.poll() is not None:
        return False
    if whom == 'group':
        os.killpg(process.pid, signal.SIGKILL)
    elif whom == 'study':
        os.kill(process.pid, signal.SIGKILL)
    else:
        below = children(process.pid)
        if not below:
            return False
        os.kill(below[0], signal.SIGKILL)
    return True


def checkpoints(work_dir):
    return set(work_dir.glob('*/epoch_*.pth'))


def resumed(work_dir):
    """Return how often a stage resumed from a checkpoint."""
    return sum(path.read_text().count('resumed epoch') for path in work_dir.glob('*/stage.log'))


def run_and_kill(study, command, name, kills, seed, seconds):
    """Restart the study until it finishes, and kill its first runs at random times; return the number of kills.

    Starting takes longer than training here, so every other time counts from the first new checkpoint.
    """
    rng, hits = random.Random(seed), 0
    while True:
        with (study / f'{name}.log').open('w+') as log:
            process = subprocess.Popen(
                command(name), cwd=study, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
            whom = ('group', 'study', 'stage')[hits % 3]
            if hits < kills:
                wait = rng.uniform(0.2, 0.6) * seconds
                if hits % 2 == 0:
                    before, wait = checkpoints(study / name), rng.uniform(0, 3)
                    while process.poll() is None and checkpoints(study / name) == before:
                        time.sleep(0.05)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=wait)
                hit = kill(process, whom)
                hits += hit
            code = process.wait(timeout=900)
            log.seek(0)
            said = log.read()
        assert 'Traceback' not in said
        if code == 0:
            return hits
        assert hit and (code == -9 or 'failed (exit code -9)' in said), said


def check(study, command, name, kills, seed):
    """Check that a killed study has the weights and results of an uninterrupted study."""
    begin, hits, resumes = time.monotonic(), 0, 0
    done = subprocess.run(command(f'{name}-uncut'), capture_output=True, text=True, cwd=study, timeout=900)
    assert done.returncode == 0, done.stderr
    seconds = time.monotonic() - begin
    for number in range(2 * kills):  # a finished study restarts under another name
        again = f'{name}-{number}'
        hit = run_and_kill(study, command, again, kills - hits, seed + number, seconds)
        seconds *= 1 if hit else 0.7  # it finished before the kill
        assert results(study / again) == results(study / f'{name}-uncut')
        assert weights(study / again) == weights(study / f'{name}-uncut')
        hits, resumes = hits + hit, resumes + resumed(study / again)
        if hits == kills:
            assert resumes > 0
            return
    raise AssertionError(f'only {hits} of {kills} kills hit')


@pytest.mark.long
def test_twenty_kills_change_nothing(study, command):
    check(study, command, 'many', 20, seed=1)


def test_a_killed_study_continues_where_it_was(tmp_path):
    """Only the killed stage is repeated."""
    script = 'import time; open("ran", "a").write("{0}\\n"); time.sleep({1}); open("{0}", "w")'
    stages = [
        dict(name=name, command=['-c', script.format(name, seconds)], creates=name, needs=needs)
        for name, seconds, needs in (('one', 0, []), ('two', 3, ['one']), ('three', 0, ['two']))
    ]
    (tmp_path / 'study.py').write_text(f"title = 'Killed'\njobs = 1\nstages = {stages!r}")
    command = [sys.executable, str(ROOT / 'tools' / 'study.py'), 'study.py', '--work-dir', 'work']
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, start_new_session=True)
    log = tmp_path / 'ran'
    while process.poll() is None and not (log.exists() and 'two' in log.read_text()):
        time.sleep(0.05)
    assert kill(process, 'study')
    process.wait()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=400)
    assert 'Killed: 3 stages, 1 finished already' in done.stdout
    assert log.read_text().split() == ['one', 'two', 'two', 'three']
