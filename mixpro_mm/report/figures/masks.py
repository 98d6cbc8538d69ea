"""The four ways to mask of MixPro's Figure 4, each drawn by the function that the augments draw with."""

from pathlib import Path

import torch
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from mixpro_mm.mixing import random_mask, to_pixels
from mixpro_mm.mixing.masks import block_mask, region_mask
from mixpro_mm.visualize.paper import SMALLEST, WIDTHS, outputs, save

__all__ = ['draw_masks', 'make_masks']

BLOCK = dict(min_patches=16, aspect=0.3)  # BEiT's, as BlockMix has them
TWO = ListedColormap(['#3B4C63', '#F2D16B'])  # light on dark in every kind of colour vision


def make_masks(
    size: int = 224, patch: int = 16, scale: int = 4, lam: float = 0.5, seed: int = 0
) -> dict[str, torch.Tensor]:
    """A mask of each kind, all for the same wanted share of the image itself.

    Args:
        size: Side of the image in pixels.
        patch: Side of a patch in pixels; it must divide ``size``.
        scale: Patches along the side of a cell of the last mask.
        lam: Wanted share; masks of whole cells keep as many as fit into it, and CutMix's box is clipped at the border.
        seed: Of all four.

    Returns:
        name -> (H, W) bool, true where the image itself shows.

    Raises:
        ValueError: if the numbers do not fit each other.
    """
    if min(size, patch, scale) < 1 or size % patch or patch * scale > size:
        raise ValueError(f'patches of {patch} px and cells of {scale} of them do not tile an image of {size} px')
    if not 0 <= lam <= 1:
        raise ValueError(f'the share {lam} must lie in 0 to 1')
    generator = torch.Generator().manual_seed(seed)
    side, cells, pixels = size // patch, -(-size // (patch * scale)), (size, size)

    def kept(count: int) -> torch.Tensor:
        return torch.tensor([int(count * count * lam)])

    blocks = block_mask(side * side - kept(side), (side, side), generator=generator, **BLOCK)
    drawn = {
        'region': region_mask(torch.tensor([lam]), pixels, generator=generator),
        'block': ~to_pixels(blocks, patch, pixels),
        'random': to_pixels(random_mask(kept(side), (side, side), generator=generator), patch, pixels),
        f'random, {scale}x': to_pixels(
            random_mask(kept(cells), (cells, cells), generator=generator), patch * scale, pixels
        ),
    }
    return {name: mask[0, 0] for name, mask in drawn.items()}


def draw_masks(
    out: str | None = None,
    width: str = 'column',
    size: int = 224,
    patch: int = 16,
    scale: int = 4,
    lam: float = 0.5,
    seed: int = 0,
) -> list[Path]:
    """Figure 4: (a) region, (b) block, (c) random, (d) random with cells of several patches; thin lines are patches."""
    paths, masks = outputs(out, 'masks'), make_masks(size, patch, scale, lam, seed)

    def draw() -> Figure:
        figure = Figure(figsize=(WIDTHS[width], WIDTHS[width] / len(masks) + 0.28))
        figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
        for letter, axes, (name, mask) in zip('abcd', figure.subplots(1, len(masks)), masks.items(), strict=True):
            axes.imshow(mask.numpy(), cmap=TWO, vmin=0, vmax=1, interpolation='nearest', extent=(0, size, size, 0))
            axes.set_xticks(range(patch, size, patch), minor=True)
            axes.set_yticks(range(patch, size, patch), minor=True)
            axes.grid(visible=False, which='major')
            axes.grid(which='minor', color='black', alpha=0.35, linewidth=0.25)
            axes.tick_params(which='both', length=0, labelbottom=False, labelleft=False)
            axes.set_axisbelow(False)
            axes.spines[:].set(visible=True, linewidth=0.5)
            axes.set_xlabel(f'({letter}) {name}\n{mask.float().mean():.0%} kept', fontsize=SMALLEST, labelpad=2)
        return figure

    return save(draw, paths)
