"""What losses around a loss of the host share: its value, and a place in every backward pass for what they learn."""

from collections.abc import Callable

from mmpretrain.registry import MODELS
from torch import Tensor, nn

from mixpro_mm.functional import MixedTarget
from mixpro_mm.utils.arguments import shown

__all__ = ['LossWrapper', 'build_loss', 'wrappers_of']


class LossWrapper(nn.Module):
    """A loss around a loss of the host; wrappers may be nested.

    What it learns are plain parameters of the model: in the optimizer, in the checkpoint, averaged by EMA, synchronised
    by DDP. Every value it returns depends on them, if only by zero, so that DDP never waits for a gradient in vain.
    ``LabelingHook`` tells a wrapper about training by :meth:`attach`, :meth:`expect` and :meth:`release`; without that
    hook it is the loss of the host, and nothing else.

    Args:
        loss: The loss of the host, or its config.
    """

    def __init__(self, loss: dict | nn.Module):
        super().__init__()
        self.loss = build_loss(loss)

    @property
    def reduction(self) -> str:
        """How the loss of the host sums up over the batch: 'mean' (also where it does not say), 'sum' or 'none'."""
        return getattr(self.loss, 'reduction', 'mean')

    def forward(self, cls_score: Tensor, label: Tensor, **kwargs) -> Tensor:
        """The value of the host's loss.

        Args:
            cls_score: (B, K) logits.
            label: (B, K) or (B,), as the host's loss takes it.
            **kwargs: For the host's loss: ``weight``, ``avg_factor``, ``reduction_override``, ...
        """
        loss = self.loss(cls_score, label, **kwargs)
        parameters = [parameter.sum() for parameter in self.parameters()]
        return loss + (0 * sum(parameters)).to(loss.dtype) if parameters else loss

    def attach(self, model: nn.Module) -> None:
        """Before training: this is the classifier the loss belongs to."""

    def expect(self, target: MixedTarget, grid_of: Callable[[int], tuple[int, int]]) -> None:
        """Before the loss of a mixed batch: its target, and who knows the grid (h, w) of a number of patch tokens."""

    def release(self) -> None:
        """After training: leave the model as it was found and forget everything."""


def build_loss(loss: dict | nn.Module, name: str = 'loss') -> nn.Module:
    """A loss of the host from its config, or as it is.

    Raises:
        TypeError: if ``loss``, an argument of that ``name``, is neither.
    """
    if isinstance(loss, nn.Module):
        return loss
    kind = loss.get('type') if isinstance(loss, dict) else None
    if not isinstance(kind, str) and not callable(kind):
        raise TypeError(f'{name} must be a config with a type or an nn.Module, got {shown(loss)}')
    return MODELS.build(loss)


def wrappers_of(loss: nn.Module) -> list[LossWrapper]:
    """The wrappers in a loss, from the outside in; none in a loss of the host."""
    return [part for part in loss.modules() if isinstance(part, LossWrapper)]
