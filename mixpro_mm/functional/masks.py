"""Binary mixing masks (B, 1, h, w), true where the sample itself shows. Everything random comes from torch."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.nn.functional import avg_pool2d, pad

__all__ = ['block_mask', 'box_mask', 'few_cells', 'fitting', 'random_mask', 'region_mask', 'stretch', 'to_pixels']

ROUNDS = 10  # of blocks; enough to cover half of 14 x 14 cells in nearly every draw


FEW = 9  # cells: below, so large a share of the draws shows one image only that it is said


def few_cells(size: tuple[int, int], cell: int, fit: str) -> str | None:
    """A sentence where cells of ``cell`` pixels are few in an image of ``size`` pixels, (H, W); else None.

    With S cells and tau uniform, one draw in S shows one image only: the partner where S tau is rounded down, the
    sample itself where it is rounded up.

    Args:
        size: (H, W) of the images.
        cell: side of a cell in pixels.
        fit: what to set instead.
    """
    height, width = (-(-length // cell) for length in size)
    if height * width >= FEW:
        return None
    return (
        f'{height}x{width} cells of {cell} px in an image of {size[0]}x{size[1]} pixels are few: with alpha 1 about '
        f'1 draw in {height * width} shows one image only; {fit}'
    )


def fitting(size: tuple[int, int], patch_size: int) -> tuple[int, int]:
    """``patch_size`` and ``mask_scale`` with at least 4 cells a side; the patch is kept if 4 of it fit."""
    side = min(size)
    if 4 * patch_size <= side:
        return patch_size, side // (4 * patch_size)
    return (max(side // 8, 1), 2) if side >= 8 else (1, 1)


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
    align: int | None = None,
    generator: Generator | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """CutMix's region: false inside one box per sample of sides ``sqrt(1 - lam)``, centred anywhere and clipped.

    Box arithmetic as in Yun et al., CutMix, ICCV 2019, and the host's ``CutMix``. The true share of a sample is
    therefore at least ``lam``; read it off the mask. With ``align`` every border of the clipped box moves to the
    nearest patch border (MixPro, table 8, A), so the share may fall on either side and a small box may vanish.

    Args:
        lam: (B,) wanted share of true pixels, in [0, 1].
        size: (h, w) of the mask.
        align: side of the patches in pixels; a border half-way between two of theirs moves down or right, and the end
            of the image counts as one.
        generator: source of the centres, on the device of ``lam``; torch's global one if omitted.
        device: where the mask is written; that of ``lam`` if omitted.

    Returns:
        (B, 1, h, w) bool.

    Raises:
        ValueError: if ``align`` is below 1, larger than the image, or the whole of it.
    """
    if align is not None and (not 1 <= align <= min(size) or align == max(size)):
        most = min(size) - (size[0] == size[1])  # one patch as large as the image leaves all or nothing
        raise ValueError(f'align {align} must lie in 1 to {most} for an image of {size[0]}x{size[1]} pixels')
    centres = [(torch.rand(len(lam), generator=generator, device=lam.device) * length).long() for length in size]
    return box_mask(centres, lam, size, align=align, device=device)


def box_mask(
    centres: Sequence[Tensor],
    lam: Tensor,
    size: tuple[int, int],
    *,
    align: int | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """False inside one box per sample; the arithmetic of :func:`region_mask` around given centres.

    Args:
        centres: rows and columns, (B,) integer each.
        lam, size, align, device: as of :func:`region_mask`.

    Returns:
        (B, 1, h, w) bool.
    """
    inside = []
    for centre, length in zip(centres, size, strict=True):
        half = ((length * (1 - lam.double()).clamp(0, 1).sqrt()).long() // 2).to(centre.device)
        low, high = (centre - half).to(device), (centre + half).to(device)
        if align is not None:
            low, high = _nearest_border(low, length, align), _nearest_border(high, length, align)
        position = torch.arange(length, device=low.device)
        inside.append((position >= low[:, None]) & (position < high[:, None]))
    rows, columns = inside
    return ~(rows[:, :, None] & columns[:, None, :]).unsqueeze(1)


def _nearest_border(position: Tensor, length: int, align: int) -> Tensor:
    before = position // align * align
    after = (before + align).clamp(max=length)
    return torch.where(position - before < after - position, before, after)


def block_mask(
    count: Tensor,
    grid: tuple[int, int],
    *,
    min_patches: int,
    aspect: float,
    generator: Generator | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Rectangular blocks that cover exactly ``count[b]`` cells, drawn per sample (Bao et al., BEiT, algorithm 1).

    A round adds one block to every sample of the batch: area uniform between ``min_patches`` and what is still missing,
    height to width log-uniform in [aspect, 1 / aspect] as far as that fits into the grid, place uniform among those
    that cover something new, and not more than is missing; a block without such a place is trimmed row by row. What
    ten rounds leave open, seldom more than some cells of a nearly full grid, is filled along the edges of the blocks.

    Args:
        count: (B,) integer, number of true cells, 0 to h * w.
        grid: (h, w).
        min_patches: smallest area of a block, in cells; less where less is missing.
        aspect: smallest ratio of the sides, above 0 and at most 1.
        generator: source of the blocks, on the device of ``count``; torch's global one if omitted.
        device: where the mask is written; that of ``count`` if omitted.

    Returns:
        (B, 1, h, w) bool, true inside the blocks.

    Raises:
        ValueError: if a count is outside 0 to h * w, ``min_patches`` below 1 or ``aspect`` outside (0, 1].
    """
    height, width = grid
    if count.numel() and not 0 <= int(count.min()) <= int(count.max()) <= height * width:
        raise ValueError(f'count must lie in 0 to {height * width} for a {height}x{width} grid, got {count.tolist()}')
    if min_patches < 1 or not 0 < aspect <= 1:
        raise ValueError(
            f'min_patches must be at least 1 and aspect above 0 and at most 1, got {min_patches} and {aspect}'
        )
    missing = count.long()
    covered = torch.zeros(len(count), height, width, dtype=torch.bool, device=count.device)
    for _ in range(ROUNDS):
        if not missing.any():
            break
        sides = _draw_sides(missing, grid, min_patches, aspect, generator)
        new = (_draw_block(~covered, missing, sides, generator) & ~covered).flatten(1)
        new &= new.cumsum(dim=1) <= missing[:, None]  # row by row
        covered |= new.view_as(covered)
        missing = missing - new.sum(dim=1)
    covered |= _draw_edge(covered, missing, generator)
    return covered.unsqueeze(1).to(count.device if device is None else device)


