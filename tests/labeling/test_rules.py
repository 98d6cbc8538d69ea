import itertools
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


def mixed(target, attention, grid, factor, downsample='area'):
    lam_attn = attention_lam(attention, target.mask, grid, downsample)
    return factor * lam_attn + (1 - factor) * target.lam_area


@pytest.mark.parametrize('name', ['AttentionLabeling', 'ProgressiveAttentionLabeling'])
def test_downsample_changes_the_attention_weight_alone(name, batch):
    target, attention, grid, logits = batch
    target = replace(target, mask=target.mask.roll((3, 5), dims=(2, 3)))  # off the borders of the tokens
    by_area = build_labeling(name)(target, attention, grid, logits)
    by_nearest = build_labeling(dict(type=name, downsample='nearest'))(target, attention, grid, logits)
    assert torch.equal(by_nearest.lam_attn, attention_lam(attention, target.mask, grid, 'nearest'))
    assert torch.equal(by_nearest.lam_area, by_area.lam_area)
    assert torch.equal(by_nearest.factor, by_area.factor)
    assert torch.allclose(by_nearest.lam, mixed(target, attention, grid, by_area.factor, 'nearest'))
    assert not torch.allclose(by_nearest.lam, by_area.lam, atol=1e-3)


@pytest.mark.parametrize('detach', [True, False])
def test_pal_by_hand(detach, batch):
    target, attention, _, logits = batch
    logits.requires_grad_()
    weights = ProgressiveAttentionLabeling(detach)(*batch)
    assert weights.lam.requires_grad is not detach
    tokens = F.avg_pool2d(target.mask.float(), 16).flatten(1)
    lam_attn = (attention * tokens).sum(1) / attention.sum(1)
    area = target.mask.float().mean((1, 2, 3))[:, None]
    mixed = area * target.scores + (1 - area) * target.partner_scores
    p = logits.softmax(1)
    factor = (p * mixed).sum(1) / p.norm(dim=1) / mixed.norm(dim=1)
    assert torch.allclose(weights.factor, factor, atol=1e-6)
    assert torch.allclose(weights.lam, factor * lam_attn + (1 - factor) * area[:, 0], atol=1e-6)


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
    with pytest.raises(ValueError, match=r"'PAL' is unknown; known: AreaLabeling, AttentionLabeling, Progress"):
        build_labeling('PAL')
    with pytest.raises(TypeError, match=r'^labeling must be a name or dict\(type=name, \.\.\.\), got 3$'):
        build_labeling(3)
    with pytest.raises(TypeError, match='detached'):
        build_labeling(dict(type='ProgressiveAttentionLabeling', detached=True))


def test_area_labeling_keeps_labels(batch):
    rule = AreaLabeling()
    assert rule(batch[0], None, None, batch[3]) == (None, batch[0].lam_area, None, None) and not rule.uses_attention


@pytest.mark.parametrize('options', [(), (False, True, 0.5)])  # of the cosine, which do not apply
@pytest.mark.parametrize(('strategy', 'late'), [('equal', 0.5), ('linear', 0.3), ('parabolic', 0.09)])
def test_factors_that_do_not_depend_on_the_prediction(options, strategy, late, batch):
    batch[-1].requires_grad_()
    rule = ProgressiveAttentionLabeling(*options, factor=strategy)
    for expected in (0.5 if strategy == 'equal' else 0.0, late):
        weights = rule(*batch)
        rule.progress = 0.3
        assert torch.allclose(weights.factor, torch.full((6,), expected))
        assert torch.allclose(weights.lam, mixed(*batch[:3], expected)) and not weights.lam.requires_grad
    if strategy == 'equal':
        assert all(map(torch.equal, weights, AttentionLabeling()(*batch)))


def test_the_learned_factor_carries_gradient(batch):
    target, attention, grid, _ = batch
    rule = ProgressiveAttentionLabeling(factor='learnable')
    asked = {name for name in FACTORS if ProgressiveAttentionLabeling(factor=name).uses_learned}
    assert asked == {'learnable'} and not hasattr(AttentionLabeling(), 'uses_learned')
    with pytest.raises(ValueError, match=r"^factor='learnable' needs LabelingHook"):
        rule(*batch)
    parameter = torch.tensor([0.2], requires_grad=True)
    rule.learned = lambda: parameter * 2
    weights = rule(*batch)
    assert torch.equal(weights.factor, torch.full((6,), 0.4))
    assert torch.allclose(weights.lam, mixed(target, attention, grid, 0.4))
    (gradient,) = torch.autograd.grad(weights.lam.sum(), parameter)
    assert gradient.item() == pytest.approx(2 * (weights.lam_attn - target.lam_area).sum().item(), rel=1e-5)


KNOWN = dict(factor='cosine, equal, learnable, linear, parabolic', downsample='area, nearest')
WRONG = dict(label_smooth_val=(None, '0.1', False, 1.5, 1, -0.1), detach=('False', None), smooth_target=(7e16,))
WRONG |= dict(factor=(['cosine'], None, 'sine'), downsample=('bilinear', None, True))


@pytest.mark.parametrize('name', WRONG)
def test_invalid_arguments_raise(name):
    kinds = ('AttentionLabeling', 'ProgressiveAttentionLabeling')[name != 'downsample' :]
    for value, kind in itertools.product(WRONG[name], kinds):
        with pytest.raises(ValueError, match=f'^{name} .*{re.escape(str(value))}') as error:
            build_labeling({'type': kind, name: value})
        assert str(error.value).endswith(f'; known: {KNOWN[name]}' if name in KNOWN else repr(value))
