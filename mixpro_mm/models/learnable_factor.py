"""The progressive factor as a learned parameter (MixPro, Table 10, "learnable parameter")."""

import torch
from torch import Tensor, nn

from mixpro_mm.models.loss_wrapper import LossWrapper, wrappers_of
from mixpro_mm.registry import MODELS, register
from mixpro_mm.utils.arguments import is_number, shown

__all__ = ['LearnableFactor', 'connect_factor']


@register(MODELS)
class LearnableFactor(LossWrapper):
    """A loss with the factor of ``ProgressiveAttentionLabeling(factor='learnable')`` as its parameter.

    The value of the loss is unchanged. The gradient reaches the parameter through the labels, which are blended with
    ``lam = factor * lam_attn + (1 - factor) * lam_area``. A sigmoid bounds the factor (the paper gives no method).

    Weight decay would pull the raw parameter to 0, a factor of 0.5; exclude it with
    ``optim_wrapper=dict(paramwise_cfg=dict(custom_keys={'raw_factor': dict(decay_mult=0.)}))``.

    Args:
        loss: mmpretrain loss or its config, with a gradient for soft labels: LabelSmoothLoss (except with
            ``mode='multi_label'``) or CrossEntropyLoss.
        init: Initial factor, between 0 and 1.

    Raises:
        ValueError: If ``init`` is not between 0 and 1.
    """

    def __init__(self, loss: dict | nn.Module, init: float = 0.5):
        if not is_number(init) or not 0 < init < 1:
            raise ValueError(f'init must lie between 0 and 1, got {shown(init)}')
        super().__init__(loss)
        self.raw_factor = nn.Parameter(torch.logit(torch.tensor([init], dtype=torch.float64)).float())
        self._reached = False

    def factor(self) -> Tensor:
        """Return the factor, (1,) fp32 in (0, 1), with gradient."""
        return self.raw_factor.float().sigmoid()

    def forward(self, cls_score: Tensor, label: Tensor, **kwargs) -> Tensor:
        """Return the value of the wrapped loss; see :meth:`LossWrapper.forward`.

        Raises:
            RuntimeError: If the wrapped loss gives soft labels no gradient.
        """
        loss = super().forward(cls_score, label, **kwargs)
        if not self._reached and label.requires_grad and loss.requires_grad:
            (gradient,) = torch.autograd.grad(loss.sum(), label, retain_graph=True, allow_unused=True)
            if gradient is None:
                raise RuntimeError(
                    f'{type(self.loss).__name__} gives its labels no gradient, so LearnableFactor cannot learn from it'
                )
            self._reached = True
        return loss


def connect_factor(loss: nn.Module, labeling) -> None:
    """Set ``labeling.learned`` if it ``uses_learned`` and the loss has a factor.

    Raises:
        ValueError: If only one of the two is the case.
    """
    wanted = getattr(labeling, 'uses_learned', False)
    found = next((wrapper for wrapper in wrappers_of(loss) if isinstance(wrapper, LearnableFactor)), None)
    if wanted and found is None:
        raise ValueError(
            f"factor='learnable' needs a parameter, but {type(loss).__name__} has none: wrap the loss in "
            "dict(type='mixpro_mm.LearnableFactor', loss=...)"
        )
    if found is not None and not wanted:
        raise ValueError(
            'LearnableFactor is not used by the labeling: give LabelingHook '
            "labeling=dict(type='ProgressiveAttentionLabeling', factor='learnable'), or unwrap the loss"
        )
    if wanted:
        labeling.learned = found.factor
