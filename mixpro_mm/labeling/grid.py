"""The grid of the patch tokens: from the patch embedding of the model where that is known, else from square patches."""

import re
from typing import NamedTuple

from torch import nn

from mixpro_mm.utils.backbone_spec import backbone_spec, find_backbone

__all__ = ['Patches', 'patches_of', 'token_grid']

HALVINGS = tuple(range(5))  # of the resolution in a pyramid, at most
PYRAMID = re.compile('downsample|reduction|stages')  # in the names of modules that only a pyramid has
EMBEDDINGS = ('mixpro_mm.models.pvt', 'mixpro_mm.models.ca_swin')  # several embeddings, or a reduced last stage


class Patches(NamedTuple):
    """How a model cuts an image: (h, w) ``stride`` and ``overlap`` of its patches in pixels.

    ``halvings`` are the numbers of times that the resolution may be halved before the tokens.
    """

    stride: tuple[int, int]
    overlap: tuple[int, int] = (0, 0)
    halvings: tuple[int, ...] = (0,)

    def grids(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        """(h, w) of the tokens for an image (H, W): last partial patch padded, or dropped."""
        found = []
        for times in self.halvings:
            sides = list(zip(size, self.stride, self.overlap, strict=True))
            found.append(tuple(-(-length // (stride << times)) for length, stride, _ in sides))
            found.append(tuple(length // (stride << times) for length, stride, _ in sides))
            found.append(tuple((length - overlap) // (stride << times) for length, stride, overlap in sides))
        return found


def patches_of(model: nn.Module, attn: nn.Module | None = None) -> Patches | None:
    """The patches of a classifier or backbone with one ``patch_embed``, as mmpretrain and timm have it; else None.

    Those that ``attn`` sees, if it is given, in a pyramid with modules ``downsample`` such as Swin.
    """
    backbone = find_backbone(model)
    embed, spec = getattr(backbone, 'patch_embed', None), backbone_spec(backbone)
    if any(base.__module__ in EMBEDDINGS for base in type(backbone).__mro__) or embed is None:
        return None
    overlap = (0, 0)
    convolution = getattr(embed, 'projection', None)
    if callable(getattr(embed, 'feat_ratio', None)):  # of timm
        stride = embed.feat_ratio(as_scalar=False)
    elif isinstance(convolution, nn.Conv2d):  # of mmpretrain
        stride = convolution.stride
        sides = zip(convolution.kernel_size, stride, convolution.padding, strict=True)
        overlap = tuple(kernel - step - 2 * pad for kernel, step, pad in sides)
    else:
        stride = getattr(embed, 'patch_size', None) if spec is not None else None  # XCiT
    stride = (stride, stride) if isinstance(stride, int) else stride
    if stride is None:
        return None
    names = [name for name, _ in backbone.named_modules()]
    if spec is not None or not any(PYRAMID.search(name) for name in names):
        return Patches(tuple(stride), overlap)
    modules = list(backbone.modules())
    before = next((names[:place] for place, module in enumerate(modules) if module is attn), [])
    times = sum(name.endswith('.downsample.reduction') for name in before)
    return Patches(tuple(stride), overlap, (times,) if times else HALVINGS)


def token_grid(tokens: int, size: tuple[int, int], patches: Patches | None = None) -> tuple[int, int]:
    """(h, w) of the patches that cover an image, from their number.

    Args:
        tokens: N, patches in all.
        size: (H, W) of the image; a last partial patch may be padded (mmcv, PVT) or dropped (timm).
        patches: Those of the model; if they are unknown, patches are taken to be square.

    Raises:
        ValueError: if the patches of the model, or no square ones, give that number.
    """
    if patches is not None:
        grids = patches.grids(size)
        for grid in grids:
            if grid[0] * grid[1] == tokens:
                return grid
        (height, width), (h, w) = (side << patches.halvings[0] for side in patches.stride), grids[0]
        raise ValueError(
            f'{tokens} patch tokens do not fit an input of {size[0]}x{size[1]} pixels, which patches of '
            f'{height}x{width} pixels cut into {h}x{w} = {h * w}: their places are lost where a model drops, merges or '
            f'pads tokens (switch that off, as by patch_drop_rate=0 in timm) or reads only windows of them'
        )
    for up in (1, 0):
        for patch in range(1, max(size) + 1):
            grid = tuple((length + up * (patch - 1)) // patch for length in size)
            if grid[0] * grid[1] == tokens:
                return grid
    raise ValueError(f'{tokens} patch tokens do not cover an input of {size[0]}x{size[1]} pixels with square patches')
