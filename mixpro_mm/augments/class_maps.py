"""Class maps of a classifier: its head applied to every position of its last map (Zhou et al., CAM, CVPR 2016).

Each position is classified alone, so pooling has no effect, while norms and linear layers act as usual.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from mixpro_mm.labeling import patches_of, token_grid
from mixpro_mm.registry import HAS_MMPRETRAIN
from mixpro_mm.utils.arguments import shown

if HAS_MMPRETRAIN:
    from mixpro_mm.models import PVT, ClassTokenViT
else:
    PVT = ClassTokenViT = ()  # backbones of mmpretrain

__all__ = ['ClassMap', 'find_reader']


class ClassMap(NamedTuple):
    """Last map of a classifier (B, C, h, w), and a function from its positions (M, C) to logits (M, K)."""

    features: Tensor
    classify: Callable[[Tensor], Tensor]


def find_reader(net: nn.Module, layer: str | None = None) -> Callable[[Tensor], ClassMap]:
    """Return a function from images (B, C, H, W) to the :class:`ClassMap` of a classifier.

    Args:
        net: A classifier of mmpretrain, timm or torchvision, or one that ends in nn.AdaptiveAvgPool2d and a head.
        layer: For others, the dotted name of the module of the last map, (B, C, h, w) or as tokens (B, T, C); its
            positions are classified by the last nn.Linear of ``net``.

    Raises:
        ValueError: If the layer does not exist, the classifier is unknown and no layer is given, or it has no last map.
    """
    if layer is not None:
        try:
            return partial(_named, net, net.get_submodule(layer))
        except AttributeError:
            raise ValueError(f'layer {shown(layer)} does not exist in {type(net).__name__}') from None
    if isinstance(getattr(net, 'backbone', None), ClassTokenViT):
        raise ValueError("ClassTokenViT has no patch tokens in its last block: use type='VisionTransformer'")
    if isinstance(getattr(net, 'backbone', None), nn.Module) and isinstance(getattr(net, 'head', None), nn.Module):
        return partial(_mmpretrain, net)
    inner = getattr(net, 'model', net)  # TimmClassifier
    if hasattr(inner, 'forward_features') and hasattr(inner, 'forward_head'):
        return partial(_timm, inner)
    pools = [name for name, module in net.named_modules() if isinstance(module, nn.AdaptiveAvgPool2d)]
    if not pools:
        raise _unknown(net, 'has no nn.AdaptiveAvgPool2d')
    return partial(_pooled, net, pools[-1], [])


def _mmpretrain(net: nn.Module, images: Tensor) -> ClassMap:
    """Read ImageClassifier: convolutional or hierarchical, vision transformer, ConvNeXt, PVT."""
    backbone = net.backbone

    def head(output) -> Tensor:
        return net.head((output,) if getattr(net, 'neck', None) is None else net.neck((output,)))

    if all(hasattr(backbone, name) for name in ('_format_output', 'layers', 'final_norm', 'num_extra_tokens')):
        extra = backbone.num_extra_tokens
        *_, tokens = _watch(backbone.ln1 if backbone.final_norm else backbone.layers[-1], backbone, images)
        return ClassMap(
            _to_map(tokens, images, extra, backbone),
            lambda rows: head(backbone._format_output(_alone(rows, extra), (1, 1))),
        )
    if isinstance(backbone, PVT) and backbone.num_extra_tokens:
        *_, tokens = _watch(backbone.norm, backbone, images)
        return ClassMap(_to_map(tokens, images, backbone.num_extra_tokens), head)
    if getattr(backbone, 'gap_before_final_norm', False):
        last = backbone.out_indices[-1]
        norm = getattr(backbone, f'norm{last}')  # takes maps or rows, depending on the class
        norm_rows = partial(F.layer_norm, normalized_shape=norm.normalized_shape, weight=norm.weight, bias=norm.bias)
        *_, features = _watch(backbone.stages[last], backbone, images)
        return ClassMap(features, lambda rows: head(norm_rows(rows, eps=norm.eps)))
    features = backbone(images)
    features = features[-1] if isinstance(features, (tuple, list)) else features
    if not isinstance(features, Tensor) or features.ndim != 4:
        raise _unknown(net, f'has a {type(backbone).__name__} that gives no map (B, C, h, w)')
    return ClassMap(features, lambda rows: head(rows[:, :, None, None]))


def _timm(net: nn.Module, images: Tensor) -> ClassMap:
    """Read models of timm: maps (B, C, h, w) or (B, h, w, C), or tokens (B, T, C)."""
    features = net.forward_features(images)
    if not isinstance(features, Tensor) or features.ndim not in (3, 4):
        raise _unknown(net, 'gives neither a map nor tokens')
    if features.ndim == 3:
        extra = _extra(net)
        return ClassMap(_to_map(features, images, extra, net), lambda rows: net.forward_head(_alone(rows, extra)))
    if getattr(net, 'output_fmt', 'NCHW') == 'NHWC':
        return ClassMap(features.permute(0, 3, 1, 2), lambda rows: net.forward_head(rows[:, None, None, :]))
    return ClassMap(features, lambda rows: net.forward_head(rows[:, :, None, None]))


def _pooled(net: nn.Module, pool: str, trusted: list, images: Tensor) -> ClassMap:
    """Read the input of the last average pool, and apply the modules registered after it."""
    logits, features, _ = _watch(net.get_submodule(pool), net, images)
    tail = _behind(net, pool)
    as_map = any(isinstance(m, (nn.Flatten, nn.Conv2d)) for part in tail for m in part.modules())

    def head(rows: Tensor) -> Tensor:
        rows = rows[:, :, None, None] if as_map else rows
        for module in tail:
            rows = module(rows)
        return rows.flatten(1)

    def classify(rows: Tensor) -> Tensor:
        if not trusted:  # the order of registration is a guess; check it once
            found = head(features.mean(dim=(2, 3)))
            same = isinstance(logits, Tensor) and logits.shape == found.shape
            if not same or not torch.allclose(found, logits, rtol=1e-3, atol=1e-3 * float(logits.abs().max())):
                raise _unknown(net, f'does more between {pool} and its logits than the modules behind it')
            trusted.append(True)
        return head(rows)

    return ClassMap(features, classify)


def _named(net: nn.Module, layer: nn.Module, images: Tensor) -> ClassMap:
    """Read the output of any module, and apply the last linear layer."""
    *_, output = _watch(layer, net, images)
    output = output[0] if isinstance(output, (tuple, list)) else output
    if not isinstance(output, Tensor) or output.ndim not in (3, 4):
        raise ValueError(f'layer {type(layer).__name__} gives neither a map (B, C, h, w) nor tokens (B, T, C)')
    linear = next((module for module in reversed(list(net.modules())) if isinstance(module, nn.Linear)), None)
    return ClassMap(_to_map(output, images, _extra(net)), linear)


def _watch(module: nn.Module, net: nn.Module, images: Tensor) -> tuple:
    """Return the output of ``net``, and the first argument and the output of ``module`` in its last call."""
    seen = []
    handle = module.register_forward_hook(lambda module, args, output: seen.append((args[0], output)))
    try:
        result = net(images)
    finally:
        handle.remove()
    if not seen:
        raise _unknown(net, f'does not use its {type(module).__name__}')
    return result, *seen[-1]


def _behind(net: nn.Module, path: str) -> list[nn.Module]:
    """Return the modules registered after the one at ``path``: its siblings, then those of its parents."""
    parts, tail = path.split('.'), []
    while parts:
        name = parts.pop()
        siblings = dict(net.get_submodule('.'.join(parts)).named_children())
        tail += list(siblings.values())[list(siblings).index(name) + 1 :]
    return tail


def _to_map(features: Tensor, images: Tensor, extra: int = 0, net: nn.Module | None = None) -> Tensor:
    """Convert tokens (B, extra + h * w, C) to a map (B, C, h, w); maps are returned as is."""
    if features.ndim == 4:
        return features
    patches = features[:, extra:].transpose(1, 2)
    return patches.unflatten(2, token_grid(patches.shape[2], tuple(images.shape[2:]), net and patches_of(net)))


def _extra(net: nn.Module) -> int:
    """Return the number of tokens before the patches."""
    names = ('num_extra_tokens', 'num_prefix_tokens')
    counts = (getattr(m, n) for m in net.modules() for n in names if isinstance(getattr(m, n, None), int))
    return next(counts, int(hasattr(net, 'class_token') or hasattr(net, 'cls_token')))


def _alone(rows: Tensor, extra: int) -> Tensor:
    """Expand rows (M, C) to sequences (M, extra + 1, C) of one patch, also used for the tokens before it."""
    return rows.unsqueeze(1).expand(-1, extra + 1, -1)


def _unknown(net: nn.Module, why: str) -> ValueError:
    return ValueError(f"{type(net).__name__} {why}, so its last map is unknown: name its module with layer='...'")
