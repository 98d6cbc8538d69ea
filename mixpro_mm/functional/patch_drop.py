"""Which patches of an image to drop, and dropping them: plain functions on tensors.

Naseer et al., Intriguing Properties of Vision Transformers, NeurIPS 2021 ("naseer"). N patches lie row by row.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

__all__ = [
    'MODES',
    'PROTOCOLS',
    'blacken',
    'default_ratios',
    'drop_count',
    'drop_first',
    'drop_salient_mass',
    'information_loss',
    'patch_mass',
    'random_order',
    'salient_set',
]

MODES = ('random', 'salient', 'non-salient')
PROTOCOLS = ('naseer', 'count')
TENTHS = tuple(k / 10 for k in range(11))
ROUNDING = 1e-6  # of a cumulative sum; far below any share of attention that matters


def default_ratios(mode: str, protocol: str) -> tuple[float, ...]:
    """The ten shares of the information that Naseer et al. drop: 0 to 0.9, of the salient mass 0.1 to 1."""
    return TENTHS[1:] if (mode, protocol) == ('salient', 'naseer') else TENTHS[:-1]


def drop_count(ratio: float, patches: int, protocol: str) -> int:
    """Patches to drop of ``patches``: rounded down in 'naseer' (19 of 196 for 0.1), to the nearest in 'count'."""
    share = ratio * patches
    return math.floor(share + ROUNDING) if protocol == 'naseer' else round(share)


def information_loss(mode: str, ratio: float, patches: int, protocol: str) -> float:
    """Share in [0, 1] to plot a point at: of the patches, or of the attention mass where that is what is dropped."""
    if protocol == 'naseer' and mode != 'random':
        return ratio
    return drop_count(ratio, patches, protocol) / patches


def patch_mass(attention: Tensor, grid: int) -> Tensor:
    """Attention on the grid of the patches that are dropped: averaged where it is finer, repeated where it is coarser.

    Args:
        attention: (B, h, w), not negative.
        grid: Patches along a side.

    Returns:
        (B, grid * grid) fp64; rows sum to one.
    """
    mass = adaptive_avg_pool2d(attention.double(), grid).flatten(1)
    return mass / mass.sum(dim=1, keepdim=True)


def salient_set(mass: Tensor, q: float) -> Tensor:
    """The smallest set of top patches that holds the share ``q`` of the mass.

    A patch is in it if the mass of all patches up to it, in ascending order, exceeds 1 - q. None is for q = 0, and all
    for q = 1. The sets of growing q contain one another.

    Args:
        mass: (B, N), rows sum to one.
        q: Share in [0, 1].

    Returns:
        (B, N) bool.
    """
    if not 0 < q < 1:
        return torch.full_like(mass, q >= 1, dtype=torch.bool)
    ascending, order = mass.double().sort(dim=1, stable=True)
    inside = ascending.cumsum(dim=1) > 1 - q + ROUNDING
    return torch.zeros_like(inside).scatter(1, order, inside)


def drop_salient_mass(mass: Tensor, ratio: float, mode: str) -> Tensor:
    """(B, N) bool, true where to drop: the top ``ratio`` of the mass, or all but the top ``1 - ratio`` of it.

    Args:
        mass: (B, N), rows sum to one.
        ratio: Share of the mass to drop, in [0, 1].
        mode: 'salient' or 'non-salient'.
    """
    return salient_set(mass, ratio) if mode == 'salient' else ~salient_set(mass, 1 - ratio)


def drop_first(order: Tensor, count: int) -> Tensor:
    """(B, N) bool, true at the first ``count`` patches that each row of ``order`` (B, N) names."""
    dropped = torch.zeros_like(order, dtype=torch.bool)
    return dropped.scatter_(1, order[:, :count], True)


def random_order(patches: int, seeds: list[int]) -> Tensor:
    """(B, N) random permutations of N patches, each a function of its seed alone."""
    return torch.stack([torch.randperm(patches, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def blacken(images: Tensor, dropped: Tensor, grid: int) -> Tensor:
    """Images with the dropped patches at zero, which is black before normalisation, in [0, 1] as in 0 to 255.

    Args:
        images: (B, C, H, W) of any dtype, not normalised; left as they are.
        dropped: (B or 1, grid * grid) bool; one row serves all images.
        grid: Patches along a side.

    Raises:
        ValueError: if the grid does not divide the images.
    """
    height, width = images.shape[2:]
    if height % grid or width % grid:
        raise ValueError(f'images of {height}x{width} pixels cannot be cut into {grid}x{grid} patches of whole pixels')
    cells = dropped.unflatten(1, (1, grid, grid))
    pixels = cells.repeat_interleave(height // grid, dim=2).repeat_interleave(width // grid, dim=3)
    return images.masked_fill(pixels, 0)
