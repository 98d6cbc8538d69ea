"""MaskMix and MixPro (Zhao et al., MixPro, ICLR 2023, section 3.2)."""

import torch
from torch import Tensor

from mixpro_mm.augments.base import MixAugment, one_of, positive
from mixpro_mm.mixing import random_mask, to_pixels
from mixpro_mm.registry import BATCH_AUGMENTS, register

__all__ = ['MaskMix', 'MixPro']

ROUNDINGS = {'floor': torch.floor, 'ceil': torch.ceil}


@register(BATCH_AUGMENTS)
class MaskMix(MixAugment):
    """Mix two images on a random grid whose cells are whole groups of image patches (eq. 6 and 7).

    Cells are ``mask_scale * patch_size`` pixels wide; those of the last row and column are cut where they do not tile
    the image (4 x 16 = 64 does not tile 224), and the area label counts pixels, not cells.

    Args:
        alpha: Both parameters of the Beta distribution of tau, the paper's beta.
        patch_size: The model's patch, in pixels.
        mask_scale: Patches along the side of a mask cell; the paper's best is 4.
        rounding: S * tau cells show the sample itself, brought to a whole number by 'floor' (paper) or 'ceil'
            (released code).
        partner: 'permutation' (released code) or 'flip' (pseudo-code).
        ratio: One tau per 'batch' or per 'sample'; the cells are drawn per sample in both.

    Raises:
        ValueError: at construction for a bad argument; at the first batch if a cell does not fit into the image.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        patch_size: int = 16,
        mask_scale: int = 4,
        rounding: str = 'floor',
        partner: str = 'permutation',
        ratio: str = 'batch',
    ):
        super().__init__(alpha=alpha, partner=partner, ratio=ratio)
        self.patch_size = positive('patch_size', patch_size)
        self.mask_scale = positive('mask_scale', mask_scale)
        self.rounding = one_of('rounding', rounding, ROUNDINGS)
        cell = patch_size * mask_scale
        if patch_size != int(patch_size) or cell % patch_size:
            raise ValueError(
                f'mask size {cell:g} (mask_scale {mask_scale:g} x patch_size {patch_size:g}) '
                f'is not a multiple of a whole patch size'
            )
        self.cell = int(cell)

    def draw_mask(self, batch: int, size: tuple[int, int], device: torch.device) -> Tensor:
        """(B, 1, H, W) bool: a share tau of the grid cells, at places drawn per sample."""
        if self.cell > min(size) or self.cell == max(size):
            raise ValueError(
                f'mask size {self.cell} (mask_scale {self.mask_scale} x patch_size {self.patch_size}) leaves nothing '
                f'to mix in an image of {size[0]}x{size[1]} pixels'
            )
        grid = tuple(-(-length // self.cell) for length in size)
        keep = ROUNDINGS[self.rounding](grid[0] * grid[1] * self.draw_ratio(batch)).long()
        return to_pixels(random_mask(keep, grid, device=device), self.cell, size)


@register(BATCH_AUGMENTS)
class MixPro(MaskMix):
    """MaskMix that insists on attention labels: the image half of MixPro, for use with ``LabelingHook``.

    Raises:
        RuntimeError: at the second mixed batch if nobody took the labels of the first.
    """

    def __call__(self, batch_inputs: Tensor, batch_scores: Tensor) -> tuple[Tensor, Tensor]:
        if self.pending:
            raise RuntimeError(
                "nobody took the labels of MixPro's last batch: add dict(type='mixpro_mm.LabelingHook') to "
                'custom_hooks, or name MaskMix instead of MixPro to train on area labels'
            )
        return super().__call__(batch_inputs, batch_scores)
