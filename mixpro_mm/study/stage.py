"""One stage that trains, in a process of its own: train or resume, test, and write ``done.json``."""

import argparse
import gc
import json
import os
import sys
import time
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size, init_dist, is_distributed, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.utils.dl_utils import set_multi_processing

from mixpro_mm.study.checkpoints import best_checkpoint, check_whole, last_checkpoint, needed_to_resume
from mixpro_mm.study.configs import check_tests, fingerprint, settings_of, stage_config, starting_part
from mixpro_mm.study.entries import DONE
from mixpro_mm.study.evaluate import check_evaluation, evaluate, evaluation_mark, test_checkpoint, test_with_tta
from mixpro_mm.study.processes import die_with_parent
from mixpro_mm.utils.arguments import patterns
from mixpro_mm.utils.diff_configs import flat, flat_differences, some_of
from mixpro_mm.utils.files import read_json, sha256_of, write_json
from mixpro_mm.utils.ranks import from_main
from mixpro_mm.utils.unwrap_model import unwrap_model

__all__ = ['PROGRESS', 'main', 'other_stage']

PROGRESS, STARTED = 'progress.json', 'stage.json'


class ProgressHook(Hook):
    """Writes iterations done and in total, and the seconds spent so far, to ``progress.json`` about once a second."""

    def __init__(self, path: Path):
        self.path, self.start, self.written = path, time.monotonic(), 0.0
        self.earlier = (read_json(path) or {}).get('seconds', 0.0)  # in runs that were interrupted

    @property
    def seconds(self) -> float:
        """Time spent on this stage, including earlier runs."""
        return round(self.earlier + time.monotonic() - self.start, 1)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Write the progress of the training."""
        if time.monotonic() - self.written > 1:
            write_json(self.path, dict(done=runner.iter + 1, total=runner.max_iters, seconds=self.seconds))
            self.written = time.monotonic()


def main(arguments=None) -> int:
    """Train and test one stage; returns the exit code. With a launcher, every rank runs this and rank 0 decides."""
    args = _parser().parse_args(arguments)
    torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', torch.get_num_threads())))
    work_dir = args.work_dir.resolve()
    work_dir.mkdir(parents=True, exist_ok=True)
    config = stage_config(args.config, work_dir, args.seed, args.checkpoint, args.cfg_options)
    check_tests(config, args.tta)
    for _, path in args.evaluate:
        check_evaluation(path)
    _init_dist(args.launcher, config.get('env_cfg', {}))
    mark = from_main(lambda: _claim(config, work_dir, args.checkpoint))
    if mark is None:
        return 2
    config.launcher = args.launcher
    _write_whole(config)
    if args.batch_size:
        config.train_dataloader.batch_size = args.batch_size
    accumulated = (config.get('optim_wrapper') or {}).get('accumulative_counts', 1)
    if from_main(lambda: _keeps_total(work_dir, config.train_dataloader.batch_size * get_world_size() * accumulated)):
        _allow_on_resume(config, 'train_dataloader.batch_size')
    newest = from_main(lambda: last_checkpoint(work_dir, needed_to_resume(config)))
    config.resume, config.load_from = newest is not None, newest
    runner = Runner.from_cfg(config)
    if args.checkpoint and newest is None and starting_part(config.model)[1] == '':
        check_whole(unwrap_model(runner.model), args.checkpoint)
    progress = ProgressHook(work_dir / PROGRESS)
    if is_main_process():
        runner.register_hook(progress)
    runner.train()
    runner = None
    final = from_main(lambda: last_checkpoint(work_dir) or best_checkpoint(work_dir))
    if final is None:
        print(f'{args.config} saved no checkpoint in {work_dir}', file=sys.stderr)
        return 2
    _free_memory()  # of the trained model, before there is a second one
    metrics = test_checkpoint(config, final)
    if args.tta:
        _free_memory()
        metrics = metrics | test_with_tta(config, final)
    for name, path in args.evaluate:
        _free_memory()
        metrics = metrics | evaluate(name, path, final, work_dir, args.seed, args.launcher)
    if is_main_process():
        done = dict(
            fingerprint=mark,
            metrics={name: float(value) for name, value in metrics.items()},
            checkpoint=final,
            checkpoint_sha256=sha256_of(final),
            seconds=progress.seconds,
            tta=args.tta,
            evaluations={name: evaluation_mark(path) for name, path in args.evaluate},
            gpus=get_world_size(),
            batch_size=config.train_dataloader.batch_size,
            accumulated=accumulated,
        )
        write_json(work_dir / DONE, done)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument('config')
    parser.add_argument('--work-dir', type=Path, required=True)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--checkpoint', help='the backbone starts from this file')
    parser.add_argument('--cfg-options', type=json.loads, help='JSON, dotted key -> value: merged into the config')
    parser.add_argument('--batch-size', type=int, help="images per GPU, instead of the config's")
    parser.add_argument('--tta', action='store_true', help="test a second time with the config's tta_pipeline")
    test = dict(nargs=2, action='append', default=[], metavar=('NAME', 'CONFIG'))
    parser.add_argument('--evaluate', **test, help='also test with another config')
    parser.add_argument('--launcher', default='none', choices=['none', 'pytorch', 'slurm'])
    return parser


def _free_memory() -> None:
    """A Runner and its hooks refer to each other, so that dropping the name is not enough."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _init_dist(launcher: str, env: dict) -> None:
    """Join the other ranks before there is a Runner, which does it otherwise: they agree on where to resume."""
    if launcher == 'pytorch':
        die_with_parent(os.getppid())  # a rank outlives a torchrun that is killed with its study
    if launcher != 'none' and not is_distributed():
        set_multi_processing(**env.get('mp_cfg', {}), distributed=True)
        init_dist(launcher, **env.get('dist_cfg', {}))


