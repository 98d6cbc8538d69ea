"""What several checkpoints attend to on the same images (MixPro, Figure 6)."""

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

__all__ = ['draw_attention', 'overlay', 'parse_looks']

STRENGTH = 0.7  # of the heat over the image
MARGIN = 0.65  # inches for the names of the rows


def parse_looks(words: Sequence[str]) -> tuple[list[tuple[str | None, str, str]], list[str]]:
    """Models (name, config, checkpoint) and images of the words of the command line.

    A model is ``[NAME=]CONFIG:CHECKPOINT`` or ``[NAME=]CONFIG CHECKPOINT``. Raises ValueError if either is missing.
    """
    looks, images, words = [], [], list(words)
    while words:
        word = words.pop(0)
        found = re.fullmatch(r'(?:([^=]+)=)?(.+?\.py)(?::(.+))?', word)
        if found is None:
            images.append(word)
        elif found[3] or words:
            looks.append((found[1], found[2], found[3] or words.pop(0)))
        else:
            raise ValueError(f'config {found[2]} comes without a checkpoint')
    if not looks:
        raise ValueError(f'there is no config (CONFIG.py:CHECKPOINT) in {" ".join(images)}')
    return looks, images


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """An image (H, W, 3) in grey under the heat (H, W) of its attention, from 0 to its own maximum; (H, W, 3)."""
    grey = image @ np.array([0.299, 0.587, 0.114])
    colors = matplotlib.colormaps['inferno'](heat / max(float(heat.max()), 1e-12))[..., :3]
    return (1 - STRENGTH) * grey[..., None] + STRENGTH * colors


@torch.no_grad()
def draw_attention(words, mixed=False, num=4, seed=0, out=None, width='column') -> list[Path]:
    """A row for each image and a column for each model: the attention that its config's LabelingHook would read.

    Images are those of :func:`parse_looks`, else ``num`` test images. With ``mixed`` the augment of the first config
    mixes them first, and all models see the same pixels. Raises ValueError for unusable configs, checkpoints or images.
    """
    looks, files = parse_looks(words)
    if not 1 <= num <= 16 or (mixed and len(files or range(num)) < 2):
        raise ValueError(f'--num {num}: from 1 to 16 images can be shown, and from 2 on mixed')
    paths, configs = outputs(out, 'attention'), [models.read_config(config) for _, config, _ in looks]
    nets = [models.load_model(c, file, headless=True) for c, (_, _, file) in zip(configs, looks, strict=True)]
    if files:
        items = [pseudo_collate([models.read_image(config, file) for file in files]) for config in configs]
        inputs = [net.data_preprocessor(batch)['inputs'] for net, batch in zip(nets, items, strict=True)]
        names = [Path(file).stem for file in files]
    else:
        datasets = [models.build_dataset(config, 'test') for config in configs]
        if len(sizes := {len(dataset) for dataset in datasets}) > 1:
            raise ValueError(f'the test data of these configs are not the same: {sorted(sizes)} images')
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
    files = [Path(file).absolute() for _, _, file in looks]
    files = [file.with_name(file.stem.replace('_', ' ')) for file in files]
    titles += display_names([name for name, _, _ in looks], [Path(config).stem for _, config, _ in looks], files)
    rows = [(fit(name, MARGIN), list(row)) for name, row in zip(names, zip(*columns, strict=True), strict=True)]
    titles = {0: [fit(name, (WIDTHS[width] - MARGIN) / len(columns)) for name in titles]}
    colors = ListedColormap(overlay(np.full((1, 256, 3), 0.5), np.linspace(0, 1, 256)[None])[0])  # over mid-grey
    return save(image_table(rows, titles, width=WIDTHS[width], bar=(colors, 'attention')), paths)
