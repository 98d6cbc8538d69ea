import itertools
import math

import pytest
import torch

from mixpro_mm.functional import masks, random_mask, region_mask, to_pixels
from mixpro_mm.functional.masks import block_mask, paste, stretch


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.uint8])
@pytest.mark.parametrize('side', [8, 160])  # a small and a large image
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_paste_is_where(dtype, side, layout):
    torch.manual_seed(side)
    images = torch.randint(256, (4, 3, side, side)).to(dtype).contiguous(memory_format=layout)
    mask, index, given = torch.rand(4, 1, side, side) > 0.5, torch.tensor([2, 1, 0, 0]), images.clone()
    mixed = paste(mask, images, index)
    assert torch.equal(mixed, torch.where(mask, images, images[index])) and torch.equal(images, given)
    assert mixed.dtype == dtype and mixed.data_ptr() != images.data_ptr()


@pytest.mark.parametrize('side', [8, 160])
def test_gradients_flow_through_paste(side):
    images = torch.randn(2, 3, side, side, requires_grad=True)
    mask = (torch.arange(side) < side // 4).expand(2, 1, side, side)
    paste(mask, images, torch.tensor([1, 1])).sum().backward()
    assert images.grad[0].sum() == 3 * side * side // 4 and images.grad[1].sum() == 3 * side * side * 7 // 4


def test_random_mask_has_exact_counts_and_is_uniform_over_cells():
    torch.manual_seed(0)
    for grid in ((4, 4), (3, 7), (14, 14)):
        cells = grid[0] * grid[1]
        keep = torch.tensor([0, 1, cells // 2, cells - 1, cells])
        mask = random_mask(keep, grid)
        assert mask.shape == (5, 1, *grid) and mask.dtype == torch.bool
        assert torch.equal(mask.flatten(1).sum(1), keep)
    share = random_mask(torch.full((20_000,), 3), (3, 4)).float().mean(0)
    assert torch.allclose(share, torch.full((1, 3, 4), 0.25), atol=0.015)  # 5 standard errors


def test_arguments_out_of_range_raise():
    settings = dict(min_patches=1, aspect=0.3)
    for count in (17, -1):  # 13 and -5 of the other grid
        with pytest.raises(ValueError, match=rf'^keep must lie in 0 to 16 for a 4x4 grid, got \[3, {count}\]$'):
            random_mask(torch.tensor([3, count]), (4, 4))
        with pytest.raises(ValueError, match=rf'^count must lie in 0 to 12 for a 3x4 grid, got \[{count - 4}, 3\]$'):
            block_mask(torch.tensor([count - 4, 3]), (3, 4), **settings)
    assert block_mask(torch.tensor([0, 12]), (3, 4), **settings).flatten(1).sum(1).tolist() == [0, 12]
    for least, aspect in ((0, 0.5), (1, 0), (1, 1.1)):
        with pytest.raises(ValueError, match=f'^min_patches must be at least 1 .*, got {least} and {aspect}$'):
            block_mask(torch.tensor([3]), (4, 4), min_patches=least, aspect=aspect)
    for align, size, most in ((0, 64, 40), (-16, 64, 40), (41, 64, 40), (40, 40, 39)):
        with pytest.raises(ValueError, match=f'align {align} must lie in 1 to {most} for an image of 40x{size} pixels'):
            region_mask(torch.tensor([0.5]), (40, size), align=align)


def test_draws_come_from_the_generator():
    generator, before = seeded(3), torch.get_rng_state()
    first = random_mask(torch.tensor([5, 5]), (4, 4), generator=generator)
    region_mask(torch.tensor([0.5]), (8, 8), generator=generator)
    block_mask(torch.tensor([3, 15]), (4, 4), min_patches=9, aspect=0.3, generator=generator)  # to the edges, too
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, random_mask(torch.tensor([5, 5]), (4, 4), generator=seeded(3)))


def test_region_mask_is_one_clipped_box_of_the_wanted_side():
    torch.manual_seed(0)
    lam, size = torch.rand(200), (40, 60)
    mask = region_mask(lam, size)
    assert mask.shape == (200, 1, *size)
    full = [length * (1 - lam.double()).sqrt() for length in size]
    for box, height, width in zip(~mask[:, 0], *full, strict=True):
        rows, columns = box.any(1).nonzero().flatten(), box.any(0).nonzero().flatten()
        assert box.sum() == len(rows) * len(columns)  # a filled rectangle, or nothing
        assert len(rows) <= int(height) // 2 * 2 and len(columns) <= int(width) // 2 * 2
        if len(rows) and rows[0] > 0 and rows[-1] < size[0] - 1:  # not clipped above or below
            assert len(rows) == int(height) // 2 * 2
    assert (mask.flatten(1).float().mean(1) >= lam - 1e-6).all()


@pytest.mark.parametrize(
    ('size', 'align'), [((48, 64), 16), ((40, 61), 16), ((30, 30), 7), ((20, 33), 20), ((9, 9), 1)]
)
def test_aligned_boxes_are_the_plain_ones_with_their_borders_rounded(size, align):
    def nearest(position, borders):
        return min(borders, key=lambda border: (abs(border - position), -border))  # half-way: the larger one

    lam = torch.rand(150, generator=seeded())
    plain = ~region_mask(lam, size, generator=seeded(1))[:, 0]
    aligned = ~region_mask(lam, size, align=align, generator=seeded(1))[:, 0]
    borders = [[*range(0, length, align), length] for length in size]
    for before, after in zip(plain, aligned, strict=True):
        expected = torch.zeros(size, dtype=torch.bool)
        if before.any():
            low, high = before.nonzero().min(0).values.tolist(), (before.nonzero().max(0).values + 1).tolist()
            (top, left), (bottom, right) = (map(nearest, corner, borders) for corner in (low, high))
            expected[top:bottom, left:right] = True
        assert torch.equal(after, expected)
    assert (align == 1) == torch.equal(plain, aligned)


@pytest.mark.parametrize('offset', [0, 1, 4, 5])
@pytest.mark.parametrize('side', [None, 1, 4, 5, 6])
def test_to_pixels_is_pixel_exact(offset, side):
    cell, size = 6, (17, 24)
    grid = tuple(-(-(length - offset) // cell) + bool(offset) for length in size)
    mask = torch.rand(3, 1, *grid, generator=seeded()) < 0.5
    pixels = to_pixels(mask, cell, size, offset=offset, side=side)
    assert pixels.shape == (3, 1, *size)
    frame = 0 if side is None else (cell - side) // 2
    for sample, row, column in itertools.product(range(3), *map(range, size)):
        at = [position - offset + (cell if offset else 0) for position in (row, column)]  # from the uncropped corner
        inside = all(frame <= place % cell < frame + (side or cell) for place in at)
        own = mask[sample, 0, at[0] // cell, at[1] // cell]
        assert pixels[sample, 0, row, column] == (own or not inside)


@pytest.mark.parametrize(
    ('grid', 'size'), [((4, 4), (224, 160)), ((3, 5), (32, 33)), ((4, 4), (4, 4)), ((2, 7), (5, 20))]
)
def test_stretch_gives_cells_that_differ_by_a_pixel(grid, size):
    mask = torch.rand(2, 1, *grid, generator=seeded()) < 0.5
    pixels = stretch(mask, size)
    assert pixels.shape == (2, 1, *size)
    spans = []
    for length, cells in zip(size, grid, strict=True):
        borders = [math.ceil(i * length / cells) for i in range(cells + 1)]
        assert {b - a for a, b in itertools.pairwise(borders)} <= {length // cells, -(-length // cells)}
        spans.append([slice(*pair) for pair in itertools.pairwise(borders)])
    for row, column in itertools.product(*map(range, grid)):
        piece = pixels[:, 0, spans[0][row], spans[1][column]]
        assert (piece == mask[:, :, row : row + 1, column]).all()


@pytest.mark.parametrize('grid', [(14, 14), (3, 20), (1, 9), (1, 1), (7, 2)])
@pytest.mark.parametrize('min_patches', [1, 16, 1000])
@pytest.mark.parametrize('aspect', [0.01, 0.3, 1.0])
def test_blocks_cover_exactly_the_count(grid, min_patches, aspect):
    count = torch.arange(grid[0] * grid[1] + 1)
    mask = block_mask(count, grid, min_patches=min_patches, aspect=aspect, generator=seeded())
    assert mask.shape == (len(count), 1, *grid) and mask.dtype == torch.bool
    assert mask.flatten(1).sum(1).tolist() == count.tolist() == list(range(len(count)))


FROZEN = {  # rounds -> bits of the masks
    10: [6340608, 207782248448, 70865926192, 412585293939, 4268926959497, 4398046502847],
    1: [6340608, 209929207808, 176900947064, 2225587846776, 1957695569533, 2199023255487],
}


@pytest.mark.parametrize('rounds', FROZEN)
def test_blocks_are_frozen(rounds, monkeypatch):
    """With one round, the rest is filled along the edges of the first blocks."""
    monkeypatch.setattr(masks, 'ROUNDS', rounds)
    count = torch.tensor([4, 9, 17, 24, 31, 40])
    mask = block_mask(count, (6, 7), min_patches=3, aspect=0.3, generator=seeded())
    assert (mask.flatten(1) * 2 ** torch.arange(42)).sum(1).tolist() == FROZEN[rounds]


def test_a_single_block_lies_anywhere_equally_often():
    mask = block_mask(torch.full((6000,), 16), (6, 7), min_patches=16, aspect=1.0, generator=seeded())[:, 0]
    corners = torch.stack([mask.any(2).int().argmax(1), mask.any(1).int().argmax(1)], dim=1)
    for sample, (top, left) in zip(mask[:200], corners[:200].tolist(), strict=True):
        assert sample[top : top + 4, left : left + 4].all()  # a square of all 16
    places, times = corners.unique(dim=0, return_counts=True)
    assert places.tolist() == [list(place) for place in itertools.product(range(3), range(4))]
    assert (times - 500).abs().max() < 110  # 5 standard deviations


def test_areas_of_blocks_are_uniform_and_aspects_log_uniform_where_they_fit():
    rows, columns = masks._draw_sides(torch.full((20_000,), 100), (14, 14), 16, 1.0, seeded())
    assert torch.equal(rows, columns)
    for side in range(4, 11):
        area = min((side + 0.5) ** 2, 100) - max((side - 0.5) ** 2, 16)
        assert (rows == side).float().mean().item() == pytest.approx(area / 84, abs=0.018)  # 5 standard errors
    everything = torch.full((20_000,), 40_000)
    rows, columns = masks._draw_sides(everything, (2000, 2000), 40_000, 0.3, seeded())
    ratio = (rows / columns).log().flatten() / math.log(1 / 0.3)  # uniform in -1 to 1
    assert ratio.abs().max() < 1.02
    assert torch.allclose(torch.histc(ratio, 10, -1.02, 1.02) / 20_000, torch.full((10,), 0.1), atol=0.015)
    rows, columns = masks._draw_sides(everything[:500], (100, 1000), 40_000, 0.3, seeded())
    assert (rows == 100).all() and (columns == 400).all()  # 0.25 is the only ratio that fits, whatever is wished
    area = torch.arange(1, 197)
    rows, columns = masks._draw_sides(area, (14, 14), 1000, 0.3, seeded())
    assert (rows <= 14).all() and (columns <= 14).all()
    assert ((rows * columns)[:, 0] - area).abs().max() <= 14
