"""The progressive factor as a parameter that is learned with the model (MixPro, Table 10, "learnable parameter")."""

import torch
from torch import Tensor, nn

from mixpro_mm.models.loss_wrapper import LossWrapper, wrappers_of
from mixpro_mm.registry import MODELS, register
from mixpro_mm.utils.arguments import is_number, shown

__all__ = ['LearnableFactor', 'hand_factor_over']


@register(MODELS)
class LearnableFactor(LossWrapper):
    """A loss of the host, and the factor of ``ProgressiveAttentionLabeling(factor='learnable')`` as its parameter.

    The value of the loss stays the host's. Its labels are blended with the factor, so the gradient reaches the
    parameter through them: with ``lam = factor * lam_attn + (1 - factor) * lam_area``, whichever of the two weights
    gives the label that the model finds easier is trusted more.

    Weight decay would pull the raw parameter to 0, which is a factor of one half; configs leave it out with
    ``optim_wrapper=dict(paramwise_cfg=dict(custom_keys={'raw_factor': dict(decay_mult=0.)}))``. How the paper kept its
    parameter within bounds is not known; here a sigmoid does.

    Args:
        loss: The loss of the host or its config; its gradient must reach a soft label, as it does in LabelSmoothLoss
            (but for ``mode='multi_label'``) and in CrossEntropyLoss.
        init: The factor before training, between 0 and 1.

    Raises:
        ValueError: if ``init`` is not between 0 and 1.
    """

    def __init__(self, loss: dict | nn.Module, init: float = 0.5):
        if not is_number(init) or not 0 < init < 1:
            raise ValueError(f'init must lie between 0 and 1, got {shown(init)}')
        super().__init__(loss)
        self.raw_factor = nn.Parameter(torch.logit(torch.tensor([init], dtype=torch.float64)).float())
        self._reached = False

    def factor(self) -> Tensor:
        """(1,) fp32 in (0, 1), with gradient."""
        return self.raw_factor.float().sigmoid()

    def forward(self, cls_score: Tensor, label: Tensor, **kwargs) -> Tensor:
        """The value of the host's loss; arguments as of :meth:`LossWrapper.forward`.

        Raises:
            RuntimeError: if the loss of the host gives a soft label no gradient, so that nothing could be learned.
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


def hand_factor_over(loss: nn.Module, labeling) -> None:
    """Set ``labeling.learned`` if it ``uses_learned`` and the loss has a factor to learn.

    Raises:
        ValueError: if only one of the two is there.
    """
    wanted = getattr(labeling, 'uses_learned', False)
    found = next((wrapper for wrapper in wrappers_of(loss) if isinstance(wrapper, LearnableFactor)), None)
    if wanted and found is None:
        raise ValueError(
            f'a learnable factor needs a parameter, but {type(loss).__name__} has none: wrap the loss in '
            "dict(type='mixpro_mm.LearnableFactor', loss=...)"
        )
    if found is not None and not wanted:
        raise ValueError(
            'LearnableFactor would learn nothing, for the labeling does not ask for its factor: give LabelingHook '
            "labeling=dict(type='ProgressiveAttentionLabeling', factor='learnable'), or unwrap the loss"
        )
    if wanted:
        labeling.learned = found.factor
