import itertools

import pytest
import torch

from mixpro_mm.functional.transport import move_blocks, transport_plan


def cost(plan, saliency, mask, t_eps):
    """Return the cost of one sample; ``plan[place]`` is a block."""
    (height, width), total = mask.shape, 0.0
    for place, block in enumerate(plan):
        (i, j), (k, m) = divmod(place, width), divmod(int(block), width)
        distance = ((i - k) / max(height - 1, 1)) ** 2 + ((j - m) / max(width - 1, 1)) ** 2
        total += t_eps * distance - float(saliency[k, m]) * bool(mask[i, j])
    return total


@pytest.mark.parametrize('grid', [(1, 1), (1, 5), (4, 1), (2, 2), (2, 3), (3, 2)])
@pytest.mark.parametrize('t_eps', [0.01, 0.3, 2.0])
def test_no_permutation_costs_less(grid, t_eps):
    torch.manual_seed(0)
    saliency, mask = torch.rand(6, *grid, dtype=torch.float64), torch.rand(6, *grid) < 0.5
    mask[0], mask[1] = True, False
    plans = transport_plan(saliency, mask, t_eps)
    for plan, values, shown in zip(plans, saliency, mask, strict=True):
        least = min(cost(other, values, shown, t_eps) for other in itertools.permutations(range(len(plan))))
        assert cost(plan, values, shown, t_eps) == pytest.approx(least, abs=1e-12)


def test_nothing_moves_where_all_or_nothing_shows_and_bad_arguments_raise():
    mask = torch.tensor([True, False]).view(2, 1, 1).expand(2, 3, 3)
    assert torch.equal(transport_plan(torch.rand(2, 3, 3), mask, 1e-9), torch.arange(9).expand(2, -1))
    with pytest.raises(ValueError, match=r'saliency \(2, 3, 2\) and mask \(2, 3, 3\) must share one shape'):
        transport_plan(torch.rand(2, 3, 2), mask, 1.0)
    with pytest.raises(ValueError, match='finite saliencies'):
        transport_plan(torch.full((2, 3, 3), torch.nan), mask, 1.0)


@pytest.mark.parametrize(('size', 'grid'), [((4, 4), (2, 2)), ((6, 8), (3, 2)), ((6, 8), (6, 8)), ((5, 3), (1, 1))])
def test_blocks_move_whole(size, grid):
    torch.manual_seed(2)
    images = torch.rand(3, 2, *size, dtype=torch.float64)
    copy = images.clone()
    plan = torch.stack([torch.randperm(grid[0] * grid[1]) for _ in range(3)])
    moved = move_blocks(images, plan, grid)

    def block(pictures, sample, place):
        (i, j), rows, columns = divmod(int(place), grid[1]), size[0] // grid[0], size[1] // grid[1]
        return pictures[sample, :, i * rows : (i + 1) * rows, j * columns : (j + 1) * columns]

    for sample, place in itertools.product(range(3), range(grid[0] * grid[1])):
        assert torch.equal(block(moved, sample, place), block(images, sample, plan[sample, place]))
    assert torch.equal(images, copy) and moved.dtype == images.dtype
