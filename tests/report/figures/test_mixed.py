"""Tests of mixed images, of their label weights, and of models and images of a config."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.runner import set_random_seed
from mmpretrain.models import ClsDataPreprocessor
from PIL import Image
from torch.nn.functional import softmax

from mixpro_mm.report.figures import mixed
from mixpro_mm.utils import models

MIX = "model = dict(train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict({})], probs=[0.5, 0.5]))\n{}"
HOOK = "custom_hooks = [dict(type='mixpro_mm.LabelingHook', labeling='AreaLabeling')]"


@pytest.fixture
def made(config_file):
    """Return model, config and a batch of 12 random images of 10 classes."""

    def make(delta=''):
        config = models.load_config(config_file('c', delta))
        set_random_seed(0)
        return models.load_model(config), config, torch.randn(12, 3, 32, 32), torch.eye(10)[torch.arange(12) % 10]

    return make


def test_a_masked_mix_shows_the_partner_where_the_mask_is_false(made):
    model, config, images, scores = made()
    augment = mixed.choose_augment(model)
    assert type(augment).__name__ == 'MixPro'
    torch.manual_seed(0)
    shown, partner, target = mixed.mix(model, config, augment, images, scores, visible=True)
    assert torch.equal(shown, torch.where(target.mask, images, images[partner]))
    assert torch.equal(target.partner_scores, scores[partner])
    assert 0.35 < target.lam_area.mean() < 0.65 and (partner != torch.arange(12)).all()
    assert not augment.pending


def test_the_model_replaces_the_moving_average_of_a_teacher(made):
    token = "type='mixpro_mm.TokenMix', patch_size=4, teacher='ema', target='ce'"
    hooks = HOOK.replace('[', "[dict(type='EMAHook'), ")
    model, config, images, scores = made(MIX.format(token, hooks))
    _, _, target = mixed.mix(model, config, mixed.choose_augment(model), images, scores)
    torch.testing.assert_close(target.weights.sum(1), torch.ones(12))
    assert (target.weights[:, 0] - target.lam_area).abs().max() > 0.001


def test_the_two_weights_of_a_teacher_need_not_sum_to_one(made, monkeypatch):
    token = "type='mixpro_mm.TokenMix', patch_size=4, teacher='ema', target='bce'"
    model, config, _, _ = made(MIX.format(token, HOOK.replace('[', "[dict(type='EMAHook'), ")))
    seen, data, mix = [], models.build_dataset(config, 'train'), mixed.mix
    monkeypatch.setattr(mixed, 'mix', lambda *args, **kwargs: seen.append(mix(*args, **kwargs)) or seen[0])
    figure = mixed.mixed_table(model, config, mixed.choose_augment(model), data, 4, 0, 3.25)
    shown = [list(map(float, axes.get_title().split('\n')[1].split(' / '))) for axes in figure.axes[3::4]]
    np.testing.assert_allclose(shown, seen[0][2].weights, atol=0.0051)
    assert (np.sum(shown, axis=1) < 0.9).any()


def test_label_weights_follow_equations_5_8_and_9(made):
    model, config, images, scores = made()
    shown, _, target = mixed.mix(model, config, mixed.choose_augment(model), images, scores, visible=True)
    weights, maps = mixed.weigh(model, config, shown, target)
    mask = target.mask[:, 0].float()
    on_own, area = (maps * mask).sum((1, 2)) / maps.sum((1, 2)), mask.mean((1, 2))
    with torch.no_grad():
        prediction = softmax(model(shown), dim=1)
    label = area[:, None] * target.scores + (1 - area)[:, None] * target.partner_scores
    cosine = (prediction * label).sum(1) / prediction.norm(dim=1) / label.norm(dim=1)
    torch.testing.assert_close(weights.lam_attn, on_own)
    torch.testing.assert_close(weights.factor, cosine)
    torch.testing.assert_close(weights.lam, cosine * on_own + (1 - cosine) * area)
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize('normalise', [dict(mean=[10, 20, 30], std=[2, 3, 4]), {}])
@pytest.mark.parametrize('to_rgb', [True, False])
def test_pixels_come_back_as_rgb(normalise, to_rgb):
    preprocessor = ClsDataPreprocessor(to_rgb=to_rgb, **normalise)
    bgr = torch.randint(0, 256, (2, 3, 4, 5))
    images = preprocessor(dict(inputs=bgr))['inputs'].float()
    if normalise or to_rgb:  # otherwise mmpretrain keeps the channels
        found = models.to_rgb(SimpleNamespace(data_preprocessor=preprocessor), images)[1]
        np.testing.assert_allclose(found, bgr[1].flip(0).permute(1, 2, 0) / 255, atol=1e-6)


def test_a_checkpoint_must_have_every_tensor(digits):
    path, checkpoint = digits('deit')
    config, tensors = models.load_config(path), torch.load(checkpoint)['state_dict']
    config.merge_from_dict(dict(model=dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='/no/file')))))
    before = config.pretty_text
    loaded = models.load_model(config, checkpoint)
    assert all(torch.equal(value, tensors[key]) for key, value in loaded.state_dict().items())
    assert not loaded.training and config.pretty_text == before
    torch.save({k: v for k, v in tensors.items() if not k.startswith('head.')}, checkpoint)
    assert models.load_model(config, checkpoint, headless=True)
    with pytest.raises(ValueError, match=r'2 tensors are missing, such as head\.layers\.head\.weight'):
        models.load_model(config, checkpoint)


def test_an_image_file_equals_the_test_data(config_file, tmp_path):
    config = models.load_config(config_file('plain'))
    scan = models.build_dataset(config, 'test').get_data_info(7)['img']
    colored = np.stack([scan[..., 0], scan[..., 0] // 2, scan[..., 0] // 4], axis=-1)  # RGB
    Image.fromarray(colored).save(tmp_path / 'a.png')
    packed = models.read_image(config, str(tmp_path / 'a.png'))['inputs']
    assert torch.equal(packed, torch.from_numpy(colored[..., ::-1].copy()).permute(2, 0, 1))
    Image.fromarray(colored).resize((100, 80)).save(tmp_path / 'b.png')
    assert models.read_image(config, str(tmp_path / 'b.png'))['inputs'].shape == (3, 32, 32)
