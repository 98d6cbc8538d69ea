"""Puzzle Mix (Kim, Choo and Song, Exploiting Saliency and Local Statistics for Optimal Mixup, ICML 2020)."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from mixpro_mm.augments.base import MixAugment
from mixpro_mm.functional import MixedTarget
from mixpro_mm.functional.graphcut import fold_pairs, min_cut, seam_costs
from mixpro_mm.functional.masks import stretch
from mixpro_mm.functional.transport import move_blocks, transport_plan
from mixpro_mm.labeling.tap import eval_mode
from mixpro_mm.registry import BATCH_AUGMENTS, register
from mixpro_mm.utils.arguments import flag, not_negative, positive, positive_int, shown

__all__ = ['PuzzleMix', 'input_saliency']


def input_saliency(model: nn.Module, images: Tensor, scores: Tensor) -> Tensor:
    """Return the norm of the loss gradient at every pixel, the root mean square over channels.

    One forward and one backward pass in evaluation mode, in the precision of the parameters even under autocast. Only
    the images get a gradient, so gradients of parameters and hooks of a distributed wrapper are not affected. The loss
    is the cross entropy with ``scores``.

    Args:
        model: A classifier whose ``model(images, mode='tensor')`` is logits (B, K).
        images: (B, C, H, W), not modified.
        scores: (B, K) float.

    Returns:
        (B, H, W), without gradient.
    """
    dtype = next((parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()), torch.float32)
    images = images.detach().to(dtype).requires_grad_()
    with eval_mode(model), torch.enable_grad(), torch.autocast(images.device.type, enabled=False):
        logits = model(images, mode='tensor')
        loss = F.cross_entropy(logits.float(), scores.detach().float(), reduction='sum')
        (gradient,) = torch.autograd.grad(loss, images)
    return gradient.float().square().mean(dim=1).sqrt()


@register(BATCH_AUGMENTS)
class PuzzleMix(MixAugment):
    """Mix two images block by block, keeping salient blocks visible and block borders smooth.

    A grid of b x b blocks is drawn per batch. With s and t the saliency of the sample and of its partner, averaged over
    blocks and normalised to sum 1, and lam drawn from Beta(alpha, alpha), the labels z (1: the sample itself shows)
    minimise ::

        sum over blocks u     of  z_u t_u + (1 - z_u) s_u  -  eta / b^2 * log(lam if z_u else 1 - lam)
        + sum over borders u, v of  beta / (16 b) * ([z_u != z_v] + gamma * D_uv(z_u, z_v))

    where D_uv in [0, 1] is the colour difference at the border of two neighbours for the images they show. Then the
    blocks of each image are moved so that salient ones are visible, at a cost of ``t_eps`` times the squared distance
    in sides of the grid.

    Scales and defaults are those of the released code, which allows labels of 1/2, finds them by alpha-beta swap and
    moves blocks by an approximate assignment. Here labels are binary, cut and permutation are exact, and colours are
    scaled by their range in the batch.

    ``LabelingHook`` must be among the hooks. Re-entrant activation checkpointing is not supported.

    Args:
        alpha: Both parameters of the Beta distribution of lam.
        blocks: Candidates for b; those that divide both sides of the images are drawn from.
        beta: Weight of smoothness.
        gamma: Weight of the colour difference within it.
        eta: Weight of the prior on the area.
        transport: Whether to move blocks.
        t_eps: Price of distance.
        neigh: Greatest side in pixels of the rectangles whose mean colours are compared across a border.
        partner, ratio, prob: See :class:`MixAugment`; the cut is always per sample.

    Raises:
        ValueError: At construction for an invalid argument; at the first batch if no number of blocks divides its
            images.
        RuntimeError: At the first batch if :meth:`bind` was not called.
    """

    runs_model = True

    def __init__(
        self,
        alpha: float = 1.0,
        blocks: tuple[int, ...] = (2, 4, 8, 16),
        beta: float = 1.2,
        gamma: float = 0.5,
        eta: float = 0.2,
        transport: bool = True,
        t_eps: float = 0.8,
        neigh: int = 4,
        partner: str = 'permutation',
        ratio: str = 'batch',
        prob: float = 1.0,
    ):
        super().__init__(alpha=alpha, partner=partner, ratio=ratio, prob=prob)
        if not isinstance(blocks, list | tuple) or not blocks:
            raise ValueError(f'blocks must be a list of integers, got {shown(blocks)}')
        self.blocks = tuple(positive_int(f'each of blocks {shown(blocks)}', count, least=2) for count in blocks)
        self.beta = not_negative('beta', beta)
        self.gamma = not_negative('gamma', gamma)
        self.eta = not_negative('eta', eta)
        self.transport = flag('transport', transport)
        self.t_eps = positive('t_eps', t_eps)
        self.neigh = positive_int('neigh', neigh)

    def bind(self, model: nn.Module, ema: nn.Module | None = None) -> None:
        self._bound = model

    def draw_grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return (b, b), one of ``blocks`` that divide both sides (H, W) of the images."""
        divisors = [count for count in self.blocks if not any(length % count for length in size)]
        if not divisors:
            raise ValueError(
                f'none of the blocks {self.blocks} of PuzzleMix divides both sides of an image of '
                f'{size[0]}x{size[1]} pixels'
            )
        count = divisors[torch.randint(len(divisors), ())]
        return count, count

    def mix(self, images: Tensor, scores: Tensor, index: Tensor) -> tuple[Tensor, MixedTarget]:
        model = self._require_bound()
        grid, lam = self.draw_grid(tuple(images.shape[2:])), self.draw_ratio(len(images))
        saliency = _pooled(input_saliency(model, images, scores), grid).cpu()
        own, partner, cpu_index = images, images[index], index.cpu()
        blocks = self.cut(saliency, saliency[cpu_index], lam, *seam_costs(images.detach(), index, grid, self.neigh))
        if self.transport:
            own, partner = (
                move_blocks(moved, transport_plan(salient, shown, self.t_eps).to(moved.device), grid)
                for moved, salient, shown in ((own, saliency, blocks), (partner, saliency[cpu_index], ~blocks))
            )
        mask = stretch(blocks.to(images.device).unsqueeze(1), tuple(images.shape[2:]))
        return torch.where(mask, own, partner), MixedTarget(scores, scores[index], mask)

    def cut(self, own: Tensor, partner: Tensor, lam: Tensor, down: Tensor, right: Tensor) -> Tensor:
        """Return (B, b, b) bool on the CPU, the blocks that show the sample itself: the minimum of the energy.

        Args:
            own: (B, b, b) saliency of the samples, each of sum 1, on the CPU.
            partner: (B, b, b) that of their partners.
            lam: (B,) requested fraction of the samples.
            down: (B, b - 1, b, 2, 2) costs of ``seam_costs``, on any device.
            right: (B, b, b - 1, 2, 2).
        """
        count = own.shape[1]
        lam = lam.double().clamp(1e-8, 1 - 1e-8)  # the prior is infinite at 0 and 1
        prior = -self.eta / count**2 * torch.stack([1 - lam, lam], dim=1).log()
        unary = torch.stack([own, partner], dim=3) + prior[:, None, None]  # showing one hides the other
        smoothness, unequal = self.beta / (16 * count), 1 - torch.eye(2)
        seams = (smoothness * (unequal + self.gamma * jumps.cpu()) for jumps in (down, right))
        return min_cut(*fold_pairs(unary, *seams))


def _pooled(saliency: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return (B, h, w) means of (B, H, W) over blocks, each sample divided by its sum.

    Constant where the sum is zero or not finite, as before the first step of a head with zero weights.
    """
    blocks = saliency.unflatten(2, (grid[1], -1)).unflatten(1, (grid[0], -1)).mean(dim=(2, 4))
    total = blocks.sum(dim=(1, 2), keepdim=True)
    known = total.isfinite() & (total > 0)
    return torch.where(known, blocks / total, 1 / (grid[0] * grid[1]))
