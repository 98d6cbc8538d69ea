import math

import pytest
import torch

from mixpro_mm.augments import RegionMix
from tests.augments.kit import unique_batch


@pytest.mark.parametrize('ratio', ['batch', 'sample'])
@pytest.mark.parametrize('size', [(64, 48), (33, 50)])
def test_without_align_the_boxes_are_those_of_cutmix(ratio, size):
    images, scores = torch.rand(6, 3, *size), torch.eye(6)
    torch.manual_seed(5)
    mixed, blended = RegionMix(ratio=ratio)(images, scores)
    state = torch.get_rng_state()
    torch.manual_seed(5)
    index = torch.randperm(6)
    boxes = 6 if ratio == 'sample' else 1
    lam = torch.distributions.Beta(1.0, 1.0).sample((boxes,))
    centres = [(torch.rand(boxes) * length).int().tolist() for length in size]
    assert torch.equal(state, torch.get_rng_state())
    expected, area = images.clone(), torch.zeros(6, 1)
    for sample in range(6):
        box = []
        for length, centre in zip(size, centres, strict=True):
            half = int(length * math.sqrt(1 - lam[sample % boxes].double())) // 2
            box.append(slice(max(centre[sample % boxes] - half, 0), centre[sample % boxes] + half))
        expected[sample, :, box[0], box[1]] = images[index[sample], :, box[0], box[1]]
        area[sample] = 1 - images[sample, 0, box[0], box[1]].numel() / (size[0] * size[1])
    assert torch.equal(mixed, expected)
    assert torch.allclose(blended, area * scores + (1 - area) * scores[index])


@pytest.mark.parametrize('partner', ['permutation', 'flip'])
@pytest.mark.parametrize('ratio', ['batch', 'sample'])
@pytest.mark.parametrize('size', [(64, 48), (40, 61)])
def test_aligned_boxes_leave_every_patch_to_one_image(partner, ratio, size):
    torch.manual_seed(0)
    augment = RegionMix(align=16, ratio=ratio, partner=partner)
    areas = []
    for _ in range(10):
        augment(*unique_batch(7, size))
        mask = augment.pop_target().mask
        for strip in mask.split(16, dim=2):
            for patch in strip.split(16, dim=3):
                assert torch.equal(patch.amax((1, 2, 3)), patch.amin((1, 2, 3)))
        rows, columns = (~mask).any(3).sum(2), (~mask).any(2).sum(2)
        assert torch.equal((~mask).sum((1, 2, 3)), (rows * columns)[:, 0])  # still one box
        areas.append(mask.flatten(1).float().mean(1))
    areas = torch.stack(areas)
    assert (areas < 1).any(1).sum() >= 6
    assert (areas == areas[:, :1]).all() == (ratio == 'batch')


def test_align_draws_the_boxes_that_are_drawn_without_it():
    images, scores = unique_batch(16, (64, 64))
    seen = []
    for align in (None, 1, 8):
        torch.manual_seed(3)
        augment = RegionMix(align=align, ratio='sample')
        augment(images, scores)
        seen.append((augment.pop_target().mask, torch.get_rng_state()))
    assert torch.equal(seen[0][0], seen[1][0])
    assert torch.equal(seen[0][1], seen[2][1])
    changed = (seen[0][0] != seen[2][0]).flatten(1)
    assert changed.any()
    assert changed.sum(1).max() <= 4 * 64 * 4  # four borders by at most half a patch
