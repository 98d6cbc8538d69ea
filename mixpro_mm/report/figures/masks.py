"""The four kinds of masks (MixPro, Figure 4)."""

import torch
from matplotlib.figure import Figure

from mixpro_mm.functional import random_mask, to_pixels
from mixpro_mm.functional.masks import block_mask, region_mask
from mixpro_mm.report.figures.canvas import WIDTHS, image_table

__all__ = ['draw_masks', 'make_masks']


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


def draw_masks(width='column', **settings) -> Figure:
    """Draw the masks of :func:`make_masks`; white pixels are those of the first image."""
    masks = make_masks(**settings)
    titles = [f'{name}\n{mask.float().mean():.0%} kept' for name, mask in masks.items()]
    return image_table([('', [mask.numpy() for mask in masks.values()])], {0: titles}, width=WIDTHS[width])
