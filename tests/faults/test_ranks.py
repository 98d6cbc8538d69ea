"""Hooks on two ranks (torchrun, gloo): one checkpoint, and a NaN on one rank.

Run as a script, this file is one of the ranks.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import distributed

from mixpro_mm.utils.checkpoint import read_checkpoint


class Poison(Hook):
    """Set the images of rank 1 to NaN in iteration 5."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 5 and distributed.get_rank() == 1:
            data_batch['inputs'] = [image.float() * torch.nan for image in data_batch['inputs']]


def one_rank(folder):
    """Train two epochs, then resume for a third with NaN images."""
    torch.set_num_threads(1)
    distributed.init_process_group('gloo')  # mmengine's function needs a GPU per rank
    rank = distributed.get_rank()
    (folder / f'pid{rank}').write_text(str(os.getpid()))
    config = Config.fromfile(folder / 'config.py')
    runner = Runner.from_cfg(config)
    runner.train()
    torch.save(runner.model.module.state_dict(), folder / f'rank{rank}.pth')
    distributed.barrier()
    config.merge_from_dict(dict(resume=True, experiment_name='poisoned', train_cfg=dict(max_epochs=3)))
    runner = Runner.from_cfg(config)
    runner.register_hook(Poison())
    runner.train()


@pytest.mark.long
def test_two_ranks_keep_one_checkpoint_and_end_at_the_nan_of_one(tiny, tmp_path):
    work_dir = tmp_path / 'work'
    wrapper = dict(type='MMDistributedDataParallel', device_ids=None)
    config = tiny(work_dir, launcher='pytorch', model_wrapper_cfg=wrapper, **{'train_cfg.max_epochs': 2})
    config.dump(tmp_path / 'config.py')
    run = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2', __file__, tmp_path]
    done = subprocess.run(run, capture_output=True, text=True, timeout=600)

    # one complete checkpoint with the weights of both ranks
    path = work_dir / 'epoch_2.pth'
    tensors = read_checkpoint(path).tensors
    for rank in range(2):
        mine = torch.load(tmp_path / f'rank{rank}.pth')
        assert mine.keys() == tensors.keys() and all(torch.equal(mine[name], tensors[name]) for name in mine)
    assert (work_dir / 'last_checkpoint').read_text() == str(path)

    # the rank with the NaN reports it and saves its batch; both ranks stop
    assert done.returncode != 0
    kept = work_dir / 'nonfinite_loss_iter_6_rank1.pth'
    message = f'loss is nan at iteration 6 of the run, in epoch 3; the step was not taken; its batch is in {kept}, '
    assert done.stderr.count(f'{message}the last checkpoint is {path}.') == 1, done.stderr[-4000:]
    assert sorted(work_dir.glob('*.pth')) == [path, kept] and not list(work_dir.glob('.*.pth'))
    assert all(image.isnan().all() for image in torch.load(kept, weights_only=True)['batch']['inputs'])
    for rank in range(2):
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / f'pid{rank}').read_text()), 0)


if __name__ == '__main__':
    one_rank(Path(sys.argv[1]))
