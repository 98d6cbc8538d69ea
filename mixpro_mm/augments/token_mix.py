"""TokenMix (Liu et al., TokenMix: Rethinking Image Mixing for Data Augmentation in Vision Transformers, ECCV 2022)."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from mixpro_mm.augments.block_mix import BlockMix
from mixpro_mm.augments.networks import FrozenClassifier
from mixpro_mm.functional import MixedTarget
from mixpro_mm.functional.lam import attention_lam
from mixpro_mm.registry import BATCH_AUGMENTS, register
from mixpro_mm.utils.arguments import fraction, not_negative, one_of, shown

__all__ = ['TokenMix']

TARGETS = ('bce', 'ce')


@register(BATCH_AUGMENTS)
class TokenMix(BlockMix):
    """Paste blocks of the partner's tokens; labels are weighted by the visible activation of a teacher.

    The weight of a label is the fraction of the teacher's activation for its class, over its own unmixed image, that is
    still visible in the mixed image. Each cell of the teacher's map counts by the visible fraction of its pixels. The
    class of an image is that of its highest score; an image without activation counts by its area.

    The released code reads precomputed maps of a large network and uses one mask per batch; here the teacher sees the
    images of the batch, and each sample has its own mask.

    Args:
        patch_size: Side of a token in pixels.
        lam: Fixed fraction of the tokens that show the sample itself, before ``extra``.
        extra: Additional fraction of pasted tokens; the released code pastes 14 of 196 more than half.
        min_patches: Smallest area of a block in tokens; 1 is the released code's.
        aspect: Smallest aspect ratio; drawn log-uniform up to its inverse.
        teacher: 'ema' for the moving average of the model, which needs mmengine's EMAHook; or a classifier for
            ``FrozenClassifier``.
        checkpoint: The teacher's weights, see ``FrozenClassifier``; not for 'ema'.
        layer: Module of the teacher's activation, see ``FrozenClassifier``.
        target: 'bce' keeps both weights, which need not sum to one, for binary cross entropy as in the paper; 'ce'
            divides them by their sum.
        smoothing: Label smoothing s of the loss. As in the released code, s / 2 is taken from each of the two weights,
            whereas a loss scales them by 1 - s. The weights are therefore (w - s / 2) / (1 - s), negative if w < s / 2.
        partner: 'permutation', or 'flip' as in the released code.
        prob: See :class:`MixAugment`.

    Raises:
        ValueError: At construction for an invalid argument; in :meth:`bind` if there is no moving average, or it is on
            another device than the model; at the first batch if a token does not fit the image, or the number of
            classes differs between teacher and labels.
        RuntimeError: At the first batch if the teacher is 'ema' and :meth:`bind` was not called.
    """

    def __init__(
        self,
        patch_size: int = 16,
        lam: float = 0.5,
        extra: float = 14 / 196,
        min_patches: int = 1,
        aspect: float = 0.3,
        teacher='ema',
        checkpoint=None,
        layer: str | None = None,
        target: str = 'ce',
        smoothing: float = 0.0,
        partner: str = 'permutation',
        prob: float = 1.0,
    ):
        super().__init__(patch_size=patch_size, min_patches=min_patches, aspect=aspect, partner=partner, prob=prob)
        self.pasted = 1 - fraction('lam', lam) + not_negative('extra', extra)
        if not 0 < self.pasted < 1:
            raise ValueError(f'lam {lam} and extra {extra} give a pasted fraction of {self.pasted:g}, not in (0, 1)')
        self.target = one_of('target', target, TARGETS)
        self.smoothing = not_negative('smoothing', smoothing)
        if self.smoothing >= 1:
            raise ValueError(f'smoothing must be below 1, got {shown(smoothing)}')
        self.layer, self.runs_model = layer, isinstance(teacher, str) and teacher == 'ema'
        if self.runs_model and checkpoint is not None:
            raise ValueError(f"checkpoint cannot be combined with teacher='ema', got {shown(checkpoint)}")
        self.teacher = None if self.runs_model else FrozenClassifier.wrap(teacher, checkpoint, layer)

    def bind(self, model: nn.Module, ema: nn.Module | None = None) -> None:
        if not self.runs_model:
            return
        if ema is None:
            raise ValueError(
                "TokenMix has teacher='ema', but there is no moving average: add dict(type='EMAHook') to "
                'custom_hooks, or use another teacher'
            )
        device, ema_device = (next(net.parameters()).device for net in (model, ema))
        if device != ema_device:
            raise ValueError(
                f"TokenMix has teacher='ema', but the moving average is on {ema_device} and the model on {device}: "
                'remove device from EMAHook, or use another teacher'
            )
        self._bound = FrozenClassifier.of(ema, layer=self.layer)

    def draw_count(self, batch: int, patches: int) -> Tensor:
        return torch.full((batch,), min(max(round(self.pasted * patches), 1), patches - 1))

    def few_cells(self, size: tuple[int, int]) -> None:
        """Return None: the number of pasted tokens is fixed, so every draw mixes."""

    def mix(self, images: Tensor, scores: Tensor, index: Tensor) -> tuple[Tensor, MixedTarget]:
        teacher = self.teacher or self._require_bound('its teacher, the moving average')
        mixed, target = super().mix(images, scores, index)
        activation = teacher.activation_map(images, scores.argmax(dim=1), classes=scores.shape[1])
        weights = self.weigh(activation, target.mask, index)
        return mixed, replace(target, weights=(weights - self.smoothing / 2) / (1 - self.smoothing))

    def weigh(self, activation: Tensor, mask: Tensor, index: Tensor) -> Tensor:
        """Return (B, 2) fp32, the weights of each sample's label and of its partner's.

        Args:
            activation: (B, h, w), not negative, for the class of each unmixed image.
            mask: (B, 1, H, W) bool, true where the sample itself shows.
            index: (B,) partners.
        """
        grid, activation = tuple(activation.shape[1:]), activation.flatten(1)
        own, partner = attention_lam(activation, mask, grid), attention_lam(activation[index], ~mask, grid)
        weights = torch.stack([own, partner], dim=1)
        if self.target == 'bce':
            return weights
        total, area = weights.sum(dim=1, keepdim=True), mask.flatten(1).float().mean(dim=1)
        share_of_both = weights / total.clamp_min(torch.finfo(torch.float32).tiny)
        return torch.where(total > 0, share_of_both, torch.stack([area, 1 - area], dim=1))
