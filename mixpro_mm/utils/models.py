"""Models and data sets of a config, built without a runner."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DATASETS, MODELS, init_default_scope
from mmengine.runner import set_random_seed
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import one_hot

from mixpro_mm.utils.checkpoint import read_checkpoint
from mixpro_mm.utils.configs import read_config

__all__ = [
    'build_dataset', 'class_names', 'dataset_meta', 'load_config', 'load_model', 'preprocess', 'read_image',
    'take_items', 'to_rgb',
]  # fmt: skip


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Convert any error of a toolkit to a ValueError of one line."""
    try:
        yield
    except Exception as error:
        raise ValueError(f'{what}: {" ".join(str(error).split())[:300] or type(error).__name__}') from error


def load_config(path: str | Path) -> Config:
    """Read a config and activate its scope. Raises ValueError if it cannot be read."""
    config = read_config(path)
    init_default_scope(config.get('default_scope') or 'mmpretrain')
    return config


def load_model(config: Config, checkpoint: str | Path | None = None, headless: bool = False) -> nn.Module:
    """Build the model of a config in evaluation mode, with random weights without a checkpoint.

    A checkpoint must have all tensors of the model, with ``headless`` all but those of the head.

    Raises:
        ValueError: if the model cannot be built, or the checkpoint cannot be read or lacks a tensor.
    """
    with explained(f'the model of {config.filename} cannot be built'):
        settings = copy.deepcopy(config.model)
        settings.pop('pretrained', None)  # no downloads
        settings.get('backbone', {}).pop('init_cfg', None)
        if 'data_preprocessor' in config:  # as Runner does
            settings.setdefault('data_preprocessor', copy.deepcopy(config.data_preprocessor))
        model = MODELS.build(settings).eval()
    if checkpoint is None:
        return model
    tensors, what = read_checkpoint(checkpoint).tensors, f'{checkpoint} does not fit the model of {config.filename}'
    with explained(what):
        missing = model.load_state_dict(tensors, strict=False).missing_keys
    if missing := [key for key in missing if not (headless and 'head' in key.split('.'))]:
        hint = 'tools/convert_checkpoint.py converts official checkpoints'
        raise ValueError(f'{what}: {len(missing)} tensors are missing, such as {missing[0]} ({hint})')
    return model


def preprocess(model: nn.Module, items: list[dict]) -> tuple[Tensor, Tensor]:
    """Return normalised images (B, 3, H, W) and labels (B, C). Raises ValueError without class labels."""
    with explained('these data are not images with class labels'):
        data = model.data_preprocessor(pseudo_collate(items))
        classes = model.data_preprocessor.num_classes or model.head.num_classes  # TimmClassifier has no head
        scores = [s.gt_score if 'gt_score' in s else one_hot(s.gt_label, classes)[0] for s in data['data_samples']]
        return data['inputs'], torch.stack(scores).float()


def pixels_of(model: nn.Module, images: Tensor) -> Tensor:
    """Undo the normalisation of images (B, 3, H, W) by the data preprocessor of a model; return RGB in [0, 255]."""
    preprocessor = model.data_preprocessor
    if getattr(preprocessor, '_enable_normalize', True):
        images = images * preprocessor.std + preprocessor.mean
    return images if getattr(preprocessor, 'to_rgb', True) else images.flip(1)  # mmpretrain reads BGR


def to_rgb(model: nn.Module, images: Tensor) -> list[np.ndarray]:
    """Convert normalised images (B, 3, H, W) to arrays (H, W, 3), RGB in [0, 1]."""
    return list((pixels_of(model, images) / 255).clamp(0, 1).permute(0, 2, 3, 1).numpy())


def build_dataset(config: Config, part: str):
    """Build the data set of ``{part}_dataloader``. Raises ValueError if it cannot be read."""
    with explained(f'the {part} data of {config.filename} cannot be read'):
        return DATASETS.build(copy.deepcopy(config[f'{part}_dataloader'].dataset))


def class_names(dataset, scores: Tensor) -> list[str]:
    """Return the name up to the first comma, or the number, of the class of each image, given labels (B, C)."""
    names, found = (getattr(dataset, 'metainfo', None) or {}).get('classes') or (), scores.argmax(1).tolist()
    return [str(names[i]).split(',')[0] if i < len(names) else str(i) for i in found]


def dataset_meta(config: Config, checkpoint: str | Path) -> dict:
    """Return ``classes`` and ``palette`` (RGB) of the data of a model; colors that it lacks are drawn.

    Those in the checkpoint replace those of the config's test data, and these the defaults of its data set.
    """
    data = config.test_dataloader.dataset
    default = getattr(DATASETS.get(data.type), 'METAINFO', {})
    meta = {**default, **(data.get('metainfo') or {}), **read_checkpoint(checkpoint).dataset}
    classes = [str(name).split(',')[0] for name in meta.get('classes') or ()]
    palette, drawn = meta.get('palette'), np.random.default_rng(0).integers(60, 256, (2048, 3)).tolist()
    palette = [] if not palette or palette == 'random' else [*palette]
    return dict(classes=classes, palette=[tuple(color) for color in palette + drawn[len(palette) :]])


def take_items(dataset, count: int, seed: int) -> list[dict]:
    """Draw random items of a data set; ``seed`` also seeds its pipeline."""
    set_random_seed(seed)
    return [dataset[i] for i in torch.randperm(len(dataset))[:count].tolist()]


def read_image(config: Config, file: str) -> dict:
    """Pass an image file through the test pipeline of a config, resized to ``img_size`` of its data set if it has one.

    Raises:
        ValueError: if the file cannot be read.
    """
    with explained(f'{file} does not fit the test pipeline of {config.filename}'), Image.open(file) as opened:
        data = config.test_dataloader.dataset
        size = (data.img_size, data.img_size) if data.get('img_size') else opened.size
        pixels = np.asarray(opened.convert('RGB').resize(size, Image.Resampling.BICUBIC))[..., ::-1].copy()  # BGR
        unused = ('LoadImageFromFile', 'LoadAnnotations', 'LoadWholeImage')
        steps = [copy.deepcopy(s) for s in data.pipeline if str(s['type']).rpartition('.')[2] not in unused]
        shape = pixels.shape[:2]
        return Compose(steps)(dict(img=pixels, img_id=0, img_path=str(file), img_shape=shape, ori_shape=shape))
