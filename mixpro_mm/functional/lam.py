"""Weights of the two labels: equations 5, 8 and 9 and Table 10 of MixPro."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

__all__ = ['attention_lam', 'combine', 'cosine_factor', 'linear_factor', 'parabolic_factor', 'token_share']


def token_share(mask: Tensor, grid: tuple[int, int], downsample: str = 'area') -> Tensor:
    """Return (B, h * w) fp32, the fraction of each token that shows the sample itself.

    Args:
        mask: (B, 1, H, W), true where the sample itself shows.
        grid: (h, w) of the tokens.
        downsample: 'area' for the fraction of pixels; 'nearest' for the first pixel, so 0 or 1.
    """
    if downsample == 'nearest':
        return F.interpolate(mask.float(), grid, mode='nearest').flatten(1)
    return F.adaptive_avg_pool2d(mask.float(), grid).flatten(1)


def attention_lam(class_attention: Tensor, mask: Tensor, grid: tuple[int, int], downsample: str = 'area') -> Tensor:
    """Return the fraction of the class attention on the sample itself (MixPro, eq. 5).

    Rows are renormalised over the patches, as in the released code of TransMix and MixPro. With 'area', a token that
    shows both images counts in part; with 'nearest', as in eq. 5 and both releases, it counts as the image of its first
    pixel. Both agree where mask cells align with tokens. If the model pads the image, areas differ by part of a patch.

    Args:
        class_attention: (B, N), non-negative, row-major over the token grid; rows need not sum to one.
        mask: (B, 1, H, W), true where the sample itself shows.
        grid: (h, w) of the tokens, ``h * w == N``.
        downsample: 'area' or 'nearest', see :func:`token_share`.

    Returns:
        (B,) fp32 in [0, 1]; the mean of the mask where a row of attention is all zero.

    Raises:
        ValueError: If the batch sizes or the grid do not match.
    """
    batch, tokens = class_attention.shape
    if grid[0] * grid[1] != tokens or len(mask) != batch:
        raise ValueError(
            f'{tokens} attention weights of {batch} samples do not fit a {grid[0]}x{grid[1]} token grid '
            f'and masks of {len(mask)} samples'
        )
    attention = class_attention.float()
    share = token_share(mask, grid, downsample)
    # a common factor cancels; dividing by the maximum first keeps the precision of denormal rows
    attention = attention / attention.amax(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    total = attention.sum(dim=1)
    lam = (attention * share).sum(dim=1) / total.clamp_min(torch.finfo(torch.float32).tiny)
    return torch.where(total > 0, lam, mask.flatten(1).float().mean(dim=1)).clamp(0, 1)


def cosine_factor(logits: Tensor, target: Tensor) -> Tensor:
    """Return the progressive factor, the cosine similarity of softmax(logits) and the mixed label (MixPro, eq. 8).

    Args:
        logits: (B, C) in any float dtype; computed in fp32.
        target: (B, C), the label mixed by area.

    Returns:
        (B,) fp32 in [0, 1], differentiable; 0 where a target row is all zero.
    """
    return F.cosine_similarity(logits.float().softmax(dim=1), target.float(), dim=1).clamp(0, 1)


def linear_factor(progress: float) -> float:
    """Return ``T / Tmax`` (MixPro, Table 10).

    Args:
        progress: Completed fraction of the training, in [0, 1]. The current epoch does not count, so training starts
            with area labels.

    Raises:
        ValueError: If ``progress`` is outside [0, 1].
    """
    if not 0 <= progress <= 1:
        raise ValueError(f'progress must lie in [0, 1], got {progress}')
    return float(progress)


def parabolic_factor(progress: float) -> float:
    """Return ``(T / Tmax) ** 2`` (MixPro, Table 10); see :func:`linear_factor`."""
    return linear_factor(progress) ** 2


def combine(lam_area: Tensor, lam_attn: Tensor, factor: Tensor | float) -> Tensor:
    """Return ``factor * lam_attn + (1 - factor) * lam_area``, all (B,) (MixPro, eq. 9)."""
    return factor * lam_attn + (1 - factor) * lam_area
