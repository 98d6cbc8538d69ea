"""MaskMix and MixPro (Zhao et al., MixPro, ICLR 2023, section 3.2 and the variants of tables 8 and 9)."""

from math import gcd

from torch import Tensor

from mixpro_mm.augments.base import ROUNDINGS, MixAugment
from mixpro_mm.functional import MixedTarget, random_mask, to_pixels
from mixpro_mm.functional.masks import few_cells, fitting
from mixpro_mm.functional.shuffle import SHUFFLES, shuffle_patches
from mixpro_mm.registry import BATCH_AUGMENTS, register
from mixpro_mm.utils.arguments import fraction, one_of, positive, positive_int, shown

__all__ = ['MaskMix', 'MixPro']


@register(BATCH_AUGMENTS)
class MaskMix(MixAugment):
    """Mix two images on a random grid whose cells are groups of image patches (eq. 6 and 7).

    Cells are ``mask_scale * patch_size`` pixels wide; the last row and column are cropped to the image (4 x 16 = 64
    does not tile 224), and the area label counts pixels. ``offset``, ``unit`` and ``shuffle`` are the ablations of
    tables 8 and 9; the paper gives no value for the first two.

    Args:
        alpha: Both parameters of the Beta distribution of tau, the paper's beta.
        patch_size: Patch size of the model in pixels.
        mask_scale: Patches per side of a mask cell; the paper's best is 4.
        rounding: 'floor' (paper) or 'ceil' (released code) of the S * tau cells of the sample itself.
        partner: 'permutation' (released code) or 'flip' (pseudo-code).
        ratio, prob: See :class:`MixAugment`; cells are always drawn per sample.
        offset: Shift of the cells right and down in pixels (table 8, B), smaller than a cell. A cropped row and column
            fill the gap and count in S.
        unit: Side of the pasted, centred square as a fraction of its cell (table 8, C); the sample shows around it.
        shuffle: Patches to shuffle (table 9): those of the partner ('pasted'), those of the sample ('canvas'), 'both'
            separately, or 'none'. Patches that show both images stay.

    Raises:
        ValueError: At construction for an invalid argument; at the first batch if a cell does not fit the image, or
            patches to be shuffled do not tile it.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        patch_size: int = 16,
        mask_scale: int = 4,
        rounding: str = 'floor',
        partner: str = 'permutation',
        ratio: str = 'batch',
        prob: float = 1.0,
        offset: int = 0,
        unit: float = 1.0,
        shuffle: str = 'none',
    ):
        super().__init__(alpha=alpha, partner=partner, ratio=ratio, prob=prob)
        self.rounding = one_of('rounding', rounding, ROUNDINGS)
        patch, scale = float(positive('patch_size', patch_size)), float(positive('mask_scale', mask_scale))
        cell = patch * scale
        self.described = f'mask size {cell:g} (mask_scale {scale:g} x patch_size {patch:g})'
        if patch % 1 or cell % patch:
            raise ValueError(f'{self.described} is not a multiple of a whole patch size')
        self.patch_size, self.cell = int(patch), int(cell)
        self.offset = positive_int('offset', offset, least=0)
        if self.offset >= self.cell:
            raise ValueError(f'offset {shown(offset)} must be smaller than the mask size {cell:g}')
        self.side = int(fraction('unit', unit) * self.cell + 0.5)
        if not self.side:
            raise ValueError(f'unit {unit} of the mask size {cell:g} is less than half a pixel')
        self.shuffle = one_of('shuffle', shuffle, SHUFFLES)

    @property
    def mask_stride(self) -> int:
        """Return the cell size, or less with ``offset`` or ``unit``."""
        return gcd(self.cell, self.offset, self.side, (self.cell - self.side) // 2)

    def draw_mask(self, images: Tensor, index: Tensor) -> Tensor:
        size = tuple(images.shape[2:])
        cut = -self.offset % self.cell  # cropped pixels of the first row and column
        grid = tuple(-(-(length + cut) // self.cell) for length in size)
        if self.cell > min(size) or grid == (1, 1):
            raise ValueError(
                f'{self.described} leaves nothing to mix in an image of {size[0]}x{size[1]} pixels; {self._fit(size)}'
            )
        self._warn_once(self.few_cells(size))
        keep = ROUNDINGS[self.rounding](grid[0] * grid[1] * self.draw_ratio(len(images))).long()
        cells = random_mask(keep, grid, device=images.device)
        return to_pixels(cells, self.cell, size, offset=self.offset, side=self.side)

    def few_cells(self, size: tuple[int, int]) -> str | None:
        """Return a warning if images of ``size`` (H, W) have so few cells that many draws do not mix, else None."""
        return few_cells(size, self.cell, self._fit(size))

    def _fit(self, size: tuple[int, int]) -> str:
        patch, scale = fitting(size, self.patch_size)
        model = '' if patch == self.patch_size else ', and the same patch size in the model'
        return f'set patch_size={patch} and mask_scale={scale}{model}'

    def mix(self, images: Tensor, scores: Tensor, index: Tensor) -> tuple[Tensor, MixedTarget]:
        mixed, target = super().mix(images, scores, index)
        return shuffle_patches(mixed, target.mask, self.patch_size, self.shuffle), target


@register(BATCH_AUGMENTS)
class MixPro(MaskMix):
    """MaskMix that requires attention labels by ``LabelingHook``: the image half of MixPro.

    Raises:
        RuntimeError: At the second mixed batch if the target of the first was not read.
    """

    def __call__(self, batch_inputs: Tensor, batch_scores: Tensor) -> tuple[Tensor, Tensor]:
        if self.pending:
            raise RuntimeError(
                "the labels of MixPro's last batch were not read: add dict(type='mixpro_mm.LabelingHook') to "
                'custom_hooks (in a training loop of your own, call pop_target), or use MaskMix for area labels'
            )
        return super().__call__(batch_inputs, batch_scores)
