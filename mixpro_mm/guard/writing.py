"""Checkpoints that are written whole or not at all, and none removed before its successor is there.

mmengine's ``CheckpointHook`` writes to the final name and removes the oldest file first: a full disk or a kill leaves
half a file under a name that looks whole, with ``max_keep_ckpts=1`` and nothing else (onedl-mmengine 0.10.12,
``hooks/checkpoint_hook.py`` and ``fileio/backends/local_backend.py``).
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

from mixpro_mm.files import replacing, write_text
from mixpro_mm.registry import HOOKS, register

__all__ = ['AtomicCheckpointHook']

BACKEND = 'mixpro_mm.whole'


class _WholeBackend(LocalBackend):
    """Local files that appear whole; while ``later`` is a list, what is to be removed is noted there instead."""

    later: list | None = None

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
        if self.later is None:
            super().remove(filepath)
        else:
            self.later.append(filepath)


class _NotWrittenError(Exception):
    """Path, size in bytes, and the OSError."""


register_backend(BACKEND, _WholeBackend, force=True)


@register(HOOKS, 'WholeCheckpointHook')  # its former name
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook``, whole or not at all; takes the same arguments.

    A file appears under its name when all of it is on the disk, ``last_checkpoint`` names only such files, and older
    ones (``max_keep_ckpts``, ``save_best``) are removed after that. Drafts that a kill has left are removed at the next
    start. In a config: ``default_hooks = dict(checkpoint=dict(type='mixpro_mm.AtomicCheckpointHook', ...))``. Where
    ``out_dir`` is no local folder, it writes as mmengine does. Under FlexibleRunner the strategy writes, to the final
    name: a kill or a full disk may leave half a file there, and a warning says so; older ones still go only after that.

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
            self.file_backend, self.backend_args = _WholeBackend(), dict(backend=BACKEND)
            if is_main_process():
                for left in Path(self.out_dir).glob('.*'):
                    if re.fullmatch(r'\.\d+-.*\.(pth|tmp)', left.name):  # as `replacing` calls its drafts
                        left.unlink(missing_ok=True)

    def _save_checkpoint_with_step(self, runner, step, meta) -> None:
        """As in the base class, in an order in which nothing is lost: write, note, then remove."""
        old = None
        if self.max_keep_ckpts > 0 and not (self.keep_ckpt_ids and self.keep_ckpt_ids[-1] == step):
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                old = self._path(self.keep_ckpt_ids.popleft())
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        self.last_ckpt = self._path(step)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        with self._saying_what_stands(runner):
            runner.save_checkpoint(
                self.out_dir,
                self.filename_tmpl.format(step),
                self.file_client_args,
                save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler,
                meta=meta,
                by_epoch=self.by_epoch,
                backend_args=self.backend_args,
                **self.args,
            )
            if is_main_process():
                write_text(Path(runner.work_dir, 'last_checkpoint'), self.last_ckpt)
        if old not in (None, self.last_ckpt) and is_main_process():
            self._remove(old)

    def _save_best_checkpoint(self, runner, metrics) -> None:
        """As in the base class, but the best one so far stays until the better one is written."""
        backend = self.file_backend
        if not isinstance(backend, _WholeBackend):
            super()._save_best_checkpoint(runner, metrics)
            return
        backend.later = []
        try:
            with self._saying_what_stands(runner):
                super()._save_best_checkpoint(runner, metrics)
            olds = backend.later
        finally:
            backend.later = None
        kept = {
            self.last_ckpt,
            getattr(self, 'best_ckpt_path', None),
            *getattr(self, 'best_ckpt_path_dict', {}).values(),
        }
        for old in olds:
            if old not in kept:
                self._remove(old)

    def _path(self, step: int) -> str:
        return self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(step))

    def _remove(self, path: str) -> None:
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):  # as deepspeed writes them
            self.file_backend.rmtree(path)

    @contextlib.contextmanager
    def _saying_what_stands(self, runner):
        """Turns a failure to write into one sentence."""
        try:
            yield
        except (_NotWrittenError, OSError) as error:
            path, size, why = error.args if isinstance(error, _NotWrittenError) else (self.out_dir, None, error)
            room = f'{shutil.disk_usage(self.out_dir).free / 1e6:.1f} MB are free'
            room = f'it takes {size / 1e6:.1f} MB and {room}' if size else room
            last = Path(runner.work_dir, 'last_checkpoint')
            stands = (
                f'{last.read_text()} stands, make room and resume' if last.is_file() else 'none stands yet, make room'
            )
            raise RuntimeError(
                f'AtomicCheckpointHook: {path} cannot be written: {why.strerror or why} ({room}); {stands}.'
            ) from None
