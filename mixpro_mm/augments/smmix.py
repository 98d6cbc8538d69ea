"""SMMix's max-min regions (Chen et al., SMMix: Self-Motivated Image Mixing for Vision Transformers, ICCV 2023)."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from mixpro_mm.augments.base import MixAugment
from mixpro_mm.functional import MixedTarget
from mixpro_mm.labeling import ClassAttentionTap, parse_attention
from mixpro_mm.labeling.tap import eval_mode
from mixpro_mm.registry import BATCH_AUGMENTS, register
from mixpro_mm.utils.arguments import is_number, positive_int, shown

__all__ = ['SMMix']


@register(BATCH_AUGMENTS)
class SMMix(MixAugment):
    """Paste the partner's most attended square over the least attended square of the sample; labels by area.

    The attention comes from one extra pass of the trained model over the unmixed batch, in evaluation mode and without
    gradient. The paper's further losses are not included.

    Args:
        patch_size: Side of a token in pixels. Attention of larger tokens (32 in the last stage of PVT) is spread evenly
            over them. Pixels beyond the last whole token are never mixed.
        sides: Inclusive range of the side of the square, drawn per batch: in whole tokens, or as fractions below 1 of
            the shorter side of the grid, rounded down; clipped so that some of the sample remains. The default is the
            released code's: 3 to 10 tokens of 14.
        attention: See ``LabelingHook``; 'query_mean' is the paper's.
        partner: 'permutation', or 'flip' as in the released code.
        prob: See :class:`MixAugment`.

    Raises:
        ValueError: At construction for an invalid argument; in :meth:`bind` if the model has no such attention; at the
            first batch if a square does not fit.
        RuntimeError: At the first batch if :meth:`bind` was not called, or the attention is not one map per image.
    """

    runs_model = True

    def __init__(
        self,
        patch_size: int = 16,
        sides: tuple[float, float] = (0.25, 0.75),
        attention: str | dict | None = 'query_mean',
        partner: str = 'permutation',
        prob: float = 1.0,
    ):
        super().__init__(partner=partner, prob=prob)
        self.patch_size = positive_int('patch_size', patch_size)
        pair = list(sides) if isinstance(sides, (list, tuple)) else []
        known = len(pair) == 2 and all(is_number(side) and side > 0 for side in pair) and pair == sorted(pair)
        if not known or not (pair[1] < 1 or all(side == int(side) for side in pair)):
            raise ValueError(f'sides must be two ascending fractions below 1 or whole numbers, got {shown(sides)}')
        self.sides = tuple(pair)
        parse_attention(attention)
        self.attention = attention

    def bind(self, model: nn.Module, ema: nn.Module | None = None) -> None:
        self._bound = model, ClassAttentionTap(model, self.attention)

    def mix(self, images: Tensor, scores: Tensor, index: Tensor) -> tuple[Tensor, MixedTarget]:
        grid = tuple(length // self.patch_size for length in images.shape[2:])
        side = self.draw_side(grid)
        attention = F.adaptive_avg_pool2d(self.look(images).unsqueeze(1), grid)
        sums = F.avg_pool2d(attention, side, stride=1).squeeze(1)  # means, in the order of the sums
        corners = torch.stack([sums.flatten(1).argmax(dim=1)[index], sums.flatten(1).argmin(dim=1)])  # source, target
        span = torch.arange(side * self.patch_size, device=images.device)
        rows, columns = corners // sums.shape[2], corners % sums.shape[2]
        rows, columns = (start[..., None] * self.patch_size + span for start in (rows, columns))  # (2, B, side) pixels
        rows, columns = rows.unsqueeze(3), columns.unsqueeze(2)
        mixed, batch = images.clone(), torch.arange(len(images), device=images.device)[:, None, None]
        mixed[batch, :, rows[1], columns[1]] = images[index[:, None, None], :, rows[0], columns[0]]
        mask = torch.ones_like(images[:, 0], dtype=torch.bool)
        mask[batch, rows[1], columns[1]] = False
        return mixed, MixedTarget(scores, scores[index], mask.unsqueeze(1))

    def draw_side(self, grid: tuple[int, int]) -> int:
        """Return the side of the square in tokens, on a (h, w) grid."""
        most = min(grid) - (grid[0] == grid[1])
        if most < 1:
            raise ValueError(f'patch_size {self.patch_size} leaves SMMix nothing to mix on a {grid[0]}x{grid[1]} grid')
        low, high = (max(1, min(most, int(side if side >= 1 else side * min(grid)))) for side in self.sides)
        return int(torch.randint(low, high + 1, ()))

    def look(self, images: Tensor) -> Tensor:
        """Return (B, h, w) fp32 attention of the bound model for unmixed images (B, C, H, W), on its token grid."""
        model, tap = self._require_bound()
        inputs = images.to(next(model.parameters()).dtype)
        with eval_mode(model):
            tap.verify(lambda: model(inputs[:1], mode='tensor'))
            return tap.maps(lambda: model(inputs, mode='tensor'), images)
