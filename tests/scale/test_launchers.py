"""mim starts the ranks with torchrun."""

import socket
import sys
from pathlib import Path

import pytest
import torch

from tests.scale import runs

pytestmark = pytest.mark.long
MIM = str(Path(sys.executable).with_name('mim'))


def free_port():
    with socket.socket() as found:
        found.bind(('localhost', 0))
        return found.getsockname()[1]


def mim_train(bench, name, *launch, **settings):
    """Train two iterations per rank; return the output of mim."""
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
