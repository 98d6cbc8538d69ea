import itertools

import numpy as np
import pytest
import torch

from mixpro_mm.functional.graphcut import fold_pairs, min_cut, seam_costs


def all_labels(height, width):
    """Return (2 ** (h * w), h, w), all labellings of a grid."""
    codes = torch.arange(2 ** (height * width))
    return (codes[:, None] >> torch.arange(height * width) & 1).bool().view(-1, height, width)


def energies(labels, unary, down, right):
    """Return (L,) energies of L labellings of one sample; a pair has a weight or four costs (2, 2)."""
    labels = labels.long()
    down, right = (pairs if pairs.ndim == 4 else pairs[..., None, None] * (1 - torch.eye(2)) for pairs in (down, right))
    row, column = torch.meshgrid(*map(torch.arange, labels.shape[1:]), indexing='ij')
    own = unary[row, column, labels].sum((1, 2))
    below = down[row[:-1], column[:-1], labels[:, :-1], labels[:, 1:]].sum((1, 2))
    return own + below + right[row[:, 1:], column[:, 1:] - 1, labels[..., :-1], labels[..., 1:]].sum((1, 2))


def random_costs(kind, batch, height, width):
    shapes = (batch, height, width, 2), (batch, height - 1, width), (batch, height, width - 1)
    unary, down, right = (torch.rand(shape, dtype=torch.float64) for shape in shapes)
    if kind == 'signed':
        return unary * 2 - 1, down / 2, right / 2
    if kind == 'zeros':  # half of all costs vanish, some samples lose all weights
        unary, down, right = (cost * (torch.rand_like(cost) < 0.5) for cost in (unary, down, right))
        down[::4], right[::4] = 0, 0
        return unary, down, right
    if kind == 'whole':  # many ties
        return (unary * 4).floor(), (down * 3).floor(), (right * 3).floor()
    return unary * 1e-9 + 1e-6 * torch.randint(2, unary.shape), down * 1e-6, right * 1e-12  # 'uneven'


@pytest.mark.parametrize('kind', ['signed', 'zeros', 'whole', 'uneven'])
@pytest.mark.parametrize('grid', [(1, 1), (1, 2), (2, 1), (1, 5), (5, 1), (2, 3), (3, 2), (3, 3), (3, 4), (4, 3)])
def test_no_labelling_has_less_energy(kind, grid):
    torch.manual_seed(len(kind) + 7 * grid[0] + grid[1])
    labels, costs = all_labels(*grid), random_costs(kind, 24, *grid)
    found = min_cut(*costs)
    assert found.dtype == torch.bool
    for sample, unary, down, right in zip(found, *costs, strict=True):
        total = (unary[..., 1] - unary[..., 0]).abs().sum() + down.sum() + right.sum()
        edges = unary[..., 0].numel() + down.numel() + right.numel()
        least = energies(labels, unary, down, right)
        excess = energies(sample[None], unary, down, right)[0] - least.min()
        assert excess <= edges * total / 2**29 + 1e-15 * unary.abs().sum()
        if kind == 'whole':  # not rounded, so of all the best it is the one with most true labels
            assert excess == 0
            assert sample.sum() == labels[least == least.min()].sum((1, 2)).max()


@pytest.mark.parametrize('exponent', [-600, -140, 100, 600])
def test_scale_and_company_do_not_matter(exponent):
    torch.manual_seed(2)
    costs = random_costs('signed', 6, 4, 5)
    copies = [cost.clone() for cost in costs]
    found = min_cut(*costs)
    assert all(map(torch.equal, costs, copies))
    assert torch.equal(min_cut(*(cost * 2.0**exponent for cost in costs)), found)
    for sample in range(6):
        assert torch.equal(min_cut(*(cost[sample : sample + 1] for cost in costs))[0], found[sample])
    costs[0][0] *= 2.0**40  # one sample of huge costs leaves the resolution of the others alone
    assert torch.equal(min_cut(*costs)[1:], found[1:])


