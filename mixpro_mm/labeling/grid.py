"""Grid of the patch tokens, from the patch embedding or, if unknown, for square patches."""

import re
from typing import NamedTuple

from torch import nn

from mixpro_mm.utils.backbone_spec import backbone_spec, find_backbone

__all__ = ['Patches', 'patches_of', 'token_grid']

HALVINGS = tuple(range(5))  # possible numbers of halvings in a pyramid
PYRAMID = re.compile('downsample|reduction|stages')  # module names of pyramids
EMBEDDINGS = ('mixpro_mm.models.pvt', 'mixpro_mm.models.ca_swin')  # patch_embed does not give the final grid


class Patches(NamedTuple):
    """Patches of a model: (h, w) ``stride`` and ``overlap`` in pixels.

    ``halvings`` are the possible numbers of halvings of the resolution before the tokens.
    """

    stride: tuple[int, int]
    overlap: tuple[int, int] = (0, 0)
    halvings: tuple[int, ...] = (0,)

    def grids(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        """Return the possible (h, w) of the tokens of an image (H, W), last partial patch padded or dropped."""
        found = []
        for times in self.halvings:
            sides = list(zip(size, self.stride, self.overlap, strict=True))
            found.append(tuple(-(-length // (stride << times)) for length, stride, _ in sides))
            found.append(tuple(length // (stride << times) for length, stride, _ in sides))
            found.append(tuple((length - overlap) // (stride << times) for length, stride, overlap in sides))
        return found


def patches_of(model: nn.Module, attn: nn.Module | None = None) -> Patches | None:
    """Return the patches of a classifier or backbone with one ``patch_embed`` (mmpretrain, timm), else None.

    With ``attn``, return the patches at that module of a pyramid with modules ``downsample``, such as Swin.
    """
    backbone = find_backbone(model)
    embed, spec = getattr(backbone, 'patch_embed', None), backbone_spec(backbone)
    if any(base.__module__ in EMBEDDINGS for base in type(backbone).__mro__) or embed is None:
        return None
    overlap = (0, 0)
    convolution = getattr(embed, 'projection', None)
    if callable(getattr(embed, 'feat_ratio', None)):  # timm
        stride = embed.feat_ratio(as_scalar=False)
    elif isinstance(convolution, nn.Conv2d):  # mmpretrain
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
    """Return (h, w) of the tokens from their number.

    Args:
        tokens: Number of patch tokens.
        size: (H, W) of the images.
        patches: Patches of the model; square patches are assumed if None.

    Raises:
        ValueError: If no grid has that number of tokens.
    """
    if patches is not None:
        grids = patches.grids(size)
        for grid in grids:
            if grid[0] * grid[1] == tokens:
                return grid
        (height, width), (h, w) = (side << patches.halvings[0] for side in patches.stride), grids[0]
        raise ValueError(
            f'{tokens} patch tokens do not fit an input of {size[0]}x{size[1]} pixels, which has {h}x{w} = {h * w} '
            f'patches of {height}x{width} pixels: a model that drops, merges, pads or windows tokens loses their '
            'positions (disable it, for example patch_drop_rate=0 in timm)'
        )
    for up in (1, 0):
        for patch in range(1, max(size) + 1):
            grid = tuple((length + up * (patch - 1)) // patch for length in size)
            if grid[0] * grid[1] == tokens:
                return grid
    raise ValueError(f'{tokens} patch tokens do not cover an input of {size[0]}x{size[1]} pixels with square patches')
