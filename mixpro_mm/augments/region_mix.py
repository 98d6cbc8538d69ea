"""CutMix's region on the contract of this package, so that TransMix can label it (Yun et al., CutMix, ICCV 2019)."""

import torch
from torch import Tensor

from mixpro_mm.augments.base import MixAugment
from mixpro_mm.mixing import region_mask
from mixpro_mm.registry import BATCH_AUGMENTS, register

__all__ = ['RegionMix']


@register(BATCH_AUGMENTS)
class RegionMix(MixAugment):
    """Paste one box of the partner; with ``AttentionLabeling`` this is TransMix, without labeling it is CutMix.

    Args:
        alpha: Both parameters of the Beta distribution of the share outside the box.
        partner: 'permutation' or 'flip'.
        ratio: One box per 'batch', as the host's CutMix draws it, or one per 'sample'.
    """

    def draw_mask(self, batch: int, size: tuple[int, int], device: torch.device) -> Tensor:
        """(B, 1, H, W) bool, false inside the box."""
        lam = self.draw_ratio(batch)
        if self.ratio == 'batch':
            return region_mask(lam[:1], size, device=device).expand(batch, -1, -1, -1)
        return region_mask(lam, size, device=device)
