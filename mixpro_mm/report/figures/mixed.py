"""Images mixed by the augment of a config, with class attention and label weights (MixPro, Figure 6)."""

from pathlib import Path
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn
from torch.nn.functional import interpolate, one_hot

from mixpro_mm.augments.base import MixAugment
from mixpro_mm.functional import MixedTarget
from mixpro_mm.hooks.labeling import label_augments, loss_module
from mixpro_mm.labeling import ClassAttentionTap, LabelWeights, patches_of, token_grid
from mixpro_mm.labeling.rules import build_labeling
from mixpro_mm.models import connect_factor
from mixpro_mm.report.figures import models
from mixpro_mm.report.figures.canvas import WIDTHS, fit, outputs, save
from mixpro_mm.report.figures.images import image_table
from mixpro_mm.report.figures.logs import checkpoint_of, config_of

__all__ = ['Mix', 'attention_maps', 'choose_augment', 'draw_mixed', 'factors_of_a_batch', 'mix', 'mixed_table', 'weigh']

DRAWS = 50  # of the mixing ratio, at most, until both images are visible
BOTH = (0.35, 0.65)  # area of the first image at which both are visible


class Mix(NamedTuple):
    """Mixed images (B, 3, H, W), partners (B,), weights (B, 2) of both labels, and the target of our own augments."""

    images: Tensor
    partner: Tensor
    weights: Tensor
    target: MixedTarget | None


def draw_mixed(config, checkpoint=None, augment=None, num=4, seed=0, out=None, width='column') -> list[Path]:
    """Draw training images of a config before and after its augment.

    Raises:
        ValueError: if the arguments do not fit the config.
    """
    if not 2 <= num <= 16:
        raise ValueError(f'--num {num}: must be 2 to 16')
    paths, settings = outputs(out, 'mixed'), models.load_config(config)
    model = models.load_model(settings, checkpoint)
    chosen, dataset = choose_augment(model, augment), models.build_dataset(settings, 'train')
    note = f'{type(chosen).__name__} of {Path(config).stem}, training images, seed {seed}. '
    note += f'Model: {Path(checkpoint).name}.' if checkpoint else 'No checkpoint: outputs are not shown.'
    figure = mixed_table(model, settings, chosen, dataset, num, seed, WIDTHS[width], note, trained=bool(checkpoint))
    return save(figure, paths)


def mixed_table(model, config, augment, dataset, num, seed, width, note='', trained=True) -> Figure:
    """Draw a column per image; with ``trained=False`` without attention and the weights that depend on it."""
    images, scores = preprocess(model, models.take_items(dataset, num, seed))
    found = mix(model, config, augment, images, scores, visible=True)
    names, rgb = models.class_names(dataset, scores.shape[1]), models.to_rgb(model.data_preprocessor, images)
    names = [fit(names[i], (width - 0.65) / num) for i in scores.argmax(1).tolist()]
    partners, weights, maps, numbers = found.partner.tolist(), found.weights, None, {}
    rows = [('image', rgb), ('partner', [rgb[i] for i in partners])]
    if found.target is not None:
        rows.append(('mask', [mask[0].numpy() for mask in found.target.mask]))
        numbers['lam_area'] = found.target.lam_area
        if trained:
            labels, maps = weigh(model, config, found)
            numbers |= dict(lam_attn=labels.lam_attn, factor=labels.factor)
            weights = weights if labels.lam is None else torch.stack([labels.lam, 1 - labels.lam], dim=1)
    rows.append(('mixed', models.to_rgb(model.data_preprocessor, found.images)))
    rows += [] if maps is None else [('attention', list(maps.numpy()))]
    if trained or found.target is None or found.target.weights is None:  # TokenMix weights are those of its teacher
        numbers |= {'own label': weights[:, 0], 'partner label': weights[:, 1]}
    texts = {name: [f'{v:.2f}' for v in values.tolist()] for name, values in numbers.items() if values is not None}
    return image_table(rows, {0: names, 1: [names[i] for i in partners]}, texts, width=width, note=note)


def factors_of_a_batch(folder: Path, num: int | None = None, seed: int = 0) -> list[float]:
    """Return the factors (B,) of a training batch with the last checkpoint of a work directory.

    Raises:
        ValueError: if the directory has no config or checkpoint, or its labels have no factor.
    """
    config = models.load_config(config_of(folder))
    if not (checkpoint := checkpoint_of(folder)):
        raise ValueError(f'{folder} has no checkpoint')
    model, dataset = models.load_model(config, checkpoint), models.build_dataset(config, 'train')
    items = models.take_items(dataset, num or config.train_dataloader.batch_size, seed)
    mixed = mix(model, config, choose_augment(model), *preprocess(model, items))
    factor = None if mixed.target is None else weigh(model, config, mixed)[0].factor
    if factor is None:
        raise ValueError(f'the labels of {config.filename} have no factor')
    return factor.tolist()


