"""One training stage in a process of its own: train or resume, test, and say so in ``done.json``."""

import argparse
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import broadcast_object_list, get_world_size, init_dist, is_distributed, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.utils.dl_utils import set_multi_processing

from mixpro_mm.arguments import patterns
from mixpro_mm.checkpoint import read_checkpoint
from mixpro_mm.differences import flat, flat_differences, some_of
from mixpro_mm.files import read_json, sha256_of, write_json
from mixpro_mm.study.configs import fingerprint, settings_of, stage_config, starting_part, without_reporting
from mixpro_mm.study.evaluate import check_evaluation, check_test, evaluate, evaluation_mark, test_checkpoint
from mixpro_mm.study.processes import die_with_parent
from mixpro_mm.study.tta import check_tta, test_again
from mixpro_mm.wrapped import unwrap

__all__ = ['DONE', 'PROGRESS', 'last_checkpoint', 'main', 'other_stage']

DONE, PROGRESS, STARTED = 'done.json', 'progress.json', 'stage.json'


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


def last_checkpoint(work_dir: Path, needed: Sequence[str] = ()) -> str | None:
    """The last checkpoint of a training: the one that mmengine's file ``last_checkpoint`` names, else the newest.

    One that cannot be read to its end, such as one cut short by a kill, is passed over, and so is ``best_*.pth``, which
    mmengine saves without what a training is resumed from.

    Args:
        work_dir: Of the stage.
        needed: What must lie beside the weights, such as 'optimizer'; a checkpoint without is passed over.
    """
    passed = []
    for path in _saved(work_dir):
        try:
            beside = read_checkpoint(path).beside
        except ValueError as error:
            passed.append(str(error))
            continue
        lacking = [name for name in needed if name not in beside]
        if not lacking:
            if passed:
                print(f'{path} is taken; passed over: {"; ".join(passed)}')
            return str(path)
        passed.append(f'{path} has no {" and no ".join(lacking)}')
    if needed and (passed or any(work_dir.glob('best_*.pth'))):
        reasons = passed or [f'{work_dir} has only best_*.pth, without optimizer']
        print(f'no checkpoint can be resumed, so the stage starts from the beginning: {"; ".join(reasons)}')
    return None


def _saved(work_dir: Path) -> list[Path]:
    """Checkpoints of a training, the last first."""
    found = [path for path in work_dir.glob('*.pth') if not path.name.startswith(('.', 'best_'))]  # '.': drafts
    found.sort(key=os.path.getmtime, reverse=True)
    note = work_dir / 'last_checkpoint'
    noted = Path(note.read_text().strip()) if note.is_file() else None
    if noted is not None:  # the folder may have been moved or copied: its own file comes first
        last = next((path for path in (work_dir / noted.name, noted) if path.is_file()), None)
        found = [last, *(path for path in found if path != last)] if last else found
    return found


def _resumed_from(config: Config) -> list[str]:
    """What a checkpoint must hold beside the weights, or a training resumed from it would differ without a word."""
    return ['meta', 'message_hub', 'optimizer', *(['param_schedulers'] if config.get('param_scheduler') else [])]


def _best(work_dir: Path) -> str | None:
    """The newest ``best_*.pth``, to test where a config saves nothing else."""
    return max(map(str, work_dir.glob('best_*.pth')), key=os.path.getmtime, default=None)


