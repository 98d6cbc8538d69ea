import math

import pytest
import torch

from mixpro_mm.augments.saliency_mix import SaliencyMix
from mixpro_mm.functional.saliency import spectral_residual

SIZE = (64, 48)


def spotted(spots, size=SIZE):
    """Return images with a constant ground and one bright spot each."""
    images = torch.linspace(-0.2, 0.2, len(spots)).view(-1, 1, 1, 1).expand(-1, 3, *size).clone()
    for image, (row, column) in zip(images, spots, strict=True):
        image[:, row - 3 : row + 3, column - 3 : column + 3] += 1.0 + torch.rand(3, 6, 6)
    return images


def boxes(images, lam):
    """Return the expected masks by loops, one per image, around the peak of its map."""
    height, width = images.shape[2:]
    masks = torch.ones(len(images), 1, height, width, dtype=torch.bool)
    for mask, saliency, share in zip(masks, spectral_residual(images), lam, strict=True):
        row, column = divmod(int(saliency.argmax()), width)
        half = [int(length * math.sqrt(1 - share)) // 2 for length in (height, width)]
        for y in range(height):
            for x in range(width):
                if row - half[0] <= y < row + half[0] and column - half[1] <= x < column + half[1]:
                    mask[0, y, x] = False
    return masks


SPOTS = [(10, 10), (50, 40), (32, 24), (14, 38), (55, 8)]


@pytest.mark.parametrize('ratio', ['batch', 'sample'])
@pytest.mark.parametrize('partner', ['permutation', 'flip'])
def test_the_box_lies_around_the_partner_s_spot(ratio, partner, monkeypatch):
    torch.manual_seed(3)
    images, scores = spotted(SPOTS), torch.eye(5)
    augment = SaliencyMix(ratio=ratio, partner=partner)
    seen = {}
    draw_mask = augment.draw_mask
    lam = [0.75, 0.9, 0.3, 0.84, 0.6] if ratio == 'sample' else [0.8] * 5
    monkeypatch.setattr(augment, 'draw_ratio', lambda batch: torch.tensor(lam))
    monkeypatch.setattr(augment, 'draw_mask', lambda x, index: draw_mask(x, seen.setdefault('index', index)))
    mixed, blended = augment(images, scores)
    index, mask = seen['index'], augment.pop_target().mask
    wanted = boxes(images[index], lam)
    assert torch.equal(mask, wanted if ratio == 'sample' else wanted[:1].expand(5, -1, -1, -1))
    assert torch.equal(mixed, torch.where(mask, images, images[index]))
    share = mask.float().mean(dim=(1, 2, 3))[:, None]
    assert torch.allclose(blended, share * scores + (1 - share) * scores[index])
    partners = range(5) if ratio == 'sample' else [0]
    for sample in partners:  # the spot itself came along
        row, column = SPOTS[index[sample]]
        assert not mask[sample, 0, row - 2 : row + 2, column - 2 : column + 2].any()
