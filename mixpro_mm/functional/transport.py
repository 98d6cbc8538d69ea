"""Move the salient blocks of an image into the mask (Kim, Choo and Song, Puzzle Mix, ICML 2020)."""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

__all__ = ['move_blocks', 'transport_plan']


def transport_plan(saliency: Tensor, mask: Tensor, t_eps: float) -> Tensor:
    """Return the permutation of blocks of least cost, one exact assignment problem per sample.

    Moving a block costs ``t_eps * d - s``, where s is the saliency of the block if its new position is in the mask,
    else 0, and d is the squared distance in sides of the grid.

    Args:
        saliency: (B, h, w) float.
        mask: (B, h, w) bool, true where the image shows.
        t_eps: Price of distance, above 0.

    Returns:
        (B, h * w) long on the device of ``saliency``: the block shown at position p, a permutation per row.

    Raises:
        ValueError: If the shapes differ or a saliency is not finite.
    """
    if saliency.shape != mask.shape:
        raise ValueError(
            f'saliency {tuple(saliency.shape)} and mask {tuple(mask.shape)} must share one shape (B, h, w)'
        )
    values = saliency.flatten(1).cpu().double().numpy()
    if not np.isfinite(values).all():
        raise ValueError('transport_plan expects finite saliencies')
    shown = mask.flatten(1).cpu().numpy()
    price = t_eps * _squared_distance(*saliency.shape[1:])
    plan = np.tile(np.arange(values.shape[1]), (len(values), 1))
    for sample, (value, place) in enumerate(zip(values, shown, strict=True)):
        if place.any() and not place.all():  # otherwise no move pays
            plan[sample] = linear_sum_assignment(price - np.outer(place, value))[1]
    return torch.from_numpy(plan).to(saliency.device)


def _squared_distance(height: int, width: int) -> np.ndarray:
    """Return (h * w, h * w) squared distances on a grid whose sides have length 1."""
    rows, columns = np.divmod(np.arange(height * width), width)
    rows, columns = rows / max(height - 1, 1), columns / max(width - 1, 1)
    return np.subtract.outer(rows, rows) ** 2 + np.subtract.outer(columns, columns) ** 2


def move_blocks(images: Tensor, plan: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return images whose position p shows their block ``plan[:, p]``.

    Args:
        images: (B, C, H, W), H and W multiples of the grid; not modified.
        plan: (B, h * w) long on the device of the images, row-major.
        grid: (h, w).

    Returns:
        (B, C, H, W), dtype of ``images``.
    """
    blocks = images.unflatten(3, (grid[1], -1)).unflatten(2, (grid[0], -1)).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    moved = blocks[torch.arange(len(images), device=plan.device).unsqueeze(1), plan]
    return moved.unflatten(1, grid).permute(0, 3, 1, 4, 2, 5).reshape(images.shape)
