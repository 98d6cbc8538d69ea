"""The process of a stage: train or resume, test, and write ``done.json``."""

import argparse
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

from mixpro_mm.study.checkpoints import best_checkpoint, check_match, last_checkpoint
from mixpro_mm.study.configs import check_tests, fingerprint, settings_of, stage_config, starting_part
from mixpro_mm.study.entries import DONE
from mixpro_mm.study.evaluate import check_evaluation, evaluate, evaluation_mark, test_checkpoint, test_with_tta
from mixpro_mm.study.processes import die_with_parent
from mixpro_mm.study.stop import StopHook
from mixpro_mm.utils.arguments import patterns
from mixpro_mm.utils.diff_configs import flat, flat_differences, some_of
from mixpro_mm.utils.files import read_json, sha256_of, write_json
from mixpro_mm.utils.ranks import from_main
from mixpro_mm.utils.unwrap_model import unwrap_model

__all__ = ['PROGRESS', 'main', 'other_stage']

PROGRESS, STARTED = 'progress.json', 'stage.json'


class ProgressHook(Hook):
    """Writes finished and total iterations and the time spent to ``progress.json``, about once a second."""

    def __init__(self, path: Path):
        self.path, self.start, self.written = path, time.monotonic(), 0.0
        self.earlier = (read_json(path) or {}).get('seconds', 0.0)  # of interrupted runs

    @property
    def seconds(self) -> float:
        """Seconds spent on this stage, including interrupted runs."""
        return round(self.earlier + time.monotonic() - self.start, 1)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Write the progress if the last time was more than a second ago."""
        if time.monotonic() - self.written > 1:
            write_json(self.path, dict(done=runner.iter + 1, total=runner.max_iters, seconds=self.seconds))
            self.written = time.monotonic()


def main(arguments=None, stop: StopHook | None = None) -> int:
    """Train and test a stage and return the exit code. Every rank of a launcher calls this.

    Args:
        arguments: Command line. Default: that of the process.
        stop: Hook that stops the process at a signal.
    """
    args = _parser().parse_args(arguments)
    torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', torch.get_num_threads())))
    work_dir = args.work_dir.resolve()
    work_dir.mkdir(parents=True, exist_ok=True)
    config = stage_config(args.config, work_dir, args.seed, args.checkpoint, args.cfg_options)
    check_tests(config, args.tta)
    for _, path in args.evaluate:
        check_evaluation(path)
    _init_dist(args.launcher, config.get('env_cfg', {}))
    if stop and not is_main_process():
        stop.ignore()
    mark = from_main(lambda: _claim(config, work_dir, args.checkpoint))
    if mark is None:
        return 2
    config.launcher = args.launcher
    _use_atomic_checkpoints(config)
    if args.batch_size:
        config.train_dataloader.batch_size = args.batch_size
    accumulated = (config.get('optim_wrapper') or {}).get('accumulative_counts', 1)
    images = config.train_dataloader.batch_size * get_world_size() * accumulated
    if from_main(lambda: _is_same_total(work_dir, images)):
        _allow_on_resume(config, 'train_dataloader.batch_size')
    needed = ['meta', 'message_hub', 'optimizer', *(['param_schedulers'] if config.get('param_scheduler') else [])]
    newest = from_main(lambda: last_checkpoint(work_dir, needed))
    config.resume, config.load_from = newest is not None, newest
    runner = Runner.from_cfg(config)
    if args.checkpoint and newest is None and starting_part(config.model)[1] == '':
        check_match(unwrap_model(runner.model), args.checkpoint)
    progress = ProgressHook(work_dir / PROGRESS)
    if is_main_process():
        runner.register_hook(progress)
        if stop:
            runner.register_hook(stop)
    runner.train()
    runner = None  # frees its model before the next is built
    final = from_main(lambda: last_checkpoint(work_dir) or best_checkpoint(work_dir))
    if final is None:
        print(f'{args.config} saved no checkpoint in {work_dir}', file=sys.stderr)
        return 2
    metrics = test_checkpoint(config, final)
    if args.tta:
        metrics = metrics | test_with_tta(config, final)
    for name, path in args.evaluate:
        metrics = metrics | evaluate(name, path, config, final)
    if is_main_process():
        done = dict(fingerprint=mark, metrics={name: float(value) for name, value in metrics.items()})
        done |= dict(checkpoint=final, checkpoint_sha256=sha256_of(final), seconds=progress.seconds, tta=args.tta)
        done |= dict(evaluations={name: evaluation_mark(path) for name, path in args.evaluate}, gpus=get_world_size())
        done |= dict(batch_size=config.train_dataloader.batch_size, accumulated=accumulated)
        write_json(work_dir / DONE, done)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description='Train and test a stage.')
    add = parser.add_argument
    add('config')
    add('--work-dir', type=Path, required=True)
    add('--seed', type=int, default=0)
    add('--checkpoint', help='file from which the backbone starts')
    add('--cfg-options', type=json.loads, help='JSON of dotted keys and values to merge into the config')
    add('--batch-size', type=int, help="images per GPU, instead of the config's")
    add('--tta', action='store_true', help="test again with the config's tta_pipeline")
    add('--evaluate', nargs=2, action='append', default=[], metavar=('NAME', 'CONFIG'), help='another test config')
    add('--launcher', default='none', choices=['none', 'pytorch', 'slurm'])
    return parser


def _init_dist(launcher: str, env: dict) -> None:
    """Initialise the process group before the Runner does, because the ranks must agree on the checkpoint."""
    if launcher == 'pytorch':
        die_with_parent(os.getppid())  # ranks survive a killed torchrun
    if launcher != 'none' and not is_distributed():
        set_multi_processing(**env.get('mp_cfg', {}), distributed=True)
        init_dist(launcher, **env.get('dist_cfg', {}))


def _claim(config: Config, work_dir: Path, checkpoint: str | None) -> str | None:
    """Write the fingerprint of the stage to its folder and return it, or None if the folder has another stage."""
    sha256 = sha256_of(checkpoint) if checkpoint else None
    mark = fingerprint(config, sha256)
    started = read_json(work_dir / STARTED) or dict(fingerprint=mark, settings=flat(settings_of(config, sha256)))
    if started['fingerprint'] != mark:
        print(f'{other_stage(work_dir, config, sha256)}, or choose another work dir', file=sys.stderr)
        return None
    write_json(work_dir / STARTED, started)
    return mark


def other_stage(work_dir: Path, config: Config, checkpoint_sha256: str | None) -> str:
    """Return the message for a folder with another stage than ``config``, with the settings that differ."""
    before = (read_json(work_dir / STARTED) or {}).get('settings', {})
    found = flat_differences(before, flat(settings_of(config, checkpoint_sha256))) if before else []
    what = f' ({some_of(found)})' if found else ''
    return f'{work_dir} holds a stage of another config, seed or checkpoint{what}: remove that folder'


def _use_atomic_checkpoints(config: Config) -> None:
    """Replace mmengine's checkpoint hook by one that writes atomically; keep other hooks."""
    hooks = dict(config.get('default_hooks') or {})
    hook = hooks.get('checkpoint', dict(interval=1))  # mmengine's default
    if hook is not None and hook.get('type', 'CheckpointHook') == 'CheckpointHook':
        config.default_hooks = hooks | dict(checkpoint=dict(hook, type='mixpro_mm.AtomicCheckpointHook'))


def _is_same_total(work_dir: Path, images: int) -> bool:
    """Return whether the images of an optimizer step are as many as when the stage first started."""
    started = dict(images_a_step=images) | read_json(work_dir / STARTED)
    write_json(work_dir / STARTED, started)
    return started['images_a_step'] == images


def _allow_on_resume(config: Config, setting: str) -> None:
    """Exempt ``setting`` from CheckpointCheckHook, because the batch size per GPU depends on their number."""
    for hook in (*(config.get('default_hooks') or {}).values(), *(config.get('custom_hooks') or ())):
        kind = hook.get('type') if isinstance(hook, dict) else None
        if getattr(kind, '__name__', str(kind)).split('.')[-1] == 'CheckpointCheckHook':
            hook['allow'] = [*patterns('allow of CheckpointCheckHook', hook.get('allow', ())), setting]


if __name__ == '__main__':
    sys.exit(main(stop=StopHook().listen()))
