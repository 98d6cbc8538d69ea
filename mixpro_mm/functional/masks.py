"""Binary mixing masks (B, 1, h, w), true where the sample itself shows."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.nn.functional import avg_pool2d, pad

__all__ = ['block_mask', 'box_mask', 'few_cells', 'fitting', 'paste', 'random_mask', 'region_mask', 'stretch']
__all__ += ['to_pixels']

ROUNDS = 10  # of blocks; enough to cover half of 14 x 14 cells in nearly every draw
LARGE = 1 << 16  # values of an image, below which a loop over the batch takes longer than it saves
FEW = 9  # below this number of cells, draws that show one image only are frequent enough for a warning


def few_cells(size: tuple[int, int], cell: int, fit: str) -> str | None:
    """Return a warning if an image has fewer than 9 cells, else None.

    With S cells and uniform tau, 1 draw in S shows one image only.

    Args:
        size: (H, W) of the images.
        cell: Side of a cell in pixels.
        fit: Suggested settings.
    """
    height, width = (-(-length // cell) for length in size)
    if height * width >= FEW:
        return None
    return (
        f'{height}x{width} cells of {cell} px in an image of {size[0]}x{size[1]} pixels are few: with alpha 1 about '
        f'1 draw in {height * width} shows one image only; {fit}'
    )


def fitting(size: tuple[int, int], patch_size: int) -> tuple[int, int]:
    """Return ``patch_size`` and ``mask_scale`` with at least 4 cells per side; the patch stays if 4 fit."""
    side = min(size)
    if 4 * patch_size <= side:
        return patch_size, side // (4 * patch_size)
    return (max(side // 8, 1), 2) if side >= 8 else (1, 1)


def random_mask(
    keep: Tensor, grid: tuple[int, int], *, generator: Generator | None = None, device: torch.device | str | None = None
) -> Tensor:
    """Return a mask with exactly ``keep[b]`` true cells at random positions, drawn per sample (MixPro, section 3.2).

    Args:
        keep: (B,) integer, number of true cells, 0 to h * w.
        grid: (h, w).
        generator: Random generator; torch's global one by default.
        device: Device of the mask; that of ``keep`` by default.

    Returns:
        (B, 1, h, w) bool.

    Raises:
        ValueError: If a count is outside 0 to h * w.
    """
    height, width = grid
    device = keep.device if device is None else device
    if keep.device.type == 'cpu' and keep.numel() and not 0 <= int(keep.min()) <= int(keep.max()) <= height * width:
        raise ValueError(f'keep must lie in 0 to {height * width} for a {height}x{width} grid, got {keep.tolist()}')
    noise = torch.rand(len(keep), height * width, generator=generator, device=device)
    rank = noise.argsort(dim=1).argsort(dim=1)  # a permutation per row: exact counts even if noise ties
    return (rank < _moved(keep, device).unsqueeze(1)).view(-1, 1, height, width)


def region_mask(
    lam: Tensor,
    size: tuple[int, int],
    *,
    align: int | None = None,
    generator: Generator | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Return CutMix's mask, false inside one box per sample with sides ``sqrt(1 - lam)`` and a random centre.

    The box is clipped to the image as in Yun et al., CutMix, ICCV 2019, so the fraction of true pixels is at least
    ``lam``. With ``align`` the edges of the clipped box move to the nearest patch edge (MixPro, table 8, A); the
    fraction may then be smaller than ``lam``, and a small box may vanish.

    Args:
        lam: (B,) requested fraction of true pixels, in [0, 1].
        size: (h, w) of the mask.
        align: Patch size in pixels; ties move down or right, and the end of the image counts as an edge.
        generator: Random generator on the device of ``lam``; torch's global one by default.
        device: Device of the mask; that of ``lam`` by default.

    Returns:
        (B, 1, h, w) bool.

    Raises:
        ValueError: If ``align`` is below 1, larger than the image or covers it.
    """
    if align is not None and (not 1 <= align <= min(size) or align == max(size)):
        most = min(size) - (size[0] == size[1])  # a single patch cannot be mixed
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
    """Return the mask of :func:`region_mask` for given centres.

    Args:
        centres: Rows and columns, (B,) integer each.
        lam, size, align, device: See :func:`region_mask`.

    Returns:
        (B, 1, h, w) bool.
    """
    inside = []
    for centre, length in zip(centres, size, strict=True):
        half = ((length * (1 - lam.double()).clamp(0, 1).sqrt()).long() // 2).to(centre.device)
        low, high = (_moved(centre + side * half, device) for side in (-1, 1))
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
    """Return rectangular blocks that cover exactly ``count[b]`` cells per sample (Bao et al., BEiT, algorithm 1).

    Each round adds one block per sample. Its area is uniform between ``min_patches`` and the number of missing cells,
    its aspect ratio log-uniform in [aspect, 1 / aspect] within the grid, and its position uniform among those that add
    new cells without exceeding the count. If no such position exists, the block is trimmed. Cells that are still
    missing after ten rounds are filled along the edges of the blocks.

    Args:
        count: (B,) integer, number of true cells, 0 to h * w.
        grid: (h, w).
        min_patches: Smallest area of a block in cells, unless fewer are missing.
        aspect: Smallest aspect ratio, in (0, 1].
        generator: Random generator on the device of ``count``; torch's global one by default.
        device: Device of the mask; that of ``count`` by default.

    Returns:
        (B, 1, h, w) bool, true inside the blocks.

    Raises:
        ValueError: If a count is outside 0 to h * w, ``min_patches`` is below 1 or ``aspect`` is outside (0, 1].
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
    return _moved(covered.unsqueeze(1), count.device if device is None else device)


def _moved(tensor: Tensor, device: torch.device | str | None) -> Tensor:
    """Return a tensor on a device, without waiting for a GPU to receive it."""
    return tensor.to(device, non_blocking=tensor.is_cpu)


def _draw_sides(
    missing: Tensor, grid: tuple[int, int], min_patches: int, aspect: float, generator: Generator | None
) -> list[Tensor]:
    """Return the (B, 1) rows and (B, 1) columns of one block per sample."""
    most = missing[:, None].clamp(min=1).double()
    least = most.clamp(max=min_patches)
    noise = torch.rand(2, len(missing), 1, generator=generator, device=missing.device)
    area = least + noise[0] * (most - least)
    flattest, tallest = area / grid[1] ** 2, grid[0] ** 2 / area  # beyond these a side leaves the grid
    low, high = flattest.clamp(min=aspect).log(), tallest.clamp(max=1 / aspect).log()
    ratio = (low + noise[1] * (high - low)).exp().clamp(flattest, tallest)  # the grid bounds have priority
    wanted = (area * ratio).sqrt(), (area / ratio).sqrt()
    return [side.round().long().clamp(1, length) for side, length in zip(wanted, grid, strict=True)]


def _draw_block(free: Tensor, missing: Tensor, sides: list[Tensor], generator: Generator | None) -> Tensor:
    """Return (B, h, w) bool, one block per sample that covers something ``free`` (B, h, w)."""
    batch, height, width = free.shape
    (rows, columns), (top, left) = sides, (torch.arange(length, device=free.device) for length in (height, width))
    bottom, right = top + rows, left + columns  # (B, h) and (B, w): end of a block starting there
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
    """Return (B, h, w) bool, ``missing`` cells outside ``covered``, those with most covered neighbours first."""
    neighbours = avg_pool2d(covered[:, None].float(), 3, stride=1, padding=1)[:, 0] * 9
    noise = torch.rand(covered.shape, generator=generator, device=covered.device)
    priority = (neighbours + noise).masked_fill(covered, -1).flatten(1)
    rank = priority.argsort(dim=1, descending=True).argsort(dim=1)
    return (rank < missing[:, None]).view_as(covered)


def to_pixels(mask: Tensor, cell: int, size: tuple[int, int], *, offset: int = 0, side: int | None = None) -> Tensor:
    """Upsample grid cells to ``cell`` x ``cell`` pixels and crop to the image.

    Args:
        mask: (B, 1, h, w) bool with ``h * cell >= H + (-offset) % cell``, likewise for w.
        cell: Side of a cell in pixels.
        size: (H, W) of the images.
        offset: Size in pixels of the cropped first row and column, 0 to ``cell - 1``; 0 for whole cells.
        side: False cells shrink to a centred square of this size in pixels; an odd pixel of the frame is below and to
            the right. Whole cells by default.

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
    """Stretch a grid over the image; cell sizes differ by at most one pixel.

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


def paste(mask: Tensor, images: Tensor, index: Tensor) -> Tensor:
    """Return ``torch.where(mask, images, images[index])``.

    On a CPU, large images are mixed one by one, so that memory is passed three times instead of five. Elsewhere the
    copy of the partners is reused, if no gradient flows to the images.

    Args:
        mask: (B, 1, H, W) bool, true where the image itself shows.
        images: (B, C, H, W), not modified.
        index: (B,) partner of each image.
    """
    if images.device.type == 'cpu' and not images.requires_grad and images[:1].numel() >= LARGE:
        mixed = torch.empty_like(images)
        for number, partner in enumerate(index.tolist()):
            torch.where(mask[number], images[number], images[partner], out=mixed[number])
        return mixed
    partners = images[index]
    return torch.where(mask, images, partners, out=None if images.requires_grad else partners)
