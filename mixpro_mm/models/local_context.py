"""Local context mapping: every part of a mixed image is to be told by itself what it shows.

Baek, Bang and Shim, "GridMix: Strong regularization through local context mapping", Pattern Recognition 2021.
"""

from collections.abc import Callable

import torch
from mmpretrain.models.losses.utils import weight_reduce_loss
from torch import Tensor, nn

from mixpro_mm.functional import MixedTarget
from mixpro_mm.models.loss_wrapper import LossWrapper
from mixpro_mm.models.tokens import find_final_norm
from mixpro_mm.registry import MODELS, register
from mixpro_mm.utils.arguments import positive, positive_int, shown

__all__ = ['LocalContextLoss', 'cell_means', 'local_context']


def cell_means(x: Tensor, cells: int) -> Tensor:
    """Means of x (B, h, w, C) over a partition into ``cells`` x ``cells`` equal cells: (B, cells, cells, C) fp32.

    A row or column on the border of two cells counts to both by its share in them.
    """
    with torch.autocast(x.device.type, enabled=False):
        down, across = (_shares(length, cells, x.device) for length in x.shape[1:3])
        return torch.einsum('gh,bhwc,kw->bgkc', down, x.float(), across)


def local_context(logits: Tensor, target: MixedTarget) -> Tensor:
    """Cross entropy of every cell with the two labels, blended by what the cell shows of either image; its mean.

    Args:
        logits: (B, cells, cells, K) what was predicted for each cell.
        target: labels and mask of the batch.

    Returns:
        (B,) fp32.
    """
    own = cell_means(target.mask.permute(0, 2, 3, 1), logits.shape[1])
    label = own * target.scores[:, None, None] + (1 - own) * target.partner_scores[:, None, None]
    return -(label * logits.float().log_softmax(dim=3)).sum(dim=3).mean(dim=(1, 2))


@register(MODELS)
class LocalContextLoss(LossWrapper):
    """A loss of the host, plus ``weight`` times the mean cross entropy over the cells of mixed images.

    A linear classifier of its own, of no use after training, is given the final patch tokens, averaged over each cell
    of a partition of the image. It predicts the label of the image that the cell shows; where both show, their blend by
    area. Where a model pads the image, cells of tokens and of the mask differ by part of a patch. Batches that no
    method of this package mixed have the host's loss alone. Weights per sample, ``avg_factor`` and the reduction apply
    to both summands; a ``loss_weight`` of the host applies to its own.

    The paper is not open to us: that its grid has 4 x 4 cells and its weight is 0.15 is second-hand and unverified, and
    so is whether the GridMix that MixPro compares with (Table 2) had this loss at all.

    Args:
        loss: The loss of the host or its config.
        in_channels: Channels of the final tokens.
        num_classes: K.
        weight: Weight of the mean over cells.
        grid: Cells along a side.

    Raises:
        ValueError: at construction if ``weight`` is not above 0 or ``grid`` is not a whole number above 0; before
            training if the model has no patch tokens known here or their channels are not ``in_channels``; at a batch
            with other than ``num_classes`` classes or with fewer tokens than cells along a side.
    """

    def __init__(self, loss: dict | nn.Module, in_channels: int, num_classes: int, weight: float = 0.15, grid: int = 4):
        super().__init__(loss)
        self.weight, self.grid = positive('weight', weight), positive_int('grid', grid)
        size = positive_int('in_channels', in_channels), positive_int('num_classes', num_classes)
        try:
            self.classifier = nn.Linear(*size)
        except (OverflowError, RuntimeError, TypeError):
            raise ValueError(
                f'in_channels {shown(in_channels)} and num_classes {shown(num_classes)} make a classifier that is too '
                'large'
            ) from None
        self._handle, self._extra_tokens = None, 0
        self._tokens = self._target = self._grid_of = None

    def attach(self, model: nn.Module) -> None:
        """Listen to the final norm of the backbone."""
        self.release()
        norm, self._extra_tokens = find_final_norm(model)
        channels, expected = getattr(norm, 'normalized_shape', [None])[-1], self.classifier.in_features
        if channels not in (None, expected):
            raise ValueError(
                f'the final tokens of this model have {channels} channels, LocalContextLoss expects {expected}'
            )
        self._handle = norm.register_forward_hook(self._keep)

    def expect(self, target: MixedTarget, grid_of: Callable[[int], tuple[int, int]]) -> None:
        """Keep the target for the loss that comes next."""
        if target.scores.shape[1] != self.classifier.out_features:
            raise ValueError(
                f'LocalContextLoss was built for {self.classifier.out_features} classes, '
                f'got labels of {target.scores.shape[1]}'
            )
        self._target, self._grid_of = target, grid_of

    def release(self) -> None:
        """Stop listening and forget what was kept."""
        if self._handle is not None:
            self._handle.remove()
        self._handle = self._tokens = self._target = self._grid_of = None

    @torch.compiler.disable  # what is expected changes from step to step, and so do the tokens
    def forward(self, cls_score: Tensor, label: Tensor, **kwargs) -> Tensor:
        """The host's loss, plus the local one for a batch that was expected; see :meth:`LossWrapper.forward`.

        Raises:
            RuntimeError: if a batch was expected but no tokens of it came by.
        """
        loss = super().forward(cls_score, label, **kwargs)
        tokens, target, grid_of = self._tokens, self._target, self._grid_of
        self._tokens = self._target = self._grid_of = None
        if target is None:
            return loss
        if tokens is None or len(tokens) != len(target.scores):
            raise RuntimeError(
                'the final norm took no part in the forward pass of this batch, so its cells are unknown'
            )
        patches = tokens[:, self._extra_tokens :]
        grid = grid_of(patches.shape[1])
        if min(grid) < self.grid:
            raise ValueError(f'{grid[0]}x{grid[1]} patch tokens are too few for grid {self.grid} of LocalContextLoss')
        means = cell_means(patches.unflatten(1, grid), self.grid).to(self.classifier.weight.dtype)  # bf16 under FSDP
        local = local_context(self.classifier(means), target)
        reduction = kwargs.get('reduction_override') or self.reduction
        return loss + self.weight * weight_reduce_loss(local, kwargs.get('weight'), reduction, kwargs.get('avg_factor'))

    @torch.compiler.disable
    def _keep(self, module: nn.Module, args: tuple, output: Tensor) -> None:
        if self.training and torch.is_grad_enabled():  # a look at the model in between does neither
            self._tokens = output

    def __getstate__(self) -> dict:
        """Copies and pickles do not take along what belongs to one batch."""
        return {**self.__dict__, '_tokens': None, '_target': None, '_grid_of': None}


def _shares(length: int, cells: int, device: torch.device) -> Tensor:
    """(cells, length) share of each of ``length`` positions in the mean over each cell; rows sum to one."""
    start, cell = torch.arange(length, device=device) * cells, torch.arange(cells, device=device)[:, None] * length
    overlap = (torch.minimum(start + cells, cell + length) - torch.maximum(start, cell)).clamp_min(0)
    return overlap / length
