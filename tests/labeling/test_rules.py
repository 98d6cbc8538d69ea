import re
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from mixpro_mm.functional import MixedTarget, attention_lam, random_mask, to_pixels
from mixpro_mm.labeling import AreaLabeling, AttentionLabeling, ProgressiveAttentionLabeling
from mixpro_mm.labeling.rules import FACTORS, build_labeling


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


@pytest.mark.parametrize('name', ['AttentionLabeling', 'ProgressiveAttentionLabeling'])
def test_downsample_changes_the_attention_weight_alone(name, batch):
    target, attention, grid, logits = batch
    target = replace(target, mask=target.mask.roll((3, 5), dims=(2, 3)))  # off the borders of the tokens
    by_area, by_nearest = (
        build_labeling(settings)(target, attention, grid, logits)
        for settings in (name, dict(type=name, downsample='nearest'))
    )
    assert torch.equal(by_nearest.lam_attn, attention_lam(attention, target.mask, grid, 'nearest'))
    assert torch.equal(by_nearest.lam_area, by_area.lam_area)
    assert torch.equal(by_nearest.factor, by_area.factor)
    expected = by_area.factor * by_nearest.lam_attn + (1 - by_area.factor) * by_area.lam_area
    assert torch.allclose(by_nearest.lam, expected)
    assert not torch.allclose(by_nearest.lam, by_area.lam, atol=1e-3)


def test_subclasses_with_an_init_of_their_own_average_the_area(batch):
    class Own(AttentionLabeling):
        def __init__(self):
            pass

    assert all(map(torch.equal, Own()(*batch), AttentionLabeling()(*batch)))


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
    plain = ProgressiveAttentionLabeling(smooth_target=True, label_smooth_val=0)(*batch).factor
    assert torch.equal(plain, ProgressiveAttentionLabeling()(*batch).factor)
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
    with pytest.raises(ValueError, match=r"'PAL' is unknown; known: AreaLabeling, AttentionLabeling, Progress"):
        build_labeling('PAL')
    with pytest.raises(TypeError, match=r'^labeling must be a name or dict\(type=name, \.\.\.\), got 3$'):
        build_labeling(3)
    with pytest.raises(TypeError, match='detached'):
        build_labeling(dict(type='ProgressiveAttentionLabeling', detached=True))


def test_area_labeling_keeps_labels(batch):
    target, _, _, logits = batch
    weights = AreaLabeling()(target, None, None, logits)
    assert weights == (None, target.lam_area, None, None)
    assert AreaLabeling.uses_attention is False


@pytest.mark.parametrize(('strategy', 'power'), [('linear', 1), ('parabolic', 2)])
@pytest.mark.parametrize('progress', [None, 0.3, 1.0])
def test_schedules_follow_the_progress(strategy, power, progress, batch):
    target, attention, grid, _ = batch
    rule = ProgressiveAttentionLabeling(factor=strategy)
    if progress is not None:
        rule.progress = progress
    factor = (progress or 0.0) ** power
    weights = rule(*batch)
    assert torch.allclose(weights.factor, torch.full((6,), factor))
    lam_attn = attention_lam(attention, target.mask, grid)
    assert torch.allclose(weights.lam, factor * lam_attn + (1 - factor) * target.lam_area)


def test_options_of_the_cosine_apply_to_it_only(batch):
    batch[-1].requires_grad_()
    equal = ProgressiveAttentionLabeling(factor='equal')(*batch)
    assert all(map(torch.equal, equal, AttentionLabeling()(*batch)))
    for strategy in ('equal', 'linear', 'parabolic'):
        plain = ProgressiveAttentionLabeling(factor=strategy)
        other = ProgressiveAttentionLabeling(False, True, 0.5, factor=strategy)
        plain.progress = other.progress = 0.4
        assert all(map(torch.equal, plain(*batch), other(*batch)))
        assert not other(*batch).lam.requires_grad


def test_the_learned_factor_carries_gradient(batch):
    target, attention, grid, _ = batch
    rule = ProgressiveAttentionLabeling(factor='learnable')
    with pytest.raises(ValueError, match=r"^factor='learnable' needs LabelingHook"):
        rule(*batch)
    parameter = torch.tensor([0.2], requires_grad=True)
    rule.learned = lambda: parameter * 2
    weights = rule(*batch)
    lam_attn = attention_lam(attention, target.mask, grid)
    assert torch.equal(weights.factor, torch.full((6,), 0.4))
    assert torch.allclose(weights.lam, 0.4 * lam_attn + 0.6 * target.lam_area)
    (gradient,) = torch.autograd.grad(weights.lam.sum(), parameter)
    assert gradient.item() == pytest.approx(2 * (lam_attn - target.lam_area).sum().item(), rel=1e-5)


def test_only_the_learnable_strategy_asks_for_a_parameter():
    asked = {name: ProgressiveAttentionLabeling(factor=name).uses_learned for name in FACTORS}
    assert asked == dict(cosine=False, equal=False, learnable=True, linear=False, parabolic=False)
    assert not hasattr(AttentionLabeling(), 'uses_learned')


@pytest.mark.parametrize(
    'wrong',
    [
        *(dict(label_smooth_val=value) for value in (None, '0.1', False, 1.5, -0.1)),
        *(dict(detach=value) for value in ('False', None)),
        dict(smooth_target=7e16),
        *(dict(factor=value) for value in (['cosine'], None, 'sine')),
        *(dict(downsample=value) for value in ('bilinear', None, True)),
    ],
    ids=str,
)
def test_invalid_arguments_raise(wrong):
    ((name, value),) = wrong.items()
    for kind in ('AttentionLabeling', 'ProgressiveAttentionLabeling')[name != 'downsample' :]:
        with pytest.raises(ValueError, match=f'^{name} .*{re.escape(str(value))}') as error:
            build_labeling(dict(type=kind, **wrong))
    known = dict(factor='cosine, equal, learnable, linear, parabolic', downsample='area, nearest')
    assert str(error.value).endswith(f'; known: {known[name]}' if name in known else repr(value))
