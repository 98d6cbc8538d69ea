"""Repeat the mixing and labeling of a config outside training."""

import torch
from mmengine.config import Config
from torch import Tensor, nn
from torch.nn.functional import interpolate

from mixpro_mm.augments.hidden_mix import HiddenMix
from mixpro_mm.functional import MixedTarget
from mixpro_mm.hooks.labeling import label_augments, loss_module
from mixpro_mm.labeling import ClassAttentionTap, LabelWeights
from mixpro_mm.labeling.rules import build_labeling
from mixpro_mm.models import connect_factor

__all__ = ['attention_maps', 'choose_augment', 'enlarged', 'hook_settings', 'image_augments', 'mix', 'weigh']


def image_augments(model: nn.Module) -> list:
    """Return the batch augments with pending labels that mix images, not hidden tokens."""
    return [augment for augment in label_augments(model) if not isinstance(augment, HiddenMix)]


def choose_augment(model: nn.Module, name: str | None = None):
    """Return the augment of this package with a class name, or the first; not one that mixes hidden tokens.

    Raises:
        ValueError: if there is none.
    """
    known = {type(augment).__name__: augment for augment in image_augments(model)}
    name = name.split('.')[-1] if name else next(iter(known), None)
    if name not in known:
        found = ', '.join(known) or 'none'
        raise ValueError(f'no augmentation {name or ""} of mixpro_mm that mixes images in this config; found: {found}')
    return known[name]


def hook_settings(config: Config, name: str = 'LabelingHook') -> dict | None:
    """Return the settings of the custom hook with a class name, or None."""
    hooks = config.get('custom_hooks') or []
    return next((h for h in hooks if getattr(h['type'], '__name__', h['type']).split('.')[-1] == name), None)


@torch.no_grad()
def mix(model, config: Config, augment, images: Tensor, scores: Tensor, visible: bool = False) -> tuple:
    """Mix images (B, 3, H, W) with labels (B, C) by one augment; return images, partners (B,) and ``MixedTarget``.

    With ``visible``, repeat up to 50 times until the mean area is in [0.35, 0.65] and no image is its own partner. The
    model replaces the moving average of an augment, because checkpoints contain the average.
    """
    augment.bind(model, model if hook_settings(config, 'EMAHook') else None)
    try:
        for _ in range(50 if visible else 1):
            partner = torch.randperm(len(images))
            with torch.enable_grad():  # PuzzleMix takes a gradient
                mixed, target = augment.mix(images, scores, partner)
            if 0.35 < target.lam_area.mean() < 0.65 and (partner != torch.arange(len(images))).all():
                break
    finally:
        augment.unbind()
    return mixed.detach(), partner, target


@torch.no_grad()
def attention_maps(model: nn.Module, images: Tensor, attention) -> tuple[Tensor, Tensor]:
    """Return the attention (B, h, w) of normalised images (B, 3, H, W) on the token grid, and the logits (B, C).

    ``attention`` is the argument of ``ClassAttentionTap``, whose errors are raised if the model has no such attention.
    """
    tap, logits = ClassAttentionTap(model, attention), []
    tap.verify(lambda: model(images[:1]))
    maps = tap.maps(lambda: logits.append(model(images)), images)
    return maps, logits[0]


def enlarged(maps: Tensor, images: Tensor) -> Tensor:
    """Resize maps (B, h, w) to the size of images (B, 3, H, W)."""
    return interpolate(maps[:, None], tuple(images.shape[2:]))[:, 0]


@torch.no_grad()
def weigh(model, config: Config, images: Tensor, target: MixedTarget) -> tuple[LabelWeights, Tensor | None]:
    """Return label weights of mixed images at the end of training, and attention (B, H, W) if they depend on it."""
    hook = hook_settings(config) or dict(labeling='AreaLabeling')  # without the hook, labels are mixed by area
    labeling = build_labeling(hook.get('labeling', 'ProgressiveAttentionLabeling'))
    if hasattr(labeling, 'progress'):
        labeling.progress = 1.0
    connect_factor(loss_module(model), labeling)
    if not getattr(labeling, 'uses_attention', True):
        return labeling(target, None, None, model(images)), None
    maps, logits = attention_maps(model, images, hook.get('attention'))
    return labeling(target, maps.flatten(1), tuple(maps.shape[1:]), logits), enlarged(maps, images)
