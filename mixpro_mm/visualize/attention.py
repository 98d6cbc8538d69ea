"""What several checkpoints attend to on the same images, beside each other (MixPro, Figure 6)."""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import torch
from matplotlib.colors import ListedColormap
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.runner import set_random_seed
from torch import Tensor, nn
from torch.nn.functional import interpolate, one_hot

from mixpro_mm.labeling.find import label_augments
from mixpro_mm.reporting.names import short_names, tails
from mixpro_mm.reporting.pictures import image_table
from mixpro_mm.visualize.batch import attention_maps, hook_settings, mix, preprocess
from mixpro_mm.visualize.data import build_dataset, class_names, read_image, take_items
from mixpro_mm.visualize.models import load_model, normalised, pixels_of, read_config, to_rgb
from mixpro_mm.visualize.paper import WIDTHS, fit, outputs, save

__all__ = ['Look', 'column_names', 'draw_attention', 'overlay', 'parse_looks']

HEAT = 'inferno'
STRENGTH = 0.7  # of the heat over the image
GREY = 0.5  # of the image that the bar shows the heat over
MARGIN = 0.65  # inches for the names of the rows


class Look(NamedTuple):
    """A model to look at: the name of its column if one is given, config and checkpoint."""

    name: str | None
    config: str
    checkpoint: str


def parse_looks(words: Sequence[str]) -> tuple[list[Look], list[str]]:
    """``[NAME=]CONFIG:CHECKPOINT`` or ``[NAME=]CONFIG CHECKPOINT``, any number of times; what is left are images.

    Raises:
        ValueError: if there is no config among the words, or one without a checkpoint.
    """
    looks, images, words = [], [], list(words)
    while words:
        word = words.pop(0)
        found = re.fullmatch(r'(?:([^=]+)=)?(.+?\.py)(?::(.+))?', word)
        if found is None:
            images.append(word)
        elif found[3] or words:
            looks.append(Look(found[1], found[2], found[3] or words.pop(0)))
        else:
            raise ValueError(f'config {found[2]} comes without a checkpoint')
    if not looks:
        raise ValueError(f'there is no config (CONFIG.py:CHECKPOINT) in {" ".join(images)}')
    return looks, images


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """An image (H, W, 3) in grey under the heat (H, W) of its attention, from 0 to its own maximum; (H, W, 3)."""
    grey = image @ np.array([0.299, 0.587, 0.114])
    colors = matplotlib.colormaps[HEAT](heat / max(float(heat.max()), 1e-12))[..., :3]
    return (1 - STRENGTH) * grey[..., None] + STRENGTH * colors


def draw_attention(
    words: Sequence[str],
    mixed: bool = False,
    num: int = 4,
    seed: int = 0,
    out: str | None = None,
    width: str = 'column',
) -> list[Path]:
    """Draw a row for each image and a column for each model: where the attention lies that labels would be read from.

    Images are test images of the first config, or the files that are named; each model sees them through its own test
    pipeline and preprocessor. Attention is read as its config's LabelingHook does, by default the class token's in the
    last block. The bar has the heat over mid-grey, and no numbers: how bright a patch is depends on the image, too.

    Args:
        words: As of :func:`parse_looks`.
        mixed: Mix the images first, by the augment of the first config that keeps its labels open, as Figure 6 does;
            then all models see the same pixels, stretched to the size that each is used to.
        num: Of test images; of named files all are shown.
        seed: Of the choice of images and of the mix.
        out, width: Of the picture.

    Raises:
        ValueError: if configs, checkpoints or images are of no use.
    """
    looks, files = parse_looks(words)
    if not files and not 1 <= num <= 16:
        raise ValueError(f'--num {num}: from 1 to 16 images have room')
    paths = outputs(out, 'attention')
    configs = [read_config(look.config) for look in looks]
    models = [load_model(c, look.checkpoint, headless=True) for c, look in zip(configs, looks, strict=True)]
    take = partial(_from_files, files=files) if files else partial(_from_data, num=num, seed=seed)
    inputs, names = take(configs, models)
    columns, pictures = ['image'], [to_rgb(models[0].data_preprocessor, inputs[0])]
    if mixed:
        first = models[0].data_preprocessor
        shown = _mix(models[0], configs[0], inputs[0], seed)
        inputs = [_brought(pixels_of(first, shown), m, x) for m, x in zip(models, inputs, strict=True)]
        columns, pictures = [*columns, 'mixed'], [*pictures, to_rgb(first, shown)]
    for config, model, images in zip(configs, models, inputs, strict=True):
        _, maps, _ = attention_maps(model, images, hook_settings(config)['attention'])
        shown = to_rgb(model.data_preprocessor, images)
        pictures.append([overlay(image, heat.numpy()) for image, heat in zip(shown, maps, strict=True)])
    columns += column_names(looks)
    inches = (WIDTHS[width] - MARGIN) / len(columns)
    rows = [(fit(name, MARGIN), list(row)) for name, row in zip(names, zip(*pictures, strict=True), strict=True)]
    above = {0: [fit(name, inches) for name in columns]}
    colors = ListedColormap(overlay(np.full((1, 256, 3), GREY), np.linspace(0, 1, 256)[None])[0])

    def draw():
        return image_table(rows, above, width=WIDTHS[width], bar=(colors, 'attention'))

    return save(draw, paths)


