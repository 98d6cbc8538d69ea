"""Focal loss (Lin et al., 2017) with the formulas and limits of mmcv's CUDA kernels."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from mixpro_mm.utils.mmcv_ops.precision import full

__all__ = [
    'sigmoid_focal_loss_backward',
    'sigmoid_focal_loss_forward',
    'softmax_focal_loss_backward',
    'softmax_focal_loss_forward',
]

TINY = torch.finfo(torch.float32).tiny  # below it, logarithms are cut off


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Write the loss of each logit to ``output`` (N, K).

    Args:
        input: Logits (N, K).
        target: Class indices (N,); K means background.
        weight: Weights of classes (K,), or empty.
        output: Receives the result.
        gamma: Exponent of the modulating factor.
        alpha: Weight of positives; that of negatives is ``1 - alpha``.
    """
    p, positive = torch.sigmoid(full(input)), _one_hot(target, input.shape[1])
    loss_p = -alpha * (1 - p) ** gamma * p.clamp(TINY).log()
    loss_n = -(1 - alpha) * p**gamma * (1 - p).clamp(TINY).log()
    output.copy_(torch.where(positive, loss_p, loss_n) * _weights(weight, target)[:, None])


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Write the derivative of each loss of :func:`sigmoid_focal_loss_forward` by its logit to ``grad_input`` (N, K)."""
    p, positive = torch.sigmoid(full(input)), _one_hot(target, input.shape[1])
    grad_p = -alpha * (1 - p) ** gamma * (1 - p - gamma * p * p.clamp(TINY).log())
    grad_n = -(1 - alpha) * p**gamma * (gamma * (1 - p) * (1 - p).clamp(TINY).log() - p)
    grad_input.copy_(torch.where(positive, grad_p, grad_n) * _weights(weight, target)[:, None])


def softmax_focal_loss_forward(
    softmax: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Write the loss of each sample to ``output`` (N,).

    Args:
        softmax: Probabilities (N, K).
        target: Class indices (N,); negative ones are ignored.
        weight: Weights of classes (K,), or empty.
        output: Receives the result.
        gamma: Exponent of the modulating factor.
        alpha: Factor of the loss.
    """
    p, kept = _of_target(softmax, target)
    loss = -alpha * (1 - p) ** gamma * p.clamp(TINY).log()
    output.copy_(torch.where(kept, loss, 0) * _weights(weight, target))


def softmax_focal_loss_backward(
    softmax: Tensor, target: Tensor, weight: Tensor, buff: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Write the derivatives of :func:`softmax_focal_loss_forward` by the logits to ``grad_input`` (N, K)."""
    p, kept = _of_target(softmax, target)
    grad = alpha * (gamma * (1 - p) ** (gamma - 1) * p * p.clamp(TINY).log() - (1 - p) ** gamma)
    grad = torch.where(kept, grad, 0) * _weights(weight, target)
    buff.copy_(grad)
    grad_input.copy_(grad[:, None] * (_one_hot(target, softmax.shape[1]).to(grad) - softmax))


def _one_hot(target: Tensor, classes: int) -> Tensor:
    return target[:, None] == torch.arange(classes, device=target.device)


def _of_target(softmax: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the probabilities (N,) of the target classes and a mask (N,) of the targets that are not ignored."""
    return full(softmax).gather(1, target.clamp(min=0)[:, None])[:, 0], target >= 0


def _weights(weight: Tensor, target: Tensor) -> Tensor:
    """Return the weights (N,) of the target classes: 1 without weights and for targets outside the classes."""
    if not weight.numel():
        return torch.ones_like(target, dtype=weight.dtype)
    padded = F.pad(weight, (0, 1), value=1.0)
    return padded[torch.where((target >= 0) & (target < len(weight)), target, len(weight))]
