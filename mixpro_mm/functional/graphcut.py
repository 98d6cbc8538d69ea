"""Exact two-label minimum cut on a grid of blocks (Kim, Choo and Song, Puzzle Mix, ICML 2020)."""

import math
from functools import lru_cache

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow
from torch import Tensor

__all__ = ['fold_pairs', 'min_cut', 'seam_costs']

BITS = 30  # sum of the integer costs of a sample; maximum_flow uses int32


def min_cut(unary: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Return the labels that minimise the energy of every sample.

    The energy is the sum of ``unary[u, z_u]`` over blocks plus a weight for each pair of neighbours with unequal
    labels. Its minimum is a minimum cut (Greig, Porteous and Seheult, J. R. Stat. Soc. B 1989). Among equal minima, the
    one with the most true labels is returned. Costs are scaled by a power of two and rounded to integers. With T the
    sum of a sample's ``down``, ``right`` and ``abs(unary[..., 1] - unary[..., 0])``, the energy exceeds the minimum by
    at most ``(blocks + pairs) * T / 2**29``; integers that add up to less than 2**30 are exact.

    Args:
        unary: (B, h, w, 2) float, cost of false and of true for each block; any sign.
        down: (B, h - 1, w) float >= 0, cost of unequal labels of a block and the one below it.
        right: (B, h, w - 1) float >= 0, the same for a block and the one to its right.

    Returns:
        (B, h, w) bool on the device of ``unary``.

    Raises:
        ValueError: If the shapes do not match, a cost is not finite or a weight is negative.
    """
    batch, height, width = unary.shape[:3]
    shapes = [tuple(costs.shape) for costs in (unary, down, right)]
    if shapes != [(batch, height, width, 2), (batch, height - 1, width), (batch, height, width - 1)]:
        raise ValueError(f'min_cut expects costs (B, h, w, 2), (B, h - 1, w) and (B, h, w - 1), got {shapes}')
    nodes = height * width
    gain = unary.cpu().double().diff(dim=-1)
    costs = torch.cat([part.cpu().double().flatten(1) for part in (gain, down, right)], dim=1).numpy()
    if not np.isfinite(costs).all() or (costs[:, nodes:] < 0).any():
        raise ValueError('min_cut expects finite costs and pair weights of at least 0')
    exponent = np.frexp(np.abs(costs).sum(axis=1, keepdims=True))[1]
    costs = np.rint(np.ldexp(costs, BITS - exponent)).astype(np.int32)
    order, columns, starts = _sparsity(height, width)
    gain, pairs = costs[:, :nodes], costs[:, nodes:]
    zeros = np.zeros_like(gain)
    capacities = np.concatenate([pairs, pairs, gain.clip(min=0), zeros, (-gain).clip(min=0), zeros], axis=1)[:, order]
    labels = np.ones((batch, nodes + 2), dtype=bool)
    for sample, capacity in enumerate(capacities):
        graph = csr_array((capacity, columns, starts), shape=(nodes + 2, nodes + 2))
        residual = graph - maximum_flow(graph, nodes, nodes + 1).flow
        residual.eliminate_zeros()  # a stored zero would count as an edge
        labels[sample, breadth_first_order(residual, nodes, return_predecessors=False)] = False
    return torch.from_numpy(labels[:, :nodes]).view(batch, height, width).to(unary.device)


@lru_cache(maxsize=16)
def _sparsity(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the CSR pattern of the graph: order of the capacities, columns and row starts.

    Capacities are listed as pairs and their reverse, source to blocks and reverse, blocks to sink and reverse. The
    source is node h * w, the sink h * w + 1.
    """
    nodes = height * width
    block = np.arange(nodes)
    grid = block.reshape(height, width)
    first = np.concatenate([grid[:-1].ravel(), grid[:, :-1].ravel()])
    second = np.concatenate([grid[1:].ravel(), grid[:, 1:].ravel()])
    source, sink = np.full(nodes, nodes), np.full(nodes, nodes + 1)
    tails = np.concatenate([first, second, source, block, block, sink])
    heads = np.concatenate([second, first, block, source, sink, block])
    order = np.lexsort((heads, tails))
    starts = np.searchsorted(tails[order], np.arange(nodes + 3))
    return order, heads[order].astype(np.int32), starts.astype(np.int32)


def fold_pairs(unary: Tensor, down: Tensor, right: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Convert costs of all four label pairs to the form of :func:`min_cut`.

    The energy of every labelling is unchanged (Kolmogorov and Zabih, PAMI 2004). Negative weights, which reward unequal
    neighbours, cannot be expressed by a cut and are clipped at zero.

    Args:
        unary: (B, h, w, 2) cost of both labels.
        down: (B, h - 1, w, 2, 2) cost of each label of a block with each label of the one below it.
        right: (B, h, w - 1, 2, 2) the same for a block and the one to its right.

    Returns:
        ``unary``, ``down`` and ``right`` for :func:`min_cut`.
    """
    unary = unary.clone()
    weights = []
    for pairs, first, second in ((down, unary[:, :-1], unary[:, 1:]), (right, unary[:, :, :-1], unary[:, :, 1:])):
        (neither, below), (above, both) = (row.unbind(-1) for row in pairs.unbind(-2))
        first += neither.unsqueeze(-1)
        first[..., 1] += (above + both - neither - below) / 2
        second[..., 1] += (below + both - neither - above) / 2
        weights.append(((below + above - neither - both) / 2).clamp(min=0))
    return unary, *weights


def seam_costs(images: Tensor, index: Tensor, grid: tuple[int, int], neigh: int = 4) -> tuple[Tensor, Tensor]:
    """Return the colour difference across block borders for each choice of the two images shown.

    Rectangles of at most ``neigh`` x ``neigh`` pixels that tile the blocks are averaged first. A cost is the mean
    absolute difference of facing rectangles, over the border and the channels. Channels are scaled to their range in
    the batch, so costs are in [0, 1] for any normalisation.

    Args:
        images: (B, C, H, W), H and W multiples of the grid.
        index: (B,) partner of each sample.
        grid: (h, w).
        neigh: Size in pixels.

    Returns:
        (B, h - 1, w, 2, 2) and (B, h, w - 1, 2, 2) fp32, for the borders below and to the right of a block, indexed by
        the label of the block and of its neighbour; 0 shows the partner, 1 the sample itself.
    """
    images = images.float()
    low, high = images.amin(dim=(0, 2, 3), keepdim=True), images.amax(dim=(0, 2, 3), keepdim=True)
    images = (images - low) / (high - low).clamp(min=torch.finfo(images.dtype).tiny)
    sides = [math.gcd(neigh, side // count) for side, count in zip(images.shape[2:], grid, strict=True)]
    cells = torch.nn.functional.avg_pool2d(images, sides).unflatten(3, (grid[1], -1)).unflatten(2, (grid[0], -1))
    both = torch.stack([cells[index], cells])  # (2, B, C, h, cells down, w, cells right)

    def jump(first: Tensor, second: Tensor) -> Tensor:
        return (first[:, None] - second[None]).abs().mean(dim=(3, -1)).permute(2, 3, 4, 0, 1)

    down = jump(both[:, :, :, :-1, -1], both[:, :, :, 1:, 0])
    right = jump(both[..., :-1, -1].transpose(-1, -2), both[..., 1:, 0].transpose(-1, -2))
    return down, right
