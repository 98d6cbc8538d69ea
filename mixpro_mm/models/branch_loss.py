"""Another loss for labelled batches, as the released code of MixPro has it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mixpro_mm.functional import MixedTarget
from mixpro_mm.models.loss_wrapper import LossWrapper, build_loss
from mixpro_mm.registry import MODELS, register

__all__ = ['BranchLoss']


@register(MODELS)
class BranchLoss(LossWrapper):
    """One loss for the batches that ``LabelingHook`` labels, another for all the rest.

    The released code of MixPro takes plain cross entropy with the labels of both images, unsmoothed, where attention
    decides their weight, and smooths labels only elsewhere. Nothing here is learned and no key enters the checkpoint.

    Args:
        loss: The loss of the host for unmixed batches, and for those that mmpretrain's own augments mixed.
        labelled: The loss for labelled ones, for example ``dict(type='CrossEntropyLoss', use_soft=True)``.

    Raises:
        ValueError: if either has parameters, which would get no gradient where it is not its turn.
    """

    def __init__(self, loss: dict | nn.Module, labelled: dict | nn.Module):
        super().__init__(loss)
        self.labelled = build_loss(labelled, 'labelled')
        if learned := [name for name, _ in self.named_parameters()]:
            raise ValueError(f'BranchLoss chooses between losses without parameters, got one with {", ".join(learned)}')
        self._expected = False

    def expect(self, target: MixedTarget, grid_of: Callable[[int], tuple[int, int]]) -> None:
        """The loss that comes next is that of a labelled batch."""
        self._expected = True

    def release(self) -> None:
        """Forget what was expected."""
        self._expected = False

    @torch.compiler.disable  # whose turn it is changes from step to step
    def forward(self, cls_score: Tensor, label: Tensor, **kwargs) -> Tensor:
        """The value of the loss whose turn it is; arguments as of :meth:`LossWrapper.forward`."""
        expected, self._expected = self._expected, False
        return self.labelled(cls_score, label, **kwargs) if expected else super().forward(cls_score, label, **kwargs)
