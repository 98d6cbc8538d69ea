import pytest
import torch

from mixpro_mm.functional import MixedTarget


def test_lam_area_counts_pixels_exactly():
    mask = torch.zeros(2, 1, 224, 224, dtype=torch.bool)
    mask[0, :, :64, :32] = True
    target = MixedTarget(torch.eye(2), torch.eye(2).flip(0), mask)
    assert torch.equal(target.lam_area, torch.tensor([64 * 32 / 224**2, 0.0]))
    assert target.lam_area.dtype == torch.float32


def test_blend_follows_equation_7():
    scores = torch.eye(4)[:3]
    target = MixedTarget(scores, scores.flip(0), torch.rand(3, 1, 5, 7) < 0.4)
    lam = torch.tensor([0.0, 0.25, 1.0])
    expected = torch.tensor([[0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 1, 0.0]])  # row 1 is its own partner
    assert torch.equal(target.blend(lam), expected)
    by_area = target.lam_area[:, None] * target.scores + (1 - target.lam_area[:, None]) * target.partner_scores
    assert torch.equal(target.blend(), by_area)
    half = MixedTarget(target.scores.bfloat16(), target.partner_scores.bfloat16(), target.mask)
    assert half.blend().dtype == torch.bfloat16


def test_invalid_parts_raise():
    scores, mask = torch.eye(2), torch.ones(2, 1, 4, 4, dtype=torch.bool)
    with pytest.raises(ValueError, match=r'share one shape \(B, C\), got \(2, 2\) and \(3, 3\)'):
        MixedTarget(scores, torch.eye(3), mask)
    for wrong in (mask.float(), mask[[0, 0, 0]], mask[:, 0]):
        with pytest.raises(ValueError, match=r'mask must be boolean of shape \(2, 1, H, W\)'):
            MixedTarget(scores, scores, wrong)
    with pytest.raises(ValueError, match=r'weights must have shape \(2, 2\), got \(2,\)'):
        MixedTarget(scores, scores, mask, torch.ones(2))
