"""Data as a config has them: its own images through its own pipelines, and files through the one for tests."""

import copy

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DATASETS
from mmengine.runner import set_random_seed
from PIL import Image

from mixpro_mm.report.figures.models import telling

__all__ = ['build_dataset', 'class_names', 'read_image', 'take_items']


def build_dataset(config: Config, part: str):
    """The data of ``train_dataloader`` or ``test_dataloader`` with its own pipeline.

    Raises:
        ValueError: if there is none, or it cannot be built, as where the files are missing.
    """
    loader = config.get(f'{part}_dataloader')
    if not loader:
        raise ValueError(f'config {config.filename} has no {part}_dataloader')
    with telling(f'the {part} data of {config.filename} cannot be read'):
        dataset = DATASETS.build(copy.deepcopy(loader.dataset))
    if not len(dataset):
        raise ValueError(f'the {part} data of {config.filename} are empty')
    return dataset


def class_names(dataset, classes: int) -> list[str]:
    """A short name for each class: what stands before the first comma; its number where the data name none."""
    names = (getattr(dataset, 'metainfo', None) or {}).get('classes') or ()
    return [str(names[i]).split(',')[0] if i < len(names) else str(i) for i in range(classes)]


def take_items(dataset, count: int, seed: int) -> list[dict]:
    """Items of a data set at random places; seeds what its pipeline draws, too."""
    set_random_seed(seed)
    return [dataset[i] for i in torch.randperm(len(dataset))[:count].tolist()]


def read_image(config: Config, file: str) -> dict:
    """A file as the test pipeline of a config packs it.

    Where the data come at a size of their own, as the digits do, the file is brought to that size first.

    Raises:
        OSError: if the file is not there or no image.
        ValueError: if the config has no test pipeline, or it does not take the image, or its values exceed 255.
    """
    data = (config.get('test_dataloader') or {}).get('dataset') or {}
    if 'pipeline' not in data:
        raise ValueError(f'config {config.filename} has no pipeline for test images')
    with Image.open(file) as opened:
        if opened.mode.startswith(('I', 'F')) and (high := opened.getextrema()[1]) > 255:
            raise ValueError(f'{file} (mode {opened.mode}) holds values up to {high}: write it with 8 bits, up to 255')
        image = opened.convert('RGB')
        if side := data.get('img_size'):
            image = image.resize((side, side), Image.Resampling.BICUBIC)
    pixels = np.asarray(image)[..., ::-1].copy()  # BGR, as loaders of the host read
    steps = [step for step in data.pipeline if not str(step['type']).endswith('LoadImageFromFile')]
    with telling(f'{file} does not go through the test pipeline of {config.filename}'):
        return Compose(copy.deepcopy(steps))(
            dict(img=pixels, img_path=str(file), img_shape=pixels.shape[:2], ori_shape=pixels.shape[:2])
        )
