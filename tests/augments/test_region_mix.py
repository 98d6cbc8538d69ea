import math

import pytest
import torch

from mixpro_mm.augments import RegionMix


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
