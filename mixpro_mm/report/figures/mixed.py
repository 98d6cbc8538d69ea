"""Images mixed by the augment of a config, and class attention of several checkpoints (MixPro, Figure 6)."""

import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.dataset import pseudo_collate
from mmengine.runner import find_latest_checkpoint, set_random_seed
from torch.nn.functional import one_hot

from mixpro_mm.hooks.replay import attention_maps, choose_augment, enlarged, hook_settings, mix, weigh
from mixpro_mm.report.figures.canvas import WIDTHS, fit, image_table
from mixpro_mm.report.figures.logs import display_names
from mixpro_mm.utils import models

__all__ = ['draw_attention', 'draw_mixed', 'factors_of_a_batch', 'mixed_table']

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
    """Draw a row per image: image, partner, mask and mixed image with the weights of their labels, and attention.

    With ``trained=False``, attention and the weights that depend on it are left out.
    """
    images, scores = models.preprocess(model, models.take_items(dataset, num, seed))
    mixed, partner, target = mix(model, config, augment, images, scores, visible=True)
    labels, maps = weigh(model, config, mixed, target) if trained else (None, None)
    (first, shown), partners = (models.to_rgb(model, each) for each in (images, mixed)), partner.tolist()
    own, pair = target.lam_area, target.weights
    pair = torch.stack([own, 1 - own], 1) if pair is None else pair
    pair = pair if labels is None or labels.lam is None else torch.stack([labels.lam, 1 - labels.lam], 1)
    names = [fit(name, width / 5) for name in models.class_names(dataset, scores)]
    rows, titles = [], {}
    for i, j in enumerate(partners):
        row = {f'image\n{names[i]}': first[i], f'partner\n{names[j]}': first[j]}
        row[f'mask\narea {own[i]:.2f}'] = target.mask[i, 0].numpy()
        known = trained or target.weights is None  # without a checkpoint, the weights of a teacher are random
        row['mixed' + f'\n{pair[i, 0]:.2f} / {pair[i, 1]:.2f}' * known] = shown[i]
        if maps is not None:
            factor = '' if labels.factor is None else f'\nfactor {labels.factor[i]:.2f}'
            row[fit(f'attention {labels.lam_attn[i]:.2f}', width / 5) + factor] = maps[i].numpy()
        rows.append(('', list(row.values())))
        titles[i] = list(row)
    return image_table(rows, titles, width=width)


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
    images, _, target = mix(model, config, choose_augment(model), *models.preprocess(model, items))
    if (factor := weigh(model, config, images, target)[0].factor) is None:
        raise ValueError(f'the labels of {config.filename} have no factor')
    return factor.tolist()


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
            images, scores = models.preprocess(net, models.take_items(dataset, num, seed))
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
        columns.append(list(map(overlay, models.to_rgb(net, images), enlarged(maps, images).numpy())))
    paths = [config for _, config, _ in given]
    paths = [file for _, _, file in given] if len(set(paths)) < len(paths) else paths
    titles += display_names([name for name, _, _ in given], [Path(path).with_suffix('') for path in paths])
    titles = [fit(name, (WIDTHS[width] - MARGIN) / len(columns)) for name in titles]
    rows = [(fit(name, MARGIN, 1), list(row)) for name, row in zip(names, zip(*columns, strict=True), strict=True)]
    return image_table(rows, {0: titles}, width=WIDTHS[width])
