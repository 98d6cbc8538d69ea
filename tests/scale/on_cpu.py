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
from mmengine.registry import DATA_SAMPLERS, FUNCTIONS, HOOKS
from mmpretrain.registry import DATASETS
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.fsdp._common_utils import clean_tensor_name
from torch.distributed.fsdp.wrap import size_based_auto_wrap_policy
from torch.utils.data import Sampler

from mixpro_mm.datasets import Digits
from tests.conftest import globals_kept

if not torch.cuda.is_available():
    torch.cuda.set_device = lambda device: None


@DATA_SAMPLERS.register_module()
class Dealt(Sampler):
    """Distribute whole batches to ranks, so that the batches do not depend on the number of ranks."""

    def __init__(self, dataset, batch, batches, **_):
        rank, world = get_dist_info()
        self.order = [n * batch + at for n in range(rank, batches, world) for at in range(batch)]

    def __iter__(self):
        return iter(self.order)

    def __len__(self):
        return len(self.order)


@DATASETS.register_module()
class DigitsWithOOD(Digits):
    """Test scans with ``ood``, 1 for 8 and 9."""

    def load_data_list(self):
        return [dict(item, ood=int(item['gt_label'] > 7)) for item in super().load_data_list()]


@HOOKS.register_module()
class SeedByBatch(Hook):
    """Seed by the number of the batch, which does not depend on the number of ranks."""

    priority = 'LOWEST'  # after other hooks that seed

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        rank, world = get_dist_info()
        for seed in (torch.manual_seed, np.random.seed, random.seed):  # mmpretrain draws with numpy
            seed(runner.iter * world + rank)


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
        torch.save(kept, self._write(runner).with_suffix('.pth'))

    def after_test_epoch(self, runner, metrics=None):
        self.seen['metrics'] = {name: float(value) for name, value in metrics.items()}
        self._write(runner)

    def _write(self, runner):
        path = Path(runner.work_dir, f'rank{get_dist_info()[0]}.json')
        path.write_text(json.dumps(self.seen))
        return path


FUNCTIONS.register_module(module=size_based_auto_wrap_policy)


def do(job):
    """Run the script of a toolkit; return its error or ''."""
    folder = Path(importlib.util.find_spec(job['host']).submodule_search_locations[0])
    sys.argv = [str(folder / '.mim' / 'tools' / f'{job["tool"]}.py'), *job['arguments']]
    with globals_kept():
        try:
            runpy.run_path(sys.argv[0], run_name='__main__')
        except Exception as error:
            traceback.print_exc()
            return f'{type(error).__name__}: {error}'
    return ''


if __name__ == '__main__':
    sys.modules['on_cpu'] = sys.modules['__main__']  # for the configs
    torch.set_num_threads(1)
    path = Path(sys.argv[1])
    for job in json.loads(path.read_text()):  # write the error of each to ``NAME.rankN``
        path.with_name(f'{job["name"]}.rank{os.environ.get("RANK", "0")}').write_text(do(job))
        if is_distributed():
            barrier()  # keep the ranks in the same job
