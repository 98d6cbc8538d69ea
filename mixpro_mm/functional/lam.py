"""How much of a mixed label belongs to the sample itself: equations 5, 8 and 9 and Table 10 of MixPro."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

__all__ = ['attention_lam', 'combine', 'cosine_factor', 'linear_factor', 'parabolic_factor', 'token_share']


def token_share(mask: Tensor, grid: tuple[int, int], downsample: str = 'area') -> Tensor:
    """(B, h * w) fp32: share of each token that shows the sample itself.

    Args:
        mask: (B, 1, H, W), true where the sample itself shows.
        grid: (h, w) of the tokens.
        downsample: 'area' for the share of the token's pixels; 'nearest' for its first pixel, so 0 or 1.
    """
    if downsample == 'nearest':
        return F.interpolate(mask.float(), grid, mode='nearest').flatten(1)
    return F.adaptive_avg_pool2d(mask.float(), grid).flatten(1)


def attention_lam(class_attention: Tensor, mask: Tensor, grid: tuple[int, int], downsample: str = 'area') -> Tensor:
    """Share of the class token's attention that falls on the sample itself (MixPro, eq. 5).

    Rows are renormalised over the patches, as both TransMix's and MixPro's released code do: attention the class token
    pays to itself belongs to neither image. By area, a token that shows both images counts in part; by nearest, as in
    eq. 5 and both releases, it counts as the image of its first pixel. Both are equal where mask cells align with
    tokens. Where patches do not tile the image and the model pads it, the averaged areas differ from the true patches
    by part of a patch.

    Args:
        class_attention: (B, N), non-negative, row-major over the token grid; rows need not sum to one.
        mask: (B, 1, H, W), true where the sample itself shows.
        grid: (h, w) of the tokens, ``h * w == N``.
        downsample: 'area' or 'nearest', how the mask is brought to the tokens.

    Returns:
        (B,) fp32 in [0, 1]. Where a row of attention is all zero, the mean of the mask.

    Raises:
        ValueError: if batch or grid do not match.
    """
    batch, tokens = class_attention.shape
    if grid[0] * grid[1] != tokens or len(mask) != batch:
        raise ValueError(
            f'{tokens} attention weights of {batch} samples do not fit a {grid[0]}x{grid[1]} token grid '
            f'and masks of {len(mask)} samples'
        )
    attention = class_attention.float()
    share = token_share(mask, grid, downsample)
    # a common factor cancels; dividing by the peak first keeps denormal rows from losing their digits
    attention = attention / attention.amax(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    total = attention.sum(dim=1)
    lam = (attention * share).sum(dim=1) / total.clamp_min(torch.finfo(torch.float32).tiny)
    return torch.where(total > 0, lam, mask.flatten(1).float().mean(dim=1)).clamp(0, 1)


def cosine_factor(logits: Tensor, target: Tensor) -> Tensor:
    """The progressive factor: cosine similarity of softmax(logits) and the mixed label (MixPro, eq. 8).

    Args:
        logits: (B, C) in any float dtype; computed in fp32.
        target: (B, C), the area-mixed label.

    Returns:
        (B,) fp32 in [0, 1], differentiable; 0 where a target row is all zero.
    """
    return F.cosine_similarity(logits.float().softmax(dim=1), target.float(), dim=1).clamp(0, 1)


def linear_factor(progress: float) -> float:
    """``T / Tmax``: trust in the attention grows with the training (MixPro, Table 10).

    Args:
        progress: Share of the training that is done, in [0, 1]. The paper does not say whether its T counts the epoch
            that runs; here it does not, so a training starts on area labels alone.

    Raises:
        ValueError: if ``progress`` is outside [0, 1].
    """
    if not 0 <= progress <= 1:
        raise ValueError(f'progress must lie in [0, 1], got {progress}')
    return float(progress)


def parabolic_factor(progress: float) -> float:
    """``(T / Tmax) ** 2`` (MixPro, Table 10); argument and errors as of :func:`linear_factor`."""
    return linear_factor(progress) ** 2


def combine(lam_area: Tensor, lam_attn: Tensor, factor: Tensor | float) -> Tensor:
    """``factor * lam_attn + (1 - factor) * lam_area``, all (B,) (MixPro, eq. 9)."""
    return factor * lam_attn + (1 - factor) * lam_area
