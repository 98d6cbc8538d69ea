"""BlockMix: BEiT's blocks as mixing mask (Bao et al., BEiT, ICLR 2022; 'block' in table 7 of MixPro)."""

from torch import Tensor

from mixpro_mm.augments.base import ROUNDINGS, MixAugment
from mixpro_mm.functional import to_pixels
from mixpro_mm.functional.masks import block_mask, few_cells, fitting
from mixpro_mm.registry import BATCH_AUGMENTS, register
from mixpro_mm.utils.arguments import fraction, one_of, positive_int

__all__ = ['BlockMix']


@register(BATCH_AUGMENTS)
class BlockMix(MixAugment):
    """Paste rectangular blocks of the partner's patches until their number is reached exactly.

    The mask of TokenMix (Liu et al., ECCV 2022), MixPro's 'block', with area labels. Patches of the last row and column
    are cropped to the image; the area label counts pixels.

    Args:
        alpha: Beta parameter of tau. TokenMix itself uses a fixed tau.
        patch_size: Patch size of the model in pixels.
        min_patches: Smallest area of a block in patches, unless fewer are missing. BEiT's value.
        aspect: Smallest aspect ratio; drawn log-uniform up to its inverse. BEiT's value.
        rounding: 'floor' or 'ceil' of the S * tau patches of the sample itself.
        partner, ratio, prob: See :class:`MixAugment`; blocks are always drawn per sample.

    Raises:
        ValueError: At construction for an invalid argument; at the first batch if a patch does not fit the image.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        patch_size: int = 16,
        min_patches: int = 16,
        aspect: float = 0.3,
        rounding: str = 'floor',
        partner: str = 'permutation',
        ratio: str = 'batch',
        prob: float = 1.0,
    ):
        super().__init__(alpha=alpha, partner=partner, ratio=ratio, prob=prob)
        self.patch_size = positive_int('patch_size', patch_size)
        self.min_patches = positive_int('min_patches', min_patches)
        self.aspect = fraction('aspect', aspect)
        self.rounding = one_of('rounding', rounding, ROUNDINGS)

    @property
    def mask_stride(self) -> int:
        return self.patch_size

    def draw_mask(self, images: Tensor, index: Tensor) -> Tensor:
        size = height, width = tuple(images.shape[2:])
        grid = tuple(-(-length // self.patch_size) for length in size)
        if self.patch_size > min(size) or grid == (1, 1):
            raise ValueError(f'patch_size {self.patch_size} leaves nothing to mix in an image of {height}x{width}')
        self._warn_once(self.few_cells(size))
        count = self.draw_count(len(images), grid[0] * grid[1])
        least = min(self.min_patches, grid[0] * grid[1])
        blocks = block_mask(count, grid, min_patches=least, aspect=self.aspect, device=images.device)
        return ~to_pixels(blocks, self.patch_size, size)

    def draw_count(self, batch: int, patches: int) -> Tensor:
        """Return (B,) integer, the number of pasted patches of all ``patches``."""
        return patches - ROUNDINGS[self.rounding](patches * self.draw_ratio(batch)).long()

    def few_cells(self, size: tuple[int, int]) -> str | None:
        """Return a warning if images of ``size`` (H, W) have so few patches that many draws do not mix, else None."""
        fit = f'set patch_size={fitting(size, self.patch_size)[0]} here and in the model'
        return few_cells(size, self.patch_size, fit)
