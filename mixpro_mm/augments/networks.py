"""Frozen classifiers: the extractor of Attentive CutMix and the teacher of TokenMix."""

import copy
import os
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torchvision import models

from mixpro_mm.augments.class_maps import find_reader
from mixpro_mm.labeling.tap import eval_mode
from mixpro_mm.utils.arguments import shown
from mixpro_mm.utils.checkpoint import load_exactly, read_checkpoint

__all__ = ['FrozenClassifier']

FETCHING = ('init_cfg', 'pretrained', 'weights')  # config keys that request weights
REMOTE = ('hf-hub:', 'hf_hub:', 'http://', 'https://')


class FrozenClassifier:
    """A classifier in evaluation mode, without gradient, outside of every state dict and optimizer.

    It is not an nn.Module: a deep copy is the same object, and the network moves to the device of the images. It
    computes in fp32, also under autocast, and should use the normalisation of the trained model. Nothing is downloaded.

    Args:
        model: A config of an mmpretrain classifier; 'torchvision.NAME' or 'timm.NAME', or a dict of such a type with
            further arguments; or an nn.Module, which is frozen in place.
        checkpoint: Local file of weights for ``model``, see ``read_checkpoint``. Optional for an nn.Module; False keeps
            random weights (for tests).
        layer: Dotted name of the module of the last map, for unknown models.

    Raises:
        ValueError: If the model is unknown or remote, a checkpoint is missing, unreadable or does not fit, or the last
            map is unknown.
        FileNotFoundError: If the checkpoint does not exist.
        TypeError: If an argument has another type.
    """

    def __init__(self, model, checkpoint: str | os.PathLike | bool | None = None, layer: str | None = None):
        if checkpoint is True or not isinstance(checkpoint, bool | str | os.PathLike | None):
            raise TypeError(f'checkpoint must be a local file, None or False, got {shown(checkpoint)}')
        if not isinstance(model, dict | str | nn.Module):
            raise TypeError(f'model (extractor, teacher) must be a config, a name or an nn.Module, got {shown(model)}')
        if checkpoint is None and not isinstance(model, nn.Module):
            raise ValueError('a frozen classifier needs weights: set checkpoint to a local file (False: random)')
        self.net = model if isinstance(model, nn.Module) else _build(model)
        if checkpoint:
            load_exactly(self.net, read_checkpoint(checkpoint)[0], f'checkpoint {checkpoint}')
        self.net.eval()
        self.net.requires_grad_(False).float()
        self._read = find_reader(self.net, layer)

    @classmethod
    def of(cls, model: nn.Module, layer: str | None = None) -> 'FrozenClassifier':
        """Wrap a classifier that is in use elsewhere, such as a moving average; it is not copied or cast."""
        self = cls.__new__(cls)
        self.net, self._read = model, find_reader(model, layer)
        return self

    @classmethod
    def wrap(cls, model, checkpoint=None, layer: str | None = None) -> 'FrozenClassifier':
        """Build a classifier from the arguments of the class; a FrozenClassifier is returned as is."""
        if not isinstance(model, FrozenClassifier):
            return cls(model, checkpoint, layer)
        if checkpoint is not None or layer is not None:
            raise ValueError('checkpoint and layer cannot be combined with a FrozenClassifier')
        return model

    def feature_map(self, images: Tensor) -> Tensor:
        """Return the last map (B, C, h, w) for images (B, 3, H, W)."""
        with self._evaluated(images) as found:
            return found.features

    def activation_map(self, images: Tensor, labels: Tensor, classes: int | None = None) -> Tensor:
        """Return the probability of one class per image at every position of the last map (Zhou et al., CAM, 2016).

        Args:
            images: (B, 3, H, W).
            labels: (B,) integer.
            classes: Number of classes of the labels, compared with that of the network.

        Returns:
            (B, h, w) fp32 in [0, 1].

        Raises:
            ValueError: If the head cannot be applied to single positions, or does not have ``classes`` classes.
        """
        with self._evaluated(images) as found:
            batch, channels, height, width = found.features.shape
            rows = found.features.permute(0, 2, 3, 1).reshape(-1, channels)
            name = type(self.net).__name__
            try:
                logits = found.classify(rows).float()
            except torch.OutOfMemoryError:
                raise
            except (AttributeError, RuntimeError, TypeError) as error:
                raise ValueError(
                    f'the head of {name} cannot classify single positions of its last map '
                    f"({shown(str(error))}): name a map that its last nn.Linear takes with layer='...'"
                ) from error
            if classes not in (None, logits.shape[1]):
                raise ValueError(
                    f'the teacher {name} has {logits.shape[1]} classes, the labels of the batch have {classes}: '
                    f'use a teacher trained on the same {classes} classes'
                )
            wanted = labels.to(logits.device).repeat_interleave(height * width).unsqueeze(1)
            return logits.softmax(dim=1).gather(1, wanted).view(batch, height, width)

    def __deepcopy__(self, memo) -> 'FrozenClassifier':
        return self

    @contextmanager
    def _evaluated(self, images: Tensor):
        self.net.to(images.device)
        dtype = next(self.net.parameters(), images).dtype
        with eval_mode(self.net), torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            yield self._read(images.to(dtype))


def _build(model: dict | str) -> nn.Module:
    """Return a classifier with random weights."""
    settings = _offline(dict(type=model) if isinstance(model, str) else model)
    kind = settings.get('type')
    if not isinstance(kind, str) and not callable(kind):
        raise ValueError(f'a frozen classifier (extractor, teacher) needs a config with a type, got {shown(model)}')
    if not isinstance(kind, str) or kind.split('.')[0] not in ('timm', 'torchvision'):
        settings.pop('train_cfg', None)  # may contain batch augments
        from mmpretrain.registry import MODELS

        return MODELS.build(settings)
    library, _, name = settings.pop('type').partition('.')
    if library == 'torchvision':
        known, build = name in models.list_models(models), models.get_model  # without weights by default
    else:
        try:
            import timm
        except ImportError:
            raise ImportError(f'{kind} needs timm: pip install timm') from None
        known, build = timm.is_model(name.split('.')[0]), timm.create_model
    if not known:
        raise ValueError(f'{library} has no classifier {name!r}')
    return build(name, **settings)


def _offline(settings):
    """Return a copy of a config without keys that request weights."""
    if isinstance(settings, dict):
        if 'HuggingFace' in str(settings.get('type')):
            raise ValueError('HuggingFaceClassifier downloads its config: use another frozen classifier')
        return {key: _offline(value) for key, value in settings.items() if key not in FETCHING}
    if isinstance(settings, (list, tuple)):
        return type(settings)(map(_offline, settings))
    if isinstance(settings, str) and settings.startswith(REMOTE):
        raise ValueError(f'{settings} is remote: download it and set checkpoint= to the local file')
    return copy.deepcopy(settings)
