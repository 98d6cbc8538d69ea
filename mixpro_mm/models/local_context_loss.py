"""Local context mapping: a loss on every cell of a mixed image.

Baek, Bang and Shim, "GridMix: Strong regularization through local context mapping", Pattern Recognition 2021.
"""

from collections.abc import Callable

import torch
from mmpretrain.models.losses.utils import weight_reduce_loss
from torch import Tensor, nn

from mixpro_mm.functional import MixedTarget
from mixpro_mm.models.loss_wrapper import LossWrapper
from mixpro_mm.registry import MODELS, register
from mixpro_mm.utils.arguments import positive, positive_int, shown
from mixpro_mm.utils.backbone_spec import backbone_spec, find_backbone, known_backbones

__all__ = ['LocalContextLoss', 'cell_means', 'find_final_norm', 'local_context']


def cell_means(x: Tensor, cells: int) -> Tensor:
    """Return the means of x (B, h, w, C) over ``cells`` x ``cells`` equal cells, (B, cells, cells, C) fp32.

    A row or column on a cell edge counts proportionally to both cells.
    """
    with torch.autocast(x.device.type, enabled=False):
        down, across = (_shares(length, cells, x.device) for length in x.shape[1:3])
        return torch.einsum('gh,bhwc,kw->bgkc', down, x.float(), across)


def local_context(logits: Tensor, target: MixedTarget) -> Tensor:
    """Return the mean cross entropy of all cells with their labels, blended by area.

    Args:
        logits: (B, cells, cells, K), prediction for each cell.
        target: Labels and mask of the batch.

    Returns:
        (B,) fp32.
    """
    own = cell_means(target.mask.permute(0, 2, 3, 1), logits.shape[1])
    label = own * target.scores[:, None, None] + (1 - own) * target.partner_scores[:, None, None]
    return -(label * logits.float().log_softmax(dim=3)).sum(dim=3).mean(dim=(1, 2))


def find_final_norm(model: nn.Module) -> tuple[nn.Module, int]:
    """Return the module whose output is the final tokens (B, T, C), and the number of tokens before the patches.

    Raises:
        ValueError: If the backbone is unknown or has no final norm of its patch tokens.
    """
    backbone = find_backbone(model)
    spec = backbone_spec(backbone)
    norm = getattr(backbone, spec.norm, None) if spec and spec.norm else None
    if norm is None:
        raise ValueError(
            f'{type(backbone).__name__} has no known final norm of its patch tokens, which LocalContextLoss needs '
            f'(known: {known_backbones(with_norm=True)})'
        )
    return norm, spec.prefix_tokens(backbone)


@register(MODELS)
class LocalContextLoss(LossWrapper):
    """A loss plus ``weight`` times the mean cross entropy over the cells of mixed images.

    A linear classifier, unused after training, predicts the label of each cell from its mean final patch token; the
    label is blended by area. Batches that no method of this package mixed get the wrapped loss only. Sample weights,
    ``avg_factor`` and the reduction apply to both terms, a ``loss_weight`` of the wrapped loss only to its own.

    The defaults of 4 x 4 cells and weight 0.15 are second-hand, and whether the GridMix of MixPro's Table 2 has this
    loss is unknown.

    Args:
        loss: mmpretrain loss or its config.
        in_channels: Channels of the final tokens.
        num_classes: K.
        weight: Weight of the mean over cells.
        grid: Cells per side.

    Raises:
        ValueError: At construction if an argument is invalid; before training if the model has no known patch tokens or
            their channels are not ``in_channels``; at a batch with other than ``num_classes`` classes or with fewer
            tokens than cells per side.
    """

    def __init__(self, loss: dict | nn.Module, in_channels: int, num_classes: int, weight: float = 0.15, grid: int = 4):
        super().__init__(loss)
        self.weight, self.grid = positive('weight', weight), positive_int('grid', grid)
        size = positive_int('in_channels', in_channels), positive_int('num_classes', num_classes)
        try:
            self.classifier = nn.Linear(*size)
        except (OverflowError, RuntimeError, TypeError):
            raise ValueError(f'in_channels and num_classes {shown(size)} are too large for a classifier') from None
        self._handle, self._extra_tokens = None, 0
        self._tokens = self._target = self._grid_of = None

    def attach(self, model: nn.Module) -> None:
        """Register a hook on the final norm of the backbone."""
        self.release()
        norm, self._extra_tokens = find_final_norm(model)
        channels, expected = norm.normalized_shape[-1], self.classifier.in_features
        if channels != expected:
            raise ValueError(f'the final tokens of this model have {channels} channels, in_channels is {expected}')
        self._handle = norm.register_forward_hook(self._keep)

    def expect(self, target: MixedTarget, grid_of: Callable[[int], tuple[int, int]]) -> None:
        """Keep the target for the next loss."""
        classes, expected = target.scores.shape[1], self.classifier.out_features
        if classes != expected:
            raise ValueError(f'LocalContextLoss was built for {expected} classes, got labels of {classes}')
        self._target, self._grid_of = target, grid_of

    def release(self) -> None:
        """Remove the hook and forget all batches."""
        if self._handle is not None:
            self._handle.remove()
        self._handle = self._tokens = self._target = self._grid_of = None

    @torch.compiler.disable  # target and tokens change every step
    def forward(self, cls_score: Tensor, label: Tensor, **kwargs) -> Tensor:
        """Return the wrapped loss, plus the local loss of an expected batch; see :meth:`LossWrapper.forward`.

        Raises:
            RuntimeError: If a batch was expected but its tokens were not seen.
        """
        loss = super().forward(cls_score, label, **kwargs)
        tokens, target, grid_of = self._tokens, self._target, self._grid_of
        self._tokens = self._target = self._grid_of = None
        if target is None:
            return loss
        if tokens is None or len(tokens) != len(target.scores):
            raise RuntimeError('the final norm was not called in the forward pass of this batch')
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
        if self.training and torch.is_grad_enabled():  # skips evaluation passes in between
            self._tokens = output

    def __getstate__(self) -> dict:
        """Drop the tensors of the current batch from copies and pickles."""
        return {**self.__dict__, '_tokens': None, '_target': None, '_grid_of': None}


def _shares(length: int, cells: int, device: torch.device) -> Tensor:
    """Return the (cells, length) weight of each of ``length`` positions in the mean over each cell."""
    start, cell = torch.arange(length, device=device) * cells, torch.arange(cells, device=device)[:, None] * length
    overlap = (torch.minimum(start + cells, cell + length) - torch.maximum(start, cell)).clamp_min(0)
    return overlap / length
