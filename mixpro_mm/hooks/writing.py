"""``AtomicCheckpointHook``, which writes each checkpoint completely or not at all."""

import contextlib
import os
import re
import shutil
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import FlexibleRunner

from mixpro_mm.registry import HOOKS, register
from mixpro_mm.utils.files import replacing

__all__ = ['AtomicCheckpointHook']

BACKEND = 'mixpro_mm.atomic'


class _NotWrittenError(Exception):
    """Path, size in bytes, and the OSError."""


class _AtomicBackend(LocalBackend):
    """Write local files atomically; while ``outdated`` is a list, collect removals there."""

    outdated: list | None = None

    def put(self, obj: bytes, filepath) -> None:
        os.makedirs(os.path.dirname(filepath), exist_ok=True)
        try:
            with replacing(filepath) as draft, open(draft, 'wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())  # otherwise a power cut may leave the new name without its content
        except OSError as error:
            raise _NotWrittenError(str(filepath), len(obj), error) from error

    def remove(self, filepath) -> None:
        if self.outdated is None:
            super().remove(filepath)
        else:
            self.outdated.append((super().remove, filepath))

    def rmtree(self, dir_path) -> None:  # checkpoints of DeepSpeed are folders
        if self.outdated is None:
            super().rmtree(dir_path)
        else:
            self.outdated.append((super().rmtree, dir_path))


register_backend(BACKEND, _AtomicBackend, force=True)


class _InFolder:
    """A runner with another ``work_dir``."""

    def __init__(self, runner, work_dir: Path):
        self._runner, self.work_dir = runner, str(work_dir)

    def __getattr__(self, name: str):
        return getattr(self._runner, name)


@register(HOOKS, 'WholeCheckpointHook')  # its former name
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook`` with atomic writes; takes the same arguments.

    A checkpoint gets its name only after its content is on the disk. Older checkpoints (``max_keep_ckpts``,
    ``save_best``) are removed afterwards, and ``last_checkpoint`` always names a complete file. The next start removes
    temporary files that a killed process left. Use it in a config as
    ``default_hooks = dict(checkpoint=dict(type='mixpro_mm.AtomicCheckpointHook', ...))``. If ``out_dir`` is not a local
    folder, checkpoints are written as in mmengine. Under FlexibleRunner the strategy writes to the final name, so a
    kill or a full disk may leave a truncated file; a warning says so.

    Raises:
        RuntimeError: If a file cannot be written. The message names the file, the cause and the last checkpoint.
    """

    def before_train(self, runner) -> None:
        super().before_train(runner)
        if isinstance(runner, FlexibleRunner):
            runner.logger.warning(
                f'AtomicCheckpointHook: under FlexibleRunner {type(runner.strategy).__name__} writes checkpoints, so a '
                'kill or a full disk may leave a truncated file'
            )
        if type(self.file_backend) is LocalBackend:
            self.file_backend, self.backend_args = _AtomicBackend(), dict(backend=BACKEND)
            if is_main_process():
                for left in Path(self.out_dir).glob('.*'):
                    if re.fullmatch(r'\.\d+-.*\.(pth|tmp)', left.name):  # temporary names of `replacing`
                        left.unlink(missing_ok=True)

    def _save_checkpoint_with_step(self, runner, step, meta) -> None:
        with self._removing_afterwards(runner), _atomic_last_checkpoint(runner) as redirected:
            super()._save_checkpoint_with_step(redirected, step, meta)

    def _save_best_checkpoint(self, runner, metrics) -> None:
        with self._removing_afterwards(runner):
            super()._save_best_checkpoint(runner, metrics)

    @contextlib.contextmanager
    def _removing_afterwards(self, runner):
        """Remove outdated checkpoints after all writes, and convert a write error to a RuntimeError."""
        backend = self.file_backend
        if not isinstance(backend, _AtomicBackend) or backend.outdated is not None:  # nested call of save_best
            yield
            return
        backend.outdated = outdated = []
        try:
            yield
        except (_NotWrittenError, OSError) as error:
            path, size, why = error.args if isinstance(error, _NotWrittenError) else (self.out_dir, None, error)
            free = f'{shutil.disk_usage(self.out_dir).free / 1e6:.1f} MB are free'
            free = f'it takes {size / 1e6:.1f} MB and {free}' if size else free
            last = Path(runner.work_dir, 'last_checkpoint')
            advice = 'there is no checkpoint yet, free some space'
            if last.is_file():
                advice = f'{last.read_text()} is complete, free some space and resume'
            raise RuntimeError(
                f'AtomicCheckpointHook: {path} cannot be written: {why.strerror or why} ({free}); {advice}.'
            ) from None
        finally:
            backend.outdated = None
        best = getattr(self, 'best_ckpt_path', None), *getattr(self, 'best_ckpt_path_dict', {}).values()
        for remove, path in outdated:
            if path not in (self.last_ckpt, *best):
                remove(path)


@contextlib.contextmanager
def _atomic_last_checkpoint(runner):
    """Let mmengine write ``last_checkpoint`` in a folder beside it, then move the file over the old one."""
    if not is_main_process():
        yield runner
        return
    folder = Path(runner.work_dir, '.last_checkpoint')
    folder.mkdir(exist_ok=True)
    try:
        yield _InFolder(runner, folder)
        os.replace(folder / 'last_checkpoint', Path(runner.work_dir, 'last_checkpoint'))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
