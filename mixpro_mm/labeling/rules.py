"""Labelings: they look at a mixed batch after its forward pass and decide the weight of its two labels."""

from typing import NamedTuple

import torch
from torch import Tensor

from mixpro_mm.labeling.lam import attention_lam, combine, cosine_factor
from mixpro_mm.mixing import MixedTarget

__all__ = ['LABELINGS', 'AttentionLabeling', 'LabelWeights', 'ProgressiveAttentionLabeling', 'build_labeling']


class LabelWeights(NamedTuple):
    """What a labeling decided, each (B,) in [0, 1]: ``lam`` goes into the label, the rest into the log."""

    lam: Tensor
    lam_area: Tensor
    lam_attn: Tensor
    factor: Tensor


class AttentionLabeling:
    """TransMix's label: the mean of area and attention (Chen et al., TransMix, CVPR 2022; see also eq. 5 of MixPro)."""

    def __call__(
        self, target: MixedTarget, class_attention: Tensor, grid: tuple[int, int], logits: Tensor
    ) -> LabelWeights:
        """Weigh a mixed batch.

        Args:
            target: labels and mask of the batch.
            class_attention: (B, N) over the patches.
            grid: (h, w) of the patches, ``h * w == N``.
            logits: (B, C) of the same forward pass.
        """
        lam_attn = attention_lam(class_attention, target.mask, grid)
        factor = self.factor(target, logits)
        return LabelWeights(combine(target.lam_area, lam_attn, factor), target.lam_area, lam_attn, factor)

    def factor(self, target: MixedTarget, logits: Tensor) -> Tensor:
        """(B,) trust in the attention; here a constant half."""
        return torch.full_like(target.lam_area, 0.5)


class ProgressiveAttentionLabeling(AttentionLabeling):
    """PAL: trust the attention as far as the prediction already fits the mixed label (MixPro, eq. 8 and 9).

    Args:
        detach: Treat the factor as a constant, as the pseudo-code does; False lets gradients flow through it, as the
            released code does.
        smooth_target: Compare with the smoothed label, as the released code does, instead of the mixed label itself.
        label_smooth_val: Smoothing used for that comparison only; the loss keeps its own.

    Raises:
        ValueError: if ``label_smooth_val`` is not in [0, 1).
    """

    def __init__(self, detach: bool = True, smooth_target: bool = False, label_smooth_val: float = 0.1):
        if not 0 <= label_smooth_val < 1:
            raise ValueError(f'label_smooth_val must lie in [0, 1), got {label_smooth_val}')
        self.detach = detach
        self.smooth_target = smooth_target
        self.label_smooth_val = label_smooth_val

    def factor(self, target: MixedTarget, logits: Tensor) -> Tensor:
        """(B,) cosine similarity of prediction and area-mixed label (eq. 8)."""
        mixed = target.blend()
        if self.smooth_target:
            mixed = mixed * (1 - self.label_smooth_val) + self.label_smooth_val / mixed.shape[1]
        return cosine_factor(logits.detach() if self.detach else logits, mixed)


LABELINGS = {rule.__name__: rule for rule in (AttentionLabeling, ProgressiveAttentionLabeling)}


def build_labeling(labeling):
    """A labeling from its name, from ``dict(type=name, ...)``, or as is if it can already be called.

    Raises:
        ValueError: if the name is unknown, with the known ones.
        TypeError: if an argument does not exist, or ``labeling`` is of another kind.
    """
    if callable(labeling) and not isinstance(labeling, type):
        return labeling
    settings = dict(type=labeling) if isinstance(labeling, str) else labeling
    if not isinstance(settings, dict) or 'type' not in settings:
        raise TypeError(f'labeling must be a name or dict(type=name, ...), got {labeling!r}')
    settings = dict(settings)
    name = str(settings.pop('type')).removeprefix('mixpro_mm.')
    if name not in LABELINGS:
        raise ValueError(f'labeling {name!r} is unknown; known: {", ".join(sorted(LABELINGS))}')
    return LABELINGS[name](**settings)
