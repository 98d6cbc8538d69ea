"""One case: a config, and what came of one or two training steps in a Runner of mmengine."""

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
from torch.utils.data import DataLoader, Dataset

__all__ = ['Batch', 'Case', 'Witness', 'check', 'check_call', 'train']

SERIAL = itertools.count()
GLOBALS = (DefaultScope, MMLogger, MessageHub, Visualizer)


class Batch(NamedTuple):
    """Images and labels that a case is given."""

    size: tuple[int, int]
    count: int  # of samples
    classes: int
    labels: str  # 'index', 'onehot', 'half', 'soft' or 'multi'
    dtype: torch.dtype = torch.float32  # of images that a method is handed without the host, which casts them

    def images(self) -> torch.Tensor:
        """(2 * count, 3, H, W): a channel that numbers the sample, and two of noise."""
        images = torch.rand(2 * self.count, 3, *self.size, generator=torch.Generator().manual_seed(self.count))
        images[:, 0] = 1 + torch.arange(2 * self.count).view(-1, 1, 1)
        return images

    def scores(self) -> torch.Tensor:
        """(2 * count, classes) labels in [0, 1]; rows sum to 1 unless they are 'multi'."""
        generator = torch.Generator().manual_seed(self.classes)
        if self.labels == 'soft':
            return torch.rand(2 * self.count, self.classes, generator=generator).softmax(dim=1)
        if self.labels == 'multi':
            return torch.randint(0, 2, (2 * self.count, self.classes), generator=generator).float()
        onehot = torch.eye(self.classes)[torch.arange(2 * self.count) % self.classes]
        return {'half': onehot.half(), 'onehot': onehot.long()}.get(self.labels, onehot)


class Case(NamedTuple):
    """What is trained."""

    model: dict  # config of an ImageClassifier
    hooks: list  # configs
    batch: Batch
    load_from: str | None = None


class Samples(Dataset):
    """Made anew on every access, for the host writes into them."""

    def __init__(self, batch: Batch):
        self.batch, self.images, self.scores = batch, batch.images(), batch.scores()

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        sample = DataSample()
        if self.batch.labels == 'index':
            sample.set_gt_label(index % self.batch.classes)
        else:
            sample.set_gt_score(self.scores[index].clone())
        return dict(inputs=self.images[index].clone(), data_samples=sample)


