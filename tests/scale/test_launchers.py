"""mim starts the ranks: torchrun, and Slurm with stand-ins for srun and scontrol, for there is no cluster here."""

import json
import socket
import sys
from pathlib import Path

import pytest
import torch

from tests.scale import runs

pytestmark = pytest.mark.long
MIM = str(Path(sys.executable).with_name('mim'))
# A node with two tasks: says what it was asked for, then does it as srun would, and ends with the first that fails.
SRUN = f"""#!{sys.executable}
import json, os, subprocess, sys, time
line = sys.argv[1:]
json.dump(line, open('srun.json', 'w'))
count = next(int(part.partition('=')[2]) for part in line if part.startswith('--ntasks='))
command = line[line.index(sys.executable):]
slurm = dict(SLURM_NTASKS=str(count), SLURM_NODELIST='node[07]', SLURM_JOB_ID='1')
ranks = range(count)
tasks = [
    subprocess.Popen(command, env=dict(os.environ, **slurm, SLURM_PROCID=str(rank), SLURM_LOCALID=str(rank)))
    for rank in ranks
]
while any(task.poll() is None for task in tasks) and not any(task.poll() for task in tasks):
    time.sleep(0.1)
for task in tasks:
    task.kill()
sys.exit(max(abs(task.wait()) for task in tasks))
"""
SCONTROL = '#!/bin/sh\necho "$@" >> scontrol.txt\necho localhost\n'


@pytest.fixture
def cluster(bench, monkeypatch):
    """srun and scontrol on the PATH."""
    tools = bench.folder / 'bin'
    tools.mkdir(exist_ok=True)
    for name, text in dict(srun=SRUN, scontrol=SCONTROL).items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    monkeypatch.setitem(bench.environment, 'PATH', f'{tools}:{bench.environment["PATH"]}')
    return bench


def free_port():
    with socket.socket() as found:
        found.bind(('localhost', 0))
        return found.getsockname()[1]


def mim_train(bench, name, *launch, **settings):
    """Two iterations of each rank; what mim printed."""
    job = runs.pretrain(bench, name, runs.DEIT, 2, train_cfg=dict(max_epochs=1), **settings)
    config, *rest = job['arguments']
    return bench.call(MIM, 'train', 'onedl-mmpretrain', config, *launch, '--port', free_port(), *rest)


def agree(bench, name):
    first, second = (bench.parameters(name, rank) for rank in (0, 1))
    assert all(torch.equal(first[key], second[key]) for key in first)
    seen = [bench.seen(name, rank) for rank in (0, 1)]
    assert seen[0]['iterations'] == seen[1]['iterations'] == runs.BATCHES // 2
    assert seen[0]['loss'] != seen[1]['loss']


def test_mim_with_torchrun(bench):
    printed = mim_train(bench, 'torchrun', '--launcher', 'pytorch', '--gpus', '2')
    assert 'torch.distributed.launch --nproc_per_node=2' in printed
    agree(bench, 'torchrun')


def test_mim_with_slurm(cluster):
    launch = ['--launcher', 'slurm', '--gpus', '2', '--gpus-per-node', '2', '--partition', 'gpu']
    mim_train(cluster, 'slurm', *launch, '--srun-args', '--time=1-0')
    line = json.loads((cluster.folder / 'srun.json').read_text())
    start = line.index(sys.executable)
    assert line[:start] == [
        '-p', 'gpu', '--gres=gpu:2', '--ntasks=2', '--ntasks-per-node=2', '--cpus-per-task=2', '--kill-on-bad-exit=1',
        '--time=1-0', '--job-name=slurm_train',
    ]  # fmt: skip
    assert line[start + 1] == '-u' and line[-2:] == ['--work-dir', str(cluster.folder / 'slurm')]
    assert line[start + 4 : start + 6] == ['--launcher', 'slurm']
    assert (cluster.folder / 'scontrol.txt').read_text().splitlines() == ['show hostname node[07]'] * 2
    agree(cluster, 'slurm')
