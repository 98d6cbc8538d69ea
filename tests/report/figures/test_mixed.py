"""What a mix says of itself, against the pixels."""

import pytest
import torch
from mmengine.runner import set_random_seed
from torch.nn.functional import softmax

from mixpro_mm.attention import ClassAttentionTap
from mixpro_mm.visualize import batch
from mixpro_mm.report.figures.models import build_model, read_config

MIX = "model = dict(train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict({})], probs=[0.5, 0.5]))\n{}"
HOOK = "custom_hooks = [dict(type='mixpro_mm.LabelingHook', labeling='{}')]"


@pytest.fixture
def made(config_file):
    """Model, config and a batch of 12 random images of 10 classes."""

    def make(delta=''):
        config = read_config(config_file('c', delta))
        set_random_seed(0)
        return build_model(config), config, torch.randn(12, 3, 32, 32), torch.eye(10)[torch.arange(12) % 10]

    return make


def test_the_partner_of_the_hosts_cutmix_is_the_one_in_the_box(made):
    model, config, images, scores = made(MIX.format("type='CutMix', alpha=1.0", 'custom_hooks = []'))
    before = images.clone()
    found = batch.mix(model, config, batch.choose_augment(model, 'CutMix'), images, scores, shown=12)
    assert torch.equal(images, before) and found.target is None
    own, other = (found.mixed == images).all(1), (found.mixed == images[found.partner]).all(1)
    assert (own ^ other).all()  # random images share no pixel
    torch.testing.assert_close(own.float().mean((1, 2)), found.weights[:, 0])
    torch.testing.assert_close(found.weights.sum(1), torch.ones(12))


def test_the_partner_and_weights_of_the_hosts_mixup_give_its_images(made):
    model, config, images, scores = made(MIX.format("type='CutMix', alpha=1.0", 'custom_hooks = []'))
    found = batch.mix(model, config, batch.choose_augment(model), images, scores)
    own, partner = found.weights[:, :, None, None, None].unbind(1)
    torch.testing.assert_close(found.mixed, own * images + partner * images[found.partner])


@pytest.mark.parametrize('seed', range(4))
def test_a_masked_mix_shows_the_partner_where_the_mask_is_false(made, seed):
    model, config, images, scores = made()
    augment = batch.choose_augment(model)
    assert type(augment).__name__ == 'MixPro'
    torch.manual_seed(seed)
    found = batch.mix(model, config, augment, images, scores, shown=5)
    assert torch.equal(found.mixed, torch.where(found.target.mask, images, images[found.partner]))
    assert torch.equal(found.target.partner_scores, scores[found.partner])
    assert 0.35 < found.target.lam_area[:5].mean() < 0.65 and (found.partner[:5] != torch.arange(5)).all()
    assert not augment.pending and 'mix' not in vars(augment)
    part = found.first(3)
    assert torch.equal(part.mixed, torch.where(part.target.mask, images[:3], part.images[part.partner]))
    assert len(part.weights) == len(part.target.scores) == 3


def test_without_shown_the_first_draw_is_taken(made):
    model, config, images, scores = made()
    shares = []
    for seed in range(12):
        torch.manual_seed(seed)
        found = batch.mix(model, config, batch.choose_augment(model), images, scores)
        shares.append(found.target.lam_area[0].item())
    assert min(shares) < 0.35 and max(shares) > 0.65


def test_a_teacher_that_is_the_moving_average_is_the_model_itself(made):
    token = "type='mixpro_mm.TokenMix', patch_size=4, teacher='ema', target='ce'"
    hooks = "custom_hooks = [dict(type='EMAHook'), dict(type='mixpro_mm.LabelingHook', labeling='AreaLabeling')]"
    model, config, images, scores = made(MIX.format(token, hooks))
    augment = batch.choose_augment(model)
    found = batch.mix(model, config, augment, images, scores)
    torch.testing.assert_close(found.weights.sum(1), torch.ones(12))
    assert (found.weights[:, 0] - found.target.lam_area).abs().max() > 0.001
    model, config, images, scores = made(MIX.format(token, HOOK.format('AreaLabeling')))
    with pytest.raises(ValueError, match='keeps no moving average'):
        batch.mix(model, config, batch.choose_augment(model), images, scores)


def test_labels_are_weighed_by_equations_5_8_and_9(made):
    model, config, images, scores = made()
    found = batch.mix(model, config, batch.choose_augment(model), images, scores, shown=4).first(4)
    weights, maps = batch.weigh(model, config, found)
    mask = found.target.mask[:, 0].float()
    on_own = (maps * mask).sum((1, 2)) / maps.sum((1, 2))
    with torch.no_grad():
        prediction = softmax(model(found.mixed), dim=1)
    area = mask.mean((1, 2))
    label = area[:, None] * found.target.scores + (1 - area)[:, None] * found.target.partner_scores
    cosine = (prediction * label).sum(1) / prediction.norm(dim=1) / label.norm(dim=1)
    torch.testing.assert_close(weights.lam_attn, on_own)
    torch.testing.assert_close(weights.factor, cosine)
    torch.testing.assert_close(weights.lam, cosine * on_own + (1 - cosine) * area)
    assert not any(module._forward_hooks for module in model.modules())


def test_area_labels_ask_for_no_attention(made, monkeypatch):
    model, config, images, scores = made(HOOK.format('AreaLabeling'))
    found = batch.mix(model, config, batch.choose_augment(model), images, scores)
    monkeypatch.setattr(ClassAttentionTap, 'attach', lambda *args: pytest.fail('the attention was read'))
    weights, maps = batch.weigh(model, config, found)
    assert maps is None and weights.lam is None and weights.factor is None


def test_augments_are_chosen_by_name_or_by_their_open_labels(made):
    model = made()[0]
    assert type(batch.choose_augment(model, 'mixpro_mm.MixPro')).__name__ == 'MixPro'
    assert type(batch.choose_augment(model, 'mixup')).__name__ == 'Mixup'
    with pytest.raises(ValueError, match='no augment CutMix; it has Mixup, MixPro'):
        batch.choose_augment(model, 'CutMix')
    with pytest.raises(ValueError, match='mixes no images'):
        batch.choose_augment(made('model = dict(train_cfg=None)\ncustom_hooks = []')[0])