def column_names(looks: Sequence[Look]) -> list[str]:
    """A name for each model: of its config; of its checkpoint and the folder of that where configs come again."""
    free = [look for look in looks if not look.name]
    stems = [Path(look.config).stem for look in free]
    if len(set(stems)) < len(free):
        files = [Path(look.checkpoint).absolute() for look in free]
        stems = tails([file.with_name(file.stem.replace('_', ' ')) for file in files], least=2)
    names = iter(short_names(stems))
    return [look.name or next(names) for look in looks]


def _from_data(configs: list[Config], models: list[nn.Module], num: int, seed: int):
    """For each model the same test images, (B, 3, H, W) and normalised; and the class of each."""
    datasets = [build_dataset(config, 'test') for config in configs]
    sizes = sorted({len(dataset) for dataset in datasets})
    if len(sizes) > 1:
        raise ValueError(f'the test data of these configs are not the same: {" and ".join(map(str, sizes))} images')
    found = [preprocess(m, take_items(d, num, seed)) for m, d in zip(models, datasets, strict=True)]
    scores = found[0][1]
    names = class_names(datasets[0], scores.shape[1])
    return [images for images, _ in found], [names[i] for i in scores.argmax(1).tolist()]


def _from_files(configs: list[Config], models: list[nn.Module], files: Sequence[str]):
    """For each model the same files; and their names."""
    inputs = []
    for config, model in zip(configs, models, strict=True):
        items = [read_image(config, file) for file in files]
        inputs.append(model.data_preprocessor(pseudo_collate(items))['inputs'])
    return inputs, [Path(file).stem for file in files]


@torch.no_grad()
def _mix(model: nn.Module, config: Config, images: Tensor, seed: int) -> Tensor:
    """The images mixed among themselves by the first augment that keeps its labels open; labels as predicted."""
    augments = label_augments(model)
    if not augments:
        raise ValueError(f'{config.filename} mixes by no method of this package, so there is nothing to mix by')
    if len(images) < 2:
        raise ValueError('one image alone cannot be mixed')
    set_random_seed(seed)
    logits = model(images)
    scores = one_hot(logits.argmax(1), logits.shape[1]).float()
    return mix(model, config, augments[0], images, scores, shown=len(images)).mixed


def _brought(pixels: Tensor, model: nn.Module, images: Tensor) -> Tensor:
    """Pixels (B, 3, H, W) as a model takes them that saw ``images`` before: normalised, and of their size."""
    if pixels.shape[2:] != images.shape[2:]:
        pixels = interpolate(pixels, images.shape[2:], mode='bilinear', antialias=True)
    return normalised(model.data_preprocessor, pixels)
