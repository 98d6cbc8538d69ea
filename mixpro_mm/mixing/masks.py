"""Binary mixing masks (B, 1, h, w), true where the sample itself shows. Everything random comes from torch."""

import torch
from torch import Generator, Tensor

__all__ = ['random_mask', 'region_mask', 'to_pixels']


def random_mask(
    keep: Tensor,
    grid: tuple[int, int],
    *,
    generator: Generator | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Exactly ``keep[b]`` true cells at random places of a grid, drawn per sample (MixPro, section 3.2).

    Args:
        keep: (B,) integer, number of true cells, 0 to h * w.
        grid: (h, w).
        generator: source of the noise; torch's global one if omitted.
        device: where the mask is drawn; that of ``keep`` if omitted.

    Returns:
        (B, 1, h, w) bool.

    Raises:
        ValueError: if a count is outside 0 to h * w.
    """
    height, width = grid
    device = keep.device if device is None else device
    if keep.device.type == 'cpu' and keep.numel() and not 0 <= int(keep.min()) <= int(keep.max()) <= height * width:
        raise ValueError(f'keep must lie in 0 to {height * width} for a {height}x{width} grid, got {keep.tolist()}')
    noise = torch.rand(len(keep), height * width, generator=generator, device=device)
    rank = noise.argsort(dim=1).argsort(dim=1)  # a permutation a row, so the counts are exact even where noise ties
    return (rank < keep.to(device).unsqueeze(1)).view(-1, 1, height, width)


def region_mask(
    lam: Tensor,
    size: tuple[int, int],
    *,
    generator: Generator | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """CutMix's region: false inside one box per sample of sides ``sqrt(1 - lam)``, centred anywhere and clipped.

    Box arithmetic as in Yun et al., CutMix, ICCV 2019, and the host's ``CutMix``. The true share of a sample is
    therefore at least ``lam``; read it off the mask.

    Args:
        lam: (B,) wanted share of true pixels, in [0, 1].
        size: (h, w) of the mask.
        generator: source of the centres, on the device of ``lam``; torch's global one if omitted.
        device: where the mask is written; that of ``lam`` if omitted.

    Returns:
        (B, 1, h, w) bool.
    """
    inside = []
    for length in size:
        half = (length * (1 - lam.double()).clamp(0, 1).sqrt()).long() // 2
        centre = (torch.rand(len(lam), generator=generator, device=lam.device) * length).long()
        low, high = (centre - half).to(device), (centre + half).to(device)
        position = torch.arange(length, device=low.device)
        inside.append((position >= low[:, None]) & (position < high[:, None]))
    rows, columns = inside
    return ~(rows[:, :, None] & columns[:, None, :]).unsqueeze(1)


def to_pixels(mask: Tensor, cell: int, size: tuple[int, int]) -> Tensor:
    """Blow grid cells up to ``cell`` x ``cell`` pixels and crop the last row and column to the image.

    Args:
        mask: (B, 1, h, w) bool with ``h * cell >= H`` and ``w * cell >= W``.
        cell: pixels along a side.
        size: (H, W) of the images.

    Returns:
        (B, 1, H, W) bool.
    """
    height, width = size
    return mask.repeat_interleave(cell, dim=2)[:, :, :height].repeat_interleave(cell, dim=3)[..., :width]