def test_bad_costs_raise():
    for place, wrong, sentence in [
        (1, torch.zeros(1, 2, 2), r'\(B, h - 1, w\) .* \(1, 2, 2\)'),
        (0, torch.zeros(1, 2, 2, 1), r'\(B, h, w, 2\)'),
        (1, -torch.ones(1, 1, 2), 'at least 0'),
        (2, -torch.ones(1, 2, 1), 'at least 0'),
        (0, torch.full((1, 2, 2, 2), torch.nan), 'finite'),
        (1, torch.full((1, 1, 2), torch.inf), 'finite'),
    ]:
        costs = [torch.zeros(1, 2, 2, 2), torch.zeros(1, 1, 2), torch.zeros(1, 2, 1)]
        costs[place] = wrong
        with pytest.raises(ValueError, match=f'min_cut expects .*{sentence}'):
            min_cut(*costs)


@pytest.mark.parametrize('grid', [(1, 1), (1, 3), (3, 1), (2, 2), (2, 3)])
def test_folding_keeps_the_energy_of_every_labelling(grid):
    torch.manual_seed(3)
    (height, width), labels = grid, all_labels(*grid)
    for _ in range(8):
        unary, down, right = (
            torch.rand(1, *shape, dtype=torch.float64)
            for shape in ((height, width, 2), (height - 1, width, 2, 2), (height, width - 1, 2, 2))
        )
        costs = [unary, down + 1 - torch.eye(2), right + 1 - torch.eye(2)]
        copies = [cost.clone() for cost in costs]
        folded, alone = fold_pairs(*costs), [cost[0] for cost in costs]
        assert all(map(torch.equal, costs, copies))
        expected = energies(labels, *alone)
        torch.testing.assert_close(energies(labels, *(cost[0] for cost in folded)), expected)
        torch.testing.assert_close(energies(min_cut(*folded), *alone)[0], expected.min())


def test_a_reward_for_unequal_neighbours_is_clipped():
    rewarding = torch.eye(2).expand(1, 1, 1, 2, 2)  # equal labels cost 1, unequal ones nothing
    unary, down, _ = fold_pairs(torch.zeros(1, 2, 1, 2), rewarding, torch.zeros(1, 2, 0, 2, 2))
    assert down.item() == 0
    assert unary.tolist() == [[[[1, 1]], [[0, 0]]]]  # what is left: one for either label of the first block


def naive_seams(images, index, grid, neigh):
    """Compute seam costs by loops for images in [0, 1]."""
    (h, w), rows, columns = grid, images.shape[2] // grid[0], images.shape[3] // grid[1]
    tall, wide = np.gcd(neigh, rows), np.gcd(neigh, columns)
    down, right = torch.zeros(len(images), h - 1, w, 2, 2), torch.zeros(len(images), h, w - 1, 2, 2)
    for b, a, c, i, j in itertools.product(range(len(images)), range(2), range(2), range(h), range(w)):
        one, other = (images[b] if label else images[index[b]] for label in (a, c))
        y, x = (i + 1) * rows, (j + 1) * columns
        spans = [slice(s, s + wide) for s in range(x - columns, x, wide)]
        below = [(one[:, y - tall : y, span], other[:, y : y + tall, span]) for span in spans]
        spans = [slice(s, s + tall) for s in range(y - rows, y, tall)]
        beside = [(one[:, span, x - wide : x], other[:, span, x : x + wide]) for span in spans]
        for cost, pairs, inside in ((down, below, i + 1 < h), (right, beside, j + 1 < w)):
            if inside:
                jumps = [first.mean((1, 2)) - second.mean((1, 2)) for first, second in pairs]
                cost[b, i, j, a, c] = torch.stack(jumps).abs().mean()
    return down, right


@pytest.mark.parametrize('neigh', [1, 4, 6])
@pytest.mark.parametrize(('size', 'grid'), [((24, 36), (2, 3)), ((12, 12), (4, 2)), ((8, 6), (8, 6))])
def test_seam_costs_are_the_jumps_in_colour(neigh, size, grid):
    torch.manual_seed(4)
    images = torch.rand(3, 2, *size)
    images[0, :, 0, 0], images[1, :, -1, -1] = 0, 1  # so that the range of every channel is [0, 1]
    index = torch.tensor([2, 0, 1])
    expected = naive_seams(images, index, grid, neigh)
    torch.testing.assert_close(seam_costs(images, index, grid, neigh), expected)
    normalised = images * torch.tensor([0.2, 70.0]).view(1, 2, 1, 1) - torch.tensor([3.0, 5.0]).view(1, 2, 1, 1)
    torch.testing.assert_close(seam_costs(normalised, index, grid, neigh), expected)
