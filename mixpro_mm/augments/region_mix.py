"""CutMix's region with a target for labelings (Yun et al., CutMix, ICCV 2019)."""

from torch import Tensor

from mixpro_mm.augments.base import MixAugment
from mixpro_mm.functional import region_mask
from mixpro_mm.registry import BATCH_AUGMENTS, register
from mixpro_mm.utils.arguments import positive_int

__all__ = ['RegionMix']


@register(BATCH_AUGMENTS)
class RegionMix(MixAugment):
    """Paste one box of the partner: TransMix with ``AttentionLabeling``, CutMix without labeling.

    Args:
        alpha: Beta parameter of the fraction outside the box.
        partner, prob: See :class:`MixAugment`.
        ratio: One box per 'batch', as in mmpretrain's CutMix, or per 'sample'.
        align: Patch size in pixels to which box edges are rounded (MixPro, table 8, A); no rounding by default.

    Raises:
        ValueError: At construction for an invalid argument; at the first batch if ``align`` is larger than the image.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        partner: str = 'permutation',
        ratio: str = 'batch',
        prob: float = 1.0,
        align: int | None = None,
    ):
        super().__init__(alpha=alpha, partner=partner, ratio=ratio, prob=prob)
        self.align = None if align is None else positive_int('align', align)

    @property
    def mask_stride(self) -> int | None:
        return self.align

    def draw_mask(self, images: Tensor, index: Tensor) -> Tensor:
        lam = self.draw_ratio(len(images))[: 1 if self.ratio == 'batch' else None]
        mask = region_mask(lam, tuple(images.shape[2:]), align=self.align, device=images.device)
        return mask.expand(len(images), -1, -1, -1)
