import pytest
import torch

from mixpro_mm.functional import MixedTarget


def make(batch=3, classes=4, size=(5, 7)):
    scores = torch.eye(classes)[torch.arange(batch)]
    mask = torch.rand(batch, 1, *size) < 0.4
    return MixedTarget(scores, scores.flip(0), mask)


def test_lam_area_counts_pixels_exactly():
    mask = torch.zeros(2, 1, 224, 224, dtype=torch.bool)
    mask[0, :, :64, :32] = True
    target = MixedTarget(torch.eye(2), torch.eye(2).flip(0), mask)
    assert torch.equal(target.lam_area, torch.tensor([64 * 32 / 224**2, 0.0]))
    assert target.lam_area.dtype == torch.float32


def test_blend_follows_equation_7():
    target = make()
    lam = torch.tensor([0.0, 0.25, 1.0])
    expected = torch.tensor([[0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 1, 0.0]])  # row 1 is its own partner
    assert torch.equal(target.blend(lam), expected)
    by_area = target.lam_area[:, None] * target.scores + (1 - target.lam_area[:, None]) * target.partner_scores
    assert torch.equal(target.blend(), by_area)
    half = MixedTarget(target.scores.bfloat16(), target.partner_scores.bfloat16(), target.mask)
    assert half.blend().dtype == torch.bfloat16


@pytest.mark.parametrize(
    ('scores', 'partner', 'mask', 'sentence'),
    [
        (torch.eye(2), torch.eye(3), torch.ones(2, 1, 4, 4, dtype=torch.bool), 'share one shape'),
        (torch.eye(2), torch.eye(2), torch.ones(2, 1, 4, 4), 'mask must be boolean'),
        (torch.eye(2), torch.eye(2), torch.ones(3, 1, 4, 4, dtype=torch.bool), 'mask must be boolean'),
        (torch.eye(2), torch.eye(2), torch.ones(2, 4, 4, dtype=torch.bool), 'mask must be boolean'),
    ],
)
def test_invalid_parts_raise(scores, partner, mask, sentence):
    with pytest.raises(ValueError, match=sentence):
        MixedTarget(scores, partner, mask)
