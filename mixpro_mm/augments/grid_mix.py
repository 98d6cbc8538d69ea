"""GridMix (Baek, Bang, Shim, GridMix: Strong regularization through local context mapping, PR 2021)."""

from torch import Tensor

from mixpro_mm.augments.base import ROUNDINGS, MixAugment
from mixpro_mm.functional import random_mask
from mixpro_mm.functional.masks import stretch
from mixpro_mm.registry import BATCH_AUGMENTS, register
from mixpro_mm.utils.arguments import one_of, positive_int

__all__ = ['GridMix']


@register(BATCH_AUGMENTS)
class GridMix(MixAugment):
    """Divide the image into N x N cells and take each from one of the two images, label by area.

    The cells follow the image, not the patches of a model: N of them span a side of any length, and differ by a pixel
    where N does not divide it. This is the mixing half of the method; its loss on local context stands apart.

    Args:
        alpha: Both parameters of the Beta distribution of tau; the paper's value could not be verified.
        grid: N, the cells along a side; 4 is a guess, as the paper's value could not be verified.
        rounding: N * N * tau cells show the sample itself, brought to a whole number by 'floor' or 'ceil'.
        partner, ratio, prob: As of :class:`MixAugment`; the cells are drawn per sample with either ``ratio``.

    Raises:
        ValueError: at construction for a bad argument; at the first batch if there are more cells than pixels.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        grid: int = 4,
        rounding: str = 'floor',
        partner: str = 'permutation',
        ratio: str = 'batch',
        prob: float = 1.0,
    ):
        super().__init__(alpha=alpha, partner=partner, ratio=ratio, prob=prob)
        self.grid = positive_int('grid', grid, least=2)
        self.rounding = one_of('rounding', rounding, ROUNDINGS)

    def draw_mask(self, images: Tensor, index: Tensor) -> Tensor:
        """(B, 1, H, W) bool: a share tau of the cells, at places drawn per sample."""
        size = tuple(images.shape[2:])
        if self.grid > min(size):
            raise ValueError(f'grid {self.grid} has more cells a side than an image of {size[0]}x{size[1]} has pixels')
        keep = ROUNDINGS[self.rounding](self.grid**2 * self.draw_ratio(len(images))).long()
        return stretch(random_mask(keep, (self.grid, self.grid), device=images.device), size)
