"""A batch mixed as a config mixes it, partners and label weights known, and weighed by what a model attends to."""

from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn
from torch.nn.functional import interpolate, one_hot

from mixpro_mm.attention import ClassAttentionTap, patches_of, token_grid
from mixpro_mm.labeling import LabelWeights
from mixpro_mm.labeling.find import each, label_augments, loss_module
from mixpro_mm.labeling.rules import build_labeling
from mixpro_mm.losses import hand_factor_over
from mixpro_mm.mixing import MixedTarget
from mixpro_mm.report.figures.models import hook_named, telling

__all__ = ['Mix', 'attention_maps', 'choose_augment', 'hook_settings', 'mix', 'preprocess', 'weigh']

DRAWS = 50  # of a mixing ratio, until one shows both images
BOTH = (0.35, 0.65)  # shares of the own image at which there is something to see of both


@dataclass(frozen=True)
class Mix:
    """Mixed images with all that went in.

    Args:
        images, mixed: (B, 3, H, W), normalised.
        scores: (B, C) labels of the images.
        partner: (B,) index of the other image of each.
        weights: (B, 2) of the label of the image and that of its partner, as the augment gave them.
        target: Mask and labels, where the augment keeps them open.
    """

    images: Tensor
    mixed: Tensor
    scores: Tensor
    partner: Tensor
    weights: Tensor
    target: MixedTarget | None

    def first(self, count: int) -> 'Mix':
        """The first ``count`` of the mixed images; ``images`` and ``scores`` stay, for partners are among them."""
        target = self.target
        if target is not None:
            own = None if target.weights is None else target.weights[:count]
            target = MixedTarget(target.scores[:count], target.partner_scores[:count], target.mask[:count], own)
        return replace(
            self, mixed=self.mixed[:count], partner=self.partner[:count], weights=self.weights[:count], target=target
        )


def preprocess(model: nn.Module, items: list[dict]) -> tuple[Tensor, Tensor]:
    """Images (B, 3, H, W), normalised but not mixed, and labels (B, C) of packed items.

    Raises:
        ValueError: if they are no images with class labels.
    """
    with telling('these data are no images with class labels'):
        data = model.data_preprocessor(pseudo_collate(items))
        samples = data['data_samples']
        if all('gt_score' in sample for sample in samples):
            return data['inputs'], torch.stack([sample.gt_score for sample in samples]).float()
        classes = model.data_preprocessor.num_classes or model.head.num_classes  # timm's classifiers have no head
        labels = torch.stack([sample.gt_label for sample in samples]).flatten()
        return data['inputs'], one_hot(labels, classes).float()


def choose_augment(model: nn.Module, name: str | None = None):
    """An augment of the model: the one of that class name, or the first that keeps its labels open, or the first.

    Raises:
        ValueError: if the model mixes nothing, or by no augment of that name.
    """
    augments = getattr(getattr(model.data_preprocessor, 'batch_augments', None), 'augments', None) or []
    augments = [augment for augment in augments if augment is not None]
    if not augments:
        raise ValueError('this config mixes no images: model.train_cfg has no augments')
    if name is None:
        return (label_augments(model) or augments)[0]
    found = [augment for augment in augments if type(augment).__name__.lower() == name.split('.')[-1].lower()]
    if not found:
        known = ', '.join(type(augment).__name__ for augment in augments)
        raise ValueError(f'this config has no augment {name}; it has {known}')
    return found[0]


def hook_settings(config: Config) -> dict:
    """``labeling`` and ``attention`` of a config; without a LabelingHook, labels stay as mixed."""
    hook = hook_named(config, 'LabelingHook')
    if hook is None:
        return dict(labeling='AreaLabeling', attention=None)
    return dict(labeling=hook.get('labeling', 'ProgressiveAttentionLabeling'), attention=hook.get('attention'))


