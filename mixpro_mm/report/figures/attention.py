"""Class attention of several checkpoints on the same images (MixPro, Figure 6)."""

import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.colors import ListedColormap
from mmengine.dataset import pseudo_collate
from mmengine.runner import set_random_seed
from torch.nn.functional import one_hot

from mixpro_mm.report.figures import models
from mixpro_mm.report.figures.canvas import WIDTHS, fit, outputs, save
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
def draw_attention(words, mixed=False, num=4, seed=0, out=None, width='column') -> list[Path]:
    """Draw a row per image and a column per model: the attention that the config's LabelingHook reads.

    Args:
        words: See :func:`parse_words`; without image files, ``num`` test images are drawn.
        mixed: Mix the images first, by the augment of the first config.
        num: Number of test images, 1 to 16.
        seed: Random seed.
        out: Output file.
        width: Key of ``WIDTHS``.

    Raises:
        ValueError: if a config, checkpoint or image cannot be used.
    """
    given, files = parse_words(words)
    if not 1 <= num <= 16 or (mixed and len(files or range(num)) < 2):
        raise ValueError(f'--num {num}: must be 1 to 16, with --mixed at least 2')
    paths, configs = outputs(out, 'attention'), [models.load_config(config) for _, config, _ in given]
    nets = [models.load_model(c, file, headless=True) for c, (_, _, file) in zip(configs, given, strict=True)]
    if files:
        items = [pseudo_collate([models.read_image(config, file) for file in files]) for config in configs]
        inputs = [net.data_preprocessor(batch)['inputs'] for net, batch in zip(nets, items, strict=True)]
        names = [Path(file).stem for file in files]
    else:
        datasets = [models.build_dataset(config, 'test') for config in configs]
        if len(sizes := {len(dataset) for dataset in datasets}) > 1:
            raise ValueError(f'these configs have different test data: {sorted(sizes)} images')
        batches = [preprocess(n, models.take_items(d, num, seed)) for n, d in zip(nets, datasets, strict=True)]
        inputs, scores = [images for images, _ in batches], batches[0][1]
        names = models.class_names(datasets[0], scores.shape[1])
        names = [names[i] for i in scores.argmax(1).tolist()]
    titles, columns = ['image'], [models.to_rgb(nets[0].data_preprocessor, inputs[0])]
    if mixed:
        set_random_seed(seed)
        logits = nets[0](inputs[0])
        scores = one_hot(logits.argmax(1), logits.shape[1]).float()
        shown = mix(nets[0], configs[0], choose_augment(nets[0]), inputs[0], scores, visible=True).images
        pixels = models.pixels_of(nets[0].data_preprocessor, shown)
        inputs = [net.data_preprocessor(dict(inputs=pixels.flip(1)))['inputs'] for net in nets]  # takes BGR
        titles, columns = [*titles, 'mixed'], [*columns, models.to_rgb(nets[0].data_preprocessor, shown)]
    for config, net, images in zip(configs, nets, inputs, strict=True):
        maps = attention_maps(net, images, (hook_settings(config) or {}).get('attention'))[1].numpy()
        rgb = models.to_rgb(net.data_preprocessor, images)
        columns.append([overlay(image, heat) for image, heat in zip(rgb, maps, strict=True)])
    files = [Path(file).absolute() for _, _, file in given]
    files = [file.with_name(file.stem.replace('_', ' ')) for file in files]
    titles += display_names([name for name, _, _ in given], [Path(config).stem for _, config, _ in given], files)
    rows = [(fit(name, MARGIN), list(row)) for name, row in zip(names, zip(*columns, strict=True), strict=True)]
    titles = {0: [fit(name, (WIDTHS[width] - MARGIN) / len(columns)) for name in titles]}
    colors = ListedColormap(overlay(np.full((1, 256, 3), 0.5), np.linspace(0, 1, 256)[None])[0])  # over mid-grey
    return save(image_table(rows, titles, width=WIDTHS[width], bar=(colors, 'attention')), paths)
