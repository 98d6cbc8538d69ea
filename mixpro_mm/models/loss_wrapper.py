"""Base class of losses around an mmpretrain loss."""

from collections.abc import Callable

from mmpretrain.registry import MODELS
from torch import Tensor, nn

from mixpro_mm.functional import MixedTarget
from mixpro_mm.utils.arguments import shown

__all__ = ['LossWrapper', 'build_loss', 'wrappers_of']


class LossWrapper(nn.Module):
    """A loss around an mmpretrain loss; wrappers may be nested.

    Its learned values are parameters of the model: in the optimizer, the checkpoint, EMA and DDP. Every loss value
    depends on them, if only by zero, because DDP waits for all gradients. ``LabelingHook`` calls :meth:`attach`,
    :meth:`expect` and :meth:`release`; without it the wrapper returns the wrapped loss.

    Args:
        loss: mmpretrain loss or its config.
    """

    def __init__(self, loss: dict | nn.Module):
        super().__init__()
        self.loss = build_loss(loss)

    @property
    def reduction(self) -> str:
        """Return the reduction of the wrapped loss: 'mean' (default), 'sum' or 'none'."""
        return getattr(self.loss, 'reduction', 'mean')

    def forward(self, cls_score: Tensor, label: Tensor, **kwargs) -> Tensor:
        """Return the value of the wrapped loss.

        Args:
            cls_score: (B, K) logits.
            label: (B, K) or (B,), as the wrapped loss takes it.
            **kwargs: For the wrapped loss: ``weight``, ``avg_factor``, ``reduction_override``, ...
        """
        loss = self.loss(cls_score, label, **kwargs)
        parameters = [parameter.sum() for parameter in self.parameters()]
        return loss + (0 * sum(parameters)).to(loss.dtype) if parameters else loss

    def attach(self, model: nn.Module) -> None:
        """Called before training with the classifier."""

    def expect(self, target: MixedTarget, grid_of: Callable[[int], tuple[int, int]]) -> None:
        """Called before the loss of a mixed batch with its target and a function from token count to grid (h, w)."""

    def release(self) -> None:
        """Called after training; restores the model and clears all state."""


def build_loss(loss: dict | nn.Module, name: str = 'loss') -> nn.Module:
    """Return a loss built from its config; an nn.Module is returned as is.

    Raises:
        TypeError: If ``loss``, the argument ``name``, is neither.
    """
    if isinstance(loss, nn.Module):
        return loss
    kind = loss.get('type') if isinstance(loss, dict) else None
    if not isinstance(kind, str) and not callable(kind):
        raise TypeError(f'{name} must be a config with a type or an nn.Module, got {shown(loss)}')
    return MODELS.build(loss)


def wrappers_of(loss: nn.Module) -> list[LossWrapper]:
    """Return the wrappers in a loss, outermost first."""
    return [part for part in loss.modules() if isinstance(part, LossWrapper)]
