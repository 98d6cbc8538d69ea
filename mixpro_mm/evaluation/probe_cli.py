"""Command line of the probe of frozen features."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import DictAction
from mmengine.runner import Runner

from mixpro_mm.utils.configs import read_config

__all__ = ['main']


def main(arguments: Sequence[str] | None = None) -> int:
    """Test the frozen features of a classifier by k-NN and logistic regression; return 0, or 1 on failure."""
    parser = argparse.ArgumentParser(prog='probe.py', description=f'{main.__doc__.split(";")[0]}. See docs/probe.md.')
    parser.add_argument('config', help='config of mmpretrain; its training and test images are used')
    parser.add_argument('--checkpoint', required=True, metavar='FILE')
    parser.add_argument('--random', action='store_true', help='also test the same model with random weights')
    parser.add_argument('--fp16', action='store_true', help='compute features in half precision')
    parser.add_argument('--work-dir', help='folder of probe.json (work_dirs/<name of the config>/probe)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='settings to override')
    args = parser.parse_args(arguments)
    try:
        if not Path(args.checkpoint).is_file():
            raise FileNotFoundError(f'there is no checkpoint {args.checkpoint}')
        config = read_config(args.config)
        own = config.get('test_cfg') or {}
        loop = dict(own) if str(own.get('type')).endswith('ProbeTestLoop') else dict(type='mixpro_mm.ProbeTestLoop')
        config.test_cfg = loop | {name: True for name in ('random', 'fp16') if getattr(args, name)}
        config.merge_from_dict(args.cfg_options or {})
        config.load_from, config.resume = args.checkpoint, False
        config.work_dir = args.work_dir or str(Path('work_dirs', Path(args.config).stem, 'probe'))
        metrics = Runner.from_cfg(config).test()
    except Exception as error:  # the toolkits raise many types
        print(f'probe: {" ".join(str(error).split()) or type(error).__name__}', file=sys.stderr)
        return 1
    print('\n'.join(f'{name:24}{value:6.2f}' for name, value in metrics.items()))
    print(f'record: {Path(config.work_dir, config.test_cfg.get("out", "probe.json"))}')
    return 0