def main(arguments=None) -> int:
    """Train and test one stage; returns the exit code. With a launcher, every rank runs this and the first decides."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument('config')
    parser.add_argument('--work-dir', type=Path, required=True)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--checkpoint', help='the backbone starts from this file')
    parser.add_argument('--cfg-options', type=json.loads, help='JSON, dotted key -> value: merged into the config')
    parser.add_argument('--batch-size', type=int, help='images per GPU, instead of what the config says')
    parser.add_argument('--tta', action='store_true', help="test a second time with the config's tta_pipeline")
    parser.add_argument(
        '--evaluate',
        nargs=2,
        action='append',
        default=[],
        metavar=('NAME', 'CONFIG'),
        help='test by another config, too',
    )
    parser.add_argument('--launcher', default='none', choices=['none', 'pytorch', 'slurm'])
    args = parser.parse_args(arguments)
    torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', torch.get_num_threads())))

    work_dir = args.work_dir.resolve()
    work_dir.mkdir(parents=True, exist_ok=True)
    config = stage_config(args.config, work_dir, args.seed, args.checkpoint, args.cfg_options)
    if args.tta:
        check_tta(config)
    check_test(config)
    for _, path in args.evaluate:
        check_evaluation(path)
    _meet(args.launcher, config.get('env_cfg', {}))
    mark = _agreed(lambda: _claim(config, work_dir, args.checkpoint))
    if mark is None:
        return 2
    config.launcher = args.launcher
    _write_whole(config)
    if args.batch_size:
        config.train_dataloader.batch_size = args.batch_size
    accumulated = (config.get('optim_wrapper') or {}).get('accumulative_counts', 1)
    if _agreed(lambda: _keeps_total(work_dir, config.train_dataloader.batch_size * get_world_size() * accumulated)):
        _allow_on_resume(config, 'train_dataloader.batch_size')
    newest = _agreed(lambda: last_checkpoint(work_dir, _resumed_from(config)))
    config.resume, config.load_from = newest is not None, newest
    runner = Runner.from_cfg(config)
    if args.checkpoint and newest is None and starting_part(config.model)[1] == '':
        _check_whole(unwrap(runner.model), args.checkpoint)
    progress = ProgressHook(work_dir / PROGRESS)
    if is_main_process():
        runner.register_hook(progress)
    runner.train()
    runner = None
    final = _agreed(lambda: last_checkpoint(work_dir) or _best(work_dir))
    if final is None:
        print(f'{args.config} saved no checkpoint in {work_dir}', file=sys.stderr)
        return 2
    _free_memory()  # of the model that was trained, before there is a second
    metrics = test_checkpoint(config, final)
    if args.tta:
        _free_memory()
        metrics = metrics | test_again(config, final)
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


def _check_whole(model: torch.nn.Module, checkpoint: str) -> None:
    """Raises RuntimeError if no tensor of a model without a backbone is in the checkpoint: mmengine only warns."""
    own, found = model.state_dict(), read_checkpoint(checkpoint).tensors
    missing = [name for name in own if name not in found or found[name].shape != own[name].shape]
    if len(missing) == len(own):
        raise RuntimeError(
            f'{checkpoint} has none of the {len(own)} tensors of {type(model).__name__} under their names and in their '
            f'shapes ({", ".join(missing[:3])}, ...): the stage it comes from must train the same model'
        )
    print(f'{len(own) - len(missing)} of {len(own)} tensors start from {checkpoint}; not: {missing}')


def _free_memory() -> None:
    """Of what nobody holds any more: a Runner and its hooks hold each other, so leaving its name is not enough."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _meet(launcher: str, env: dict) -> None:
    """Join the other ranks, as a Runner would do it later: before there is one, they have to agree where to go on."""
    if launcher == 'pytorch':
        die_with_parent(os.getppid())  # torchrun, which a study that is killed takes along, would leave this behind
    if launcher != 'none' and not is_distributed():
        set_multi_processing(**env.get('mp_cfg', {}), distributed=True)
        init_dist(launcher, **env.get('dist_cfg', {}))


def _agreed(find: Callable):
    """What the first rank finds, on every rank."""
    found = [find() if is_main_process() else None]
    broadcast_object_list(found)
    return found[0]


def _claim(config: Config, work_dir: Path, checkpoint: str | None) -> str | None:
    """Note the fingerprint of the stage in its folder and return it; None if the folder holds another's."""
    sha256 = sha256_of(checkpoint) if checkpoint else None
    mark = fingerprint(config, sha256)
    started = read_json(work_dir / STARTED) or dict(fingerprint=mark, settings=flat(settings_of(config, sha256)))
    if started['fingerprint'] != mark and (sentence := other_stage(work_dir, config, sha256)):
        print(sentence, file=sys.stderr)
        return None
    write_json(work_dir / STARTED, started | dict(fingerprint=mark))
    return mark


def other_stage(work_dir: Path, config: Config, checkpoint_sha256: str | None) -> str:
    """The sentence for a folder that holds another stage than that of ``config``, with what differs if it is noted.

    '' if the noted settings differ in nothing but what a run reports: fingerprints of earlier versions include that.
    """
    before = (read_json(work_dir / STARTED) or {}).get('settings')
    found = []
    if before:
        found = flat_differences(without_reporting(before), flat(settings_of(config, checkpoint_sha256)))
        if not found:
            return ''
    what = f' ({some_of(found)})' if found else ''
    return (
        f'{work_dir} holds a stage of another config, seed or checkpoint{what}: remove that folder, or name another '
        'work dir'
    )


def _write_whole(config: Config) -> None:
    """Let mmengine's own hook write checkpoints whole or not at all; another one the config names stays."""
    hooks = dict(config.get('default_hooks') or {})
    hook = hooks.get('checkpoint', dict(interval=1))  # mmengine's own, where a config has none
    if hook is not None and hook.get('type', 'CheckpointHook') == 'CheckpointHook':
        config.default_hooks = hooks | dict(checkpoint=dict(hook, type='mixpro_mm.WholeCheckpointHook'))


def _keeps_total(work_dir: Path, images: int) -> bool:
    """Whether a step of the optimizer takes as many images, of all GPUs and accumulated batches, as when it began."""
    started = read_json(work_dir / STARTED)
    before = started.setdefault('images_a_step', images)
    write_json(work_dir / STARTED, started)
    return before == images


def _allow_on_resume(config: Config, setting: str) -> None:
    """Let a guard of the config pass what a stage changes itself: another number of GPUs shares out the same total."""
    for hook in (*(config.get('default_hooks') or {}).values(), *(config.get('custom_hooks') or ())):
        kind = hook.get('type') if isinstance(hook, dict) else None
        if getattr(kind, '__name__', str(kind)).split('.')[-1] == 'CheckpointCheckHook':
            hook['allow'] = [*patterns('allow of CheckpointCheckHook', hook.get('allow', ())), setting]


if __name__ == '__main__':
    sys.exit(main())
