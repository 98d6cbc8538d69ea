"""Sampler and hooks of the runs, and a script for one rank.

``on_cpu.py JOBS.json`` runs several jobs in one process, each with the script of its toolkit, because imports take most
of the time of a short run. Without a GPU, ``torch.cuda.set_device``, which mmengine's launchers call, does nothing.
"""

import importlib.util
import json
import math
import os
import random
import runpy
import sys
import traceback
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import barrier, get_dist_info, is_distributed
from mmengine.hooks import Hook
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DATA_SAMPLERS, FUNCTIONS, HOOKS, DefaultScope
from mmengine.visualization import Visualizer
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.fsdp._common_utils import clean_tensor_name
from torch.distributed.fsdp.wrap import size_based_auto_wrap_policy
from torch.utils.data import Sampler

if not torch.cuda.is_available():
    torch.cuda.set_device = lambda device: None


@DATA_SAMPLERS.register_module()
class Dealt(Sampler):
    """Distribute whole batches to ranks, so that the batches do not depend on the number of ranks."""

    def __init__(self, dataset, batch, batches, **_):
        self.batch, self.batches = batch, batches

    def __iter__(self):
        rank, world = get_dist_info()
        return (at for number in range(rank, self.batches, world) for at in range(*self._span(number)))

    def _span(self, number):
        return number * self.batch, (number + 1) * self.batch

    def __len__(self):
        return self.batches // get_dist_info()[1] * self.batch


@HOOKS.register_module()
class SeedByBatch(Hook):
    """Seed by the number of the batch, which does not depend on the number of ranks."""

    priority = 'LOWEST'  # after other hooks that seed

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        rank, world = get_dist_info()
        number = runner.iter * world + rank
        torch.manual_seed(number)
        np.random.seed(number)  # noqa: NPY002  mmpretrain draws the augment with it
        random.seed(number)


@HOOKS.register_module()
class Witness(Hook):
    """Write the observations of a rank to ``rankN.json`` and its parameters to ``rankN.pth``."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.seen = dict(iterations=0, mixed=[])

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.seen['iterations'] += 1
        self.seen['loss'] = float(outputs['loss'])
        lam = runner.message_hub.log_scalars.get('train/lam_attn')  # only for mixed batches
        self.seen['mixed'].append(math.nan if lam is None else float(lam.current()))

    def after_train(self, runner):
        whole = isinstance(runner.model, FullyShardedDataParallel)
        with FullyShardedDataParallel.summon_full_params(runner.model) if whole else nullcontext():
            named = runner.model.named_parameters()
            units = [name for name, part in runner.model.named_modules() if isinstance(part, FullyShardedDataParallel)]
            self.seen['units'] = [clean_tensor_name(name) for name in units if name] if whole else None
            kept = {clean_tensor_name(name).removeprefix('module.'): p.detach().clone() for name, p in named}
        torch.save(kept, self._path(runner, 'pth'))
        self._write(runner)

    def after_test_epoch(self, runner, metrics=None):
        self.seen['metrics'] = {name: float(value) for name, value in metrics.items()}
        self._write(runner)

    def _write(self, runner):
        self._path(runner, 'json').write_text(json.dumps(self.seen))

    @staticmethod
    def _path(runner, suffix):
        return Path(runner.work_dir, f'rank{get_dist_info()[0]}.{suffix}')


@FUNCTIONS.register_module()
def by_size(module, recurse, nonwrapped_numel):
    """Wrap blocks, projections and the head as FSDP units."""
    return size_based_auto_wrap_policy(module, recurse, nonwrapped_numel, min_num_params=600)


MANAGERS = DefaultScope, MMLogger, MessageHub, Visualizer


def do(job):
    """Run the script of a toolkit; return its error or ''."""
    saved = [dict(manager._instance_dict) for manager in MANAGERS]
    folder = Path(importlib.util.find_spec(job['host']).submodule_search_locations[0])
    sys.argv = [str(folder / '.mim' / 'tools' / f'{job["tool"]}.py'), *job['arguments']]
    try:
        runpy.run_path(sys.argv[0], run_name='__main__')
    except Exception as error:
        traceback.print_exc()
        return f'{type(error).__name__}: {error}'
    finally:
        for manager, instances in zip(MANAGERS, saved, strict=True):
            manager._instance_dict.clear()
            manager._instance_dict.update(instances)
    return ''


def main(path):
    """Run all jobs and write the error of each, or '', to ``NAME.rankN``."""
    torch.set_num_threads(1)
    for job in json.loads(Path(path).read_text()):
        error = do(job)
        Path(path).with_name(f'{job["name"]}.rank{os.environ.get("RANK", "0")}').write_text(error)
        if is_distributed():
            barrier()  # keep the ranks in the same job


if __name__ == '__main__':
    sys.modules['on_cpu'] = sys.modules['__main__']  # for the configs
    main(sys.argv[1])
