"""Command lines of the three launchers, and the total batch size."""

import dataclasses
import json
import sys

import pytest
import torch

from mixpro_mm.study import launch as module
from mixpro_mm.study.launch import Launch, stage_command
from mixpro_mm.study.plan import Plan, Stage
from mixpro_mm.utils.files import write_json

PYTHON = sys.executable


@pytest.fixture
def plan(tmp_path):
    """Pre-training on 8 GPUs x 128 for 300 epochs, a transfer on 4 x 4 for 80 iterations, and a command."""
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


def option(command, name):
    return command[command.index(name) + 1]


def test_one_process_and_torchrun(plan, tmp_path):
    stage = ['-m', 'mixpro_mm.study.stage', str(tmp_path / 'pre.py'), '--work-dir', f'{tmp_path}/w/pre', '--seed', '3']
    assert line(plan, 'pre', tmp_path / 'w') == [PYTHON, *stage, '--batch-size', '1024']
    run = [PYTHON, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node']
    end = ['--launcher', 'pytorch']
    assert line(plan, 'pre', tmp_path / 'w', launcher='pytorch') == [*run, '8', *stage, *end]
    two = dict(launcher='pytorch', gpus=2)
    assert line(plan, 'pre', tmp_path / 'w', **two) == [*run, '2', *stage, '--batch-size', '512', *end]
    for how in ({}, two):
        assert line(plan, 'data', tmp_path / 'w', **how) == [PYTHON, '-m', 'write', f'{tmp_path}/w/x']


def test_cfg_options_reach_the_stage_and_the_launcher(plan, tmp_path):
    options = {'train_dataloader.batch_size': 64, 'train_cfg.max_epochs': 7}
    stages = (dataclasses.replace(plan.stages[0], cfg_options=options), *plan.stages[1:])
    plan = dataclasses.replace(plan, stages=stages)
    command = line(plan, 'pre', tmp_path / 'w')
    assert json.loads(option(command, '--cfg-options')) == options and option(command, '--batch-size') == '512'
    assert option(line(plan, 'seg', tmp_path / 'w'), '--checkpoint') == str(tmp_path / 'w' / 'pre' / 'epoch_7.pth')
    (tmp_path / 'w' / 'pre').mkdir(parents=True)
    write_json(tmp_path / 'w' / 'pre' / 'done.json', dict(checkpoint='/else/where.pth'))
    assert option(line(plan, 'seg', tmp_path / 'w'), '--checkpoint') == '/else/where.pth'


def test_a_task_of_a_slurm_job(plan, tmp_path):
    """Nodes are filled; submitit starts the tasks."""
    seg = line(plan, 'seg', tmp_path / 'w', launcher='slurm')
    assert seg[:3] == [PYTHON, '-m', 'mixpro_mm.study.stage'] and seg[-3:] == ['--tta', '--launcher', 'slurm']
    assert '--batch-size' not in seg
    assert option(line(plan, 'pre', tmp_path / 'w', launcher='slurm', gpus=16), '--batch-size') == '64'
    for how, expected in ((dict(), (1, 8)), (dict(gpus=16), (2, 8)), (dict(gpus=4, gpus_per_node=2), (2, 2))):
        assert Launch('slurm', **how).nodes(plan.stages[0]) == expected


def test_stages_that_do_not_fit_the_launcher(plan, monkeypatch):
    pre, seg, _ = plan.stages
    for how in (dict(launcher='slurm'), dict(launcher='pytorch', gpus=4), dict(launcher='slurm', gpus=16)):
        Launch(**how).check_fit(pre)
    with pytest.raises(ValueError, match=r'stage pre: 12 GPUs .* 8'):
        Launch('slurm', 12).check_fit(pre)
    monkeypatch.setattr(module.shutil, 'which', lambda name: None)
    with pytest.raises(RuntimeError, match='needs sbatch and srun and sacct and scontrol,'):
        Launch('slurm').check_machine([pre])
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 4)
    Launch('pytorch', 4).check_machine([pre, seg])
    with pytest.raises(RuntimeError, match='stage pre needs 8 GPUs, but 4 are visible'):
        Launch('pytorch').check_machine([pre, seg])


def test_invalid_options():
    for how, words in (
        (dict(launcher='mpi'), "'mpi' is unknown; known: none, pytorch, slurm"),
        (dict(launcher='pytorch', gpus=-1), '--gpus .* -1'),
        (dict(gpus=4), '--gpus 4 .* --launcher'),
        (dict(launcher='slurm', gpus_per_node=0), '--gpus-per-node .* 0'),
        (dict(slurm=dict(qos='x')), '--launcher slurm'),
    ):
        with pytest.raises(ValueError, match=words):
            Launch(**how)
