import itertools

import pytest
import torch

from mixpro_mm.functional.shuffle import SHUFFLES, shuffle_patches

PATCH, GRID, SIZE = 4, (3, 5), (12, 20)
SHUFFLED = {'none': (), 'pasted': (0,), 'canvas': (1,), 'both': (0, 1)}


def case(batch=6, dtype=torch.float32):
    """Return random images, and a mask with own, the partner's and mixed patches."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(batch, 3, *SIZE, generator=generator).to(dtype)
    mask = torch.rand(batch, 1, *SIZE, generator=generator) < 0.5
    owner = torch.randint(3, (batch, 1, *GRID), generator=generator)
    owner = owner.repeat_interleave(PATCH, dim=2).repeat_interleave(PATCH, dim=3)
    return images, torch.where(owner == 2, mask, owner == 1)


def at(images, sample, place):
    row, column = (PATCH * number for number in divmod(place, GRID[1]))
    return images[sample, :, row : row + PATCH, column : column + PATCH]


@pytest.mark.parametrize('which', SHUFFLES)
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
def test_patches_change_places_within_their_group(which, dtype):
    images, mask = case(dtype=dtype)
    copies = images.clone(), mask.clone()
    shuffled = shuffle_patches(images, mask, PATCH, which, generator=torch.Generator().manual_seed(3))
    noise = torch.rand(len(images), GRID[0] * GRID[1], generator=torch.Generator().manual_seed(3))
    expected, moved = images.clone(), 0
    for sample, label in itertools.product(range(len(images)), SHUFFLED[which]):
        group = [place for place in range(15) if set(at(mask, sample, place).flatten().tolist()) == {bool(label)}]
        source = sorted(group, key=lambda place: noise[sample, place])
        moved += source != group
        for here, there in zip(group, source, strict=True):
            at(expected, sample, here).copy_(at(images, sample, there))
    assert torch.equal(shuffled, expected) and shuffled.dtype == dtype
    assert moved > 4 * len(SHUFFLED[which]) or which == 'none'
    assert torch.equal(images, copies[0]) and torch.equal(mask, copies[1])


def test_every_order_is_equally_likely_and_samples_differ():
    images = torch.arange(4.0).view(1, 1, 2, 2).expand(4800, -1, -1, -1)
    mask = torch.ones(4800, 1, 2, 2, dtype=torch.bool)
    shuffled = shuffle_patches(images, mask, 1, 'canvas', generator=torch.Generator().manual_seed(0))
    orders, times = shuffled.flatten(1).unique(dim=0, return_counts=True)
    assert orders.tolist() == [list(order) for order in itertools.permutations(range(4))]
    assert (times - 200).abs().max() < 70  # 5 standard deviations


def test_none_draws_nothing_and_patches_must_tile_the_image():
    images, mask = case()
    before = torch.get_rng_state()
    assert shuffle_patches(images, mask, PATCH, 'none') is images
    assert shuffle_patches(images[..., 1:], mask[..., 1:], PATCH, 'none').shape[-1] == 19  # whole patches or not
    assert torch.equal(before, torch.get_rng_state())
    for cut, size in (((..., slice(2, None)), '12x18'), ((..., slice(2, None), slice(None)), '10x20')):
        with pytest.raises(ValueError, match=rf'sides that are multiples of patch_size 4, got {size} pixels'):
            shuffle_patches(images[cut], mask[cut], PATCH)
