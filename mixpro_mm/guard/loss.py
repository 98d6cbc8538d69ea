"""Stops training at a loss that is not finite, before it reaches the weights, and keeps the batch that made it."""

import random
from collections.abc import Mapping
from io import BytesIO
from numbers import Number
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import find_latest_checkpoint
from mmengine.structures import BaseDataElement
from torch import Tensor

from mixpro_mm.arguments import shown
from mixpro_mm.files import replacing
from mixpro_mm.registry import HOOKS, register
from mixpro_mm.wrapped import unwrap

__all__ = ['NonFiniteLossError', 'NonFiniteLossHook']


class NonFiniteLossError(RuntimeError):
    """A loss is NaN or infinite; the sentence names it, the iteration and the file with the batch."""


@register(HOOKS)
class NonFiniteLossHook(Hook):
    """Looks at every loss between forward and backward pass; where one is NaN or infinite, the run ends there.

    That step is not taken, so weights, optimizer and checkpoints stay as they were. Of several ranks, each looks at its
    own loss; the launcher ends the others. The work dir gets
    ``nonfinite_loss_iter_N.pth`` (``_rankR`` before the end where there are several ranks), which
    ``torch.load(..., weights_only=True)`` opens anywhere: ``iter`` (as logged, from 1), ``epoch``, ``losses``,
    ``batch`` (inputs and labels as they came from the data loader, ``img_path`` among the meta keys; a batch augment
    may have added ``gt_score``), ``random_state`` at the start of the iteration (torch, cuda, numpy, python), and
    ``spoiled``, names of tensors of the model that were not finite before. mmdet's ``CheckInvalidLossHook`` looks
    after the update.

    Raises:
        NonFiniteLossError: in training, instead of the step.
    """

    priority = 'LOWEST'  # the state of the generators is read after others, IterSeedHook among them, have set it

    def __init__(self):
        self._model = self._batch = self._random_state = None

    def before_train(self, runner) -> None:
        """Look at what ``parse_losses`` of the model returns from now on."""
        self._release()
        self._model = unwrap(runner.model)
        parse_losses = self._model.parse_losses

        def checked(losses):
            loss, logged = parse_losses(losses)
            if not torch.isfinite(loss).all():
                try:
                    self._stop(runner, logged)
                finally:
                    self._release()
            return loss, logged

        self._model.parse_losses = checked

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Remember the batch and the state of the generators."""
        self._batch, self._random_state = data_batch, _random_state()

    def after_train(self, runner) -> None:
        """Leave the model as it was."""
        self._release()

    def _release(self) -> None:
        if self._model is not None:
            vars(self._model).pop('parse_losses', None)
        self._model = self._batch = self._random_state = None

    def _stop(self, runner, logged: dict) -> None:
        number = runner.iter + 1
        values = {name: value.detach().float().cpu() for name, value in logged.items() if isinstance(value, Tensor)}
        bad = [f'{name} is {value.item()}' for name, value in values.items() if not torch.isfinite(value).all()]
        spoiled = [name for name, value in self._model.state_dict().items() if _is_spoiled(value)]
        rank = f'_rank{get_rank()}' if get_world_size() > 1 else ''
        path = Path(runner.work_dir, f'nonfinite_loss_iter_{number}{rank}.pth')
        images, where = [], f'is in {path}'
        content = dict(iter=number, epoch=runner.epoch + 1, losses=values, spoiled=spoiled)
        try:
            batch = _plain(self._batch)
            images = _images(batch)
            _write(path, dict(content, batch=batch, random_state=self._random_state))
        except Exception as error:  # whatever it is, the loss is the news
            why = getattr(error, 'strerror', None) or f'{type(error).__name__}: {shown(str(error))}'
            where = f'could not be written to {path} ({why})'
        last = find_latest_checkpoint(runner.work_dir)
        named = f' ({", ".join(images[:2])}{", ..." * (len(images) > 2)})' if images else ''
        cause = (
            f'; {len(spoiled)} tensors of the model were not finite before it, {spoiled[0]} first' if spoiled else ''
        )
        raise NonFiniteLossError(
            f'NonFiniteLossHook: {", ".join(bad)} at iteration {number} of the run, in epoch {runner.epoch + 1}{cause}'
            f'; the step was not taken; its batch{named} {where}, the last checkpoint is {last or "not written yet"}.'
        )


def _write(path: Path, content: dict) -> None:
    data = BytesIO()  # torch's own writer does not say that a disk is full
    torch.save(content, data)
    with replacing(path) as draft:
        draft.write_bytes(data.getbuffer())


def _is_spoiled(value) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and not torch.isfinite(value).all()


def _random_state() -> dict:
    name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002 - the hosts' transforms draw from it
    state = dict(torch=torch.get_rng_state(), python=random.getstate())
    state['numpy'] = (name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached)
    if torch.cuda.is_initialized():
        state['cuda'] = torch.cuda.get_rng_state()
    return state


def _plain(thing):
    """Tensors, numbers, names and containers of them, so that the file can be opened without the toolkits."""
    if isinstance(thing, BaseDataElement):
        return {key: _plain(value) for key, value in (*thing.metainfo_items(), *thing.items())}
    if isinstance(thing, Mapping):
        return {str(key): _plain(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [_plain(part) for part in thing]
    if isinstance(thing, np.ndarray) and thing.dtype.kind in 'biuf':
        return torch.from_numpy(np.ascontiguousarray(thing))
    if isinstance(thing, np.generic):
        return thing.item()
    if isinstance(thing, Tensor):
        return thing.detach().cpu().clone()
    for name in ('tensor', 'masks'):  # boxes and masks of mmdet
        if hasattr(thing, name):
            return _plain(getattr(thing, name))
    return thing if thing is None or isinstance(thing, str | Number) else repr(thing)


def _images(batch) -> list[str]:
    """Every ``img_path`` below, in order."""
    if isinstance(batch, dict):
        own = [batch['img_path']] if isinstance(batch.get('img_path'), str) else []
        return own + [path for key, value in batch.items() if key != 'img_path' for path in _images(value)]
    return [path for part in batch for path in _images(part)] if isinstance(batch, list) else []
