"""What every mixing method shares: check, draw, apply, and remember the label pair until somebody takes it."""

import math
from collections.abc import Callable
from numbers import Real

import torch
from torch import Tensor

from mixpro_mm.mixing import MixedTarget

__all__ = ['PARTNERS', 'MixAugment', 'one_of', 'positive']

PARTNERS: dict[str, Callable[[int, torch.device], Tensor]] = {
    'permutation': lambda batch, device: torch.randperm(batch, device=device),
    'flip': lambda batch, device: torch.arange(batch - 1, -1, -1, device=device),
}
RATIOS = ('batch', 'sample')


def one_of(name: str, value, known) -> str:
    """``value`` if it is one of ``known``, else a ValueError that lists them."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f'{name} {value!r} is unknown; known: {", ".join(sorted(known))}')
    return value


def positive(name: str, value) -> float:
    """``value`` if it is a finite number above zero, else a ValueError that shows it."""
    if isinstance(value, bool) or not isinstance(value, Real) or not (math.isfinite(value) and value > 0):
        raise ValueError(f'{name} must be a finite number above 0, got {value!r}')
    return value


class MixAugment:
    """Base of the batch augments that mix two images by a mask (MixPro, eq. 7). A method overrides :meth:`draw_mask`.

    Without anybody asking, the labels come back mixed by area. Who wants to weigh them otherwise calls :meth:`take`
    after the forward pass, before the loss.

    Args:
        alpha: Both parameters of the Beta distribution of the mixing ratio.
        partner: Who is mixed with whom: a random 'permutation' of the batch, or the batch in reverse ('flip').
        ratio: One ratio drawn for the whole 'batch', or one per 'sample'.

    Raises:
        ValueError: if an argument is not among the known ones.
    """

    def __init__(self, alpha: float = 1.0, partner: str = 'permutation', ratio: str = 'batch'):
        self.alpha = positive('alpha', alpha)
        self.partner = one_of('partner', partner, PARTNERS)
        self.ratio = one_of('ratio', ratio, RATIOS)
        self._pending: MixedTarget | None = None

    def __call__(self, batch_inputs: Tensor, batch_scores: Tensor) -> tuple[Tensor, Tensor]:
        """Mix a batch; neither argument is written to.

        Args:
            batch_inputs: (B, C, H, W) images.
            batch_scores: (B, K) labels, one-hot, soft or multi-label.

        Returns:
            The mixed images, and the labels blended by area as floats.

        Raises:
            ValueError: if the shapes do not fit each other or the method.
        """
        if batch_inputs.ndim != 4 or batch_scores.ndim != 2 or len(batch_inputs) != len(batch_scores):
            raise ValueError(
                f'{type(self).__name__} mixes images (B, C, H, W) with labels (B, K), '
                f'got {tuple(batch_inputs.shape)} and {tuple(batch_scores.shape)}'
            )
        scores = batch_scores if batch_scores.is_floating_point() else batch_scores.float()
        mask = self.draw_mask(len(batch_inputs), tuple(batch_inputs.shape[2:]), batch_inputs.device)
        index = PARTNERS[self.partner](len(batch_inputs), batch_inputs.device)
        self._pending = MixedTarget(scores, scores[index], mask)
        return torch.where(mask, batch_inputs, batch_inputs[index]), self._pending.blend()

    @property
    def pending(self) -> bool:
        """Whether a mixed batch waits for its labels."""
        return self._pending is not None

    def take(self) -> MixedTarget | None:
        """The target of the last mixed batch, once: it is forgotten here, so it cannot leak into the next batch."""
        target, self._pending = self._pending, None
        return target

    def draw_ratio(self, batch: int) -> Tensor:
        """(B,) wanted share of each sample itself, from Beta(alpha, alpha) on the CPU (MixPro, eq. 6)."""
        beta = torch.distributions.Beta(float(self.alpha), float(self.alpha))
        return beta.sample((batch,)) if self.ratio == 'sample' else beta.sample((1,)).expand(batch)

    def draw_mask(self, batch: int, size: tuple[int, int], device: torch.device) -> Tensor:
        """(B, 1, H, W) bool on ``device``, true where the sample itself shows; everything random happens here."""
        raise NotImplementedError
