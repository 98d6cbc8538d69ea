"""Stages as jobs: sbatch scripts, and real processes of submitit's LocalExecutor."""

import contextlib
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from unittest import mock

import pytest
import torch
from mmengine.config import Config
from submitit import LocalExecutor, SlurmJob

from mixpro_mm.study import cluster, stage
from mixpro_mm.study.cluster import ClusterRunner, check_commands, slurm_executor
from mixpro_mm.study.launch import Launch
from mixpro_mm.study.plan import Plan, Stage, read_plan
from mixpro_mm.study.runner import StageError, StudyRunner
from tests.config_rows import CONFIGS, FIND

PAPER = CONFIGS / 'study' / 'paper.py'
SBATCH = 'n=$((101 + $(ls "$RECORDS" | wc -l))); cp "$1" "$RECORDS/$n"; echo "Submitted batch job $n"'
SACCT = 'echo "JobID|State|NodeList"; cat "$RECORDS.states"'
PROGRAMS = dict(sbatch=SBATCH, sacct=SACCT, srun='exit 1', scontrol='exit 1', scancel='echo "$@" >> "$RECORDS.ended"')


class Slurm:
    """Programs of Slurm that record what they get."""

    def __init__(self, folder):
        self.records, self.states, self.ended = (folder / f'slurm{end}' for end in ('', '.states', '.ended'))
        self.records.mkdir()
        self.states.touch()

    def scripts(self):
        """Return the directives of each script, and its last command."""
        found = {}
        for path in sorted(self.records.iterdir()):
            text = path.read_text()
            pairs = re.findall(r'^#SBATCH --([\w-]+)(?:=(.*))?$', text, re.MULTILINE)
            found[int(path.name)] = dict(pairs), text.strip().splitlines()[-1]
        return found


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    (tmp_path / 'bin').mkdir()
    for name, script in PROGRAMS.items():
        (tmp_path / 'bin' / name).write_text(f'#!/bin/sh\n{script}\n')
        (tmp_path / 'bin' / name).chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path / "bin"}:{os.environ["PATH"]}')
    monkeypatch.setenv('RECORDS', str(tmp_path / 'slurm'))
    SlurmJob.watcher.clear()
    return Slurm(tmp_path)


def submit(plan, work_dir, launch):
    """Attach and submit as ``run`` does, without waiting."""
    with contextlib.closing(ClusterRunner(plan, work_dir, launch)) as runner:
        waiting = runner.attach(runner._begin())
        assert runner.submit(waiting) == []


def run(plan, work_dir, launch=None, executor=None):
    with contextlib.closing(ClusterRunner(plan, work_dir, launch or Launch('slurm'), executor)) as runner:
        runner.run()


@pytest.mark.parametrize(('gpus', 'nodes', 'on_node'), [(1, 1, 1), (None, 1, 8), (16, 2, 8)])
def test_scripts_of_the_paper(slurm, tmp_path, gpus, nodes, on_node):
    """44 pre-trainings and rows without one are an array; two transfers from the same checkpoint another."""
    with mock.patch.object(Config, '_get_cfg_path', FIND):
        plan = read_plan(PAPER)
    options = dict(account='abc', mem='200GB', setup='module load cuda')
    submit(plan, tmp_path / 'w', Launch('slurm', gpus, partition='a100', slurm=options))
    scripts = slurm.scripts()
    alone = [stage.name for stage in plan.stages if not stage.waits_for and (gpus or stage.gpus == 8)]
    first, command = scripts[101]
    expected = {
        'job-name': 'w', 'partition': 'a100', 'time': '1440', 'signal': 'USR2@90', 'requeue': '', 'mem': '200GB',
        'array': f'0-{len(alone) - 1}%{len(alone)}', 'nodes': str(nodes), 'ntasks-per-node': str(on_node),
        'gpus-per-node': str(on_node), 'cpus-per-task': '5', 'kill-on-invalid-dep': 'yes', 'account': 'abc',
    }  # fmt: skip
    assert {key: first[key] for key in expected} == expected and 'dependency' not in first
    assert 'module load cuda' in (slurm.records / '101').read_text().splitlines()
    assert command.startswith('srun --unbuffered') and '--cpus-per-task=5 --kill-on-bad-exit=1' in command
    transfers = {directives['job-name']: directives for directives, _ in scripts.values() if 'dependency' in directives}
    pvt = transfers['mask-rcnn_pvt-small_mixpro']
    assert pvt['dependency'] == f'afterok:101_{alone.index("pvt-small_mixpro")}' and 'array' not in pvt
    arrays = [directives for number, (directives, _) in scripts.items() if number > 101 and 'array' in directives]
    starts = [f'afterok:101_{alone.index(f"deit-small_{method}")}' for method in ('baseline', 'transmix', 'mixpro')]
    assert [(found['dependency'], found['array']) for found in arrays] == [(start, '0-1%2') for start in starts]
    assert {found['gpus-per-node'] for found in arrays} == {str(min(gpus or 4, 8))}
    assert len(scripts) == (7 if gpus else 8)  # 4 GPUs of DeepLabV3+ are not alike


