"""Labelings: they look at a mixed batch after its forward pass and decide the weight of its two labels.

A labeling is a callable like :meth:`AttentionLabeling.__call__`. ``LabelingHook`` reads from it, where they exist,
``uses_attention`` (True unless it says otherwise) and ``uses_learned`` (False), and sets ``progress`` and ``learned``.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from mixpro_mm.functional import MixedTarget
from mixpro_mm.functional.lam import attention_lam, combine, cosine_factor, linear_factor, parabolic_factor
from mixpro_mm.utils.arguments import flag, is_number, one_of, shown

__all__ = [
    'DOWNSAMPLE',
    'FACTORS',
    'LABELINGS',
    'AreaLabeling',
    'AttentionLabeling',
    'LabelWeights',
    'ProgressiveAttentionLabeling',
    'build_labeling',
]


DOWNSAMPLE = ('area', 'nearest')
FACTORS = ('cosine', 'equal', 'learnable', 'linear', 'parabolic')


class LabelWeights(NamedTuple):
    """What a labeling decided, each (B,) in [0, 1]: ``lam`` goes into the label, the rest into the log.

    None as ``lam`` leaves the label as the mixing method gave it; None elsewhere stays out of the log.
    """

    lam: Tensor | None
    lam_area: Tensor
    lam_attn: Tensor | None = None
    factor: Tensor | None = None


class AreaLabeling:
    """Leaves labels as the mixing method gave them; for models without class attention (Table 7 of MixPro).

    With it, ``LabelingHook`` still shows a method the model it asks for, and logs ``lam_area``.
    """

    uses_attention = False

    def __call__(self, target: MixedTarget, class_attention: None, grid: None, logits: Tensor) -> LabelWeights:
        """Weigh nothing; neither attention nor grid is needed."""
        return LabelWeights(None, target.lam_area)


class AttentionLabeling:
    """TransMix's label: the mean of area and attention (Chen et al., TransMix, CVPR 2022; see also eq. 5 of MixPro).

    Args:
        downsample: How the mask is brought to the tokens: 'area' averages it; 'nearest' takes one pixel a token, as
            TransMix's code does. They differ where mask borders cut through tokens.

    Raises:
        ValueError: if ``downsample`` is unknown.
    """

    uses_attention = True
    downsample = 'area'  # also for subclasses that do not call __init__

    def __init__(self, downsample: str = 'area'):
        self.downsample = one_of('downsample', downsample, DOWNSAMPLE)

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
        lam_attn = attention_lam(class_attention, target.mask, grid, self.downsample)
        factor = self.factor(target, logits)
        return LabelWeights(combine(target.lam_area, lam_attn, factor), target.lam_area, lam_attn, factor)

    def factor(self, target: MixedTarget, logits: Tensor) -> Tensor:
        """(B,) trust in the attention; here a constant half."""
        return torch.full_like(target.lam_area, 0.5)


class ProgressiveAttentionLabeling(AttentionLabeling):
    """PAL: trust the attention as far as the prediction already fits the mixed label (MixPro, eq. 8 and 9).

    Args:
        detach: Treat the factor as a constant, as the pseudo-code does; False lets gradients flow through it, as the
            released code does. This and the two below apply to 'cosine' only.
        smooth_target: Compare with the smoothed label, as the released code does, instead of the mixed label itself.
        label_smooth_val: Smoothing used for that comparison only; the loss keeps its own.
        factor: How far to trust (Table 10): 'cosine' of prediction and label per sample (eq. 8), 'equal' (a half, which
            is TransMix's label), 'linear' or 'parabolic' in the share of the training that is done, or 'learnable', a
            parameter of the loss: wrap that in ``mixpro_mm.LearnableFactor``.
        downsample: How the mask is brought to the tokens, 'area' or 'nearest'; see :class:`AttentionLabeling`.

    Attributes:
        progress: Epochs done of all epochs (iterations where the training counts those), set by ``LabelingHook``.
        learned: Gives the learned factor, a tensor that broadcasts to (B,); set by ``LabelingHook``.

    Raises:
        ValueError: if ``label_smooth_val`` is not in [0, 1), ``factor`` or ``downsample`` is unknown; when called, if
            the factor is to be learned but ``learned`` is not set.
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
        self.progress = 0.0
        self.learned: Callable[[], Tensor] | None = None

    @property
    def uses_learned(self) -> bool:
        """Whether the factor is a parameter of the loss."""
        return self.strategy == 'learnable'

    def factor(self, target: MixedTarget, logits: Tensor) -> Tensor:
        """(B,) trust in the attention, by the strategy that was chosen."""
        if self.strategy == 'cosine':
            return self._cosine(target, logits)
        if self.strategy == 'linear':
            return torch.full_like(target.lam_area, linear_factor(self.progress))
        if self.strategy == 'parabolic':
            return torch.full_like(target.lam_area, parabolic_factor(self.progress))
        if self.strategy == 'learnable':
            if self.learned is None:
                raise ValueError("factor='learnable' needs LabelingHook, which finds the parameter in the loss")
            return self.learned().expand_as(target.lam_area)
        return super().factor(target, logits)

    def _cosine(self, target: MixedTarget, logits: Tensor) -> Tensor:
        mixed = target.blend(target.lam_area)
        if self.smooth_target:
            mixed = mixed * (1 - self.label_smooth_val) + self.label_smooth_val / mixed.shape[1]
        return cosine_factor(logits.detach() if self.detach else logits, mixed)


LABELINGS = {rule.__name__: rule for rule in (AreaLabeling, AttentionLabeling, ProgressiveAttentionLabeling)}


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
        raise TypeError(f'labeling must be a name or dict(type=name, ...), got {shown(labeling)}')
    settings = dict(settings)
    name = str(settings.pop('type')).removeprefix('mixpro_mm.')
    if name not in LABELINGS:
        raise ValueError(f'labeling {shown(name)} is unknown; known: {", ".join(sorted(LABELINGS))}')
    return LABELINGS[name](**settings)
