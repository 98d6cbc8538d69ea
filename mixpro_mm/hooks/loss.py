"""``NonFiniteLossHook``, which stops training at a loss that is not finite and saves its batch."""

import logging
from collections.abc import Mapping
from io import BytesIO
from numbers import Number
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.optim import OptimWrapperDict
from mmengine.runner import find_latest_checkpoint
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from mixpro_mm.registry import HOOKS, register
from mixpro_mm.utils.arguments import counted, shown
from mixpro_mm.utils.files import replacing
from mixpro_mm.utils.unwrap_model import unwrap_model

__all__ = ['NonFiniteLossError', 'NonFiniteLossHook']

AT_ONCE = ('cpu',)  # devices where a value is read without waiting
IN_A_ROW = 10  # steps with a non-finite loss after which a run with a GradScaler stops


class NonFiniteLossError(RuntimeError):
    """A loss is NaN or infinite; the message names the loss, the iteration and the file with the batch."""


@register(HOOKS)
class NonFiniteLossHook(Hook):
    """Check each training loss, and raise a NonFiniteLossError if one is NaN or infinite.

    On a CPU the check runs between the forward and backward pass, so the weights do not change. On an accelerator it
    runs after the step, where mmengine reads the losses, but before a checkpoint is written. Each rank checks its own
    loss; the launcher stops the others. If the optimizer wrapper skips steps that overflow (AmpOptimWrapper), the hook
    logs a warning, and stops the run at the tenth non-finite loss in a row.

    ``nonfinite_loss_iter_N.pth`` in the work dir (``nonfinite_loss_iter_N_rankR.pth`` with several ranks) loads with
    ``torch.load(..., weights_only=True)``. It has ``iter`` (from 1), ``epoch``, ``losses``, ``batch`` (from the data
    loader, with ``img_path``) and ``spoiled``, the names of parameters that were not finite at the stop.
    """

    priority = 'NORMAL'  # before CheckpointHook (VERY_LOW)
    _model = None

    def __init__(self):
        self._release()

    def before_train(self, runner) -> None:
        self._release()
        self.before_train_iter(runner, 0)  # for a loss outside the training loop
        self._model = unwrap_model(runner.model)
        parse_losses = self._model.parse_losses

        @torch.compiler.disable
        def checked(losses):
            loss, logged = parse_losses(losses)
            sums = self._step.setdefault('losses', {})  # a GAN has several losses in a step
            values = {name: value.detach() for name, value in logged.items() if isinstance(value, Tensor)}
            sums.update({name: sums.get(name, 0) + value for name, value in values.items()})
            finite = torch.isfinite(loss.detach()).all()
            self._finite = finite if self._finite is None else self._finite & finite
            if loss.device.type in AT_ONCE:
                self._check(runner, 'not taken')
            return loss, logged

        self._model.parse_losses = checked

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        self._step = dict(iter=runner.iter + 1, epoch=runner.epoch + 1, batch=data_batch)

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        self._check(runner)

    def after_train(self, runner) -> None:
        self._release()

    def _release(self) -> None:
        if self._model is not None:
            vars(self._model).pop('parse_losses', None)
        self._model = self._step = self._finite = None
        self._in_a_row = 0

    def _check(self, runner, step_was: str = 'taken before its loss was read') -> None:
        step, finite, self._finite = self._step, self._finite, None
        if finite is None:
            return
        if finite:
            self._in_a_row = 0
            return
        self._in_a_row += 1
        step['losses'] = {name: value.float().cpu() for name, value in step['losses'].items()}
        bad = [f'{name} is {value.item()}' for name, value in step['losses'].items() if not value.isfinite().all()]
        when = f'at iteration {step["iter"]} of the run, in epoch {step["epoch"]}'
        problem = f'NonFiniteLossHook: {", ".join(bad)} {when}'
        wrapper = runner.optim_wrapper
        parts = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
        if any(part.loss_scaler.is_enabled() for part in parts if hasattr(part, 'loss_scaler')):
            if self._in_a_row < IN_A_ROW:
                advice = f'GradScaler skips the step, the run stops after {IN_A_ROW} such steps in a row'
                print_log(f'{problem}; {advice}', 'current', logging.WARNING)
                return
            step_was = f'skipped by GradScaler, as the {IN_A_ROW - 1} before it'
        step['spoiled'] = _spoiled(self._model)
        self._release()
        if step['spoiled']:
            problem += f'; {counted(len(step["spoiled"]), "parameter")} not finite, first {step["spoiled"][0]}'
        raise NonFiniteLossError(
            f'{problem}; the step was {step_was}; its batch {_save(runner.work_dir, step)}, the last checkpoint is '
            f'{find_latest_checkpoint(runner.work_dir) or "not written yet"}.'
        )


def _save(work_dir: str, step: dict) -> str:
    """Write the file and return its place in words. An error must not hide the non-finite loss."""
    rank = f'_rank{get_rank()}' if get_world_size() > 1 else ''
    path = Path(work_dir, f'nonfinite_loss_iter_{step["iter"]}{rank}.pth')
    try:
        data = BytesIO()  # torch's own writer does not report a full disk
        torch.save(dict(step, batch=_plain(step['batch'])), data)
        with replacing(path) as draft:
            draft.write_bytes(data.getbuffer())
    except Exception as error:
        return f'could not be written to {path} ({type(error).__name__}: {shown(str(error))})'
    return f'is in {path}'


def _spoiled(model: nn.Module) -> list[str]:
    """Return the names of parameters that are not finite, of sharded ones (DTensor, ZeRO 3) by the local part."""
    held = {name: getattr(value, 'ds_tensor', value) for name, value in model.named_parameters()}
    held |= {name: value.to_local() for name, value in held.items() if hasattr(value, 'to_local')}
    return [name.replace('_fsdp_wrapped_module.', '') for name, value in held.items() if not value.isfinite().all()]


def _plain(thing):
    """Convert to tensors, numbers, strings and containers, so that loading the file does not need the toolkits."""
    if isinstance(thing, BaseDataElement | Mapping):
        items = thing.all_items() if isinstance(thing, BaseDataElement) else thing.items()
        return {str(key): _plain(value) for key, value in items}
    if isinstance(thing, list | tuple):
        return [_plain(part) for part in thing]
    if isinstance(thing, np.ndarray | np.generic) and thing.dtype.kind in 'biuf':
        return torch.from_numpy(np.array(thing))
    if isinstance(thing, np.generic):
        return _plain(thing.item())
    if isinstance(thing, Tensor):
        return thing.detach().cpu().clone()
    inner = getattr(thing, 'tensor', getattr(thing, 'masks', None))  # boxes and masks of mmdet
    if inner is not None:
        return _plain(inner)
    return thing if thing is None or isinstance(thing, str | Number) else repr(thing)
