"""Labelings: callables that decide the weight of both labels after the forward pass.

``LabelingHook`` reads the optional attributes ``uses_attention`` (default True) and ``uses_learned`` (default False)
of a labeling, and sets ``progress`` and ``learned``.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from mixpro_mm.functional import MixedTarget
from mixpro_mm.functional.lam import attention_lam, combine, cosine_factor, linear_factor, parabolic_factor
from mixpro_mm.utils.arguments import flag, is_number, one_of, shown

__all__ = ['FACTORS', 'LABELINGS', 'AreaLabeling', 'AttentionLabeling', 'LabelWeights', 'ProgressiveAttentionLabeling']
__all__ += ['build_labeling']

SCHEDULES = dict(equal=lambda progress: 0.5, linear=linear_factor, parabolic=parabolic_factor)
FACTORS = ('cosine', 'learnable', *SCHEDULES)


class LabelWeights(NamedTuple):
    """Weights (B,) in [0, 1]; ``lam`` None keeps the label of the mixing method, the others are only logged."""

    lam: Tensor | None
    lam_area: Tensor
    lam_attn: Tensor | None = None
    factor: Tensor | None = None


class AreaLabeling:
    """Keep the labels of the mixing method; for models without class attention (Table 7 of MixPro)."""

    uses_attention = False

    def __call__(self, target: MixedTarget, class_attention: None, grid: None, logits: Tensor) -> LabelWeights:
        """Return the weights for the log: areas, or the weight of the method for the sample itself."""
        return LabelWeights(None, target.lam_area if target.weights is None else target.weights[:, 0])


class AttentionLabeling:
    """TransMix: the mean of area and attention (Chen et al., TransMix, CVPR 2022; eq. 5 of MixPro).

    Args:
        downsample: 'area' averages the mask over each token; 'nearest' takes one pixel per token, as the released code
            of TransMix does. They differ where mask edges cross tokens.

    Raises:
        ValueError: If ``downsample`` is unknown.
    """

    def __init__(self, downsample: str = 'area'):
        self.downsample = one_of('downsample', downsample, ('area', 'nearest'))

    def __call__(self, target: MixedTarget, class_attention: Tensor, grid: tuple[int, int], logits: Tensor):
        """Return the :class:`LabelWeights` of a mixed batch.

        Args:
            target: Labels and mask of the batch.
            class_attention: (B, N) over the patches.
            grid: (h, w) of the patches, ``h * w == N``.
            logits: (B, C) of the same forward pass.
        """
        lam_attn = attention_lam(class_attention, target.mask, grid, self.downsample)
        factor = self.factor(target, logits)
        return LabelWeights(combine(target.lam_area, lam_attn, factor), target.lam_area, lam_attn, factor)

    def factor(self, target: MixedTarget, logits: Tensor) -> Tensor:
        """Return the (B,) weight of the attention, here 0.5."""
        return torch.full_like(target.lam_area, 0.5)


class ProgressiveAttentionLabeling(AttentionLabeling):
    """PAL: weight the attention by the similarity of prediction and mixed label (MixPro, eq. 8 and 9).

    Args:
        detach: Treat the factor as a constant, as the pseudo-code does; False lets gradients flow through it, as the
            released code does. This and the next two arguments apply to 'cosine' only.
        smooth_target: Compare with the smoothed label, as the released code does, instead of the mixed label.
        label_smooth_val: Smoothing for that comparison.
        factor: Weight of the attention (Table 10): 'cosine' of prediction and label per sample (eq. 8), 'equal' (0.5,
            as in TransMix), 'linear' or 'parabolic' in the completed fraction of the training, or 'learnable', a
            parameter of the loss wrapper ``mixpro_mm.LearnableFactor``.
        downsample: 'area' or 'nearest', see :class:`AttentionLabeling`.

    Attributes:
        progress: Completed fraction of the epochs (or iterations), set by ``LabelingHook``.
        learned: Returns the learned factor, broadcastable to (B,); set by ``LabelingHook``.

    Raises:
        ValueError: If ``label_smooth_val`` is not in [0, 1), or ``factor`` or ``downsample`` is unknown; when called,
            if the factor is learnable but ``learned`` is not set.
    """

    def __init__(
        self,
        detach: bool = True,
        smooth_target: bool = False,
        label_smooth_val: float = 0.1,
        factor: str = 'cosine',
        downsample: str = 'area',
    ):
        super().__init__(downsample)
        if not is_number(label_smooth_val) or not 0 <= label_smooth_val < 1:
            raise ValueError(f'label_smooth_val must lie in [0, 1), got {shown(label_smooth_val)}')
        self.detach = flag('detach', detach)
        self.smooth_target = flag('smooth_target', smooth_target)
        self.label_smooth_val = label_smooth_val
        self.strategy = one_of('factor', factor, FACTORS)
        self.uses_learned = factor == 'learnable'
        self.progress = 0.0
        self.learned: Callable[[], Tensor] | None = None

    def factor(self, target: MixedTarget, logits: Tensor) -> Tensor:
        """Return the (B,) weight of the attention."""
        if self.strategy in SCHEDULES:
            return torch.full_like(target.lam_area, SCHEDULES[self.strategy](self.progress))
        if self.strategy == 'learnable':
            if self.learned is None:
                raise ValueError("factor='learnable' needs LabelingHook, which finds the parameter in the loss")
            return self.learned().expand_as(target.lam_area)
        mixed = target.blend(target.lam_area)
        if self.smooth_target:
            mixed = mixed * (1 - self.label_smooth_val) + self.label_smooth_val / mixed.shape[1]
        return cosine_factor(logits.detach() if self.detach else logits, mixed)


LABELINGS = {rule.__name__: rule for rule in (AreaLabeling, AttentionLabeling, ProgressiveAttentionLabeling)}


def build_labeling(labeling):
    """Return a labeling built from its name or ``dict(type=name, ...)``; a callable is returned as is.

    Raises:
        ValueError: If the name is unknown.
        TypeError: If an argument is unknown, or ``labeling`` has another type.
    """
    if callable(labeling) and not isinstance(labeling, type):
        return labeling
    settings = dict(type=labeling) if isinstance(labeling, str) else labeling
    if not isinstance(settings, dict) or 'type' not in settings:
        raise TypeError(f'labeling must be a name or dict(type=name, ...), got {shown(labeling)}')
    settings = dict(settings)
    name = str(settings.pop('type')).removeprefix('mixpro_mm.')
    return LABELINGS[one_of('labeling', name, LABELINGS)](**settings)
