"""Base class of the mixing methods."""

import logging
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from mixpro_mm.functional import MixedTarget
from mixpro_mm.functional.masks import paste
from mixpro_mm.registry import HAS_MMPRETRAIN
from mixpro_mm.utils.arguments import fraction, one_of, positive, within

__all__ = ['PARTNERS', 'ROUNDINGS', 'MixAugment']

PARTNERS: dict[str, Callable[[int, torch.device], Tensor]] = {
    'permutation': lambda batch, device: torch.randperm(batch, device=device),
    'flip': lambda batch, device: torch.arange(batch - 1, -1, -1, device=device),
}
RATIOS = ('batch', 'sample')
ALPHAS = (0.01, 1e30)  # range of valid fp32 draws: below, ratios collapse to 0.5; above, sampling fails
ROUNDINGS = {'floor': torch.floor, 'ceil': torch.ceil}


class MixAugment:
    """Base of the batch augments that mix two images by a mask (MixPro, eq. 7).

    A method that only draws a mask overrides :meth:`draw_mask`; one that moves pixels or weights labels overrides
    :meth:`mix`. Returned labels are mixed by area; other labelings call :meth:`pop_target` after the forward pass.

    Args:
        alpha: Both parameters of the Beta distribution of the mixing ratio, from 0.01 to 1e30.
        partner: A random 'permutation' of the batch, or the batch in reverse order ('flip').
        ratio: One mixing ratio per 'batch' or per 'sample'.
        prob: Probability of mixing each sample.

    Raises:
        ValueError: If an argument is invalid.
    """

    runs_model = False  # whether the bound model or its average is called, which sharding does not allow
    own_weights = False  # whether labels are mixed by a ratio that no mask has, which attention cannot re-weight

    def __init__(self, alpha: float = 1.0, partner: str = 'permutation', ratio: str = 'batch', prob: float = 1.0):
        self.alpha = within('alpha', positive('alpha', alpha), *ALPHAS)
        self.partner = one_of('partner', partner, PARTNERS)
        self.ratio = one_of('ratio', ratio, RATIOS)
        self.prob = fraction('prob', prob)
        self._pending: MixedTarget | None = None
        self._bound = None  # result of :meth:`bind`
        self._warned = False

    @torch.compiler.disable  # inductor fails on images[torch.randperm(B)] and draws different numbers
    def __call__(self, batch_inputs: Tensor, batch_scores: Tensor) -> tuple[Tensor, Tensor]:
        """Mix a batch.

        Args:
            batch_inputs: (B, C, H, W) images, not modified.
            batch_scores: (B, K) labels, one-hot, soft or multi-label, not modified.

        Returns:
            The mixed images, and the labels blended by area (or by the weights of the method) as floats.

        Raises:
            ValueError: If the shapes do not match each other or the method.
        """
        if batch_inputs.ndim != 4 or batch_scores.ndim != 2 or len(batch_inputs) != len(batch_scores):
            raise ValueError(
                f'{type(self).__name__} mixes images (B, C, H, W) with labels (B, K), '
                f'got {tuple(batch_inputs.shape)} and {tuple(batch_scores.shape)}'
            )
        scores = batch_scores if batch_scores.is_floating_point() else batch_scores.float()
        index = PARTNERS[self.partner](len(batch_inputs), batch_inputs.device)
        mixed, target = self.mix(batch_inputs, scores, index)
        if self.prob < 1:
            chosen = torch.rand(len(batch_inputs), device=batch_inputs.device) < self.prob
            mixed, target = torch.where(chosen[:, None, None, None], mixed, batch_inputs), target.only(chosen)
        self._pending = target
        return mixed, target.blend()

    @property
    def pending(self) -> bool:
        """Return whether the target of a mixed batch has not been read."""
        return self._pending is not None

    def pop_target(self) -> MixedTarget | None:
        """Return and clear the target of the last mixed batch; None if there is none."""
        target, self._pending = self._pending, None
        return target

    def discard(self) -> None:
        """Forget the last mixed batch, which was not trained on."""
        self.pop_target()

    def bind(self, model: nn.Module, ema: nn.Module | None = None) -> None:
        """Called by ``LabelingHook`` before training with the classifier and its moving average, if any.

        Methods that use them keep what they need in ``_bound``, outside of every state dict.
        """

    def unbind(self) -> None:
        """Called by ``LabelingHook`` after training to release the models."""
        self._bound = None

    def __getstate__(self) -> dict:
        """Exclude the bound models from copies and pickles."""
        return {**self.__dict__, '_bound': None}

    def _require_bound(self, what: str = 'the classifier in training'):
        if self._bound is None:
            raise RuntimeError(
                f"{type(self).__name__} needs {what}: add dict(type='mixpro_mm.LabelingHook') to custom_hooks "
                "(labeling='AreaLabeling' for area labels), or call bind(model) in a training loop of your own"
            )
        return self._bound

    def _warn_once(self, message: str | None) -> None:
        if not message or self._warned:
            return
        self._warned, message = True, f'{type(self).__name__}: {message}'
        if HAS_MMPRETRAIN:
            from mmengine.logging import print_log

            print_log(message, 'current', logging.WARNING)
        else:
            warnings.warn(message, stacklevel=2)

    @property
    def mask_stride(self) -> int | None:
        """Return a divisor in pixels of the position of every mask edge, or None."""
        return None

    def draw_ratio(self, batch: int) -> Tensor:
        """Return the (B,) fraction of each sample itself, from Beta(alpha, alpha) on the CPU (MixPro, eq. 6)."""
        beta = torch.distributions.Beta(float(self.alpha), float(self.alpha))
        return beta.sample((batch,)) if self.ratio == 'sample' else beta.sample((1,)).expand(batch)

    def draw_mask(self, images: Tensor, index: Tensor) -> Tensor:
        """Return (B, 1, H, W) bool on the device of the images, true where the sample itself shows.

        Args:
            images: (B, C, H, W), must not be modified.
            index: (B,) partner of each sample.
        """
        raise NotImplementedError

    def mix(self, images: Tensor, scores: Tensor, index: Tensor) -> tuple[Tensor, MixedTarget]:
        """Mix every sample with its partner; arguments as in :meth:`draw_mask`, ``scores`` (B, K) float."""
        mask = self.draw_mask(images, index)
        return paste(mask, images, index), MixedTarget(scores, scores[index], mask)
