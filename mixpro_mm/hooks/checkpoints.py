"""``AtomicCheckpointHook`` and ``CheckpointCheckHook``: safe writing and reading of checkpoints."""

import contextlib
import os
import re
import shutil
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import BaseLoop, FlexibleRunner, find_latest_checkpoint

from mixpro_mm.registry import HOOKS, register
from mixpro_mm.transfer.source import pretrained
from mixpro_mm.utils.arguments import patterns
from mixpro_mm.utils.checkpoint import read_for_host
from mixpro_mm.utils.diff_configs import diff_configs, settings_in, some_of
from mixpro_mm.utils.files import replacing
from mixpro_mm.utils.ranks import from_main
from mixpro_mm.utils.unwrap_model import unwrap_model

__all__ = ['AtomicCheckpointHook', 'CheckpointCheckHook']

BACKEND = 'mixpro_mm.atomic'
FREE = (  # settings that a resumed run may change
    'work_dir', 'resume', 'load_from', 'launcher', 'experiment_name', 'log_level', 'log_processor*', 'vis*', 'env_cfg*',
    'default_hooks*', 'val_*', 'test_*', 'tta_*', 'train_cfg.max_*', 'train_cfg.val_*', '*num_workers',
    '*persistent_workers', '*pin_memory', '*prefetch_factor', '*data_root', '*init_cfg*', 'custom_imports*',
)  # fmt: skip
CHECKS = ('CheckpointCheckHook', 'ClassCheckHook', 'NonFiniteLossHook')


class _AtomicBackend(LocalBackend):
    """Write local files atomically, and collect the files to remove."""

    def __init__(self):
        self.outdated = []

    def put(self, obj: bytes, filepath) -> None:
        os.makedirs(os.path.dirname(filepath), exist_ok=True)
        try:
            with replacing(filepath) as draft, open(draft, 'wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())  # otherwise a power cut may leave the new name without its content
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(filepath)) from error

    def remove(self, filepath) -> None:
        self.outdated.append(filepath)


register_backend(BACKEND, _AtomicBackend, force=True)