A, B, C = Stage('a', 'x'), Stage('b', 'x', needs=('a',)), Stage('c', 'x')
PLAN = Plan('T', (A, B, C), 0, 1, '')


def record(work_dir):
    return {path.parent.name: json.loads(path.read_text())['id'] for path in sorted(work_dir.glob('*/job.json'))}


def test_jobs_are_found_again_or_submitted_again(slurm, tmp_path, capsys):
    """Job 103 of the dependent stage b cannot start after job 101_0 of stage a failed."""
    launch, work = Launch('slurm'), tmp_path / 'w'
    submit(PLAN, work, launch)
    assert record(work) == dict(a='101_0', b='102', c='101_1')
    slurm.states.write_text('101_0|RUNNING|\n101_1|RUNNING|\n102|PENDING|\n')
    SlurmJob.watcher.clear()
    submit(PLAN, work, launch)
    assert len(slurm.scripts()) == 2 and 'b: waits for job 102' in capsys.readouterr().out
    slurm.states.write_text('101_0|FAILED|\n101_1|RUNNING|\n102|PENDING|\n')
    SlurmJob.watcher.clear()
    submit(PLAN, work, launch)
    assert record(work) == dict(a='103', b='104', c='101_1') and slurm.ended.read_text() == '102\n'
    assert slurm.scripts()[104][0]['dependency'] == 'afterok:103'
    with contextlib.closing(StudyRunner(PLAN, work)) as runner, pytest.raises(RuntimeError, match='a has job 103'):
        runner.run()


