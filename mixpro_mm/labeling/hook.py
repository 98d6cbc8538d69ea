"""The label head hook: between the logits and the loss, it puts attention into the labels of mixed batches."""

from inspect import signature

import torch
from mmengine.hooks import Hook, LoggerHook
from mmengine.model import is_model_wrapper

from mixpro_mm.attention import ClassAttentionTap, token_grid
from mixpro_mm.labeling.rules import build_labeling
from mixpro_mm.registry import HOOKS, register

__all__ = ['LabelingHook']

LOGGED = ('factor', 'lam_attn', 'lam_area')


@register(HOOKS)
class LabelingHook(Hook):
    """Labels batches mixed by MixPro, MaskMix or RegionMix by what the model attends to.

    A forward pre-hook on the head's loss module takes the pending labels from the augment that mixed the batch, reads
    the class attention of that same forward pass, and hands the loss the re-weighted target. Model, head, loss and
    checkpoint keys stay the host's; batches that nobody mixed, or that Mixup mixed, pass through.

    The log shows, once per log interval, means over the mixed batches of this process since the last line: ``factor``
    (the paper's Figure 2a), ``lam_attn`` and ``lam_area``.

    Args:
        labeling: Name of a labeling or ``dict(type=name, ...)``: ProgressiveAttentionLabeling (PAL) or
            AttentionLabeling (TransMix); or a callable of the same signature that returns ``LabelWeights``.
        attention: Dotted name of the attention module to read, for models that are not known.

    Raises:
        ValueError: at construction for an unknown labeling; in ``before_train`` if no augment yields labels to weigh,
            the model has no class attention, there is no loss module to hook, or another LabelingHook does it already.
    """

    priority = 55  # after SwitchRecipeHook (50), which replaces augments and loss; before LoggerHook (60)

    def __init__(self, labeling='ProgressiveAttentionLabeling', attention: str | None = None):
        self.labeling = build_labeling(labeling)
        self.attention = attention
        self._tap: ClassAttentionTap | None = None
        self._loss = self._handle = self._logger = None
        self._augments: list = []
        self._sums, self._batches = 0.0, 0

    def before_train(self, runner) -> None:
        """Find augments, attention and loss, or stop in one sentence before the first iteration."""
        self.after_train(runner)  # which a run that stopped halfway never came to
        model = _unwrap(runner.model)
        self._augments = _label_augments(model)
        if not self._augments and runner.iter == 0:  # a recipe may have switched mixing off before a resume
            raise ValueError(
                'LabelingHook has nothing to label: no batch augment of this model keeps its labels open; add '
                "dict(type='mixpro_mm.MixPro') to model.train_cfg.augments (with probability 0 if SwitchRecipeHook "
                'brings it in later), or remove the hook'
            )
        if sum(isinstance(hook, LabelingHook) for hook in runner.hooks) > 1:
            raise ValueError('this run has two LabelingHooks, but a batch can be labelled only once: keep one of them')
        self._logger = next((hook for hook in runner.hooks if isinstance(hook, LoggerHook)), None)
        self._tap = ClassAttentionTap(model, self.attention)
        self._hook_loss(model)
        self._tap.attach(wanted=self._pending)  # last: whatever stops above leaves no hook behind

    def before_train_epoch(self, runner) -> None:
        """Look augments and loss up again: SwitchRecipeHook may have replaced them."""
        model = _unwrap(runner.model)
        self._augments = _label_augments(model)
        self._hook_loss(model)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Forget labels that a look at the data between two steps, or an interrupted run, has left open."""
        for augment in self._augments:
            augment.take()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Push the means to the message hub whenever the logger is about to read them.

        Raises:
            RuntimeError: if this batch was mixed but never came to the loss that is hooked.
        """
        if self._pending():
            raise RuntimeError(
                f'a mixed batch was trained on without its labels being weighed: {type(self._loss).__name__}, the loss '
                'LabelingHook listens to, was not called'
            )
        if self._logger is None or not self._logs_now(runner, batch_idx):
            return
        if not self._batches:  # nothing was mixed since the last line: show nothing, not the last value again
            for name in LOGGED:
                runner.message_hub.log_scalars.pop(f'train/{name}', None)
            return
        means = (self._sums / self._batches).tolist()  # the only device synchronisation, once per log line
        for name, value in zip(LOGGED, means, strict=True):
            runner.message_hub.update_scalar(f'train/{name}', value)
        self._sums, self._batches = 0.0, 0

    def after_train(self, runner) -> None:
        """Leave the model as it was found."""
        if self._tap is not None:
            self._tap.release()
        if self._handle is not None:
            self._handle.remove()
        self._tap = self._loss = self._handle = self._logger = None
        self._augments = []
        self._sums, self._batches = 0.0, 0

    def _hook_loss(self, model) -> None:
        loss = _loss_module(model)
        if loss is self._loss:
            return
        if self._handle is not None:
            self._handle.remove()
        self._loss, self._handle = loss, loss.register_forward_pre_hook(self._label, with_kwargs=True)

    def _pending(self) -> bool:
        return any(augment.pending for augment in self._augments)

    def _label(self, module, args, kwargs):
        """Replace the second argument of ``loss(logits, target, ...)``; a batch without open labels is left alone."""
        target = next((augment.take() for augment in self._augments if augment.pending), None)
        if target is None:
            return None
        call = signature(module.forward).bind(*args, **kwargs)
        logits_name, target_name = list(call.arguments)[:2]
        logits, row = call.arguments[logits_name], self._tap.read()
        if row is None or len(row) != len(target.scores):
            raise RuntimeError(
                f'the attention module {type(self._tap.block.attn).__name__} took no part in the forward pass of this '
                'batch, so its labels cannot be weighed; name the right module with attention='
            )
        weights = self.labeling(target, row, token_grid(row.shape[1], tuple(target.mask.shape[2:])), logits)
        self._note(weights)
        call.arguments[target_name] = target.blend(weights.lam)
        return call.args, call.kwargs

    def _note(self, weights) -> None:
        self._sums = self._sums + torch.stack([getattr(weights, name).detach().mean() for name in LOGGED])
        self._batches += 1

    def _logs_now(self, runner, batch_idx: int) -> bool:
        logger = self._logger
        if self.every_n_inner_iters(batch_idx, logger.interval):
            return True
        short = len(runner.train_dataloader) <= logger.interval
        return self.end_of_epoch(runner.train_dataloader, batch_idx) and (short or not logger.ignore_last)


def _unwrap(model):
    return model.module if is_model_wrapper(model) else model


def _label_augments(model) -> list:
    random_augment = getattr(getattr(model, 'data_preprocessor', None), 'batch_augments', None)
    return [augment for augment in getattr(random_augment, 'augments', []) if hasattr(augment, 'take')]


def _loss_module(model):
    loss = getattr(getattr(model, 'head', None), 'loss_module', None)
    loss = getattr(model, 'loss_module', None) if loss is None else loss
    if loss is None:
        raise ValueError(
            f'LabelingHook found no loss to hook in {type(model).__name__}: neither head.loss_module nor loss_module'
        )
    return loss
