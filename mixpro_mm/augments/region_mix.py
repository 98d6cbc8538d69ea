"""CutMix's region on the contract of this package, so that TransMix can label it (Yun et al., CutMix, ICCV 2019)."""

from torch import Tensor

from mixpro_mm.augments.base import MixAugment
from mixpro_mm.functional import region_mask
from mixpro_mm.registry import BATCH_AUGMENTS, register
from mixpro_mm.utils.arguments import positive_int

__all__ = ['RegionMix']


@register(BATCH_AUGMENTS)
class RegionMix(MixAugment):
    """Paste one box of the partner; with ``AttentionLabeling`` this is TransMix, without labeling it is CutMix.

    Args:
        alpha: Both parameters of the Beta distribution of the share outside the box.
        partner, prob: As of :class:`MixAugment`.
        ratio: One box per 'batch', as the host's CutMix draws it, or one per 'sample'.
        align: Side of the model's patches in pixels, to whose borders those of the box are rounded (MixPro, table 8,
            A); the box stays as drawn if omitted.

    Raises:
        ValueError: at construction for a bad argument; at the first batch if ``align`` is larger than the image.
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
        """The value of ``align``."""
        return self.align

    def draw_mask(self, images: Tensor, index: Tensor) -> Tensor:
        """(B, 1, H, W) bool, false inside the box."""
        batch, size = len(images), tuple(images.shape[2:])
        lam = self.draw_ratio(batch)
        if self.ratio == 'batch':
            return region_mask(lam[:1], size, align=self.align, device=images.device).expand(batch, -1, -1, -1)
        return region_mask(lam, size, align=self.align, device=images.device)