@register(HOOKS, 'WholeCheckpointHook')  # its former name
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook`` with atomic writes; takes the same arguments.

    A checkpoint gets its name only after its content is on the disk. Older checkpoints (``max_keep_ckpts``,
    ``save_best``) are removed afterwards, and ``last_checkpoint`` always names a complete file. The next start removes
    temporary files that a killed process left. Checkpoints on other storage than a local disk are written as in
    mmengine; so are those of FlexibleRunner, and a warning says so.

    Raises:
        RuntimeError: If a file cannot be written. The message names the file, the cause and the last checkpoint.
    """

    def before_train(self, runner) -> None:
        super().before_train(runner)
        if isinstance(runner, FlexibleRunner):
            runner.logger.warning('AtomicCheckpointHook: under FlexibleRunner a kill or full disk may truncate a file')
        if type(self.file_backend) is LocalBackend:
            self.file_backend, self.backend_args = _AtomicBackend(), dict(backend=BACKEND)
            for left in Path(self.out_dir).glob('.*'):
                if is_main_process() and re.fullmatch(r'\.\d+-.*\.(pth|tmp)', left.name):  # names of `replacing`
                    left.unlink(missing_ok=True)

    def _save_checkpoint_with_step(self, runner, step, meta) -> None:
        """Let mmengine write ``last_checkpoint`` in another folder, then move the file over the old one."""
        folder = Path(runner.work_dir, '.last_checkpoint')
        parts = dict(message_hub=runner.message_hub, save_checkpoint=runner.save_checkpoint)
        with self._finishing(runner):
            if is_main_process():
                folder.mkdir(exist_ok=True)
            try:
                super()._save_checkpoint_with_step(SimpleNamespace(work_dir=str(folder), **parts), step, meta)
                if is_main_process():
                    os.replace(folder / 'last_checkpoint', Path(runner.work_dir, 'last_checkpoint'))
            finally:
                if is_main_process():
                    shutil.rmtree(folder, ignore_errors=True)

    def _save_best_checkpoint(self, runner, metrics) -> None:
        with self._finishing(runner):
            super()._save_best_checkpoint(runner, metrics)

    @contextlib.contextmanager
    def _finishing(self, runner):
        """Remove outdated checkpoints after all writes, and convert a write error to a RuntimeError."""
        try:
            yield
        except OSError as error:
            last = find_latest_checkpoint(runner.work_dir)
            advice = f'{last} is complete, free some space and resume' if last else 'there is no checkpoint yet'
            path, why = error.filename or self.out_dir, error.strerror or error
            raise RuntimeError(f'AtomicCheckpointHook: {path} cannot be written: {why}; {advice}.') from None
        outdated = getattr(self.file_backend, 'outdated', [])
        best = getattr(self, 'best_ckpt_path', None), *getattr(self, 'best_ckpt_path_dict', {}).values()
        while outdated:
            if (path := outdated.pop()) not in (self.last_ckpt, *best):
                os.remove(path)


@register(HOOKS)
class CheckpointCheckHook(Hook):
    """Check the checkpoints of a run before mmengine reads them, on rank 0 for all ranks.

    mmengine falls back to ``torch.load(weights_only=False)``, which runs code in the file. The hook checks
    ``load_from``, the file to resume from, and each ``init_cfg=dict(type='Pretrained')`` of the model. It skips remote
    files, with a warning, and folders. FlexibleRunner reads checkpoints before any hook runs; a warning says so.

    Args:
        allow: Patterns of settings that may differ from those of the checkpoint to resume, such as
            ``'optim_wrapper.optimizer.lr'``, beside length, validation, tests, default hooks, logs, workers and paths.

    Raises:
        RuntimeError: If the checkpoint to resume was made with other settings.
        FileNotFoundError, ValueError: If a file is missing, damaged, a safetensors file, not a checkpoint or runs code
            (see ``read_checkpoint``), or if mmengine would find no tensors in it.
    """

    priority = 'VERY_HIGH'

    def __init__(self, allow=()):
        self.allow = patterns('allow of CheckpointCheckHook', allow)

    def before_run(self, runner) -> None:
        late = isinstance(runner, FlexibleRunner)
        if late or not runner._has_loaded:
            from_main(lambda: self._check(runner, late))

    def _check(self, runner, late: bool) -> None:
        name, warn, trains = type(self).__name__, runner.logger.warning, isinstance(runner._train_loop, BaseLoop)
        resumed = runner._resume if isinstance(runner._resume, str) else ''  # FlexibleRunner accepts a path
        start = resumed or runner._load_from or (find_latest_checkpoint(runner.work_dir) if runner._resume else None)
        if runner._resume and not start:
            warn(f'{name}: nothing to resume in {runner.work_dir}, training starts from the beginning')
        modules = unwrap_model(runner.model).modules() if trains else ()
        paths = [str(cfg['checkpoint']) for module in modules for cfg in pretrained(module)]
        for path in dict.fromkeys([start, *paths] if start else paths):
            if late:
                warn(f'{name}: FlexibleRunner has read {path} before this check, so code in it has already run')
            if '://' in str(path):
                warn(f'{name}: {path} is remote and was not checked for code')
            elif not os.path.isdir(path):  # DeepSpeed and sharded FSDP have folders
                file = read_for_host(path)
                if path == start and not file.found_by_host:
                    raise ValueError(
                        f'CheckpointCheckHook: {path} has its tensors under `{file.under}`, where mmengine does not '
                        'find them: save them under `state_dict`.'
                    )
                if path == start and runner._resume and trains and file.config:
                    self._check_settings(runner, path, file.config)

    def _check_settings(self, runner, path: str, text: str) -> None:
        before, now = settings_in(text), settings_in(runner.cfg.pretty_text)
        if before is None or now is None:
            return
        for settings in (before, now):  # the checks themselves may differ
            hooks = settings.get('custom_hooks') or []
            settings['custom_hooks'] = [hook for hook in hooks if str(hook.get('type')).split('.')[-1] not in CHECKS]
        free = (*FREE, *self.allow)
        found = [d for d in diff_configs(before, now) if not any(fnmatchcase(d.name, pattern) for pattern in free)]
        found = [d for d in found if d.name not in free]  # fnmatch reads [0] of a list as a pattern
        if found:
            raise RuntimeError(
                f'CheckpointCheckHook: {path} was made with other settings: {some_of(found)}; restore them, use '
                f"another work dir than {Path(runner.work_dir)}, or set allow=['{found[0].name}'] of this hook."
            )
