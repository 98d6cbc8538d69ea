"""Images mixed by the augment of a config, and class attention of several checkpoints (MixPro, Figure 6)."""

import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.runner import find_latest_checkpoint, set_random_seed
from torch import Tensor, nn
from torch.nn.functional import interpolate, one_hot

from mixpro_mm.functional import MixedTarget
from mixpro_mm.hooks.labeling import label_augments, loss_module
from mixpro_mm.labeling import ClassAttentionTap, LabelWeights
from mixpro_mm.labeling.rules import build_labeling
from mixpro_mm.models import connect_factor
from mixpro_mm.report.figures import models
from mixpro_mm.report.figures.canvas import WIDTHS, fit, image_table
from mixpro_mm.report.figures.logs import display_names

__all__ = ['draw_attention', 'draw_mixed', 'factors_of_a_batch', 'mix', 'mixed_table', 'weigh']

OPACITY = 0.7  # of the attention over the image
MARGIN = 0.65  # inches, for row names


def draw_mixed(config, checkpoint=None, augment=None, num=4, seed=0, width='column') -> Figure:
    """Draw training images of a config before and after its augment.

    Raises:
        ValueError: if the arguments do not fit the config.
    """
    if not 2 <= num <= 16:
        raise ValueError(f'--num {num}: must be 2 to 16')
    settings = models.load_config(config)
    model = models.load_model(settings, checkpoint)
    chosen, dataset = choose_augment(model, augment), models.build_dataset(settings, 'train')
    return mixed_table(model, settings, chosen, dataset, num, seed, WIDTHS[width], trained=bool(checkpoint))


def mixed_table(model, config, augment, dataset, num, seed, width, trained=True) -> Figure:
    """Draw a column per image; with ``trained=False`` without attention and the weights that depend on it."""
    images, scores = preprocess(model, models.take_items(dataset, num, seed))
    mixed, partner, target = mix(model, config, augment, images, scores, visible=True)
    names = [fit(name, (width - MARGIN) / num) for name in models.class_names(dataset, scores)]
    (first, shown), partners = (models.to_rgb(model, each) for each in (images, mixed)), partner.tolist()
    rows = [('image', first), ('partner', [first[i] for i in partners])]
    rows += [('mask', [mask[0].numpy() for mask in target.mask]), ('mixed', shown)]
    own, teacher = target.lam_area, target.weights
    numbers, pair = dict(lam_area=own), torch.stack([own, 1 - own]) if teacher is None else teacher.T
    if trained:
        labels, maps = weigh(model, config, mixed, target)
        rows += [] if maps is None else [('attention', list(maps.numpy()))]
        numbers |= dict(lam_attn=labels.lam_attn, factor=labels.factor)
        pair = pair if labels.lam is None else torch.stack([labels.lam, 1 - labels.lam])
    if trained or teacher is None:  # without a checkpoint, the weights of a teacher are random
        numbers |= {'own label': pair[0], 'partner label': pair[1]}
    texts = {name: [f'{v:.2f}' for v in values.tolist()] for name, values in numbers.items() if values is not None}
    return image_table(rows, {0: names, 1: [names[i] for i in partners]}, texts, width=width)


def factors_of_a_batch(folder: Path, num: int | None = None, seed: int = 0) -> list[float]:
    """Return the factors (B,) of a training batch with the last checkpoint of a work directory.

    Raises:
        ValueError: if the directory has no config or checkpoint, or its labels have no factor.
    """
    configs = sorted(folder.glob('*.py'), key=lambda path: path.stat().st_mtime)
    found = Path(find_latest_checkpoint(folder) or '')
    checkpoint = next(filter(Path.is_file, (folder / found.name, found)), None)  # in a copy, its own file
    if not configs or not checkpoint:
        raise ValueError(f'{folder} has no {"checkpoint" if configs else "config"}')
    config = models.load_config(configs[-1])
    model, dataset = models.load_model(config, checkpoint), models.build_dataset(config, 'train')
    items = models.take_items(dataset, num or config.train_dataloader.batch_size, seed)
    images, _, target = mix(model, config, choose_augment(model), *preprocess(model, items))
    if (factor := weigh(model, config, images, target)[0].factor) is None:
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
    """Return the augment of this package with a class name, or the first. Raises ValueError if it is missing."""
    known = {type(augment).__name__: augment for augment in label_augments(model)}
    name = name.split('.')[-1] if name else next(iter(known), None)
    if name not in known:
        found = ', '.join(known) or 'none'
        raise ValueError(f'no augmentation {name or ""} of mixpro_mm in this config; found: {found}')
    return known[name]


def hook_settings(config: Config, name: str = 'LabelingHook') -> dict | None:
    """Return the settings of the custom hook with a class name, or None."""
    hooks = config.get('custom_hooks') or []
    return next((h for h in hooks if getattr(h['type'], '__name__', h['type']).split('.')[-1] == name), None)


@torch.no_grad()
def mix(model, config: Config, augment, images: Tensor, scores: Tensor, visible: bool = False) -> tuple:
    """Mix images (B, 3, H, W) with labels (B, C) by one augment; return images, partners (B,) and ``MixedTarget``.

    With ``visible``, repeat up to 50 times until the mean area is in [0.35, 0.65] and no image is its own partner. The
    model replaces the moving average of an augment, because checkpoints contain the average.
    """
    augment.bind(model, model if hook_settings(config, 'EMAHook') else None)
    try:
        for _ in range(50 if visible else 1):
            partner = torch.randperm(len(images))
            with torch.enable_grad():  # PuzzleMix takes a gradient
                mixed, target = augment.mix(images, scores, partner)
            if 0.35 < target.lam_area.mean() < 0.65 and (partner != torch.arange(len(images))).all():
                break
    finally:
        augment.unbind()
    return mixed.detach(), partner, target


