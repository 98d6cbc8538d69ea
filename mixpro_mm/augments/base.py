"""What every mixing method shares: check, draw, apply, and keep the label pair until it is read."""

import logging
from collections.abc import Callable

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mixpro_mm.functional import MixedTarget
from mixpro_mm.utils.arguments import fraction, one_of, positive, within

__all__ = ['PARTNERS', 'ROUNDINGS', 'MixAugment']

PARTNERS: dict[str, Callable[[int, torch.device], Tensor]] = {
    'permutation': lambda batch, device: torch.randperm(batch, device=device),
    'flip': lambda batch, device: torch.arange(batch - 1, -1, -1, device=device),
}
RATIOS = ('batch', 'sample')
ALPHAS = (0.01, 1e30)  # what fp32 draws well from: below, more and more ratios are exactly 0.5; above, it draws none
ROUNDINGS = {'floor': torch.floor, 'ceil': torch.ceil}  # of a number of cells


class MixAugment:
    """Base of the batch augments that mix two images by a mask (MixPro, eq. 7).

    A method that only draws a mask overrides :meth:`draw_mask`; one that moves pixels or has better labels than areas
    overrides :meth:`mix`. The labels returned are mixed by area. To weigh them otherwise, call :meth:`pop_target` after
    the forward pass, before the loss.

    Args:
        alpha: Both parameters of the Beta distribution of the mixing ratio, from 0.01 to 1e30.
        partner: Who is mixed with whom: a random 'permutation' of the batch, or the batch in reverse ('flip').
        ratio: One ratio drawn for the whole 'batch', or one per 'sample'.
        prob: Probability with which each sample of the batch is mixed at all, drawn per sample.

    Raises:
        ValueError: if an argument is not among the known ones.
    """

    runs_model = False  # whether the model of :meth:`bind` or its average is called, which shards do not allow

    def __init__(self, alpha: float = 1.0, partner: str = 'permutation', ratio: str = 'batch', prob: float = 1.0):
        self.alpha = within('alpha', positive('alpha', alpha), *ALPHAS)
        self.partner = one_of('partner', partner, PARTNERS)
        self.ratio = one_of('ratio', ratio, RATIOS)
        self.prob = fraction('prob', prob)
        self._pending: MixedTarget | None = None
        self._bound = None  # what :meth:`bind` made of the classifier
        self._warned = False

    @torch.compiler.disable  # inductor fails on images[torch.randperm(B)] and draws other numbers than eager mode
    def __call__(self, batch_inputs: Tensor, batch_scores: Tensor) -> tuple[Tensor, Tensor]:
        """Mix a batch; neither argument is written to.

        Args:
            batch_inputs: (B, C, H, W) images.
            batch_scores: (B, K) labels, one-hot, soft or multi-label.

        Returns:
            The mixed images, and the labels blended by area (or by the weights of the method) as floats.

        Raises:
            ValueError: if the shapes do not fit each other or the method.
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
        """Whether a mixed batch waits for its labels."""
        return self._pending is not None

    def pop_target(self) -> MixedTarget | None:
        """The target of the last mixed batch, once: it is cleared here, so it cannot leak into the next batch."""
        target, self._pending = self._pending, None
        return target

    def bind(self, model: nn.Module, ema: nn.Module | None = None) -> None:
        """Called by ``LabelingHook`` before training with the classifier and its moving average, if there is one.

        Most methods use neither. One that does keeps what it needs in ``_bound``, outside of every state dict.
        """

    def unbind(self) -> None:
        """Called by ``LabelingHook`` after training: release what :meth:`bind` kept."""
        self._bound = None

    def __getstate__(self) -> dict:
        """A copy or a pickle goes without the classifier and must be bound again."""
        return {**self.__dict__, '_bound': None}

    def _require_bound(self, what: str = 'the classifier in training'):
        """What :meth:`bind` kept, or a RuntimeError if it was not called."""
        if self._bound is None:
            raise RuntimeError(
                f"{type(self).__name__} needs {what}: add dict(type='mixpro_mm.LabelingHook') to custom_hooks "
                "(with labeling='AreaLabeling' if no attention labels are wanted)"
            )
        return self._bound

    def _warn_once(self, sentence: str | None) -> None:
        """Log the first sentence of this method as a warning."""
        if sentence and not self._warned:
            self._warned = True
            print_log(f'{type(self).__name__}: {sentence}', 'current', logging.WARNING)

    @property
    def mask_stride(self) -> int | None:
        """Every edge of a mask is a multiple of this many pixels from the top left; None if edges lie anywhere."""
        return None

    def draw_ratio(self, batch: int) -> Tensor:
        """(B,) wanted share of each sample itself, from Beta(alpha, alpha) on the CPU (MixPro, eq. 6)."""
        beta = torch.distributions.Beta(float(self.alpha), float(self.alpha))
        return beta.sample((batch,)) if self.ratio == 'sample' else beta.sample((1,)).expand(batch)

    def draw_mask(self, images: Tensor, index: Tensor) -> Tensor:
        """(B, 1, H, W) bool on the device of the images, true where the sample itself shows.

        Args:
            images: (B, C, H, W), not to be written to.
            index: (B,) each sample's partner.
        """
        raise NotImplementedError

    def mix(self, images: Tensor, scores: Tensor, index: Tensor) -> tuple[Tensor, MixedTarget]:
        """Mix every sample with its partner; arguments as of :meth:`draw_mask`, ``scores`` (B, K) float."""
        mask, mixed = self.draw_mask(images, index), images[index]
        into = None if images.requires_grad else mixed  # the copy of the partners is not needed twice
        return torch.where(mask, images, mixed, out=into), MixedTarget(scores, scores[index], mask)
