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
    """Take each of N x N cells of the image from one of the two images; labels by area.

    N cells span each side, independent of the patches of the model; sizes differ by a pixel if N does not divide the
    side. The loss of the method is ``LocalContextLoss``.

    Args:
        alpha: Beta parameter of tau; the paper's value is unverified.
        grid: N, cells per side; 4 is a guess, the paper's value is unverified.
        rounding: 'floor' or 'ceil' of the N * N * tau cells of the sample itself.
        partner, ratio, prob: See :class:`MixAugment`; cells are always drawn per sample.

    Raises:
        ValueError: At construction for an invalid argument; at the first batch if there are more cells than pixels.
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
        size = tuple(images.shape[2:])
        if self.grid > min(size):
            raise ValueError(f'grid {self.grid} exceeds the sides of an image of {size[0]}x{size[1]} pixels')
        keep = ROUNDINGS[self.rounding](self.grid**2 * self.draw_ratio(len(images))).long()
        return stretch(random_mask(keep, (self.grid, self.grid), device=images.device), size)
