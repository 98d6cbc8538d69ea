"""A separate loss for labelled batches, as in the released code of MixPro."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mixpro_mm.functional import MixedTarget
from mixpro_mm.models.loss_wrapper import LossWrapper, build_loss
from mixpro_mm.registry import MODELS, register

__all__ = ['BranchLoss']


@register(MODELS)
class BranchLoss(LossWrapper):
    """One loss for batches that ``LabelingHook`` labels, another for all others.

    The released code of MixPro uses cross entropy without label smoothing where attention decides the weights, and
    smooths labels elsewhere. The loss adds no key to the checkpoint.

    Args:
        loss: mmpretrain loss for unmixed batches and those mixed by mmpretrain's own augments.
        labelled: Loss for labelled batches, for example ``dict(type='CrossEntropyLoss', use_soft=True)``.

    Raises:
        ValueError: If either loss has parameters, which would get no gradient in some steps.
    """

    def __init__(self, loss: dict | nn.Module, labelled: dict | nn.Module):
        super().__init__(loss)
        self.labelled = build_loss(labelled, 'labelled')
        if learned := [name for name, _ in self.named_parameters()]:
            raise ValueError(f'BranchLoss chooses between losses without parameters, got one with {", ".join(learned)}')
        self._expected = False

    def expect(self, target: MixedTarget, grid_of: Callable[[int], tuple[int, int]]) -> None:
        """Select the loss of a labelled batch for the next call."""
        self._expected = True

    def release(self) -> None:
        """Forget the selection."""
        self._expected = False

    @torch.compiler.disable  # the selection changes every step
    def forward(self, cls_score: Tensor, label: Tensor, **kwargs) -> Tensor:
        """Return the value of the selected loss; see :meth:`LossWrapper.forward`."""
        expected, self._expected = self._expected, False
        return self.labelled(cls_score, label, **kwargs) if expected else super().forward(cls_score, label, **kwargs)
