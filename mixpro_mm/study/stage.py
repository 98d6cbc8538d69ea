"""One training stage in a process of its own: train or resume, test, and say so in ``done.json``."""

import argparse
import hashlib
import os
import sys
import time
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mixpro_mm.checkpoint import read_state_dict
from mixpro_mm.files import read_json, sha256_of, write_json

__all__ = ['DONE', 'OTHER_STAGE', 'PROGRESS', 'fingerprint', 'last_checkpoint', 'main', 'stage_config']

DONE, PROGRESS, STARTED = 'done.json', 'progress.json', 'stage.json'
OTHER_STAGE = '{} holds a stage of another config, seed or checkpoint: remove that folder, or name another work dir'


class ProgressHook(Hook):
    """Writes iterations done and in all, and the seconds spent so far, to ``progress.json`` about once a second."""

    def __init__(self, path: Path):
        self.path, self.start, self.written = path, time.monotonic(), 0.0
        self.earlier = (read_json(path) or {}).get('seconds', 0.0)  # by runs that were cut

    @property
    def seconds(self) -> float:
        """Spent on this stage, earlier runs included."""
        return round(self.earlier + time.monotonic() - self.start, 1)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Note where training stands."""
        if time.monotonic() - self.written > 1:
            write_json(self.path, dict(done=runner.iter + 1, total=runner.max_iters, seconds=self.seconds))
            self.written = time.monotonic()


def stage_config(path: str, work_dir: Path, seed: int, checkpoint: str | None) -> Config:
    """The config as the stage runs it: in its own folder, seeded, its backbone loaded from ``checkpoint`` if any."""
    config = Config.fromfile(path)
    config.work_dir = str(work_dir)
    config.randomness = dict(seed=seed)
    if checkpoint:
        config.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.')
    return config


def fingerprint(config: Config, checkpoint_sha256: str | None) -> str:
    """What the result depends on: the whole config and the content of the checkpoint it starts from."""
    settings = config.to_dict()
    for where in ('work_dir', 'resume', 'load_from'):
        settings.pop(where, None)
    if checkpoint_sha256:
        settings['model']['backbone']['init_cfg']['checkpoint'] = checkpoint_sha256
    return hashlib.sha256(repr(sorted(settings.items())).encode()).hexdigest()


def last_checkpoint(work_dir: Path) -> str | None:
    """The newest checkpoint that can be read to its end; one cut short by a kill is passed over."""
    for path in sorted(work_dir.glob('*.pth'), key=os.path.getmtime, reverse=True):
        try:
            read_state_dict(path)
        except ValueError:
            continue
        return str(path)
    return None


def main(arguments=None) -> int:
    """Train and test one stage; returns the exit code."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument('config')
    parser.add_argument('--work-dir', type=Path, required=True)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--checkpoint', help='the backbone starts from this file')
    args = parser.parse_args(arguments)
    torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', torch.get_num_threads())))

    work_dir = args.work_dir.resolve()
    work_dir.mkdir(parents=True, exist_ok=True)
    config = stage_config(args.config, work_dir, args.seed, args.checkpoint)
    mark = fingerprint(config, sha256_of(args.checkpoint) if args.checkpoint else None)
    started = read_json(work_dir / STARTED) or dict(fingerprint=mark)
    if started['fingerprint'] != mark:
        print(OTHER_STAGE.format(work_dir), file=sys.stderr)
        return 2
    write_json(work_dir / STARTED, started)

    newest = last_checkpoint(work_dir)
    config.resume, config.load_from = newest is not None, newest
    progress = ProgressHook(work_dir / PROGRESS)
    runner = Runner.from_cfg(config)
    runner.register_hook(progress)
    runner.train()
    metrics = runner.test()
    final = last_checkpoint(work_dir)
    if final is None:
        print(f'{args.config} saved no checkpoint in {work_dir}', file=sys.stderr)
        return 2
    done = dict(
        fingerprint=mark,
        metrics={name: float(value) for name, value in metrics.items()},
        checkpoint=final,
        checkpoint_sha256=sha256_of(final),
        seconds=progress.seconds,
    )
    write_json(work_dir / DONE, done)
    return 0


if __name__ == '__main__':
    sys.exit(main())
