"""Class attention of several checkpoints on the same images (MixPro, Figure 6)."""

import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.dataset import pseudo_collate
from mmengine.runner import set_random_seed
from torch.nn.functional import one_hot

from mixpro_mm.report.figures import models
from mixpro_mm.report.figures.canvas import WIDTHS, fit
from mixpro_mm.report.figures.images import image_table
from mixpro_mm.report.figures.logs import display_names
from mixpro_mm.report.figures.mixed import attention_maps, choose_augment, hook_settings, mix, preprocess

__all__ = ['draw_attention', 'overlay', 'parse_words']

OPACITY = 0.7  # of the attention over the image
MARGIN = 0.65  # inches, for row names


def parse_words(words: Sequence[str]) -> tuple[list[tuple[str | None, str, str]], list[str]]:
    """Split the arguments into models (name, config, checkpoint) and image files.

    A model is ``[NAME=]CONFIG:CHECKPOINT`` or ``[NAME=]CONFIG CHECKPOINT``. Raises ValueError if either is missing.
    """
    nets, images, words = [], [], list(words)
    while words:
        word = words.pop(0)
        found = re.fullmatch(r'(?:([^=]+)=)?(.+?\.py)(?::(.+))?', word)
        if found is None:
            images.append(word)
        elif found[3] or words:
            nets.append((found[1], found[2], found[3] or words.pop(0)))
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

    Args:
        words: See :func:`parse_words`; without image files, ``num`` test images are drawn.
        mixed: Mix the images first, by the augment of the first config.
        num: Number of test images, 1 to 16.
        seed: Random seed.
        width: Key of ``WIDTHS``.

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
        shown = mix(nets[0], configs[0], choose_augment(nets[0]), inputs[0], scores, visible=True).images
        pixels = models.pixels_of(nets[0], shown).flip(1)  # data preprocessors take BGR
        inputs = [net.data_preprocessor(dict(inputs=pixels))['inputs'] for net in nets]
        titles, columns = [*titles, 'mixed'], [*columns, models.to_rgb(nets[0], shown)]
    for config, net, images in zip(configs, nets, inputs, strict=True):
        maps = attention_maps(net, images, (hook_settings(config) or {}).get('attention'))[1].numpy()
        columns.append(list(map(overlay, models.to_rgb(net, images), maps)))
    paths = [config for _, config, _ in given]
    paths = [file for _, _, file in given] if len(set(paths)) < len(paths) else paths
    titles += display_names([name for name, _, _ in given], [Path(path).with_suffix('') for path in paths])
    titles = [fit(name, (WIDTHS[width] - MARGIN) / len(columns)) for name in titles]
    rows = [(fit(name, MARGIN, 1), list(row)) for name, row in zip(names, zip(*columns, strict=True), strict=True)]
    return image_table(rows, {0: titles}, width=WIDTHS[width])
