"""Properties shared by PVT and CASwin."""

import subprocess
import sys

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.optim import OptimWrapper
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from tests.models.backbones import CLASSES, MICRO, PVT_ARCH, SWIN_ARCH, images, micro

BOTH = pytest.mark.parametrize('name', MICRO)


def classifier(name, **backbone):
    return dict(
        type='ImageClassifier',
        data_preprocessor=dict(num_classes=3),
        backbone=dict(type=name, **MICRO[name.split('.')[-1]][0], **backbone),
        head=dict(type='LinearClsHead', num_classes=3, in_channels=MICRO[name.split('.')[-1]][1]),
    )


@pytest.mark.parametrize(
    ('name', 'kwargs'), [('PVT', {}), ('PVT', dict(out_type='featmap')), ('CASwin', dict(drop_path_rate=0.0))]
)
def test_every_parameter_gets_a_gradient(name, kwargs):
    model = micro(name, **kwargs)
    model.train()
    sum(out.square().sum() for out in model(images(64, 64))).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@BOTH
@torch.no_grad()
def test_padding_is_zeros_at_the_bottom_and_right(name):
    model, x, padded = micro(name), images(61, 90), torch.zeros(2, 3, 64, 92)
    padded[:, :, :61, :90] = x
    assert torch.equal(model(x)[0], model(padded)[0])


RATES = [('PVT', {f'{kind}_rate': 0.5}) for kind in ('drop', 'attn_drop', 'drop_path')]
RATES += [('CASwin', dict(drop_path_rate=0.5)), ('CASwin', dict(drop_path_rate=0.0, drop_rate=0.5))]


@pytest.mark.parametrize(('name', 'rates'), RATES)
@torch.no_grad()
def test_rates_act_in_training_only(name, rates):
    model, x = micro(name, **rates), images(64, 64)
    assert torch.equal(model(x)[0], micro(name)(x)[0]) and torch.equal(model(x)[0], model(x)[0])
    model.train()
    torch.manual_seed(0)
    assert not torch.equal(model(x)[0], model(x)[0])


@pytest.mark.parametrize(('name', 'kwargs'), [('PVT', {}), ('PVT', dict(out_type='featmap')), ('CASwin', {})])
def test_pretrained_init_loads_every_tensor_and_draws_none_again(tmp_path, name, kwargs):
    source = micro(name, seed=3).state_dict()
    state_dict = {f'backbone.{key}': value for key, value in source.items()} | {'head.fc.weight': torch.ones(2, 64)}
    torch.save(dict(state_dict=state_dict), tmp_path / 'epoch_1.pth')
    pretrained = dict(type='Pretrained', checkpoint=str(tmp_path / 'epoch_1.pth'), prefix='backbone.')
    init = [dict(type='TruncNormal', layer='Linear', std=0.02), dict(type='Constant', layer='LayerNorm', val=1)]
    config = classifier(name, init_cfg=pretrained, **kwargs) | dict(init_cfg=init)
    model = MODELS.build(config)
    model.init_weights()
    for key, value in model.backbone.state_dict().items():
        expected = source[key][:, 1:] if kwargs and key == 'pos_embed4' else source[key]
        assert torch.equal(value, expected), key


@pytest.mark.parametrize('name', ['PVT', 'CASwin', 'mixpro_mm.CASwin'])
def test_image_classifier_trains_with_it(name):
    torch.manual_seed(0)
    model = MODELS.build(ConfigDict(classifier(name)))
    optim_wrapper = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=1e-3))
    samples = [DataSample().set_gt_label(i % 3) for i in range(6)]
    batch = dict(inputs=list(images(64, 64, batch=6)), data_samples=samples)
    losses = [model.train_step(batch, optim_wrapper)['loss'].item() for _ in range(5)]
    assert losses[-1] < losses[0]


KEYS = r'takes the keys embed_dims, .*missing: {}; unknown: {}\)'


