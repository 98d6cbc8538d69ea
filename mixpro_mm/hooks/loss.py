"""``NonFiniteLossHook``, which stops training at a loss that is not finite and saves its batch."""

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from numbers import Number
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import print_log
from mmengine.optim import OptimWrapperDict
from mmengine.runner import find_latest_checkpoint
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from mixpro_mm.registry import HOOKS, register
from mixpro_mm.utils.arguments import shown
from mixpro_mm.utils.files import replacing
from mixpro_mm.utils.unwrap_model import unwrap_model

__all__ = ['NonFiniteLossError', 'NonFiniteLossHook']

IN_A_ROW = 10  # steps with a non-finite loss after which a run with a GradScaler stops


class NonFiniteLossError(RuntimeError):
    """A loss is NaN or infinite; the message names the loss, the iteration and the file with the batch."""


@dataclass
class _Step:
    number: int
    epoch: int
    batch: object
    random_state: dict
    at_once: bool = True
    losses: dict = field(default_factory=dict)


@register(HOOKS)
class NonFiniteLossHook(Hook):
    """Check each training loss and stop the run if one is NaN or infinite.

    On a CPU the check runs between the forward and backward pass, so the step is not taken and the weights do not
    change. On an accelerator it runs in the forward pass of the next step to avoid synchronization, after one step
    with the loss. Before a checkpoint and at the end of an epoch the check is immediate, so no checkpoint contains
    such a step. Each rank checks its own loss; the launcher stops the others.

    An optimizer wrapper with a ``loss_scaler`` (AmpOptimWrapper) skips steps that overflow. The hook then logs a
    warning, and stops the run at the tenth non-finite loss in a row.

    ``nonfinite_loss_iter_N.pth`` in the work dir (``nonfinite_loss_iter_N_rankR.pth`` with several ranks) loads with
    ``torch.load(..., weights_only=True)``. It has ``iter`` (as logged, from 1), ``epoch``, ``losses``, ``batch`` (from
    the data loader, with ``img_path``; batch augments may add ``gt_score``), ``random_state`` at the start of the
    iteration (torch, cuda, numpy, python) and ``spoiled``, the names of model tensors (on this rank) that were not
    finite before the step, or after it if it was taken.

    Raises:
        NonFiniteLossError: In training, instead of the step or the next step, or in ``before_save_checkpoint``,
            ``before_val`` or ``after_train``, if the loss of the last step was not finite.
    """

    priority = 'LOWEST'  # reads the generator state after other hooks, such as IterSeedHook, have set it

    def __init__(self):
        self._release()

    def before_train(self, runner) -> None:
        """Wrap ``parse_losses`` of the model."""
        self._release()
        self._model = unwrap_model(runner.model)
        self._step = _Step(runner.iter + 1, runner.epoch + 1, None, _random_state())  # until there is a batch
        parse_losses = self._model.parse_losses

        def checked(losses):
            loss, logged = parse_losses(losses)
            self._check(runner, loss, logged)
            return loss, logged

        self._model.parse_losses = checked

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Save references to the batch and the generator states."""
        at_once = self._checkpoint_follows(runner, batch_idx)
        self._step = _Step(runner.iter + 1, runner.epoch + 1, data_batch, _random_state(), at_once)

    def before_val(self, runner) -> None:
        """Check the loss of the last step, if it is unchecked."""
        self._settle(runner)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Check the loss of the last step, if it is unchecked."""
        self._settle(runner)

    def after_train(self, runner) -> None:
        """Check the loss of the last step, if it is unchecked, and restore the model."""
        self._settle(runner)
        self._release()

    def _release(self) -> None:
        if getattr(self, '_model', None) is not None:
            vars(self._model).pop('parse_losses', None)
        self._model = self._step = self._open = None
        self._in_a_row = 0

    def _checkpoint_follows(self, runner, batch_idx: int) -> bool:
        savers = (hook for hook in runner.hooks if isinstance(hook, CheckpointHook) and not hook.by_epoch)
        return (
            self.end_of_epoch(runner.train_dataloader, batch_idx)
            or self.is_last_train_iter(runner)
            or any(hook.every_n_train_iters(runner, hook.interval, hook.save_begin) for hook in savers)
        )

    @torch.compiler.disable
    def _check(self, runner, loss: Tensor, logged: dict) -> None:
        self._settle(runner)
        self._step.losses = {name: value.detach() for name, value in logged.items() if isinstance(value, Tensor)}
        finite = torch.isfinite(loss.detach()).all()
        self._open = self._step, _later(finite)
        if not _is_late(finite) or self._step.at_once:
            self._settle(runner, taken=False)

    def _settle(self, runner, taken: bool = True) -> None:
        if self._open is None:
            return
        (step, finite), self._open = self._open, None
        if finite():
            self._in_a_row = 0
            return
        self._in_a_row += 1
        what, when = ('taken before its loss was read', 'after') if taken else ('not taken', 'before')
        if _skips_overflow(runner):
            if self._in_a_row < IN_A_ROW:
                print_log(
                    f'NonFiniteLossHook: {_named(step)}; GradScaler skips the step, the run stops after {IN_A_ROW} '
                    'such steps in a row',
                    'current',
                    logging.WARNING,
                )
                return
            what, when = f'skipped by GradScaler, as the {IN_A_ROW - 1} before it', 'before'
        try:
            self._stop(runner, step, what, when)
        finally:
            self._release()

    def _stop(self, runner, step: _Step, what: str, when: str) -> None:
        spoiled = _spoiled(self._model)
        rank = f'_rank{get_rank()}' if get_world_size() > 1 else ''
        path = Path(runner.work_dir, f'nonfinite_loss_iter_{step.number}{rank}.pth')
        images, where = [], f'is in {path}'
        content = dict(iter=step.number, epoch=step.epoch, losses=_values(step), spoiled=spoiled)
        try:
            batch = _plain(step.batch)
            images = _images(batch)
            data = BytesIO()  # torch's own writer does not report a full disk
            torch.save(dict(content, batch=batch, random_state=step.random_state), data)
            with replacing(path) as draft:
                draft.write_bytes(data.getbuffer())
        except Exception as error:  # must not hide the non-finite loss
            why = getattr(error, 'strerror', None) or f'{type(error).__name__}: {shown(str(error))}'
            where = f'could not be written to {path} ({why})'
        last = find_latest_checkpoint(runner.work_dir)
        named = f' ({", ".join(images[:2])}{", ..." * (len(images) > 2)})' if images else ''
        tensors = '1 tensor of the model was' if len(spoiled) == 1 else f'{len(spoiled)} tensors of the model were'
        cause = f'; {tensors} not finite {when} it, {spoiled[0]} first' if spoiled else ''
        raise NonFiniteLossError(
            f'NonFiniteLossHook: {_named(step)}{cause}; the step was {what}; its batch{named} {where}, '
            f'the last checkpoint is {last or "not written yet"}.'
        )


