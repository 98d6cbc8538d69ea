"""Count parameters and multiply-adds of classifiers at 224 px: python tools/complexity.py [CONFIG ...]."""

import sys
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch.utils.flop_counter import FlopCounterMode

import mixpro_mm.utils.host_prints  # noqa: F401
from mixpro_mm.report.paper import read_paper
from mixpro_mm.utils.configs import find_configs, with_paths

BASELINES = [f'pretrain/{model}_mixup-cutmix_8xb128_in1k.py' for model in read_paper().tables['table1']]


def count(config: Config) -> tuple[int, int]:
    """Return the parameters and the multiply-adds of a forward pass of one image."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(dict(config.model, train_cfg=None)).to('meta').eval()
    with FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, 224, 224, device='meta'), mode='tensor')
    return sum(parameter.numel() for parameter in model.parameters()), counter.get_total_flops() // 2


if __name__ == '__main__':
    print('| config | parameters | GMACs |\n| --- | ---: | ---: |')
    for path in with_paths(sys.argv[1:]) or [find_configs() / name for name in BASELINES]:
        parameters, macs = count(Config.fromfile(path))
        print(f'| {Path(path).name} | {parameters:,} | {macs / 1e9:.3f} |')
