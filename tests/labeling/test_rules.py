import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from mixpro_mm.labeling import AttentionLabeling, ProgressiveAttentionLabeling, attention_lam
from mixpro_mm.labeling.rules import build_labeling
from mixpro_mm.mixing import MixedTarget, random_mask, to_pixels


@pytest.fixture
def batch():
    torch.manual_seed(0)
    scores = F.one_hot(torch.randint(10, (6,)), 10).float()
    mask = to_pixels(random_mask(torch.full((6,), 3), (2, 4)), 16, (32, 64))
    return MixedTarget(scores, scores[torch.randperm(6)], mask), torch.rand(6, 8), (2, 4), torch.randn(6, 10)


def test_transmix_is_the_mean_of_area_and_attention(batch):
    target, attention, grid, _ = batch
    weights = AttentionLabeling()(*batch)
    lam_attn = attention_lam(attention, target.mask, grid)
    assert torch.equal(weights.lam_attn, lam_attn)
    assert torch.allclose(weights.lam, (target.lam_area + lam_attn) / 2)


def test_pal_by_hand(batch):
    target, attention, _, logits = batch
    weights = ProgressiveAttentionLabeling()(*batch)
    tokens = F.avg_pool2d(target.mask.float(), 16).flatten(1)
    lam_attn = (attention * tokens).sum(1) / attention.sum(1)
    area = target.mask.float().mean((1, 2, 3))[:, None]
    mixed = area * target.scores + (1 - area) * target.partner_scores
    p = logits.softmax(1)
    factor = (p * mixed).sum(1) / p.norm(dim=1) / mixed.norm(dim=1)
    assert torch.allclose(weights.factor, factor, atol=1e-6)
    assert torch.allclose(weights.lam, factor * lam_attn + (1 - factor) * area[:, 0], atol=1e-6)


@pytest.mark.parametrize('detach', [True, False])
def test_detach_decides_whether_the_factor_carries_gradient(batch, detach):
    target, attention, grid, logits = batch
    logits.requires_grad_()
    weights = ProgressiveAttentionLabeling(detach=detach)(target, attention, grid, logits)
    assert weights.lam.requires_grad is not detach


def test_smooth_target_compares_with_the_smoothed_label(batch):
    target, _, _, logits = batch
    smoothed = ProgressiveAttentionLabeling(smooth_target=True, label_smooth_val=0.2)(*batch).factor
    mixed = target.blend() * 0.8 + 0.2 / 10
    assert torch.allclose(smoothed, F.cosine_similarity(logits.softmax(1), mixed), atol=1e-6)
    assert not torch.allclose(smoothed, ProgressiveAttentionLabeling()(*batch).factor, atol=1e-3)


def test_build_labeling_takes_names_dicts_and_callables():
    assert isinstance(build_labeling('AttentionLabeling'), AttentionLabeling)
    settings = dict(type='mixpro_mm.ProgressiveAttentionLabeling', detach=False)
    assert build_labeling(settings).detach is False
    assert settings == dict(type='mixpro_mm.ProgressiveAttentionLabeling', detach=False)
    rule = AttentionLabeling()
    assert build_labeling(rule) is rule


def test_unknown_labelings_list_the_known_ones():
    with pytest.raises(ValueError, match=r"'PAL' is unknown; known: AttentionLabeling, ProgressiveAttentionLabeling"):
        build_labeling('PAL')
    with pytest.raises(TypeError, match='must be a name or dict'):
        build_labeling(3)
    with pytest.raises(ValueError, match=r'label_smooth_val must lie in \[0, 1\), got 1.5'):
        build_labeling(dict(type='ProgressiveAttentionLabeling', label_smooth_val=1.5))