def _is_late(finite: Tensor) -> bool:
    """Return whether reading the value would synchronize with an asynchronous device."""
    return finite.device.type != 'cpu'


def _later(flag: Tensor) -> Callable[[], bool]:
    """Return a function that reads ``flag``; on CUDA it waits only for work that is queued by now."""
    if flag.device.type != 'cuda':
        return lambda: bool(flag)
    copy, event = flag.to('cpu', non_blocking=True), torch.cuda.Event()
    event.record()

    def read() -> bool:
        event.synchronize()
        return bool(copy)

    return read


def _skips_overflow(runner) -> bool:
    wrapper = runner.optim_wrapper
    parts = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    scalers = [part.loss_scaler for part in parts if hasattr(part, 'loss_scaler')]
    return any(scaler.is_enabled() for scaler in scalers)


def _values(step: _Step) -> dict:
    return {name: value.float().cpu() for name, value in step.losses.items()}


def _named(step: _Step) -> str:
    bad = [f'{name} is {value.item()}' for name, value in _values(step).items() if not torch.isfinite(value).all()]
    return f'{", ".join(bad)} at iteration {step.number} of the run, in epoch {step.epoch}'


def _spoiled(model: nn.Module) -> list[str]:
    """Return the names of parameters and buffers of this process that are not finite.

    ``state_dict`` would gather shards from all ranks, so the local shards of DTensor, FSDP and ZeRO 3 are read.
    """
    held = dict(model.named_parameters())
    for path, module in model.named_modules():
        passing = module._non_persistent_buffers_set  # for example masks of -inf
        held |= {f'{path}.{n}'.lstrip('.'): value for n, value in module._buffers.items() if n not in passing}
    return [name.replace('_fsdp_wrapped_module.', '') for name, value in held.items() if _is_spoiled(value)]


def _is_spoiled(value) -> bool:
    value = getattr(value, 'ds_tensor', value)
    value = value.to_local() if hasattr(value, 'to_local') else value
    return isinstance(value, Tensor) and value.is_floating_point() and not torch.isfinite(value).all()


def _random_state() -> dict:
    name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002  the toolkits' transforms use it
    state = dict(torch=torch.get_rng_state(), python=random.getstate())
    state['numpy'] = (name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached)
    if torch.cuda.is_initialized():
        state['cuda'] = torch.cuda.get_rng_state()
    return state


def _plain(thing):
    """Convert to tensors, numbers, strings and containers, so that loading the file does not need the toolkits."""
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
    if isinstance(batch, dict):
        own = [batch['img_path']] if isinstance(batch.get('img_path'), str) else []
        return own + [path for key, value in batch.items() if key != 'img_path' for path in _images(value)]
    return [path for part in batch for path in _images(part)] if isinstance(batch, list) else []
