"""Attentive CutMix (Walawalkar et al., Attentive CutMix, ICASSP 2020)."""

import os

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from mixpro_mm.augments.base import MixAugment
from mixpro_mm.augments.networks import FrozenClassifier
from mixpro_mm.functional.masks import stretch
from mixpro_mm.registry import BATCH_AUGMENTS, register
from mixpro_mm.utils.arguments import positive_int, shown

__all__ = ['AttentiveCutMix']


@register(BATCH_AUGMENTS)
class AttentiveCutMix(MixAugment):
    """Paste the grid cells of the partner with the highest response of a frozen classifier; labels by area.

    The response is the channel mean of the classifier's last map, averaged over each cell; the paper takes 6 of the 7 x
    7 cells of an ImageNet ResNet-50. Cell sizes differ by a pixel if cells do not divide the image.

    Args:
        extractor: A :class:`FrozenClassifier` or its argument ``model``. It sees the images of the trained model and
            should use the same normalisation.
        checkpoint: Local file of its weights.
        layer: Dotted name of the module of its last map, for unknown models.
        top_k: Number of pasted cells; None draws a ratio lam and pastes ``int(cells * (1 - lam))``.
        grid: Cells per side.
        alpha: Beta parameter of lam; unused with ``top_k``. Beta(2, 2) is an extension by others.
        partner, ratio, prob: See :class:`MixAugment`; ``ratio`` applies to a drawn number of cells.

    Raises:
        ValueError: At construction for an invalid argument or extractor; at the first batch if images are smaller than
            the grid.
    """

    def __init__(
        self,
        extractor: FrozenClassifier | dict | str | nn.Module,
        checkpoint: str | os.PathLike | bool | None = None,
        layer: str | None = None,
        top_k: int | None = 6,
        grid: int = 7,
        alpha: float = 2.0,
        partner: str = 'permutation',
        ratio: str = 'batch',
        prob: float = 1.0,
    ):
        super().__init__(alpha=alpha, partner=partner, ratio=ratio, prob=prob)
        self.grid = positive_int('grid', grid, least=2)
        self.top_k = None if top_k is None else positive_int('top_k', top_k)
        if top_k is not None and top_k >= grid**2:
            raise ValueError(f'top_k must be below {grid**2}, the number of {grid}x{grid} cells, got {shown(top_k)}')
        self.extractor = FrozenClassifier.wrap(extractor, checkpoint, layer)

    def draw_mask(self, images: Tensor, index: Tensor) -> Tensor:
        batch, size = len(images), tuple(images.shape[2:])
        if min(size) < self.grid:
            raise ValueError(f'a {self.grid}x{self.grid} grid does not fit an image of {size[0]}x{size[1]} pixels')
        response = self.extractor.feature_map(images).float().mean(dim=1, keepdim=True)
        response = F.adaptive_avg_pool2d(response, self.grid).flatten(1)[index]
        rank = response.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        count = self.top_k
        if count is None:
            count = (self.grid**2 * (1 - self.draw_ratio(batch))).long().to(rank.device)[:, None]
        return stretch((rank >= count).view(batch, 1, self.grid, self.grid), size)