@torch.no_grad()
def mix(model: nn.Module, config: Config, augment, images: Tensor, scores: Tensor, shown: int = 0) -> Mix:
    """Mix a batch by one augment of a model.

    Args:
        model: Shown to augments that look at one; as its own moving average too where the config keeps one, for that
            is what its checkpoints hold.
        config: Of the model.
        augment: As of :func:`choose_augment`.
        images, scores: (B, 3, H, W) and (B, C); not written to.
        shown: How many of the batch will be shown: if any, ratios are drawn anew until their mean is well inside
            (0, 1) and nobody among them is its own partner, or 50 draws are over. 0 takes the first draw.
    """
    average = model if hook_named(config, 'EMAHook') else None
    each([augment], 'bind', model, average)
    try:
        for _ in range(DRAWS):
            with torch.enable_grad():  # PuzzleMix takes a gradient
                mixed = _draw(augment, images, scores)
            share = mixed.weights[:shown, 0] if mixed.target is None else mixed.target.lam_area[:shown]
            others = (mixed.partner[:shown] != torch.arange(len(mixed.partner[:shown]))).all()
            if not shown or (others and BOTH[0] < share.mean() < BOTH[1]):
                break
    finally:
        each([augment], 'unbind')
    return mixed


def _draw(augment, images: Tensor, scores: Tensor) -> Mix:
    if hasattr(augment, 'take') and hasattr(augment, 'mix'):
        with _listening(augment) as partners:
            mixed, _ = augment(images, scores)
        target = augment.take()
        weights = target.weights
        if weights is None:
            weights = torch.stack([target.lam_area, 1 - target.lam_area], dim=1)
        return Mix(images, mixed.detach(), scores, partners[-1], weights, target)
    # every image is given a class of its own, so that the mixed labels say who was mixed with whom, and how much
    own = torch.eye(len(images))
    mixed, labels = augment(images.clone(), own)  # the host's CutMix writes into its argument
    labels = labels.float()
    weight = labels.diagonal()
    others = labels - torch.diag(weight)
    alone = others.amax(dim=1) == 0
    partner = torch.where(alone, torch.arange(len(images)), others.argmax(dim=1))
    return Mix(images, mixed, scores, partner, torch.stack([weight, others.sum(dim=1)], dim=1), None)


@contextmanager
def _listening(augment):
    """The partners (B,) an augment of this package mixes by, each time it does."""
    seen, mixes = [], augment.mix
    augment.mix = lambda images, scores, index: seen.append(index) or mixes(images, scores, index)
    try:
        yield seen
    finally:
        del augment.mix


@torch.no_grad()
def attention_maps(model: nn.Module, images: Tensor, attention) -> tuple[Tensor, Tensor, Tensor]:
    """One forward pass of images (B, 3, H, W): attention (B, N), the same as maps (B, H, W), and the raw outputs.

    Args:
        model: In the mode it is to be looked at.
        images: Normalised.
        attention: As of ``ClassAttentionTap``.
    """
    tap = ClassAttentionTap(model, attention).attach()
    try:
        tap.verify(lambda: model(images[:1]))
        logits = model(images)
        row = tap.read()
    finally:
        tap.release()
    if row is None or len(row) != len(images):
        raise ValueError(f'the attention of {type(model).__name__} gave no row for each image')
    size = tuple(images.shape[2:])
    maps = interpolate(row.view(-1, 1, *tap.block.grid(row.shape[1], size)), size, mode='nearest')[:, 0]
    return row, maps, logits


@torch.no_grad()
def weigh(model: nn.Module, config: Config, mixed: Mix) -> tuple[LabelWeights, Tensor | None]:
    """Weigh the labels of a mix as its config does at the end of training.

    Returns:
        The weights, and the maps of the attention (B, H, W) they were read from, None where labels do not ask for it.

    Raises:
        ValueError: if the model has no such attention.
    """
    settings = hook_settings(config)
    labeling = build_labeling(settings['labeling'])
    if hasattr(labeling, 'progress'):
        labeling.progress = 1.0
    hand_factor_over(loss_module(model), labeling)
    if not getattr(labeling, 'uses_attention', True):
        return labeling(mixed.target, None, None, model(mixed.mixed)), None
    row, maps, logits = attention_maps(model, mixed.mixed, settings['attention'])
    grid = token_grid(row.shape[1], tuple(mixed.mixed.shape[2:]), patches_of(model))
    return labeling(mixed.target, row, grid, logits), maps
