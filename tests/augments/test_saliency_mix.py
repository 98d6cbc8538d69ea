import math

import pytest
import torch

from mixpro_mm.augments.saliency_mix import SaliencyMix
from mixpro_mm.functional.saliency import spectral_residual

SPOTS = [(10, 10), (50, 40), (32, 24), (14, 38), (55, 8)]


@pytest.mark.parametrize('ratio', ['batch', 'sample'])
def test_the_box_lies_around_the_spot_of_the_partner(ratio, monkeypatch):
    """Images have a constant background and one bright spot each; the box is worked out by loops."""
    torch.manual_seed(3)
    images = torch.linspace(-0.2, 0.2, 5).view(-1, 1, 1, 1).expand(-1, 3, 64, 48).clone()
    for image, (row, column) in zip(images, SPOTS, strict=True):
        image[:, row - 3 : row + 3, column - 3 : column + 3] += 1.0 + torch.rand(3, 6, 6)
    augment = SaliencyMix(ratio=ratio, partner='flip')
    lam = [0.75, 0.9, 0.3, 0.84, 0.6] if ratio == 'sample' else [0.8] * 5
    monkeypatch.setattr(augment, 'draw_ratio', lambda batch: torch.tensor(lam))
    augment(images, torch.eye(5))
    mask = augment.pop_target().mask[:, 0]
    for sample in range(5):
        partner = 4 - sample if ratio == 'sample' else 4  # one box around the peak of the first partner
        row, column = divmod(int(spectral_residual(images[partner : partner + 1]).argmax()), 48)
        half = [int(length * math.sqrt(1 - lam[sample])) // 2 for length in (64, 48)]
        expected = torch.ones(64, 48, dtype=torch.bool)
        expected[max(row - half[0], 0) : row + half[0], max(column - half[1], 0) : column + half[1]] = False
        assert torch.equal(mask[sample], expected)
        row, column = SPOTS[partner]  # the spot itself is pasted
        assert not mask[sample, row - 2 : row + 2, column - 2 : column + 2].any()
