"""Checkpoints that are written completely or not at all; none is removed before its successor is there.

mmengine's ``CheckpointHook`` writes to the final name and removes the oldest file first: a full disk or a kill leaves
a truncated file under a name that looks complete, and with ``max_keep_ckpts=1`` nothing else.
"""

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
    """Local files that appear complete; while ``outdated`` is a list, removals are collected there instead."""

    outdated: list | None = None

    def put(self, obj: bytes, filepath) -> None:
        os.makedirs(os.path.dirname(filepath), exist_ok=True)
        try:
            with replacing(filepath) as draft, open(draft, 'wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())  # before the rename, else a power cut may leave the name without the content
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


@register(HOOKS, 'WholeCheckpointHook')  # its former name
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook`` with atomic writes; takes the same arguments.

    A file appears under its name when all of it is on the disk, and older ones (``max_keep_ckpts``, ``save_best``) are
    removed after that. Temporary files left by a kill are removed at the next start. In a config:
    ``default_hooks = dict(checkpoint=dict(type='mixpro_mm.AtomicCheckpointHook', ...))``. Where ``out_dir`` is no local
    folder, it writes as mmengine does. Under FlexibleRunner the strategy writes to the final name, so a kill or a full
    disk may leave a truncated file there, and a warning says so; older ones are still removed only after that.

    Raises:
        RuntimeError: if a file cannot be written; the sentence says where, why, and which checkpoint there is.
    """

    def before_train(self, runner) -> None:
        super().before_train(runner)
        if isinstance(runner, FlexibleRunner):
            runner.logger.warning(
                f'AtomicCheckpointHook: under FlexibleRunner {type(runner.strategy).__name__} writes checkpoints, so a '
                'kill or a full disk may leave one that is not whole'
            )
        if type(self.file_backend) is LocalBackend:
            self.file_backend, self.backend_args = _AtomicBackend(), dict(backend=BACKEND)
            if is_main_process():
                for left in Path(self.out_dir).glob('.*'):
                    if re.fullmatch(r'\.\d+-.*\.(pth|tmp)', left.name):  # as `replacing` calls its drafts
                        left.unlink(missing_ok=True)

    def _save_checkpoint_with_step(self, runner, step, meta) -> None:
        with self._removing_afterwards(runner):
            super()._save_checkpoint_with_step(runner, step, meta)

    def _save_best_checkpoint(self, runner, metrics) -> None:
        with self._removing_afterwards(runner):
            super()._save_best_checkpoint(runner, metrics)

    @contextlib.contextmanager
    def _removing_afterwards(self, runner):
        """Removes outdated checkpoints once everything is written, and turns a failure to write into one sentence."""
        backend = self.file_backend
        if not isinstance(backend, _AtomicBackend) or backend.outdated is not None:  # the best one calls the other
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