def test_an_interrupt_leaves_the_jobs(slurm, tmp_path):
    timer = threading.Timer(1, os.kill, [os.getpid(), signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt, match=r'the jobs continue: the same command .*`scancel 101 102`'):
        run(PLAN, tmp_path / 'w')
    assert record(tmp_path / 'w') == dict(a='101_0', b='102', c='101_1') and not slurm.ended.exists()


def test_commands_run_before_the_jobs(slurm, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, 'CHECK', 0)
    slurm.states.write_text('101|TIMEOUT|\n')
    command = Stage('data', command=('-c', f'print(not any(__import__("os").scandir({str(slurm.records)!r})))'))
    with pytest.raises(StageError, match=r'^stage a failed \(job 101: TIMEOUT\)'):
        run(Plan('T', (command, Stage('a', 'x', needs=('data',))), 0, 1, ''), tmp_path / 'w')
    assert (tmp_path / 'w' / 'data' / 'stage.log').read_text() == 'True\n'
    assert json.loads((tmp_path / 'w' / 'data' / 'done.json').read_text())['command'] == list(command.command)


@pytest.mark.parametrize('state', ['PENDING', 'CANCELLED'])
def test_failed_jobs(slurm, tmp_path, monkeypatch, state):
    """A job that ended before its stage began shows its own log. The jobs of stages b and d are left to Slurm."""
    monkeypatch.setattr(cluster, 'CHECK', 0)
    slurm.states.write_text(f'101_0|OUT_OF_MEMORY|\n101_1|TIMEOUT|\n102|{state}|\n103|{state}|\n')
    (tmp_path / 'w' / 'jobs').mkdir(parents=True)
    (tmp_path / 'w' / 'jobs' / '101_0_0_log.err').write_text('slurmstepd: killed')
    with pytest.raises(StageError) as error:
        run(dataclasses.replace(PLAN, stages=(*PLAN.stages, Stage('d', 'x', needs=('b',)))), tmp_path / 'w')
    lines = str(error.value).splitlines()
    assert lines[:3] == [
        '2 stages failed: a, c',
        'stage a failed (job 101_0: OUT_OF_MEMORY); its last lines:',
        '  slurmstepd: killed',
    ]
    assert lines[-1].endswith(': b, d') and record(tmp_path / 'w') == {}


def test_invalid_parameters_are_refused(slurm, tmp_path):
    for given, words in (
        (dict(tyme=3), r"--slurm: .*'tyme'.* time \(default"),
        (dict(time='3-0'), "--slurm time .* '3-0'"),
        (dict(nodes=2), '--slurm nodes'),
    ):
        with pytest.raises(ValueError, match=words) as error:
            slurm_executor(tmp_path, Launch('slurm', slurm=given))
        assert '\n' not in str(error.value)
    command = Stage('figure', command=('-c', 'pass'), needs=('a',))
    with pytest.raises(ValueError, match='stage figure is a command that waits for a: not with --launcher slurm'):
        check_commands(Plan('T', (A, command), 0, 1, ''))
    with mock.patch.dict(sys.modules, submitit=None), pytest.raises(RuntimeError, match='pip install submitit'):
        slurm_executor(tmp_path, Launch('slurm'))


HOOK = """
import os, signal, time
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
@HOOKS.register_module(force=True)
class WaitForFile(Hook):
    def __init__(self, file, iteration, limit):
        self.file, self.iteration, self.limit = file, iteration, limit
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        waits = runner.iter == self.iteration and not os.path.exists(self.file)
        if waits and self.limit:
            os.kill(os.getppid(), signal.SIGUSR2)
        while waits and not os.path.exists(self.file):
            waits = not any(getattr(hook, 'stopping', False) for hook in runner.hooks)
            time.sleep(0.1)
"""


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Return a function that writes a config whose training waits for the file ``go`` before an iteration.

    With ``limit``, its job gets the signal that comes before the time limit.
    """
    (tmp_path / 'wait_for_file.py').write_text(HOOK)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))

    def write(name, iteration, limit=False, **settings):
        settings = (
            dict(
                _base_=str(CONFIGS / 'digits' / 'deit-micro_mixpro_digits.py'),
                custom_imports=dict(imports=['wait_for_file']),
                custom_hooks=[
                    dict(type='mixpro_mm.LabelingHook'),
                    dict(type='mixpro_mm.IterSeedHook'),
                    dict(type='WaitForFile', file=str(tmp_path / 'go'), iteration=iteration, limit=limit),
                ],
                train_dataloader=dict(batch_size=2, dataset=dict(indices=6)),
                val_dataloader=dict(dataset=dict(indices=2)),
                test_dataloader=dict(dataset=dict(indices=20)),
                train_cfg=dict(max_epochs=1),
                default_hooks=dict(checkpoint=dict(interval=1)),
                param_scheduler=[],
            )
            | settings
        )
        (tmp_path / name).write_text('\n'.join(f'{key} = {value!r}' for key, value in settings.items()))
        return str(tmp_path / name)

    return write


@pytest.mark.long
def test_a_stage_at_its_time_limit_resumes_exactly(tiny, tmp_path, monkeypatch, capsys):
    """It saves after the running iteration, the third of five. The result is that of a run without a limit."""
    monkeypatch.setattr(cluster, 'CHECK', 1)
    loop = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=5, val_interval=100)
    sampler = dict(_delete_=True, type='InfiniteSampler', shuffle=True)
    config = tiny(
        'iterations.py',
        2,
        limit=True,
        train_dataloader=dict(batch_size=2, sampler=sampler, dataset=dict(indices=6)),
        train_cfg=loop,
        default_hooks=dict(checkpoint=dict(interval=100, by_epoch=False)),
        param_scheduler=[dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=5)],
    )
    executor, plan = LocalExecutor(tmp_path / 'w' / 'jobs'), Plan('T', (Stage('a', config),), 0, 1, '')
    executor.update_parameters(timeout_min=10, signal_delay_s=1)
    launch = Launch()
    object.__setattr__(launch, 'slurm', dict(cpus_per_task=1))  # as here, because sums depend on the threads
    run(plan, tmp_path / 'w', launch, executor)
    folder = tmp_path / 'w' / 'a'
    assert 'a: finished in' in capsys.readouterr().out and not (folder / 'job.json').exists()
    assert (folder / 'stage.log').read_text().count('stopped by SIGUSR2') == 1
    assert {path.name for path in folder.glob('*.pth')} == {'iter_3.pth', 'iter_5.pth'}
    (tmp_path / 'go').touch()
    assert stage.main([config, '--work-dir', str(tmp_path / 'straight')]) == 0
    done, expected = (json.loads((path / 'done.json').read_text()) for path in (folder, tmp_path / 'straight'))
    for key in ('seconds', 'checkpoint', 'checkpoint_sha256'):  # a checkpoint contains its time
        del done[key], expected[key]
    assert done == expected
    left, right = (
        torch.load(path / 'iter_5.pth', weights_only=False)['state_dict'] for path in (folder, tmp_path / 'straight')
    )
    assert all(torch.equal(left[name], right[name]) for name in right)


HEAD = """
import contextlib, sys
from pathlib import Path
from submitit import LocalExecutor
from submitit.local.local import LocalJob
from mixpro_mm.study import cluster
from mixpro_mm.study.launch import Launch
from mixpro_mm.study.plan import Plan, Stage

class FoundJob(LocalJob):
    def get_info(self, mode='force'):
        status = Path(f'/proc/{self.job_id}/status')
        runs = self._process is None and status.exists() and 'State:\\tZ' not in status.read_text()
        return dict(jobState='RUNNING') if runs else super().get_info(mode)

class FindingExecutor(LocalExecutor):
    job_class = FoundJob

cluster.CHECK = 1
work, first, second = Path(sys.argv[1]), Stage('a', sys.argv[2]), Stage('b', sys.argv[3], checkpoint='a')
executor = FindingExecutor(work / 'jobs')
executor.update_parameters(timeout_min=10, signal_delay_s=1)
plan = Plan('T', (first, second), 0, 1, '')
with contextlib.closing(cluster.ClusterRunner(plan, work, Launch(), executor)) as runner:
    runner.run()
"""


@pytest.mark.long
def test_jobs_continue_without_the_study(tiny, tmp_path):
    """The study is killed during stage a. It finds the job again, and then runs b from the checkpoint of a."""
    configs = tiny('first.py', 0), tiny('second.py', 100)
    command, work = [sys.executable, '-c', HEAD, str(tmp_path / 'w'), *configs], tmp_path / 'w'
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as study:
        wait_for(lambda: (work / 'a' / 'stage.json').exists())
        study.kill()
    number = record(work)['a']
    study = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    lines = iter(study.stdout.readline, '')
    assert next(line for line in lines if 'a: ' in line).endswith(f'a: waits for job {number}\n')
    (tmp_path / 'go').touch()
    rest = ''.join(lines)
    assert study.wait() == 0 and rest.index('a: finished') < rest.index('b: job') < rest.index('b: finished')
    assert record(work) == {} and (work / 'a' / 'stage.log').read_text().count('Saving checkpoint') == 1
    assert f'load backbone. in model from: {work}/a/epoch_1.pth' in (work / 'b' / 'stage.log').read_text()


def wait_for(condition):
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
