"""Patch dropping (Naseer et al., Intriguing Properties of Vision Transformers, NeurIPS 2021: "naseer")."""

import math

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

__all__ = ['MODES', 'PROTOCOLS', 'blacken', 'default_ratios', 'drop_count', 'drop_first', 'drop_salient_mass']
__all__ += ['information_loss', 'patch_mass', 'random_order', 'salient_set']

MODES = ('random', 'salient', 'non-salient')
PROTOCOLS = ('naseer', 'count')
TENTHS = tuple(k / 10 for k in range(11))
ROUNDING = 1e-6  # tolerance of a cumulative sum


def default_ratios(mode: str, protocol: str) -> tuple[float, ...]:
    """Return the ten drop ratios of Naseer et al.: 0 to 0.9, for the salient mass 0.1 to 1."""
    return TENTHS[1:] if (mode, protocol) == ('salient', 'naseer') else TENTHS[:-1]


def drop_count(ratio: float, patches: int, protocol: str) -> int:
    """Return the number of patches to drop: rounded down in 'naseer' (19 of 196 for 0.1), to the nearest in 'count'."""
    share = ratio * patches
    return math.floor(share + ROUNDING) if protocol == 'naseer' else round(share)


def information_loss(mode: str, ratio: float, patches: int, protocol: str) -> float:
    """Return the dropped fraction in [0, 1], of the patches or, for salient modes of 'naseer', of the mass."""
    if protocol == 'naseer' and mode != 'random':
        return ratio
    return drop_count(ratio, patches, protocol) / patches


def patch_mass(attention: Tensor, grid: int) -> Tensor:
    """Return the attention on the grid of dropped patches: averaged where it is finer, repeated where coarser.

    Args:
        attention: (B, h, w), not negative.
        grid: Patches per side.

    Returns:
        (B, grid * grid) fp64; rows sum to one.
    """
    mass = adaptive_avg_pool2d(attention.double(), grid).flatten(1)
    return mass / mass.sum(dim=1, keepdim=True)


def salient_set(mass: Tensor, q: float) -> Tensor:
    """Return the smallest set of top patches that contains the fraction ``q`` of the mass.

    A patch belongs to it if the cumulative mass in ascending order exceeds 1 - q: none for q = 0, all for q = 1. Sets
    of growing q are nested.

    Args:
        mass: (B, N), rows sum to one.
        q: Fraction in [0, 1].

    Returns:
        (B, N) bool.
    """
    if not 0 < q < 1:
        return torch.full_like(mass, q >= 1, dtype=torch.bool)
    ascending, order = mass.double().sort(dim=1, stable=True)
    inside = ascending.cumsum(dim=1) > 1 - q + ROUNDING
    return torch.zeros_like(inside).scatter(1, order, inside)


def drop_salient_mass(mass: Tensor, ratio: float, mode: str) -> Tensor:
    """Return (B, N) bool, true for dropped patches: the top ``ratio`` of the mass, or all but the top ``1 - ratio``.

    Args:
        mass: (B, N), rows sum to one.
        ratio: Fraction of the mass to drop, in [0, 1].
        mode: 'salient' or 'non-salient'.
    """
    return salient_set(mass, ratio) if mode == 'salient' else ~salient_set(mass, 1 - ratio)


def drop_first(order: Tensor, count: int) -> Tensor:
    """Return (B, N) bool, true at the first ``count`` patches in each row of ``order`` (B, N)."""
    dropped = torch.zeros_like(order, dtype=torch.bool)
    return dropped.scatter_(1, order[:, :count], True)


def random_order(patches: int, seeds: list[int]) -> Tensor:
    """Return (B, N) random permutations of N patches, each determined by its seed."""
    return torch.stack([torch.randperm(patches, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def blacken(images: Tensor, dropped: Tensor, grid: int) -> Tensor:
    """Return images with the dropped patches set to zero.

    Args:
        images: (B, C, H, W) of any dtype, not normalised; not modified.
        dropped: (B or 1, grid * grid) bool.
        grid: Patches per side.

    Raises:
        ValueError: If the grid does not divide the images.
    """
    height, width = images.shape[2:]
    if height % grid or width % grid:
        raise ValueError(f'images of {height}x{width} pixels are not divisible into {grid}x{grid} patches')
    cells = dropped.unflatten(1, (1, grid, grid))
    pixels = cells.repeat_interleave(height // grid, dim=2).repeat_interleave(width // grid, dim=3)
    return images.masked_fill(pixels, 0)
