"""Classifiers from code and local files: nothing here ever touches the network."""

import copy
import os

from mmpretrain.registry import MODELS
from torch import nn

from mixpro_mm.arguments import shown
from mixpro_mm.checkpoint import read_state_dict

__all__ = ['build_net', 'load_weights']

ASKING = ('init_cfg', 'pretrained', 'weights')
REMOTE = ('hf-hub:', 'hf_hub:', 'http://', 'https://')


def build_net(model: dict | str) -> nn.Module:
    """A classifier with random weights, from its code alone.

    Args:
        model: A config of an mmpretrain classifier, 'timm.NAME' or 'torchvision.NAME', or a dict of such a type with
            further arguments. What in it asks for weights is left out.

    Raises:
        ValueError: if the name is unknown, or the model cannot be built without the network.
        ImportError: if timm is wanted and not installed.
    """
    settings = _offline(dict(type=model) if isinstance(model, str) else model)
    kind = settings.get('type')
    if not isinstance(kind, str) and not callable(kind):
        raise ValueError(f'a frozen classifier (extractor, teacher) needs a config with a type, got {shown(model)}')
    if not isinstance(kind, str) or kind.split('.')[0] not in ('timm', 'torchvision'):
        settings.pop('train_cfg', None)  # nothing is mixed here
        return MODELS.build(settings)
    house, _, name = settings.pop('type').partition('.')
    if house == 'timm':
        try:
            import timm
        except ImportError:
            raise ImportError(f'{kind} needs timm: pip install timm') from None
        known, build = timm.is_model(name.split('.')[0]), timm.create_model
    else:
        from torchvision import models

        known, build = name in models.list_models(models), models.get_model  # without weights, as by default
    if not known:
        raise ValueError(f'{house} has no classifier {name!r}')
    return build(name, **settings)


def _offline(settings):
    """A copy of a config without what asks for weights, or a ValueError if even the code would be fetched."""
    if isinstance(settings, dict):
        if 'HuggingFace' in str(settings.get('type')):
            raise ValueError(
                'HuggingFaceClassifier fetches its config from the network: choose another frozen classifier'
            )
        return {key: _offline(value) for key, value in settings.items() if key not in ASKING}
    if isinstance(settings, (list, tuple)):
        return type(settings)(map(_offline, settings))
    if isinstance(settings, str) and settings.startswith(REMOTE):
        raise ValueError(f'{settings} lies on the network: download it and name the local file with checkpoint=')
    return copy.deepcopy(settings)


def load_weights(net: nn.Module, path: str | os.PathLike) -> None:
    """Load a local file of weights into all of ``net``; no code of the file is run.

    Args:
        net: A classifier.
        path: As of ``read_state_dict``, with or without 'module.' before its names.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file cannot be read or would run code, or anything is missing, left over or of another size.
    """
    weights, _ = read_state_dict(path)
    name = type(net).__name__
    if all(key.startswith('module.') for key in weights):
        weights = {key.removeprefix('module.'): value for key, value in weights.items()}
    try:
        missing, unexpected = net.load_state_dict(weights, strict=False)
    except RuntimeError as error:  # sizes
        raise ValueError(f'checkpoint {path} does not fit {name}: {str(error).splitlines()[-1].strip()}') from None
    if missing or unexpected:
        counts = (
            f'{len(keys)} {what} ({", ".join(keys[:3])})'
            for what, keys in (('missing', missing), ('unexpected', unexpected))
            if keys
        )
        raise ValueError(f'checkpoint {path} does not fit {name}: {", ".join(counts)}')
