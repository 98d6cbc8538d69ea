"""Command lines of the three launchers, and the total batch size."""

import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mixpro_mm.study import launch as module
from mixpro_mm.study.launch import Launch, stage_command
from mixpro_mm.study.plan import Plan, Stage
from mixpro_mm.utils.files import write_json

PYTHON = sys.executable


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """Pre-training on 8 GPUs x 128 for 300 epochs, a transfer on 4 x 4 for 80 iterations, and a command."""
    monkeypatch.delenv('SLURM_JOB_ID', raising=False)
    (tmp_path / 'pre.py').write_text('train_cfg = dict(max_epochs=300)\ntrain_dataloader = dict(batch_size=128)\n')
    (tmp_path / 'seg.py').write_text('train_cfg = dict(max_iters=80)\ntrain_dataloader = dict(batch_size=4)\n')
    row = dict(backbone='DeiT', pretraining='mixpro')
    pre = Stage(name='pre', config=str(tmp_path / 'pre.py'), task='classification', gpus=8, **row)
    config = str(tmp_path / 'seg.py')
    seg = Stage(name='seg', config=config, task='segmentation', gpus=4, checkpoint='pre', tta=True, **row)
    data = Stage(name='data', command=('-m', 'write', '{work_dir}/x'))
    return Plan('T', (pre, seg, data), seed=3, jobs=1, config='study.py')


def line(plan, name, work_dir, **how):
    return stage_command(plan, plan.stage(name), work_dir, Launch(**how))


def test_one_process(plan, tmp_path):
    assert line(plan, 'pre', tmp_path / 'w') == [
        PYTHON, '-m', 'mixpro_mm.study.stage', str(tmp_path / 'pre.py'), '--work-dir', str(tmp_path / 'w' / 'pre'),
        '--seed', '3', '--batch-size', '1024',
    ]  # fmt: skip
    assert line(plan, 'data', tmp_path / 'w') == [PYTHON, '-m', 'write', f'{tmp_path}/w/x']


def test_cfg_options_reach_the_stage_and_the_launcher(plan, tmp_path):
    options = {'train_dataloader.batch_size': 64, 'train_cfg.max_epochs': 7}
    stages = (dataclasses.replace(plan.stages[0], cfg_options=options), *plan.stages[1:])
    plan = dataclasses.replace(plan, stages=stages)
    command = line(plan, 'pre', tmp_path / 'w')
    assert json.loads(command[command.index('--cfg-options') + 1]) == options
    assert command[command.index('--batch-size') + 1] == '512'
    assert str(tmp_path / 'w' / 'pre' / 'epoch_7.pth') in line(plan, 'seg', tmp_path / 'w')


