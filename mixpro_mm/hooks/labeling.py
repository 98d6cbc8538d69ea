"""``LabelingHook``, which re-weights the labels of mixed batches by attention."""

import logging
from functools import partial
from inspect import signature

import torch
from mmengine.hooks import EMAHook, Hook, LoggerHook
from mmengine.logging import print_log
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel

from mixpro_mm.functional.geometry import misfit, pure_tokens
from mixpro_mm.labeling import ClassAttentionTap, parse_attention, patches_of, token_grid
from mixpro_mm.labeling.rules import build_labeling
from mixpro_mm.labeling.tap import eval_mode
from mixpro_mm.models import connect_factor, wrappers_of
from mixpro_mm.registry import HOOKS, register
from mixpro_mm.utils.unwrap_model import in_shards, unwrap_model

__all__ = ['LabelingHook', 'label_augments', 'loss_module', 'refuse_shards']

LOGGED = ('factor', 'lam_attn', 'lam_area', 'pure_tokens')


@register(HOOKS)
class LabelingHook(Hook):
    """Re-weight the labels of batches that augments of this package mixed, by the attention of the model.

    A forward pre-hook on the loss module of the head reads the pending labels of the augment and the class attention
    of the same forward pass, and replaces the target of the loss. Model, head, loss and checkpoint keys do not change.
    Unmixed batches and batches of Mixup pass through. The hook also calls ``bind(model, moving_average_or_None)`` and
    ``unbind`` of each augment, passes model and targets to a loss of ``mixpro_mm.models``, and sets ``progress`` and
    ``learned`` of a labeling. The log shows means over the mixed batches of this process since its last line:
    ``factor`` (Figure 2a of the paper), ``lam_attn``, ``lam_area`` and ``pure_tokens``, the fraction of tokens that
    show one image. A warning names a method whose mask edges do not match the cells of the attention.

    Args:
        labeling: Name of a labeling or ``dict(type=name, ...)``: ProgressiveAttentionLabeling (PAL), AttentionLabeling
            (TransMix) or AreaLabeling (labels by area, any model); or a callable that returns ``LabelWeights``.
        attention: None for the row of the class token in the last block; ``'query_mean'`` for the mean over image
            queries, without a class token; the dotted name of an attention module for an unknown model; or
            ``dict(reading='query_mean', path='path.to.attn')``.

    Raises:
        ValueError: At construction, for an unknown labeling. Before training, if augment, class attention or loss are
            not found, labels have no areas, the attention is not trained, labeling and loss disagree about a learned
            factor, there are two LabelingHooks, or weights are sharded in an unsupported way. Later, if a loss with
            parameters is replaced.
    """

    priority = 55  # after SwitchRecipeHook (50), which replaces augments and loss; before LoggerHook (60)

    def __init__(self, labeling='ProgressiveAttentionLabeling', attention: str | dict | None = None):
        self.labeling = build_labeling(labeling)
        parse_attention(attention)
        self.attention = attention
        self._tap: ClassAttentionTap | None = None
        self._built = self._loss = self._handle = self._patches = self._logger = None
        self._augments, self._checked, self._values = [], [], {}

    def before_run(self, runner) -> None:
        model, kind = unwrap_model(runner.model), type(runner.model).__name__
        shards = isinstance(runner, Runner) and isinstance(runner.model, FullyShardedDataParallel)
        if shards and not getattr(model, 'is_init', False):
            raise ValueError(
                f'{kind} as model_wrapper_cfg of Runner shards weights before they are initialized: train with '
                "runner_type='FlexibleRunner' and strategy=dict(type='FSDPStrategy', ...)"
            )
        self._built = loss_module(model)  # the optimizer has its parameters

    def before_train(self, runner) -> None:
        """Find augments, attention and loss, or raise an error before the first iteration."""
        self.after_train(runner)  # an interrupted run did not call it
        model = unwrap_model(runner.model)
        if not label_augments(model) and runner.iter == 0:  # a resumed recipe may have no mixing
            raise ValueError(
                'LabelingHook has nothing to label: no batch augment of this model has pending labels; add '
                "dict(type='mixpro_mm.MixPro') to model.train_cfg.augments (with probability 0 if SwitchRecipeHook "
                'adds it later), or remove the hook'
            )
        if sum(isinstance(hook, LabelingHook) for hook in runner.hooks) > 1:
            raise ValueError('this run has two LabelingHooks, but a batch can be labelled only once: remove one')
        self._logger = next((hook for hook in runner.hooks if isinstance(hook, LoggerHook)), None)
        try:
            if getattr(self.labeling, 'uses_attention', True):
                self._tap = ClassAttentionTap(model, self.attention).attach(wanted=self._pending)
            self.before_train_epoch(runner)
        except Exception:
            self.after_train(runner)
            raise

    def before_train_epoch(self, runner) -> None:
        """Find augments and loss, which SwitchRecipeHook may have replaced."""
        model = unwrap_model(runner.model)
        found, loss = label_augments(model), loss_module(model)
        if list(map(id, found)) != list(map(id, self._augments)):
            self._unbind()
            refuse_shards(runner.model, found)
            self._refuse_own_weights(found)
            averages = [hook.ema_model.module for hook in runner.hooks if isinstance(hook, EMAHook)]
            for augment in found:
                self._augments.append(augment)
                augment.bind(model, averages[0] if averages else None)
        if loss is None:
            name = type(model).__name__
            raise ValueError(f'LabelingHook found no loss to hook in {name}: neither head.loss_module nor loss_module')
        if loss is self._loss:
            return
        self._release_loss()
        if loss is not self._built and self._built is not None and [*loss.parameters(), *self._built.parameters()]:
            raise ValueError(
                f'{type(self._built).__name__} cannot be replaced by {type(loss).__name__} during training, because '
                'a loss has parameters: use one loss in all recipes'
            )
        self._loss, self._patches = loss, patches_of(model)
        self._handle = loss.register_forward_pre_hook(self._label, with_kwargs=True)
        for wrapper in wrappers_of(loss):
            wrapper.attach(model)
        connect_factor(loss, self.labeling)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Discard labels of an interrupted run or of batches mixed outside training."""
        for augment in self._augments:
            getattr(augment, 'discard', augment.pop_target)()
        if self._tap is not None and not self._tap.verified and 'inputs' in (data_batch or {}):
            self._verify(runner, data_batch['inputs'][:1])
        if hasattr(self.labeling, 'progress'):
            by_iter = isinstance(runner.train_loop, IterBasedTrainLoop)
            self.labeling.progress = runner.iter / runner.max_iters if by_iter else runner.epoch / runner.max_epochs

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Write the means to the message hub before the logger reads it.

        Raises:
            RuntimeError: If the batch was mixed but did not reach the hooked loss.
        """
        if self._pending():
            name = type(self._loss).__name__
            raise RuntimeError(f'labels of a mixed batch were not re-weighted: {name}, the hooked loss, was not called')
        if (logger := self._logger) is None:
            return
        loader = runner.train_dataloader
        ends = self.end_of_epoch(loader, batch_idx) and (len(loader) <= logger.interval or not logger.ignore_last)
        if not ends and not self.every_n_inner_iters(batch_idx, logger.interval):
            return
        for name in LOGGED:
            if values := self._values.pop(name, None):
                runner.message_hub.update_scalar(f'train/{name}', torch.stack(values).mean().item())
            else:  # no mixed batch since the last line
                runner.message_hub.log_scalars.pop(f'train/{name}', None)

    def after_train(self, runner) -> None:
        self._unbind()  # in reverse order, because both patch the config of torch.compile
        if self._tap is not None:
            self._tap.release()
        self._release_loss()
        self._tap = self._logger = None
        self._checked, self._values = [], {}

    def _verify(self, runner, inputs) -> None:
        """Raise an error before the first step if nothing trains the class attention."""
        model = unwrap_model(runner.model)
        image = model.data_preprocessor(dict(inputs=inputs), False)['inputs'].to(next(model.parameters()).dtype)
        # the wrapper gathers FSDP weights; mmengine's DeepSpeed engine is not callable
        forward = runner.model if callable(runner.model) else model
        try:
            with eval_mode(model):
                self._tap.verify(lambda: forward(inputs=image, mode='tensor'))
        except ValueError:
            self.after_train(runner)
            raise

    def _refuse_own_weights(self, augments: list) -> None:
        name = next((type(each).__name__ for each in augments if getattr(each, 'own_weights', False)), None)
        if name and getattr(self.labeling, 'uses_attention', True):
            raise ValueError(f"{name} mixes labels by a ratio, not by a mask: use labeling='AreaLabeling'")

    def _unbind(self) -> None:
        for augment in reversed(self._augments):
            augment.unbind()
        self._augments = []

    def _release_loss(self) -> None:
        if self._loss is not None:
            self._handle.remove()
            for wrapper in wrappers_of(self._loss):
                wrapper.release()
        if hasattr(self.labeling, 'learned'):
            self.labeling.learned = None
        self._loss = None

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
        size, row, grid = tuple(target.mask.shape[2:]), None, None
        if self._tap is not None:
            row = self._tap.read()
            if row is None or len(row) != len(target.scores):
                name, rows = type(self._tap.block.attn).__name__, 0 if row is None else len(row)
                raise RuntimeError(
                    f'the attention module {name} gave {rows} rows for the {len(target.scores)} images of this batch; '
                    'set attention= to a module with one row per image'
                )
            grid = self._tap.block.grid(row.shape[1], size)
            if augment not in self._checked:
                self._checked.append(augment)
                if sentence := misfit(augment, grid, size):
                    print_log(f'LabelingHook: {sentence}', 'current', logging.WARNING)
        weights = self.labeling(target, row, grid, call.arguments[logits_name])
        pure = None if grid is None else pure_tokens(target.mask, grid)
        for name, value in dict(weights._asdict(), pure_tokens=pure).items():
            if self._logger and name in LOGGED and value is not None:
                self._values.setdefault(name, []).append(value.detach().float().mean())
        for wrapper in wrappers_of(module):
            wrapper.expect(target, partial(token_grid, size=size, patches=self._patches))
        call.arguments[target_name] = target.blend(weights.lam)
        return call.args, call.kwargs


def refuse_shards(model: nn.Module, augments: list) -> None:
    """Raise a ValueError if a method would run a sharded model outside its wrapper, which gathers the weights."""
    name = next((type(augment).__name__ for augment in augments if getattr(augment, 'runs_model', False)), None)
    if name is not None and (holder := in_shards(model)):
        raise ValueError(
            f'{name} runs the model in training, but {holder} shards its weights: train with DDPStrategy or ZeRO 0 to '
            '2 of DeepSpeed, or use a method that does not run the model, such as MixPro'
        )


def label_augments(model: nn.Module) -> list:
    """Return the batch augments with pending labels, in the order of the config."""
    random_augment = getattr(getattr(model, 'data_preprocessor', None), 'batch_augments', None)
    return [augment for augment in getattr(random_augment, 'augments', []) if hasattr(augment, 'pop_target')]


def loss_module(model: nn.Module) -> nn.Module | None:
    """Return ``head.loss_module``, or ``loss_module`` of a classifier without a head."""
    loss = getattr(getattr(model, 'head', None), 'loss_module', None)
    return getattr(model, 'loss_module', None) if loss is None else loss
