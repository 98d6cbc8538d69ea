"""Models as a config has them, for who wants to look at one without a runner."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn

from mixpro_mm.checkpoint import read_checkpoint

__all__ = [
    'build_model',
    'hook_named',
    'load_model',
    'normalised',
    'one_line',
    'pixels_of',
    'read_config',
    'telling',
    'to_rgb',
]


def one_line(error: BaseException) -> str:
    """What an error says, on one line of 300 characters at most."""
    text = ' '.join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f'{text[:297]}...'


@contextmanager
def telling(what: str) -> Iterator[None]:
    """Whatever goes wrong inside becomes one sentence; the hosts raise all kinds of errors for what a config holds."""
    try:
        yield
    except Exception as error:
        raise ValueError(f'{what}: {one_line(error)}') from error


def read_config(path: str | Path) -> Config:
    """A config, its scope made the default one; ``mmpretrain`` if it names none.

    Raises:
        ValueError: if it cannot be read.
    """
    with telling(f'config {path} cannot be read'):
        config = Config.fromfile(path)
    if not config.get('model'):
        raise ValueError(f'config {path} has no model')
    init_default_scope(config.get('default_scope') or 'mmpretrain')
    return config


def build_model(config: Config) -> nn.Module:
    """The model of a config in evaluation mode with random weights: nothing is downloaded, the config stays as it is.

    Raises:
        ValueError: if it cannot be built.
    """
    model = copy.deepcopy(config.model)
    model.pop('pretrained', None)
    model.get('backbone', {}).pop('init_cfg', None)
    if 'data_preprocessor' in config:  # as Runner does
        model.setdefault('data_preprocessor', copy.deepcopy(config.data_preprocessor))
    with telling(f'the model of {config.filename} cannot be built'):
        return MODELS.build(model).eval()


def load_model(config: Config, checkpoint: str | Path, headless: bool = False) -> nn.Module:
    """The model of a config with the weights of a checkpoint, in evaluation mode.

    Args:
        config: As read.
        checkpoint: A file of which no code is run.
        headless: Whether the head may stay random.

    Raises:
        ValueError: if the file cannot be read, or leaves any weight of the model as it was.
        FileNotFoundError: if there is no such file.
    """
    model = build_model(config)
    tensors = read_checkpoint(checkpoint).tensors
    with telling(f'{checkpoint} does not fit the model of {config.filename}'):
        missing = model.load_state_dict(tensors, strict=False).missing_keys
    missing = [key for key in missing if not (headless and 'head' in key.split('.'))]
    if missing:
        raise ValueError(
            f'{checkpoint} does not fit the model of {config.filename}: {len(missing)} tensors are not in the file, '
            f'such as {missing[0]} (tools/convert_checkpoint.py renames those of others)'
        )
    return model


def hook_named(config: Config, name: str) -> dict | None:
    """The first of the custom hooks whose class has this name; None if there is none."""
    for hook in config.get('custom_hooks') or []:
        kind = getattr(hook['type'], '__name__', hook['type'])
        if kind.split('.')[-1] == name:
            return hook
    return None


def pixels_of(preprocessor: nn.Module, images: Tensor) -> Tensor:
    """Normalised images (B, 3, H, W) as they were before, RGB from 0 to 255."""
    if getattr(preprocessor, '_enable_normalize', True):
        images = images * preprocessor.std + preprocessor.mean
    return images if getattr(preprocessor, 'to_rgb', True) else images.flip(1)  # loaders of the host read BGR


def normalised(preprocessor: nn.Module, pixels: Tensor) -> Tensor:
    """What :func:`pixels_of` undid, for the model of another preprocessor."""
    images = pixels if getattr(preprocessor, 'to_rgb', True) else pixels.flip(1)
    if getattr(preprocessor, '_enable_normalize', True):
        images = (images - preprocessor.mean) / preprocessor.std
    return images


def to_rgb(preprocessor: nn.Module, images: Tensor) -> list[np.ndarray]:
    """Normalised images (B, 3, H, W) as arrays (H, W, 3), RGB in [0, 1]."""
    return list((pixels_of(preprocessor, images) / 255).clamp(0, 1).permute(0, 2, 3, 1).contiguous().numpy())