@torch.no_grad()
def attention_maps(model: nn.Module, images: Tensor, attention) -> tuple[Tensor, Tensor]:
    """Return the attention (B, h, w) of normalised images (B, 3, H, W) on the token grid, and the logits (B, C).

    ``attention`` is the argument of ``ClassAttentionTap``, whose errors are raised if the model has no such attention.
    """
    tap, logits = ClassAttentionTap(model, attention), []
    tap.verify(lambda: model(images[:1]))
    maps = tap.maps(lambda: logits.append(model(images)), images)
    return maps, logits[0]


def _enlarged(maps: Tensor, images: Tensor) -> Tensor:
    return interpolate(maps[:, None], tuple(images.shape[2:]))[:, 0]


@torch.no_grad()
def weigh(model, config: Config, images: Tensor, target: MixedTarget) -> tuple[LabelWeights, Tensor | None]:
    """Return label weights of mixed images at the end of training, and attention (B, H, W) if they depend on it."""
    hook = hook_settings(config) or dict(labeling='AreaLabeling')  # without the hook, labels are mixed by area
    labeling = build_labeling(hook.get('labeling', 'ProgressiveAttentionLabeling'))
    if hasattr(labeling, 'progress'):
        labeling.progress = 1.0
    connect_factor(loss_module(model), labeling)
    if not getattr(labeling, 'uses_attention', True):
        return labeling(target, None, None, model(images)), None
    maps, logits = attention_maps(model, images, hook.get('attention'))
    return labeling(target, maps.flatten(1), tuple(maps.shape[1:]), logits), _enlarged(maps, images)


def parse_words(words: Sequence[str]) -> tuple[list[tuple[str | None, str, str]], list[str]]:
    """Split the arguments into models (name, config, checkpoint) and image files.

    A model is ``[NAME=]CONFIG:CHECKPOINT`` or ``[NAME=]CONFIG CHECKPOINT``. Raises ValueError if either is missing.
    """
    nets, images, words = [], [], iter(words)
    for word in words:
        found = re.fullmatch(r'(?:([^=]+)=)?(.+?\.py)(?::(.+))?', word)
        if found is None:
            images.append(word)
        elif checkpoint := found[3] or next(words, None):
            nets.append((found[1], found[2], checkpoint))
        else:
            raise ValueError(f'config {found[2]} has no checkpoint')
    if not nets:
        raise ValueError(f'no config (CONFIG.py:CHECKPOINT) in {" ".join(images)}')
    return nets, images


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Draw attention (H, W), scaled to its maximum, over an image (H, W, 3) in grey; return (H, W, 3)."""
    grey = image @ np.array([0.299, 0.587, 0.114])
    colors = matplotlib.colormaps['inferno'](heat / max(float(heat.max()), 1e-12))[..., :3]
    return (1 - OPACITY) * grey[..., None] + OPACITY * colors


@torch.no_grad()
def draw_attention(words, mixed=False, num=4, seed=0, width='column') -> Figure:
    """Draw a row per image and a column per model: the attention that the config's LabelingHook reads.

    ``words`` are those of :func:`parse_words`; without image files, ``num`` test images (1 to 16) are drawn. With
    ``mixed``, the images are mixed first, by the augment of the first config.

    Raises:
        ValueError: if a config, checkpoint or image cannot be used.
    """
    given, files = parse_words(words)
    if not 1 <= num <= 16 or (mixed and len(files or range(num)) < 2):
        raise ValueError(f'--num {num}: must be 1 to 16, with --mixed at least 2')
    configs = [models.load_config(config) for _, config, _ in given]
    nets = [models.load_model(c, file, headless=True) for c, (_, _, file) in zip(configs, given, strict=True)]
    inputs, names = [], [Path(file).stem for file in files]
    for config, net in zip(configs, nets, strict=True):
        if files:
            batch = pseudo_collate([models.read_image(config, file) for file in files])
            inputs.append(net.data_preprocessor(batch)['inputs'])
        else:
            dataset = models.build_dataset(config, 'test')
            images, scores = preprocess(net, models.take_items(dataset, num, seed))
            inputs.append(images)
            names = models.class_names(dataset, scores)
    titles, columns = ['image'], [models.to_rgb(nets[0], inputs[0])]
    if mixed:
        set_random_seed(seed)
        logits = nets[0](inputs[0])
        scores = one_hot(logits.argmax(1), logits.shape[1]).float()
        shown = mix(nets[0], configs[0], choose_augment(nets[0]), inputs[0], scores, visible=True)[0]
        pixels = models.pixels_of(nets[0], shown).flip(1)  # data preprocessors take BGR
        inputs = [net.data_preprocessor(dict(inputs=pixels))['inputs'] for net in nets]
        titles, columns = [*titles, 'mixed'], [*columns, models.to_rgb(nets[0], shown)]
    for config, net, images in zip(configs, nets, inputs, strict=True):
        maps, _ = attention_maps(net, images, (hook_settings(config) or {}).get('attention'))
        columns.append(list(map(overlay, models.to_rgb(net, images), _enlarged(maps, images).numpy())))
    paths = [config for _, config, _ in given]
    paths = [file for _, _, file in given] if len(set(paths)) < len(paths) else paths
    titles += display_names([name for name, _, _ in given], [Path(path).with_suffix('') for path in paths])
    titles = [fit(name, (WIDTHS[width] - MARGIN) / len(columns)) for name in titles]
    rows = [(fit(name, MARGIN, 1), list(row)) for name, row in zip(names, zip(*columns, strict=True), strict=True)]
    return image_table(rows, {0: titles}, width=WIDTHS[width])
