"""Grid of the patch tokens, from the patch embedding or, if unknown, for square patches."""

from torch import nn

from mixpro_mm.utils.backbone_spec import backbone_spec, find_backbone

__all__ = ['Patches', 'patches_of', 'token_grid']

Patches = tuple[tuple[int, int], tuple[int, int]]  # (h, w) stride and overlap in pixels


def patches_of(model: nn.Module) -> Patches | None:
    """Return the (h, w) stride and overlap in pixels of the patches of a known backbone without stages, else None."""
    backbone = find_backbone(model)
    embed = getattr(backbone, 'patch_embed', None)
    if embed is None or backbone_spec(backbone) is None or hasattr(backbone, 'stages'):
        return None
    if hasattr(conv := getattr(embed, 'projection', None), 'kernel_size'):  # mmpretrain, also in FSDP
        sides = zip(conv.kernel_size, conv.stride, conv.padding, strict=True)
        return tuple(conv.stride), tuple(kernel - stride - 2 * padding for kernel, stride, padding in sides)
    stride = embed.feat_ratio(as_scalar=False) if hasattr(embed, 'feat_ratio') else embed.patch_size  # timm, XCiT
    return (stride, stride) if isinstance(stride, int) else tuple(stride), (0, 0)


def token_grid(tokens: int, size: tuple[int, int], patches: Patches | None = None) -> tuple[int, int]:
    """Return (h, w) of the tokens from their number.

    Args:
        tokens: Number of patch tokens.
        size: (H, W) of the images.
        patches: Result of :func:`patches_of`; square patches are assumed if None.

    Raises:
        ValueError: If no grid has that number of tokens, the last partial patches padded or dropped.
    """
    if patches is None:
        cells = ((patch, up) for up in (1, 0) for patch in range(1, max(size) + 1))
        grids = (tuple((length + up * (patch - 1)) // patch for length in size) for patch, up in cells)
        reason = 'patch tokens do not cover an input of {}x{} pixels with square patches'.format(*size)
    else:
        sides = list(zip(size, *patches, strict=True))
        h, w = padded = tuple(-(-length // stride) for length, stride, _ in sides)
        grids = (padded, tuple((length - overlap) // stride for length, stride, overlap in sides))
        reason = (
            f'patch tokens do not fit an input of {size[0]}x{size[1]} pixels, which has {h}x{w} = {h * w} patches: a '
            'model that drops, merges, pads or windows tokens loses their positions (in timm, set patch_drop_rate=0)'
        )
    grid = next((grid for grid in grids if grid[0] * grid[1] == tokens), None)
    if grid is None:
        raise ValueError(f'{tokens} {reason}')
    return grid
