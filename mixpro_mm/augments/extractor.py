"""A classifier that is looked at and never trained: the frozen net of Attentive CutMix, the teacher of TokenMix."""

import os
import re
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn

from mixpro_mm.arguments import shown
from mixpro_mm.attention.quiet import eval_mode
from mixpro_mm.augments.class_maps import Look, find_reader
from mixpro_mm.augments.local_net import build_net, load_weights

__all__ = ['FrozenClassifier']


class FrozenClassifier:
    """Holds a classifier in evaluation mode, without gradient, out of every state dict and optimizer.

    It is no nn.Module and neither copied nor moved with the model around it: a deep copy is the same object, and the
    net follows the images to their device. It computes in fp32, also under autocast, and sees the images as the
    trained model does, so it should have been trained with the same normalisation. Nothing is ever downloaded.

    Args:
        model: A config of an mmpretrain classifier; 'torchvision.NAME' or 'timm.NAME', or a dict of such a type with
            further arguments, such as ``num_classes``; or an nn.Module, which is frozen in place.
        checkpoint: Local file of weights for all of ``model``: a state dict, or one under ``state_dict`` or ``model``,
            with or without 'module.' before its names. An nn.Module may do without; False leaves a net that is built
            here with its random weights, as only a test wants.
        layer: Dotted name of the module inside ``model`` that gives its last map, for models not known here.

    Raises:
        ValueError: if the model is unknown or would be fetched, if a checkpoint is wanted and not given, cannot be
            read or does not fit, or if the last map is not known and no layer named.
        FileNotFoundError: if there is no such checkpoint.
        TypeError: if ``model`` is of another kind.
    """

    def __init__(self, model, checkpoint: str | os.PathLike | bool | None = None, layer: str | None = None):
        if checkpoint is True or not isinstance(checkpoint, bool | str | os.PathLike | None):
            raise TypeError(f'checkpoint must be a local file, None or False, got {shown(checkpoint)}')
        if not isinstance(layer, str | None):
            raise TypeError(f'layer must be the dotted name of a module or None, got {shown(layer)}')
        if isinstance(model, (dict, str)):
            if checkpoint is None:
                raise ValueError(
                    'a frozen classifier with random weights sees nothing: checkpoint=None must name a local file of '
                    'its weights (checkpoint=False if random ones are what you want)'
                )
            self.net = build_net(model)
        elif isinstance(model, nn.Module):
            self.net = model
        else:
            raise TypeError(
                f'model must be a config, a name or an nn.Module (extractor of AttentiveCutMix, teacher of TokenMix), '
                f'got {shown(model)}'
            )
        if checkpoint:
            load_weights(self.net, checkpoint)
        self.net.eval()
        self.net.requires_grad_(False).float()
        self.live = False
        self._read = find_reader(self.net, layer)

    @classmethod
    def of(cls, model: nn.Module, layer: str | None = None) -> 'FrozenClassifier':
        """Look at a classifier that lives elsewhere, such as the moving average of the one trained.

        It is neither copied, moved nor cast, and after every look it is as it was before.
        """
        self = cls.__new__(cls)
        self.net, self.live = model, True
        self._read = find_reader(model, layer)
        return self

    def feature_map(self, images: Tensor) -> Tensor:
        """Last map of the net (B, C, h, w) for images (B, 3, H, W)."""
        with self._looking(images) as look:
            return look.features

    def activation_map(self, images: Tensor, labels: Tensor, classes: int | None = None) -> Tensor:
        """Probability that every position of the last map alone gives to one class per image.

        The head of the net is applied to each position by itself (class activation map; Zhou et al., CVPR 2016).

        Args:
            images: (B, 3, H, W).
            labels: (B,) integer.
            classes: Number of classes that the labels are of, to be compared with the net's.

        Returns:
            (B, h, w) fp32 in [0, 1].

        Raises:
            ValueError: if the head cannot be applied to single positions, it has not as many classes as ``classes``, or
                (CPU only) a label is none of them.
        """
        with self._looking(images) as look:
            batch, channels, height, width = look.features.shape
            rows = look.features.permute(0, 2, 3, 1).reshape(-1, channels)
            logits = self._classify(look, rows).float()
            own = logits.shape[1]
            if classes not in (None, own):
                raise ValueError(
                    f'the teacher {type(self.net).__name__} has {own} classes, the labels of the batch have {classes}: '
                    f'name a teacher trained on the same {classes} classes'
                )
            if labels.device.type == 'cpu' and not 0 <= int(labels.min()) <= int(labels.max()) < own:
                raise ValueError(f'labels must lie in 0 to {own - 1} for {own} classes, got {labels.tolist()}')
            wanted = labels.to(logits.device).repeat_interleave(height * width).unsqueeze(1)
            return logits.softmax(dim=1).gather(1, wanted).view(batch, height, width)

    def __deepcopy__(self, memo) -> 'FrozenClassifier':
        return self

    @contextmanager
    def _looking(self, images: Tensor):
        parameter = next(self.net.parameters(), images)
        if not self.live and parameter.device != images.device:
            self.net.to(images.device)
        dtype = parameter.dtype if self.live else torch.float32
        with (
            eval_mode(self.net) if self.live else nullcontext(),
            torch.no_grad(),
            torch.autocast(images.device.type, enabled=False),
        ):
            yield self._read(images.to(dtype))

    def _classify(self, look: Look, rows: Tensor) -> Tensor:
        try:
            logits = look.classify(rows)
        except (RuntimeError, TypeError) as error:
            why = str(error).partition('\n')[0]
            if isinstance(error, RuntimeError) and not _is_about_shapes(error, why):
                raise  # out of memory, of the device, of the dtype: not what another layer would change
            raise self._no_logits(why) from error
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            raise self._no_logits('it gives no logits (B, K)')
        return logits

    def _no_logits(self, why: str) -> ValueError:
        return ValueError(
            f'the head of {type(self.net).__name__} cannot classify single positions of its last map ({why}): '
            f"name a map that its last nn.Linear takes with layer='...'"
        )


def _is_about_shapes(error: RuntimeError, why: str) -> bool:
    """Whether torch says that tensors do not fit together; the class of its errors does not tell."""
    return not isinstance(error, torch.OutOfMemoryError) and re.search('shape|size|dimension|channel', why) is not None