@pytest.mark.parametrize(
    ('name', 'kwargs', 'message'),
    [
        ('PVT', dict(arch='huge'), "no arch 'huge'; choose one of tiny, small, medium, large, or give a dict"),
        ('PVT', dict(arch={**PVT_ARCH, 'depth': 1}), KEYS.format('none', 'depth')),
        ('PVT', dict(arch={'depths': (1,) * 4}), KEYS.format('embed_dims, mlp_ratios, num_heads, sr_ratios', 'none')),
        ('PVT', dict(arch={**PVT_ARCH, 'depths': (1, 2)}), r'4 numbers for depths, one per stage, not \[1, 2\]'),
        ('PVT', dict(arch={**PVT_ARCH, 'num_heads': (1, 3, 4, 8)}), 'stage 2: 3 heads do not divide 32 dimensions'),
        ('PVT', dict(arch={**PVT_ARCH, 'sr_ratios': (8, 4, 2, 2)}), 'class token and needs sr_ratio 1, not 2'),
        ('PVT', dict(out_type='raw'), "no out_type 'raw'; choose one of cls_token, featmap"),
        ('CASwin', dict(arch='base'), "no arch 'base'; choose one of tiny, small, or give a dict"),
        ('CASwin', dict(arch={'depths': [1]}), KEYS.format('embed_dims, num_heads', 'none')),
        ('CASwin', dict(arch={**SWIN_ARCH, 'depths': [1, 2]}), r'2 numbers for num_heads, .*, not \[1, 2, 2, 4\]'),
        ('CASwin', dict(arch={**SWIN_ARCH, 'num_heads': [1, 2, 2, 3]}), 'stage 4: 3 heads do not divide 64 dimensions'),
        ('CASwin', dict(drop_path_rate=1.0), 'drop_path_rate from 0 to below 1, not 1.0'),
        ('CASwin', dict(img_size=(192, 224)), '192x224 pixels has a map of 6x7 in stage 4, .* window of 7: give pad'),
    ],
)
def test_wrong_settings_raise(name, kwargs, message):
    with pytest.raises(ValueError, match=message) as error:
        CLASSES[name](**kwargs)
    assert '\n' not in str(error.value)


DEPTHS = {  # model -> parameters of some depths: 0 is the stem, 1 to 6 are the blocks, 7 is the rest
    'PVT': {
        0: 'patch_embed1.proj.weight pos_embed1',
        1: 'block1.0.norm1.weight patch_embed2.norm.bias',  # as Swin's merging, which counts to the stage before
        2: 'block2.0.attn.sr.weight pos_embed3',
        4: 'block3.1.mlp.fc1.weight patch_embed4.proj.weight pos_embed4 cls_token',
        6: 'block4.1.attn.kv.bias',
        7: 'norm.weight',
    },
    'CASwin': {
        0: 'patch_embed.norm.weight',
        1: 'stages.0.blocks.0.norm1.weight',
        5: 'stages.3.blocks.0.attn.w_msa.qkv.bias',
        6: 'ca_block.attn.kv.bias cls_token',
        7: 'norm3.weight',
    },
}


@BOTH
def test_drawn_parameters(name):
    torch.manual_seed(0)
    model = CLASSES[name]('tiny')
    before = {key: p.clone() for key, p in model.named_parameters()}
    model.init_weights()
    for key, p in model.named_parameters():
        assert key.endswith('bias_table') or torch.equal(p, before[key]), key  # mmpretrain's tables are drawn late
        if key.startswith('patch_embed.projection'):
            assert p.abs().max() <= (4 * 4 * 3) ** -0.5  # torch's own
        elif key.endswith('.bias'):
            assert not p.any(), key
        elif 'norm' in key:
            assert (p == 1).all(), key
        else:
            std = (2 / p.shape[0] / p[0, 0].numel()) ** 0.5 if p.dim() == 4 else 0.02
            rare = key.startswith(('cls_token', 'pos_embed')) or key.endswith('bias_table')
            assert p.std().item() == pytest.approx(std, rel=0.15 if rare else 0.1), key


@BOTH
def test_layer_depth_for_layer_wise_rates(name):
    model = micro(name)
    for depth, parameters in DEPTHS[name].items():
        for parameter in parameters.split():
            assert parameter in dict(model.named_parameters())
            assert model.get_layer_depth(f'backbone.{parameter}', 'backbone.') == (depth, 8), parameter
            assert model.get_layer_depth(parameter) == (depth, 8), parameter
    assert model.get_layer_depth('head.fc.weight', 'backbone.') == (7, 8)


@pytest.mark.long
@pytest.mark.parametrize(('toolkit', 'name'), [('mmpretrain', 'PVT'), ('mmdet', 'PVT'), ('mmpretrain', 'CASwin')])
def test_scoped_name_resolves_without_custom_imports(toolkit, name):
    code = f'from {toolkit}.registry import MODELS; print(type(MODELS.build(dict(type="mixpro_mm.{name}"))))'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert f"<class 'mixpro_mm.models.{dict(PVT='pvt', CASwin='ca_swin')[name]}.{name}'>" in done.stdout, done.stderr
