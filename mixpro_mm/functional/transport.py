"""Moving the salient blocks of an image to where a mask lets it show (Kim, Choo and Song, Puzzle Mix, ICML 2020)."""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

__all__ = ['move_blocks', 'transport_plan']


def transport_plan(saliency: Tensor, mask: Tensor, t_eps: float) -> Tensor:
    """Which block of an image comes to lie where, at the least cost.

    Every block is moved, or left, to a place of its own. It costs ``t_eps * d - s``, where s is the saliency of the
    block if its new place is in the mask, else 0, and d the squared distance between old and new place, in rows and
    columns, each measured in sides of the grid. The optimum is exact (an assignment problem per sample).

    Args:
        saliency: (B, h, w) float.
        mask: (B, h, w) bool, true where the image shows.
        t_eps: Price of distance, above 0.

    Returns:
        (B, h * w) long on the device of ``saliency``, a permutation a row: the block that place p shows.

    Raises:
        ValueError: if the shapes differ or a saliency is not finite.
    """
    if saliency.shape != mask.shape:
        raise ValueError(
            f'saliency {tuple(saliency.shape)} and mask {tuple(mask.shape)} must share one shape (B, h, w)'
        )
    values = saliency.flatten(1).cpu().double().numpy()
    if not np.isfinite(values).all():
        raise ValueError('transport_plan wants finite saliencies')
    shown = mask.flatten(1).cpu().numpy()
    price = t_eps * _squared_distance(*saliency.shape[1:])
    plan = np.tile(np.arange(values.shape[1]), (len(values), 1))
    for sample, (value, place) in enumerate(zip(values, shown, strict=True)):
        if place.any() and not place.all():  # else no move gains anything
            plan[sample] = linear_sum_assignment(price - np.outer(place, value))[1]
    return torch.from_numpy(plan).to(saliency.device)


def _squared_distance(height: int, width: int) -> np.ndarray:
    """(h * w, h * w) between all places of a grid whose first and last row, and column, lie 1 apart."""
    rows, columns = np.divmod(np.arange(height * width), width)
    rows, columns = rows / max(height - 1, 1), columns / max(width - 1, 1)
    return np.subtract.outer(rows, rows) ** 2 + np.subtract.outer(columns, columns) ** 2


def move_blocks(images: Tensor, plan: Tensor, grid: tuple[int, int]) -> Tensor:
    """Images whose place p shows their block ``plan[:, p]``; a permutation loses no pixel and shows none twice.

    Args:
        images: (B, C, H, W), H and W multiples of the grid; not written to.
        plan: (B, h * w) long on the device of the images, places in reading order.
        grid: (h, w).

    Returns:
        (B, C, H, W), dtype of ``images``.
    """
    blocks = images.unflatten(3, (grid[1], -1)).unflatten(2, (grid[0], -1)).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    moved = blocks[torch.arange(len(images), device=plan.device).unsqueeze(1), plan]
    return moved.unflatten(1, grid).permute(0, 3, 1, 4, 2, 5).reshape(images.shape)
