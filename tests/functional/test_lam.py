import itertools
import math

import pytest
import torch

from mixpro_mm.functional import attention_lam, combine, cosine_factor, random_mask, to_pixels
from mixpro_mm.functional.lam import linear_factor, parabolic_factor


@pytest.mark.parametrize(
    ('box', 'area', 'nearest'),  # tokens of 16 px; attention 0.1, 0.2, 0.3, 0.4
    [
        ((0, 16, 0, 32), 0.3, 0.3),  # the upper two tokens: aligned
        ((0, 8, 0, 32), 0.15, 0.3),  # half of them, with their first pixels
        ((1, 16, 0, 32), 0.28125, 0.0),  # 15 of 16 rows, without them
        ((8, 24, 8, 32), 0.1 / 4 + 0.2 / 2 + 0.3 / 4 + 0.4 / 2, 0.4),
    ],
)
def test_tokens_on_a_border_by_hand(box, area, nearest):
    # the class token keeps the rest for itself
    attention, mask = 0.8 * torch.tensor([[0.1, 0.2, 0.3, 0.4]]), torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    top, bottom, left, right = box
    mask[..., top:bottom, left:right] = True
    assert attention_lam(attention, mask, (2, 2)).item() == pytest.approx(area)
    assert attention_lam(attention, mask, (2, 2), 'nearest').item() == pytest.approx(nearest)


def test_non_square_grids_are_row_major():
    mask = torch.zeros(1, 1, 32, 48, dtype=torch.bool)
    mask[..., :16, 32:] = True  # the last token of the first of two rows
    assert attention_lam(torch.eye(6)[2:3], mask, (2, 3)).item() == 1.0


@pytest.mark.parametrize('downsample', ['area', 'nearest'])
def test_lam_stays_finite_and_in_range_and_falls_back_to_the_area(downsample):
    for scale, fill in itertools.product((0.0, 1e-44, 1e-38, 1.0, 1e37), (True, False)):
        mask = torch.full((2, 1, 16, 16), fill)
        lam = attention_lam(torch.full((2, 16), scale), mask, (4, 4), downsample)
        assert torch.equal(lam, torch.full((2,), float(fill)))
    mask[..., :3, :] = True
    assert attention_lam(torch.zeros(2, 16), mask, (4, 4), downsample).tolist() == [3 / 16] * 2


def test_half_precision_attention_is_computed_in_fp32_and_other_grids_and_batches_raise():
    attention = torch.rand(2, 196, dtype=torch.bfloat16)
    mask = to_pixels(random_mask(torch.tensor([5, 5]), (7, 7)), 32, (224, 224))
    lam = attention_lam(attention, mask, (14, 14))
    assert lam.dtype == torch.float32 and torch.equal(lam, attention_lam(attention.float(), mask, (14, 14)))
    for grid, batch in (((3, 5), 2), ((14, 13), 2), ((14, 14), 3)):
        found = f'196 attention weights of 2 samples do not fit a {grid[0]}x{grid[1]} token grid and masks of {batch}'
        with pytest.raises(ValueError, match=found):
            attention_lam(torch.rand(2, 196), torch.ones(batch, 1, 224, 224, dtype=torch.bool), grid)


def test_cosine_factor_by_hand_and_at_its_ends():
    logits, target = torch.tensor([[0.6, 0.3, 0.1]]).log(), torch.tensor([[0.75, 0.25, 0.0]])
    dot = 0.6 * 0.75 + 0.3 * 0.25
    norms = math.sqrt(0.36 + 0.09 + 0.01) * math.sqrt(0.75**2 + 0.25**2)
    assert cosine_factor(logits, target).item() == pytest.approx(dot / norms, rel=1e-6)
    target = torch.eye(3)
    assert torch.allclose(cosine_factor(target * 1e3, target), torch.ones(3))
    assert cosine_factor(torch.randn(3, 3), torch.zeros(3, 3)).tolist() == [0, 0, 0]
    assert cosine_factor(torch.full((3, 3), 1e4), target).isfinite().all()


def test_cosine_factor_computes_in_fp32_whatever_comes_in():
    logits, target = torch.randn(4, 10).bfloat16(), torch.eye(10)[:4]
    expected = cosine_factor(logits.float(), target)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        inside = cosine_factor(logits, target)
    for factor in (cosine_factor(logits, target.bfloat16()), inside):
        assert factor.dtype == torch.float32 and torch.equal(factor, expected)


def test_equation_9_and_the_schedules_by_hand():
    area, attn = torch.tensor([0.2, 0.8]), torch.tensor([0.6, 0.4])
    assert torch.allclose(combine(area, attn, torch.tensor([0.25, 1.0])), torch.tensor([0.3, 0.4]))
    assert torch.equal(combine(area, attn, 0.0), area)
    assert [linear_factor(t / 4) for t in range(5)] == [0, 0.25, 0.5, 0.75, 1]
    assert [parabolic_factor(t / 4) for t in range(5)] == [0, 0.0625, 0.25, 0.5625, 1]
    for schedule, progress in itertools.product((linear_factor, parabolic_factor), (-0.1, 1.5, math.nan)):
        with pytest.raises(ValueError, match=rf'^progress must lie in \[0, 1\], got {progress}'):
            schedule(progress)
