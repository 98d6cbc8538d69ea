"""The four kinds of masks (MixPro, Figure 4)."""

from pathlib import Path

import torch
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from mixpro_mm.functional import random_mask, to_pixels
from mixpro_mm.functional.masks import block_mask, region_mask
from mixpro_mm.report.figures.canvas import SMALLEST, WIDTHS, outputs, save, styled

__all__ = ['draw_masks', 'make_masks']

TWO = ListedColormap(['#3B4C63', '#F2D16B'])


def make_masks(size=224, patch=16, scale=4, lam=0.5, seed=0) -> dict[str, torch.Tensor]:
    """Return masks (size, size) bool by name, true for the fraction ``lam`` (rounded down to whole cells).

    ``patch`` is the patch size in pixels, ``scale`` the cell size of the last mask in patches. Raises ValueError if
    ``patch`` does not divide ``size``, a cell exceeds it, or ``lam`` is not in [0, 1].
    """
    if min(size, patch, scale) < 1 or size % patch or patch * scale > size:
        raise ValueError(f'patches of {patch} px and cells of {scale} of them do not fit an image of {size} px')
    if not 0 <= lam <= 1:
        raise ValueError(f'lam is {lam}, must be in [0, 1]')
    generator, pixels = torch.Generator().manual_seed(seed), (size, size)
    side, cells = size // patch, -(-size // (patch * scale))
    kept, kept_cells = (torch.tensor([int(count * count * lam)]) for count in (side, cells))
    other = block_mask(side * side - kept, (side, side), min_patches=16, aspect=0.3, generator=generator)  # as BlockMix
    region = region_mask(torch.tensor([lam]), pixels, generator=generator)
    random = random_mask(kept, (side, side), generator=generator)
    scaled = random_mask(kept_cells, (cells, cells), generator=generator)
    block, random = ~to_pixels(other, patch, pixels), to_pixels(random, patch, pixels)
    drawn = {'region': region, 'block': block, 'random': random}
    drawn[f'random, {scale}x'] = to_pixels(scaled, patch * scale, pixels)
    return {name: mask[0, 0] for name, mask in drawn.items()}


@styled
def draw_masks(out=None, width='column', size=224, patch=16, **settings) -> list[Path]:
    """Draw the masks of :func:`make_masks` with a grid of patches."""
    paths, masks = outputs(out, 'masks'), make_masks(size, patch, **settings)
    figure = Figure(figsize=(WIDTHS[width], WIDTHS[width] / len(masks) + 0.28))
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    for letter, axes, (name, mask) in zip('abcd', figure.subplots(1, len(masks)), masks.items(), strict=True):
        axes.imshow(mask.numpy(), cmap=TWO, vmin=0, vmax=1, interpolation='nearest', extent=(0, size, size, 0))
        axes.set(xticks=[], yticks=[])
        axes.hlines(range(patch, size, patch), 0, size, color='black', alpha=0.35, linewidth=0.25)
        axes.vlines(range(patch, size, patch), 0, size, color='black', alpha=0.35, linewidth=0.25)
        axes.set_xlabel(f'({letter}) {name}\n{mask.float().mean():.0%} kept', fontsize=SMALLEST, labelpad=2)
    return save(figure, paths)