def _draw_sides(
    missing: Tensor, grid: tuple[int, int], min_patches: int, aspect: float, generator: Generator | None
) -> list[Tensor]:
    """(B, 1) rows and (B, 1) columns of one block a sample."""
    most = missing[:, None].clamp(min=1).double()
    least = most.clamp(max=min_patches)
    noise = torch.rand(2, len(missing), 1, generator=generator, device=missing.device)
    area = least + noise[0] * (most - least)
    flattest, tallest = area / grid[1] ** 2, grid[0] ** 2 / area  # beyond these a side leaves the grid
    low, high = flattest.clamp(min=aspect).log(), tallest.clamp(max=1 / aspect).log()
    ratio = (low + noise[1] * (high - low)).exp().clamp(flattest, tallest)  # the fit goes before the wish
    wanted = (area * ratio).sqrt(), (area / ratio).sqrt()
    return [side.round().long().clamp(1, length) for side, length in zip(wanted, grid, strict=True)]


def _draw_block(free: Tensor, missing: Tensor, sides: list[Tensor], generator: Generator | None) -> Tensor:
    """(B, h, w) bool, one block a sample at a place where it covers something ``free`` (B, h, w)."""
    batch, height, width = free.shape
    (rows, columns), (top, left) = sides, (torch.arange(length, device=free.device) for length in (height, width))
    bottom, right = top + rows, left + columns  # (B, h) and (B, w): where a block would end that starts there
    total = pad(free.cumsum(1).cumsum(2), (1, 0, 1, 0))  # summed-area table
    strip = total.gather(1, bottom.clamp(max=height)[:, :, None].expand(-1, -1, width + 1)) - total[:, :-1]
    new = strip.gather(2, right.clamp(max=width)[:, None].expand(-1, height, -1)) - strip[..., :-1]
    fits = ((bottom <= height)[:, :, None] & (right <= width)[:, None] & (new > 0)).flatten(1)
    whole = fits & (new.flatten(1) <= missing[:, None])
    places = torch.where(whole.any(dim=1, keepdim=True), whole, fits)
    noise = torch.rand(batch, height * width, generator=generator, device=free.device)
    start = noise.masked_fill(~places, -1).argmax(dim=1, keepdim=True)
    first_row, first_column = start // width, start % width
    in_rows = (top >= first_row) & (top < first_row + rows)
    in_columns = (left >= first_column) & (left < first_column + columns)
    return in_rows[:, :, None] & in_columns[:, None]


def _draw_edge(covered: Tensor, missing: Tensor, generator: Generator | None) -> Tensor:
    """(B, h, w) bool, ``missing`` cells outside ``covered``, those with most covered neighbours first."""
    neighbours = avg_pool2d(covered[:, None].float(), 3, stride=1, padding=1)[:, 0] * 9
    noise = torch.rand(covered.shape, generator=generator, device=covered.device)
    wish = (neighbours + noise).masked_fill(covered, -1).flatten(1)
    rank = wish.argsort(dim=1, descending=True).argsort(dim=1)
    return (rank < missing[:, None]).view_as(covered)


def to_pixels(mask: Tensor, cell: int, size: tuple[int, int], *, offset: int = 0, side: int | None = None) -> Tensor:
    """Blow grid cells up to ``cell`` x ``cell`` pixels and crop those at the borders to the image.

    Args:
        mask: (B, 1, h, w) bool that reaches the image's end: ``h * cell >= H + (-offset) % cell``, likewise for w.
        cell: pixels along a side.
        size: (H, W) of the images.
        offset: pixels that the first row and column keep, 0 to ``cell - 1``; whole cells if 0.
        side: false cells shrink to a square of so many pixels in the middle of the uncropped cell, the odd pixel of
            the frame below and to the right; whole cells if omitted.

    Returns:
        (B, 1, H, W) bool.
    """
    height, width = size
    start = -offset % cell
    rows = (torch.arange(height, device=mask.device) + start) // cell
    pixels = mask.repeat_interleave(cell, dim=3)[..., start : start + width].index_select(2, rows)
    if side in (None, cell):
        return pixels
    places = [(torch.arange(length, device=mask.device) + start) % cell - (cell - side) // 2 for length in size]
    rows, columns = ((place >= 0) & (place < side) for place in places)
    return pixels | ~(rows[:, None] & columns)


def stretch(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """Stretch a grid over the image; where it does not divide a side, cells differ by one pixel.

    Args:
        mask: (B, 1, h, w) bool with ``h <= H`` and ``w <= W``.
        size: (H, W) of the images.

    Returns:
        (B, 1, H, W) bool.
    """
    rows, columns = (
        torch.arange(length, device=mask.device) * cells // length
        for length, cells in zip(size, mask.shape[2:], strict=True)
    )
    return mask.index_select(3, columns).index_select(2, rows)
