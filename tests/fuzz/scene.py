"""Two training steps of a config in a Runner, and checks of the results."""

import itertools
import logging
import math
from copy import deepcopy
from functools import cache
from typing import NamedTuple
from unittest.mock import patch

import torch
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.runner import runner as mmengine_runner
from mmengine.visualization import Visualizer
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch.utils.data import DataLoader

__all__ = ['Batch', 'Case', 'check', 'check_labels', 'train']

SERIAL = itertools.count()
GLOBALS = (DefaultScope, MMLogger, MessageHub, Visualizer)


class Batch(NamedTuple):
    size: tuple[int, int]
    count: int  # of samples
    classes: int
    labels: str  # 'index', 'onehot', 'half', 'soft' or 'multi'

    def scores(self) -> torch.Tensor:
        """Return labels (2 * count, classes); rows sum to 1 unless they are 'multi'."""
        generator = torch.Generator().manual_seed(self.classes)
        if self.labels == 'soft':
            return torch.rand(2 * self.count, self.classes, generator=generator).softmax(dim=1)
        if self.labels == 'multi':
            return torch.randint(0, 2, (2 * self.count, self.classes), generator=generator).float()
        onehot = torch.eye(self.classes)[torch.arange(2 * self.count) % self.classes]
        return {'half': onehot.half(), 'onehot': onehot.long()}.get(self.labels, onehot)

    def samples(self) -> list[dict]:
        images = torch.rand(2 * self.count, 3, *self.size, generator=torch.Generator().manual_seed(self.count))
        items = []
        for index, (image, score) in enumerate(zip(images, self.scores(), strict=True)):
            sample = DataSample()
            if self.labels == 'index':
                sample.set_gt_label(index % self.classes)
            else:
                sample.set_gt_score(score)
            items.append(dict(inputs=image, data_samples=sample))
        return items


class Case(NamedTuple):
    model: dict  # config of an ImageClassifier
    hooks: list  # configs
    batch: Batch
    load_from: str | None = None


class Witness(Hook):
    """Records the labels of the loss, the losses, and the initial weights."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.labels, self.losses = [], []

    def before_train(self, runner):
        self.weights = [parameter.detach().clone() for parameter in runner.model.parameters()]
        self.handle = runner.model.head.loss_module.register_forward_pre_hook(self._record_label, with_kwargs=True)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append(outputs['loss'].item())

    def after_train(self, runner):
        self.handle.remove()

    def _record_label(self, loss, args, kwargs):
        label = args[1] if len(args) > 1 else kwargs.get('label', kwargs.get('target'))
        self.labels.append(label.detach().clone())


visualizer = cache(lambda: Visualizer(name='fuzz'))  # creating one takes longer than a step


def train(case: Case, folder) -> tuple[Runner, Witness]:
    """Train two steps; restore the global instances of mmengine."""
    saved = [dict(manager._instance_dict) for manager in GLOBALS]
    try:
        with DefaultScope.overwrite_default_scope('mmpretrain'), patch.object(mmengine_runner, 'collect_env', dict):
            torch.manual_seed(0)
            model = dict(deepcopy(case.model), data_preprocessor=dict(num_classes=case.batch.classes, to_onehot=True))
            witness = Witness()
            runner = Runner(
                model=MODELS.build(model),
                work_dir=str(folder),
                train_dataloader=DataLoader(case.batch.samples(), case.batch.count, collate_fn=pseudo_collate),
                optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
                train_cfg=dict(by_epoch=True, max_epochs=1),
                custom_hooks=[*deepcopy(case.hooks), witness],
                default_hooks=dict(checkpoint=None, logger=dict(type='LoggerHook', interval=1)),
                randomness=dict(seed=0),
                load_from=case.load_from,
                visualizer=visualizer(),
                default_scope='mmpretrain',
                experiment_name=f'fuzz-{next(SERIAL)}',
                log_level='CRITICAL',
            )
            runner.train()
        return runner, witness
    finally:
        for logger in MMLogger._instance_dict.values():
            for handler in logger.handlers:
                handler.close()
            logger.handlers = [handler for handler in logger.handlers if not isinstance(handler, logging.FileHandler)]
        for manager, instances in zip(GLOBALS, saved, strict=True):
            manager._instance_dict.clear()
            manager._instance_dict.update(instances)


def check(case: Case, runner: Runner, witness: Witness, free_weights: bool) -> None:
    """Check losses, weights, labels and hooks; with ``free_weights``, label weights need not sum to 1."""
    assert len(witness.losses) == len(witness.labels) == 2
    assert all(math.isfinite(loss) for loss in witness.losses), f'losses {witness.losses}'
    pairs = list(zip(witness.weights, runner.model.parameters(), strict=True))
    assert all(parameter.isfinite().all() for _, parameter in pairs), 'a weight is not finite'
    assert any(not torch.equal(before, parameter) for before, parameter in pairs), 'no weight changed'
    left = [hooks for module in runner.model.modules() for hooks in (module._forward_hooks, module._forward_pre_hooks)]
    assert not any(left), 'a hook was left on the model'
    scores = case.batch.scores().float().split(case.batch.count)
    for label, given in zip(witness.labels, scores, strict=True):
        if label.ndim == 2:
            check_labels(label.float(), given, free_weights or case.batch.labels == 'multi')


def check_labels(label, scores, free_weights: bool) -> None:
    """Check that labels are finite, non-negative, within those of the batch, and sum to one."""
    assert label.isfinite().all() and (label >= 0).all(), f'labels {label}'
    assert (label <= (scores.amax(dim=0) * (2 if free_weights else 1) + 1e-3)).all(), f'labels {label} of {scores}'
    if not free_weights:
        torch.testing.assert_close(label.sum(dim=1), torch.ones(len(label)), atol=2e-3, rtol=0)