class Witness(Hook):
    """Writes down what the backbone was shown, what label the loss was given, and what loss came out."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.shown, self.labels, self.losses, self.weights, self._handles = [], [], [], [], []

    def before_train(self, runner):
        model = runner.model
        self.weights = [parameter.detach().clone() for parameter in model.parameters()]
        self._handles = [
            model.backbone.register_forward_pre_hook(self._see_images),
            model.head.loss_module.register_forward_pre_hook(self._see_label, with_kwargs=True),
        ]

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append(outputs['loss'].item())

    def after_train(self, runner):
        for handle in self._handles:
            handle.remove()

    def moved(self, model) -> bool:
        """Whether the optimizer changed any weight, and left all of them finite."""
        pairs = list(zip(self.weights, model.parameters(), strict=True))
        assert all(parameter.isfinite().all() for _, parameter in pairs), 'a weight is not finite'
        return any(not torch.equal(before, parameter) for before, parameter in pairs)

    def _see_images(self, backbone, args):
        if backbone.training:  # a look at the model in between is no step
            self.shown.append(args[0].detach().clone())

    def _see_label(self, loss, args, kwargs):
        label = args[1] if len(args) > 1 else kwargs.get('label', kwargs.get('target'))
        self.labels.append(label.detach().clone())


@cache
def _visualizer() -> Visualizer:
    """One for all cases: it draws a figure when it is made, which takes longer than a step."""
    return Visualizer(name='fuzz')


def train(case: Case, folder) -> tuple[Runner, Witness]:
    """Two steps as ``tools/train.py`` would take them; what stops them comes out as it is."""
    saved = [dict(manager._instance_dict) for manager in GLOBALS]
    try:
        with DefaultScope.overwrite_default_scope('mmpretrain'), patch.object(mmengine_runner, 'collect_env', dict):
            torch.manual_seed(0)
            model = dict(deepcopy(case.model), data_preprocessor=dict(num_classes=case.batch.classes, to_onehot=True))
            witness = Witness()
            runner = Runner(
                model=MODELS.build(model),
                work_dir=str(folder),
                train_dataloader=DataLoader(Samples(case.batch), case.batch.count, collate_fn=pseudo_collate),
                optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
                train_cfg=dict(by_epoch=True, max_epochs=1),
                custom_hooks=[*deepcopy(case.hooks), witness],
                default_hooks=dict(checkpoint=None, logger=dict(type='LoggerHook', interval=1)),
                randomness=dict(seed=0),
                load_from=case.load_from,
                visualizer=_visualizer(),
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


def check(case: Case, runner: Runner, witness: Witness, weighs_freely: bool) -> None:
    """What every trained case owes: finite losses, moved weights, true labels, pixels of the two images, no trace.

    Args:
        weighs_freely: Whether the method may give the two labels weights that do not sum to one.
    """
    images, scores = case.batch.images(), case.batch.scores().float()
    assert len(witness.losses) == len(witness.labels) == len(witness.shown) == 2
    assert all(math.isfinite(loss) for loss in witness.losses), f'losses {witness.losses}'
    assert witness.moved(runner.model), 'no weight changed'
    left = [hooks for module in runner.model.modules() for hooks in (module._forward_hooks, module._forward_pre_hooks)]
    assert not any(left), 'a hook was left on the model'
    for step, (shown, label) in enumerate(zip(witness.shown, witness.labels, strict=True)):
        part = slice(step * case.batch.count, (step + 1) * case.batch.count)
        check_pixels(shown, images[part])
        if label.ndim == 2:
            check_labels(label.float(), scores[part], weighs_freely or case.batch.labels == 'multi')


def check_call(augment, model, batch: Batch, weighs_freely: bool) -> None:
    """A method called by itself keeps the dtype of its images, and writes to nothing it is given."""
    images, scores = batch.images()[: batch.count].to(batch.dtype), batch.scores()[: batch.count]
    kept = images.clone(), scores.clone()
    augment.bind(model, model)
    try:
        mixed, label = augment(images, scores)
        augment.pop_target()
    finally:
        augment.unbind()
    assert torch.equal(images, kept[0]) and torch.equal(scores, kept[1]), 'it wrote to its arguments'
    assert mixed.dtype == images.dtype, f'images of {images.dtype} became {mixed.dtype}'
    assert label.is_floating_point(), f'labels of {label.dtype}'
    check_pixels(mixed.float(), images.float())
    check_labels(label.float(), scores.float(), weighs_freely or batch.labels == 'multi')


def check_pixels(shown, images) -> None:
    """Every image shows pixels of itself and of one other of its batch, none made up."""
    owner = shown[:, 0].float()
    numbers = images[:, 0, 0, 0].float()
    for sample, (mixed, own) in enumerate(zip(shown, owner, strict=True)):
        found = own.unique()
        others = [number for number in found.tolist() if number != numbers[sample]]
        assert len(others) <= 1 and all(number in numbers for number in others), f'sample {sample} shows {found}'
        sources = torch.stack([images[sample], *(images[numbers == number][0] for number in others)])
        low, high = sources.amin(dim=(0, 2, 3)), sources.amax(dim=(0, 2, 3))
        inside = (mixed.amin(dim=(1, 2)) >= low) & (mixed.amax(dim=(1, 2)) <= high)
        assert inside.all(), f'sample {sample} leaves the range of its two images'


def check_labels(label, scores, weighs_freely: bool) -> None:
    """Labels are finite, in [0, 1], and made of those of the batch; rows sum to one as the given ones do."""
    assert label.isfinite().all() and (label >= 0).all(), f'labels {label}'
    assert (label <= (scores.amax(dim=0) * (2 if weighs_freely else 1) + 1e-3)).all(), f'labels {label} of {scores}'
    if not weighs_freely:
        torch.testing.assert_close(label.sum(dim=1), torch.ones(len(label)), atol=2e-3, rtol=0)