def test_torchrun(plan, tmp_path):
    stage = ['-m', 'mixpro_mm.study.stage', str(tmp_path / 'pre.py'), '--work-dir', str(tmp_path / 'w' / 'pre')]
    run = [PYTHON, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node']
    assert line(plan, 'pre', tmp_path / 'w', launcher='pytorch') == [
        *run, '8', *stage, '--seed', '3', '--launcher', 'pytorch',
    ]  # fmt: skip
    assert line(plan, 'pre', tmp_path / 'w', launcher='pytorch', gpus=2) == [
        *run, '2', *stage, '--seed', '3', '--batch-size', '512', '--launcher', 'pytorch',
    ]  # fmt: skip
    assert line(plan, 'data', tmp_path / 'w', launcher='pytorch', gpus=2)[:3] == [PYTHON, '-m', 'write']


def test_srun(plan, tmp_path, monkeypatch):
    how = dict(launcher='slurm', partition='gpu', srun_args=['--time=3-0', '--comment=two words'])
    command = line(plan, 'seg', tmp_path / 'w', **how)
    assert command[:3] == ['env', '-u', 'MASTER_ADDR'] and command[4:13] == [
        'OMP_NUM_THREADS=5', 'MKL_NUM_THREADS=5',
        'srun', '--job-name=seg', '--gres=gpu:4', '--ntasks=4', '--ntasks-per-node=4', '--cpus-per-task=5',
        '--kill-on-bad-exit=1',
    ]  # fmt: skip
    assert command[13:19] == ['--partition=gpu', '--time=3-0', '--comment=two words', PYTHON, '-u', '-m']
    assert command[-3:] == ['--tta', '--launcher', 'slurm'] and '--batch-size' not in command
    many = line(plan, 'pre', tmp_path / 'w', launcher='slurm', gpus=16)
    assert many[8:11] == ['--gres=gpu:8', '--ntasks=16', '--ntasks-per-node=8'] and '--partition' not in str(many)
    assert many[many.index('--batch-size') + 1] == '64'
    monkeypatch.setenv('SLURM_JOB_ID', '7')  # inside an allocation
    inside = line(plan, 'seg', tmp_path / 'w', **how)
    assert [part for part in inside if part != '--exact'] == command
    assert inside.index('--exact') < inside.index(PYTHON)


@pytest.mark.parametrize(
    ('srun_args', 'threads'),
    [(['--cpus-per-task=9'], '9'), (['-c', '3', '--qos=x'], '3'), (['-c3'], '3'), (['--mem=5G'], '5'), (['-c'], '5')],
)
def test_threads_of_srun_are_the_cores_of_a_task(plan, tmp_path, srun_args, threads):
    command = line(plan, 'seg', tmp_path / 'w', launcher='slurm', srun_args=srun_args)
    assert command[4:6] == [f'OMP_NUM_THREADS={threads}', f'MKL_NUM_THREADS={threads}']


def test_ports_of_srun_differ_between_stages_and_studies(plan):
    lines = [line(plan, name, Path(folder), launcher='slurm') for name in ('pre', 'seg') for folder in ('/w', '/v')]
    assert len({command[3] for command in lines}) == 4
    assert line(plan, 'pre', Path('/w'), launcher='slurm') == lines[0]
    stages = [Stage(name=f's{number}', config='x') for number in range(500)]
    ports = [int(Launch('slurm').command(stage, [], '/w')[3].removeprefix('MASTER_PORT=')) for stage in stages]
    assert 20000 <= min(ports) < 20300 and 32400 < max(ports) < 32768


def test_checkpoint_of_the_parent(plan, tmp_path):
    before = line(plan, 'seg', tmp_path / 'w')
    assert before[before.index('--checkpoint') + 1] == str(tmp_path / 'w' / 'pre' / 'epoch_300.pth')
    (tmp_path / 'w' / 'pre').mkdir(parents=True)
    write_json(tmp_path / 'w' / 'pre' / 'done.json', dict(checkpoint='/else/where.pth'))
    after = line(plan, 'seg', tmp_path / 'w')
    assert after[after.index('--checkpoint') + 1] == '/else/where.pth'


@pytest.mark.parametrize(
    ('gpus', 'batch', 'available', 'each'), [(8, 128, 4, 256), (4, 4, 16, 1), (8, 2, 1, 16), (None, 128, 2, 64)]
)
def test_the_total_batch_size_is_kept(tmp_path, gpus, batch, available, each):
    (tmp_path / 'a.py').write_text(f'train_dataloader = dict(batch_size={batch})')
    stage = Stage(name='a', config=str(tmp_path / 'a.py'), gpus=gpus)
    assert Launch('slurm', available).batch_size(stage) == each
    assert Launch('slurm').batch_size(stage) is None and Launch('slurm').processes(stage) == (gpus or 1)


def test_stages_that_do_not_fit_the_launcher(plan, tmp_path):
    for how in (dict(launcher='slurm'), dict(launcher='pytorch', gpus=4), dict(launcher='slurm', gpus=16)):
        Launch(**how).check_fit(plan.stages[0])
    with pytest.raises(ValueError, match=r'stage pre: 12 GPUs .* 8'):
        Launch('slurm', 12).check_fit(plan.stages[0])
    with pytest.raises(ValueError, match=r'stage seg takes 4 x 4 = 16 images .* 3 GPUs'):
        Launch('pytorch', 3).check_fit(plan.stages[1])
    (tmp_path / 'a.py').write_text('x = 1')
    with pytest.raises(ValueError, match=r'stage a: .*a\.py has no train_dataloader\.batch_size'):
        Launch('pytorch', 2).check_fit(Stage(name='a', config=str(tmp_path / 'a.py')))


@pytest.mark.parametrize(
    ('how', 'words'),
    [
        (dict(launcher='mpi'), "'mpi' is unknown; known: none, pytorch, slurm"),
        (dict(launcher='pytorch', gpus=-1), '--gpus .* -1'),
        (dict(gpus=4), '--gpus 4 .* --launcher'),
        (dict(launcher='slurm', gpus_per_node=0), '--gpus-per-node .* 0'),
        (dict(launcher='pytorch', partition='gpu'), '--launcher slurm'),
        (dict(srun_args=['--qos=x']), '--launcher slurm'),
    ],
)
def test_invalid_options(how, words):
    with pytest.raises(ValueError, match=words):
        Launch(**how)


def test_a_missing_launcher_or_gpu_is_an_error(plan, monkeypatch):
    train = plan.stages[:2]
    monkeypatch.setattr(module.shutil, 'which', lambda name: None)
    with pytest.raises(RuntimeError, match='srun'):
        Launch('slurm').check_machine(train)
    monkeypatch.setattr(module.shutil, 'which', lambda name: f'/usr/bin/{name}')
    Launch('slurm').check_machine(train)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 4)
    Launch('pytorch', 4).check_machine(train)
    with pytest.raises(RuntimeError, match='stage pre needs 8 GPUs, but 4 are visible'):
        Launch('pytorch').check_machine(train)


@pytest.mark.long
def test_ranks_end_with_a_killed_torchrun(tmp_path):
    script = tmp_path / 'rank.py'
    script.write_text(
        'import os, time\nfrom mixpro_mm.study.processes import die_with_parent\ndie_with_parent(os.getppid())\n'
        f'open({str(tmp_path)!r} + "/pid" + os.environ["RANK"], "w").write(str(os.getpid()))\ntime.sleep(600)\n'
    )
    command = [PYTHON, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2', str(script)]
    parent = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    pids = [tmp_path / f'pid{rank}' for rank in range(2)]
    while not all(path.exists() and path.read_text() for path in pids):
        assert parent.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    for path in pids:
        status = Path(f'/proc/{path.read_text()}/status')
        while status.exists() and 'State:\tZ' not in status.read_text():
            assert time.monotonic() < deadline, 'a rank survived its torchrun'
            time.sleep(0.1)
