"""``LabelingHook``, which re-weights the labels of mixed batches by attention."""

import logging
from functools import partial
from inspect import signature

import torch
from mmengine.hooks import Hook, LoggerHook
from mmengine.logging import print_log

from mixpro_mm.functional.geometry import misfit, pure_tokens
from mixpro_mm.hooks.loss_modules import (
    average_of,
    each,
    first_image,
    label_augments,
    loss_module,
    missing,
    progress_of,
    refuse_late_weights,
    refuse_shards,
)
from mixpro_mm.labeling import ClassAttentionTap, parse_attention, patches_of, token_grid
from mixpro_mm.labeling.rules import build_labeling
from mixpro_mm.labeling.tap import eval_mode
from mixpro_mm.models import connect_factor, wrappers_of
from mixpro_mm.registry import HOOKS, register
from mixpro_mm.utils.unwrap_model import unwrap_model

__all__ = ['LabelingHook']

LOGGED = ('factor', 'lam_attn', 'lam_area', 'pure_tokens')


@register(HOOKS)
class LabelingHook(Hook):
    """Re-weight the labels of batches that augments of this package mixed, by the attention of the model.

    A forward pre-hook on the loss module of the head takes the pending labels from the augment, reads the class
    attention of the same forward pass, and replaces the target of the loss. Model, head, loss and checkpoint keys do
    not change. Unmixed batches and batches of Mixup pass through.

    The hook calls ``bind(model, moving_average_or_None)`` of each augment that has it, and ``unbind`` after training.
    It passes the model and the target of each mixed batch to a loss of ``mixpro_mm.models``, and sets ``progress`` and
    ``learned`` of a labeling that has these attributes.

    Once per log interval the log shows means over the mixed batches of this process: ``factor`` (Figure 2a of the
    paper), ``lam_attn``, ``lam_area`` and ``pure_tokens``, the fraction of tokens that show one image. A warning names
    a method whose mask edges do not match the cells of the attention.

    Args:
        labeling: Name of a labeling or ``dict(type=name, ...)``: ProgressiveAttentionLabeling (PAL), AttentionLabeling
            (TransMix) or AreaLabeling (labels by area, any model); or a callable with the same signature that returns
            ``LabelWeights``.
        attention: None for the row of the class token in the last block; ``'query_mean'`` for the mean over image
            queries, without a class token; the dotted name of an attention module for an unknown model; or
            ``dict(reading='query_mean', path='path.to.attn')``.

    Raises:
        ValueError: At construction, for an unknown labeling. Before training, if no augment has pending labels; the
            model has no class attention, or an untrained one because the head does not read the class token; the model
            or its loss module is not found; labeling and loss disagree about a learned factor; a method runs a sharded
            model; there are two LabelingHooks; or a plain Runner would initialize weights after FSDP sharded them.
            Before an epoch, if a loss with parameters was replaced.
    """

    priority = 55  # after SwitchRecipeHook (50), which replaces augments and loss; before LoggerHook (60)

    def __init__(self, labeling='ProgressiveAttentionLabeling', attention: str | dict | None = None):
        self.labeling = build_labeling(labeling)
        parse_attention(attention)
        self.attention = attention
        self._tap: ClassAttentionTap | None = None
        self._built = self._loss = self._handle = self._logger = None
        self._augments, self._wrappers = [], []
        self._sums, self._checked = {}, []
        self._patches = None

    def before_run(self, runner) -> None:
        """Keep the loss that the optimizer was built for."""
        refuse_late_weights(runner)
        self._built = loss_module(unwrap_model(runner.model))

    def before_train(self, runner) -> None:
        """Find augments, attention and loss, or raise an error before the first iteration."""
        self.after_train(runner)  # an interrupted run did not call it
        try:
            self._start(runner)
        except Exception:
            self.after_train(runner)
            raise

    def before_train_epoch(self, runner) -> None:
        """Look up augments and loss again, because SwitchRecipeHook may have replaced them."""
        self._look_up(runner)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Discard labels of an interrupted run or of batches mixed outside training."""
        for augment in self._augments:
            augment.pop_target()
        self._verify(runner, data_batch)
        if hasattr(self.labeling, 'progress'):
            self.labeling.progress = progress_of(runner)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Write the means to the message hub before the logger reads it.

        Raises:
            RuntimeError: If the batch was mixed but did not reach the hooked loss.
        """
        if self._pending():
            raise RuntimeError(
                f'the labels of a mixed batch were not re-weighted: {type(self._loss).__name__}, the hooked loss, was '
                'not called'
            )
        if self._logger is None or not self._logs_now(runner, batch_idx):
            return
        for name in LOGGED:
            if name in self._sums:
                total, batches = self._sums[name]
                runner.message_hub.update_scalar(f'train/{name}', total.item() / batches)
            else:  # no mixed batch since the last line
                runner.message_hub.log_scalars.pop(f'train/{name}', None)
        self._sums = {}

    def after_train(self, runner) -> None:
        """Restore the model."""
        if self._tap is not None:
            self._tap.release()
        self._release_loss()
        each(self._augments, 'unbind')
        self._tap = self._logger = None
        self._augments, self._sums, self._checked = [], {}, []

    def _start(self, runner) -> None:
        model = unwrap_model(runner.model)
        self._patches = patches_of(model)
        if not label_augments(model) and runner.iter == 0:  # a resumed recipe may have no mixing
            raise ValueError(
                'LabelingHook has nothing to label: no batch augment of this model has pending labels; add '
                "dict(type='mixpro_mm.MixPro') to model.train_cfg.augments (with probability 0 if SwitchRecipeHook "
                'adds it later), or remove the hook'
            )
        if sum(isinstance(hook, LabelingHook) for hook in runner.hooks) > 1:
            raise ValueError('this run has two LabelingHooks, but a batch can be labelled only once: remove one')
        self._logger = next((hook for hook in runner.hooks if isinstance(hook, LoggerHook)), None)
        if getattr(self.labeling, 'uses_attention', True):
            self._tap = ClassAttentionTap(model, self.attention).attach(wanted=self._pending)
        self._look_up(runner)

    def _verify(self, runner, data_batch) -> None:
        """Raise an error before the first step if nothing trains the class attention."""
        if self._tap is None or self._tap.verified:
            return
        model = unwrap_model(runner.model)
        image = first_image(model, data_batch)
        if image is None:
            return
        # the wrapper gathers FSDP weights; mmengine's DeepSpeed engine is not callable
        forward = runner.model if callable(runner.model) else model
        try:
            with eval_mode(model):
                self._tap.verify(lambda: forward(inputs=image, mode='tensor'))
        except ValueError:
            self.after_train(runner)
            raise

    def _look_up(self, runner) -> None:
        model = unwrap_model(runner.model)
        found, known = label_augments(model), self._augments
        each(missing(known, found), 'unbind')
        self._augments = found
        refuse_shards(runner.model, missing(found, known))
        each(missing(found, known), 'bind', model, average_of(runner))
        loss = loss_module(model)
        if loss is None:
            raise ValueError(
                f'LabelingHook found no loss to hook in {type(model).__name__}: '
                'neither head.loss_module nor loss_module'
            )
        if loss is not self._loss:
            self._hook_loss(loss, model)
            connect_factor(loss, self.labeling)

    def _hook_loss(self, loss, model) -> None:
        self._release_loss()
        wrappers = wrappers_of(loss)
        learned = [p for module in (loss, self._built) if module is not None for p in module.parameters()]
        if self._built is not None and loss is not self._built and learned:
            raise ValueError(
                f'{type(self._built).__name__} cannot be replaced by {type(loss).__name__} during training, because '
                'a loss has parameters: use one loss in all recipes'
            )
        self._loss, self._wrappers = loss, wrappers
        self._handle = loss.register_forward_pre_hook(self._label, with_kwargs=True)
        for wrapper in wrappers:
            wrapper.attach(model)

    def _release_loss(self) -> None:
        if self._handle is not None:
            self._handle.remove()
        for wrapper in self._wrappers:
            wrapper.release()
        if hasattr(self.labeling, 'learned'):
            self.labeling.learned = None
        self._loss, self._handle, self._wrappers = None, None, []

    def _pending(self) -> bool:
        return any(augment.pending for augment in self._augments)

    @torch.compiler.disable  # pending labels change from step to step
    def _label(self, module, args, kwargs):
        """Replace the target of ``loss(logits, target, ...)`` if the batch has pending labels."""
        augment = next((augment for augment in self._augments if augment.pending), None)
        if augment is None:
            return None
        target = augment.pop_target()
        call = signature(module.forward).bind(*args, **kwargs)
        logits_name, target_name = list(call.arguments)[:2]
        row = grid = None
        if self._tap is not None:
            row = self._tap.read()
            if row is None or len(row) != len(target.scores):
                raise RuntimeError(
                    f'the attention module {type(self._tap.block.attn).__name__} gave '
                    f'{0 if row is None else len(row)} rows for the {len(target.scores)} images of this batch; set '
                    'attention= to a module with one row per image'
                )
            grid = self._tap.block.grid(row.shape[1], tuple(target.mask.shape[2:]))
            self._check(augment, grid, tuple(target.mask.shape[2:]))
        weights = self.labeling(target, row, grid, call.arguments[logits_name])
        pure = None if grid is None else pure_tokens(target.mask, grid)
        self._note(dict(weights._asdict(), pure_tokens=pure))
        for wrapper in self._wrappers:
            wrapper.expect(target, partial(token_grid, size=tuple(target.mask.shape[2:]), patches=self._patches))
        call.arguments[target_name] = target.blend(weights.lam)
        return call.args, call.kwargs

    def _check(self, augment, grid: tuple[int, int], size: tuple[int, int]) -> None:
        """Warn once per augment if its masks do not match the cells of the attention."""
        if not any(augment is known for known in self._checked):
            self._checked.append(augment)
            if sentence := misfit(augment, grid, size):
                print_log(f'LabelingHook: {sentence}', 'current', logging.WARNING)

    def _note(self, values: dict) -> None:
        for name in LOGGED:
            if (value := values.get(name)) is not None:
                total, batches = self._sums.get(name, (0, 0))
                self._sums[name] = total + value.detach().float().mean(), batches + 1

    def _logs_now(self, runner, batch_idx: int) -> bool:
        logger = self._logger
        if self.every_n_inner_iters(batch_idx, logger.interval):
            return True
        short = len(runner.train_dataloader) <= logger.interval
        return self.end_of_epoch(runner.train_dataloader, batch_idx) and (short or not logger.ignore_last)