def preprocess(model: nn.Module, items: list[dict]) -> tuple[Tensor, Tensor]:
    """Return normalised images (B, 3, H, W) and labels (B, C). Raises ValueError without class labels."""
    with models.explained('these data are not images with class labels'):
        data = model.data_preprocessor(pseudo_collate(items))
        classes = model.data_preprocessor.num_classes or model.head.num_classes  # TimmClassifier has no head
        scores = [s.gt_score if 'gt_score' in s else one_hot(s.gt_label, classes)[0] for s in data['data_samples']]
        return data['inputs'], torch.stack(scores).float()


def choose_augment(model: nn.Module, name: str | None = None):
    """Return the augment ``name``, or the first that re-weights labels, or the first. Raises ValueError if missing."""
    augments = getattr(getattr(model.data_preprocessor, 'batch_augments', None), 'augments', None) or []
    known = {type(augment).__name__: augment for augment in augments if augment is not None}
    if not known:
        raise ValueError('this config mixes no images: model.train_cfg has no augments')
    found = [known[each] for each in known if name and each.lower() == name.split('.')[-1].lower()]
    if name and not found:
        raise ValueError(f'this config has no augment {name}; it has {", ".join(known)}')
    return [*found, *label_augments(model), *known.values()][0]


def hook_settings(config: Config, name: str = 'LabelingHook') -> dict | None:
    """Return the settings of the custom hook with a class name, or None."""
    hooks = config.get('custom_hooks') or []
    return next((h for h in hooks if getattr(h['type'], '__name__', h['type']).split('.')[-1] == name), None)


@torch.no_grad()
def mix(model: nn.Module, config: Config, augment, images: Tensor, scores: Tensor, visible: bool = False) -> Mix:
    """Mix images (B, 3, H, W) with labels (B, C) by one augment of a model, without writing to them.

    With ``visible``, repeat up to 50 times until the mean area is in [0.35, 0.65] and no image is its own partner. The
    model replaces the moving average of an augment, because checkpoints contain the average.
    """
    if isinstance(augment, MixAugment):
        augment.bind(model, model if hook_settings(config, 'EMAHook') else None)
    try:
        for _ in range(DRAWS if visible else 1):
            with torch.enable_grad():  # PuzzleMix takes a gradient
                found = _draw(augment, images, scores)
            share = (found.weights[:, 0] if found.target is None else found.target.lam_area).mean()
            if BOTH[0] < share < BOTH[1] and (found.partner != torch.arange(len(images))).all():
                break
    finally:
        if isinstance(augment, MixAugment):
            augment.unbind()
    return found


def _draw(augment, images: Tensor, scores: Tensor) -> Mix:
    if isinstance(augment, MixAugment):
        partner = torch.randperm(len(images))
        mixed, target = augment.mix(images, scores, partner)
        weights = torch.stack([target.lam_area, 1 - target.lam_area], 1) if target.weights is None else target.weights
        return Mix(mixed.detach(), partner, weights, target)
    # mmpretrain returns labels only; with one class per image they contain partner and weight
    mixed, labels = augment(images.clone(), torch.eye(len(images)))  # CutMix writes to its input
    own = labels.float().diagonal()
    others = labels.float() - torch.diag(own)
    partner = torch.where(others.amax(1) == 0, torch.arange(len(images)), others.argmax(1))
    return Mix(mixed, partner, torch.stack([own, others.sum(1)], 1), None)


@torch.no_grad()
def attention_maps(model: nn.Module, images: Tensor, attention) -> tuple[Tensor, Tensor, Tensor]:
    """Return the attention (B, N) of normalised images (B, 3, H, W), its maps (B, H, W), and the logits (B, C).

    ``attention`` is the argument of ``ClassAttentionTap``. Raises ValueError if the model has no such attention.
    """
    tap = ClassAttentionTap(model, attention).attach()
    try:
        tap.verify(lambda: model(images[:1]))
        logits, row = model(images), tap.read()
    finally:
        tap.release()
    if row is None or len(row) != len(images):
        raise ValueError(f'the attention of {type(model).__name__} does not have one row per image')
    size = tuple(images.shape[2:])
    return row, interpolate(row.view(-1, 1, *tap.block.grid(row.shape[1], size)), size)[:, 0], logits


@torch.no_grad()
def weigh(model: nn.Module, config: Config, mixed: Mix) -> tuple[LabelWeights, Tensor | None]:
    """Return the label weights at the end of training, and the attention (B, H, W) if they depend on it."""
    hook = hook_settings(config) or dict(labeling='AreaLabeling')  # without the hook, labels are mixed by area
    labeling = build_labeling(hook.get('labeling', 'ProgressiveAttentionLabeling'))
    if hasattr(labeling, 'progress'):
        labeling.progress = 1.0
    connect_factor(loss_module(model), labeling)
    if not getattr(labeling, 'uses_attention', True):
        return labeling(mixed.target, None, None, model(mixed.images)), None
    row, maps, logits = attention_maps(model, mixed.images, hook.get('attention'))
    grid = token_grid(row.shape[1], tuple(mixed.images.shape[2:]), patches_of(model))
    return labeling(mixed.target, row, grid, logits), maps
