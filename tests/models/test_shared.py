"""Properties shared by PVT and CASwin."""

import subprocess
import sys

import pytest
import torch
from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.config import ConfigDict
from mmengine.optim import OptimWrapper
from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS
from mmpretrain.structures import DataSample

from mixpro_mm.models import PVT, CASwin

PVT_ARCH = dict(
    embed_dims=(16, 32, 64, 128), num_heads=(1, 2, 4, 8), mlp_ratios=(4, 4, 2, 2), depths=(1, 1, 2, 2),
    sr_ratios=(8, 4, 2, 1),
)  # fmt: skip
SWIN_ARCH = dict(embed_dims=8, depths=[1, 1, 2, 2], num_heads=[1, 2, 2, 4])
MICRO = {  # class -> (arguments, channels of the class token)
    'PVT': (dict(arch=PVT_ARCH, img_size=64), 128),
    'CASwin': (dict(arch=SWIN_ARCH, img_size=64, window_size=2), 64),
}
CLASSES = dict(PVT=PVT, CASwin=CASwin)
BOTH = pytest.mark.parametrize('name', MICRO)


def micro(name, seed=0, **kwargs):
    """Return the model in eval mode with noise on all parameters."""
    torch.manual_seed(seed)
    model = CLASSES[name](**{**MICRO[name][0], **kwargs})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    model.eval()  # returns None in mmpretrain
    return model


def images(*size, batch=2):
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(1))


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


@pytest.mark.parametrize(
    ('name', 'rates'),
    [
        ('PVT', dict(drop_path_rate=0.5)),
        ('PVT', dict(drop_rate=0.5)),
        ('PVT', dict(attn_drop_rate=0.5)),
        ('CASwin', dict(drop_path_rate=0.5)),
        ('CASwin', dict(drop_path_rate=0.0, drop_rate=0.5)),
    ],
)
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
    model = MMPRETRAIN_MODELS.build(config)
    model.init_weights()
    for key, value in model.backbone.state_dict().items():
        expected = source[key][:, 1:] if kwargs and key == 'pos_embed4' else source[key]
        assert torch.equal(value, expected), key


@pytest.mark.parametrize('name', ['PVT', 'CASwin', 'mixpro_mm.CASwin'])
def test_image_classifier_trains_with_it(name):
    torch.manual_seed(0)
    model = MMPRETRAIN_MODELS.build(ConfigDict(classifier(name)))
    assert type(model.backbone) is CLASSES[name.split('.')[-1]]
    model.init_weights()
    before = {name: p.clone() for name, p in model.named_parameters()}
    optim_wrapper = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=1e-3))
    samples = [DataSample().set_gt_label(i % 3) for i in range(6)]
    batch = dict(inputs=list(images(64, 64, batch=6)), data_samples=samples)
    losses = [model.train_step(batch, optim_wrapper)['loss'].item() for _ in range(5)]
    assert losses[-1] < losses[0]
    assert [name for name, p in model.named_parameters() if torch.equal(p, before[name])] == []


@pytest.mark.parametrize('registry', [MMPRETRAIN_MODELS, MMDET_MODELS], ids=['mmpretrain', 'mmdet'])
@pytest.mark.parametrize('name', ['PVT', 'mixpro_mm.PVT'])
def test_builds_from_the_registries_of_the_toolkits(registry, name):
    model = registry.build(ConfigDict(type=name, **MICRO['PVT'][0], out_type='featmap'))
    assert type(model) is PVT
    assert model(images(64, 64))[3].shape == (2, 128, 2, 2)


@pytest.mark.long
@pytest.mark.parametrize(('toolkit', 'name'), [('mmpretrain', 'PVT'), ('mmdet', 'PVT'), ('mmpretrain', 'CASwin')])
def test_scoped_name_resolves_without_custom_imports(toolkit, name):
    code = (
        f'from {toolkit}.registry import MODELS; print(type(MODELS.build(dict(type="mixpro_mm.{name}", arch="tiny"))))'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert f"<class 'mixpro_mm.models.{dict(PVT='pvt', CASwin='ca_swin')[name]}.{name}'>" in done.stdout, done.stderr