def _claim(config: Config, work_dir: Path, checkpoint: str | None) -> str | None:
    """Write the fingerprint of the stage to its folder and return it; None if the folder holds another stage."""
    sha256 = sha256_of(checkpoint) if checkpoint else None
    mark = fingerprint(config, sha256)
    started = read_json(work_dir / STARTED) or dict(fingerprint=mark, settings=flat(settings_of(config, sha256)))
    if started['fingerprint'] != mark:
        print(f'{other_stage(work_dir, config, sha256)}, or choose another work dir', file=sys.stderr)
        return None
    write_json(work_dir / STARTED, started)
    return mark


def other_stage(work_dir: Path, config: Config, checkpoint_sha256: str | None) -> str:
    """The message for a folder that holds another stage than ``config``, with the settings that differ."""
    before = (read_json(work_dir / STARTED) or {}).get('settings', {})
    found = flat_differences(before, flat(settings_of(config, checkpoint_sha256))) if before else []
    what = f' ({some_of(found)})' if found else ''
    return f'{work_dir} holds a stage of another config, seed or checkpoint{what}: remove that folder'


def _write_whole(config: Config) -> None:
    """Replace mmengine's own checkpoint hook by one that writes atomically; other hooks of the config stay."""
    hooks = dict(config.get('default_hooks') or {})
    hook = hooks.get('checkpoint', dict(interval=1))  # mmengine's default
    if hook is not None and hook.get('type', 'CheckpointHook') == 'CheckpointHook':
        config.default_hooks = hooks | dict(checkpoint=dict(hook, type='mixpro_mm.AtomicCheckpointHook'))


def _keeps_total(work_dir: Path, images: int) -> bool:
    """Whether an optimizer step takes as many images, of all GPUs and accumulated batches, as when the stage began."""
    started = dict(images_a_step=images) | read_json(work_dir / STARTED)
    write_json(work_dir / STARTED, started)
    return started['images_a_step'] == images


def _allow_on_resume(config: Config, setting: str) -> None:
    """Exempt ``setting`` from CheckpointCheckHook: another number of GPUs changes the batch size of each."""
    for hook in (*(config.get('default_hooks') or {}).values(), *(config.get('custom_hooks') or ())):
        kind = hook.get('type') if isinstance(hook, dict) else None
        if getattr(kind, '__name__', str(kind)).split('.')[-1] == 'CheckpointCheckHook':
            hook['allow'] = [*patterns('allow of CheckpointCheckHook', hook.get('allow', ())), setting]


if __name__ == '__main__':
    sys.exit(main())
