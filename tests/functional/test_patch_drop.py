from itertools import pairwise

import pytest
import torch

from mixpro_mm.functional import patch_drop

MASS = torch.tensor([[0.1, 0.4, 0.2, 0.3], [0.05, 0.05, 0.85, 0.05]])
SKEWED = torch.randn(16, 196, generator=torch.Generator().manual_seed(0)).mul(2).softmax(dim=1)


def test_salient_set_by_hand():
    """Ascending sums of the first row: 0.1, 0.3, 0.6, 1.0 at patches 0, 2, 3, 1."""
    found = {q: patch_drop.salient_set(MASS, q) for q in (0.0, 0.05, 0.4, 0.5, 0.7, 0.75, 0.95, 1.0)}
    sets = {q: [row.nonzero().flatten().tolist() for row in inside] for q, inside in found.items()}
    assert sets.pop(0.0) == [[], []] and sets.pop(1.0) == [[0, 1, 2, 3], [0, 1, 2, 3]]
    assert sets.pop(0.95) == [[0, 1, 2, 3], [1, 2, 3]]  # of equal patches, the last count as the more salient
    assert sets == {0.05: [[1], [2]], 0.4: [[1], [2]], 0.5: [[1, 3], [2]], 0.7: [[1, 3], [2]], 0.75: [[1, 2, 3], [2]]}


@pytest.mark.parametrize('mode', ['salient', 'non-salient'])
def test_what_was_dropped_stays_dropped(mode):
    assert patch_drop.drop_salient_mass(MASS, 0.5, mode)[0].tolist() == [mode != 'salient', mode == 'salient'] * 2
    sets = [patch_drop.drop_salient_mass(SKEWED, k / 20, mode) for k in range(21)]
    assert all((small <= large).all() for small, large in pairwise(sets))
    assert sets[0].sum() == 0 and sets[-1].all()
    assert len({int(dropped.sum()) for dropped in sets}) > 15


def test_counts_and_losses_are_those_of_naseer():
    counts = [patch_drop.drop_count(ratio, 196, 'naseer') for ratio in patch_drop.default_ratios('random', 'naseer')]
    assert counts == [0, 19, 39, 58, 78, 98, 117, 137, 156, 176]
    assert [patch_drop.drop_count(k / 10, 196, 'count') for k in range(11)] == [
        0,
        20,
        39,
        59,
        78,
        98,
        118,
        137,
        157,
        176,
        196,
    ]
    assert patch_drop.drop_count(0.29, 100, 'naseer') == 29  # 0.29 * 100 is 28.999999999999996
    kinds = [('salient', 'naseer'), ('salient', 'count'), ('non-salient', 'naseer')]
    assert [patch_drop.default_ratios(*kind)[::9] for kind in kinds] == [(0.1, 1.0), (0.0, 0.9), (0.0, 0.9)]

    assert patch_drop.information_loss('random', 0.1, 196, 'naseer') == 19 / 196
    assert patch_drop.information_loss('salient', 0.1, 196, 'naseer') == 0.1
    assert patch_drop.information_loss('salient', 0.1, 196, 'count') == 20 / 196


def test_random_orders_depend_on_their_seed_alone():
    orders = patch_drop.random_order(196, [7, 8, 7])
    assert torch.equal(orders[0], orders[2]) and not torch.equal(orders[0], orders[1])
    assert torch.equal(orders.sort(dim=1).values[1], torch.arange(196))
    state = torch.get_rng_state()
    assert torch.equal(patch_drop.random_order(196, [8])[0], orders[1])
    assert torch.equal(torch.get_rng_state(), state)


def test_mass_on_other_grids():
    fine = torch.arange(16.0).view(1, 4, 4)
    expected = torch.tensor([[0 + 1 + 4 + 5, 2 + 3 + 6 + 7, 8 + 9 + 12 + 13, 10 + 11 + 14 + 15]]) / 120
    torch.testing.assert_close(patch_drop.patch_mass(fine, 2), expected.double())
    coarse = torch.tensor([[[1.0, 3.0], [0.0, 4.0]]])
    rows = [[1, 1, 3, 3], [1, 1, 3, 3], [0, 0, 4, 4], [0, 0, 4, 4]]
    torch.testing.assert_close(patch_drop.patch_mass(coarse, 4), torch.tensor(rows).view(1, 16).double() / 32)


@pytest.mark.parametrize('dtype', [torch.uint8, torch.float32])
def test_blacken(dtype):
    images = torch.randint(1, 256, (2, 3, 4, 6), generator=torch.Generator().manual_seed(0)).to(dtype)
    before = images.clone()
    black = patch_drop.blacken(images, torch.tensor([[False, True, False, False], [True, False, False, True]]), 2)
    pixels = torch.zeros(2, 4, 6, dtype=torch.bool)
    pixels[0, :2, 3:] = True
    pixels[1, :2, :3] = pixels[1, 2:, 3:] = True
    assert black.dtype == dtype and torch.equal(images, before)
    assert torch.equal(black, torch.where(pixels[:, None], 0, images).to(dtype))
    shared = patch_drop.blacken(images, torch.tensor([[True, False, False, False]]), 2)
    assert (shared[:, :, :2, :3] == 0).all() and int((shared == 0).sum()) == 2 * 3 * 6
    for size in ((4, 5), (5, 4)):
        with pytest.raises(ValueError, match=f'images of {size[0]}x{size[1]} pixels are not divisible into 2x2'):
            patch_drop.blacken(torch.zeros(1, 3, *size), torch.zeros(1, 4, dtype=torch.bool), 2)
