import numpy as np
import pytest
import torch

from mixpro_mm.mixing import random_mask, region_mask, to_pixels


@pytest.mark.parametrize('grid', [(4, 4), (3, 7), (14, 14)])
def test_random_mask_has_exact_counts(grid):
    cells = grid[0] * grid[1]
    keep = torch.tensor([0, 1, cells // 2, cells - 1, cells])
    mask = random_mask(keep, grid)
    assert mask.shape == (5, 1, *grid)
    assert mask.dtype == torch.bool
    assert torch.equal(mask.flatten(1).sum(1), keep)


def test_random_mask_is_uniform_over_cells():
    torch.manual_seed(0)
    share = random_mask(torch.full((20_000,), 3), (3, 4)).float().mean(0)
    assert torch.allclose(share, torch.full((1, 3, 4), 0.25), atol=0.015)  # 5 standard errors


def test_samples_of_a_batch_draw_different_cells():
    mask = random_mask(torch.full((64,), 8), (4, 4)).flatten(1)
    assert len(mask.unique(dim=0)) > 32


def test_counts_outside_the_grid_are_refused():
    with pytest.raises(ValueError, match='0 to 16'):
        random_mask(torch.tensor([17]), (4, 4))


def test_only_torch_draws():
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    generator = torch.Generator().manual_seed(3)
    before = torch.get_rng_state()
    first = random_mask(torch.tensor([5, 5]), (4, 4), generator=generator)
    region_mask(torch.tensor([0.5]), (8, 8), generator=generator)
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002
    again = random_mask(torch.tensor([5, 5]), (4, 4), generator=torch.Generator().manual_seed(3))
    assert torch.equal(first, again)


def test_region_mask_is_one_clipped_box_of_the_wanted_side():
    torch.manual_seed(0)
    lam = torch.rand(200)
    size = (40, 60)
    mask = region_mask(lam, size)
    assert mask.shape == (200, 1, *size)
    full = [length * (1 - lam.double()).sqrt() for length in size]
    for box, height, width in zip(~mask[:, 0], *full, strict=True):
        rows, columns = box.any(1).nonzero().flatten(), box.any(0).nonzero().flatten()
        assert box.sum() == len(rows) * len(columns)  # a filled rectangle, or nothing
        half = (int(height) // 2, int(width) // 2)
        assert len(rows) <= 2 * half[0]
        assert len(columns) <= 2 * half[1]
        if len(rows) and rows[0] > 0 and rows[-1] < size[0] - 1:  # not clipped above or below
            assert len(rows) == 2 * half[0]
    assert (mask.flatten(1).float().mean(1) >= lam - 1e-6).all()


def test_region_mask_at_the_ends():
    assert region_mask(torch.ones(3), (8, 8)).all()
    torch.manual_seed(1)
    shares = region_mask(torch.zeros(50), (8, 8)).float().mean((1, 2, 3))
    assert shares.max() <= 0.75  # a box as large as the image, centred at worst in a corner


@pytest.mark.parametrize('size', [(224, 224), (200, 96), (65, 64)])
def test_to_pixels_repeats_and_crops(size):
    cell = 32
    grid = tuple(-(-length // cell) for length in size)
    mask = random_mask(torch.full((4,), grid[0] * grid[1] // 2), grid)
    pixels = to_pixels(mask, cell, size)
    rows, columns = (torch.arange(length) // cell for length in size)
    assert torch.equal(pixels, mask[:, :, rows][..., columns])
