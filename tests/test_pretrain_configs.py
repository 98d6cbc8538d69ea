"""Pre-training configs of Table 1, compared with the paper and the code of the authors of each model."""

import functools
import math
from collections import defaultdict
from typing import NamedTuple
from unittest import mock

import pytest
import timm
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from tests.config_rows import CONFIGS, fresh, imagenet, read, train


class Model(NamedTuple):
    """Parameters, drop path, blocks with drop path, and whether the rate is the same in all (else linear from 0)."""

    params: int
    drop_path: float
    blocks: int
    even: bool = False


MODEL = {
    'deit-tiny': Model(5_717_416, 0.1, 12),
    'deit-small': Model(22_050_664, 0.1, 12),
    'deit-base': Model(86_567_656, 0.1, 12),
    'pvt-tiny': Model(13_229_288, 0.1, 2 + 2 + 2 + 2),
    'pvt-small': Model(24_485_864, 0.1, 3 + 4 + 6 + 3),
    'pvt-medium': Model(44_208_104, 0.3, 3 + 4 + 18 + 3),
    'pvt-large': Model(61_369_320, 0.3, 3 + 8 + 27 + 3),
    'cait-xxs36': Model(17_299_720, 0.1, 36, even=True),
    'xcit-tiny-24-p16': Model(12_116_896, 0.05, 24, even=True),
    'xcit-small-12-p16': Model(26_253_304, 0.05, 12, even=True),
    'xcit-medium-24-p16': Model(84_395_752, 0.15, 24, even=True),
    'xcit-large-24-p16': Model(189_096_136, 0.25, 24, even=True),
    # Swin has 28,288,354 and 49,606,258; minus the last bias table (13 x 13 x 24), plus a class token (768)
    'ca-swin-tiny': Model(28_285_066, 0.2, 2 + 2 + 6 + 2),
    'ca-swin-small': Model(49_602_970, 0.3, 2 + 2 + 18 + 2),
}
UNDECAYED = {  # besides one-dimensional parameters, in the authors' code
    'deit': {'cls_token', 'pos_embed'},
    'pvt': {'cls_token'},
    'cait': {'cls_token', 'pos_embed'},
    'xcit': {'cls_token'},  # position embedding and temperatures decay
    'ca': {'cls_token', 'relative_position_bias_table'},
}
TABLE_1 = read(CONFIGS / '_base_' / 'paper.py').table1
RELEASED = 'deit-small-p14_mixpro-released-code'
# one model per family, TransMix, and the released code
TRAINED = [f'{model}_mixpro' for model in ('deit-tiny', 'pvt-tiny', 'cait-xxs36', 'xcit-small-12-p16', 'ca-swin-tiny')]
TRAINED += ['deit-tiny_transmix', RELEASED]


def path_of(name):
    return CONFIGS / 'pretrain' / f'{name}_8xb128_in1k.py'


def baseline(model):
    return read(path_of(f'{model}_mixup-cutmix'))


def family(model):
    return model.split('-')[0]


def create(model):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build({**baseline(model).model.to_dict(), 'train_cfg': None})


@functools.cache
def built(model):
    """Build a model of Table 1 on the meta device."""
    linspace = functools.partial(torch.linspace, device='cpu')  # Swin calls item()
    with torch.device('meta'), mock.patch.object(torch, 'linspace', linspace):
        return create(model)


@pytest.mark.parametrize('model', MODEL)
def test_parameters_drop_path_and_weight_decay_of_the_authors(model):
    params, top, blocks, even = MODEL[model]
    parameters, layers = dict(built(model).named_parameters()), dict(built(model).named_modules())
    count = sum(parameter.numel() for parameter in parameters.values())
    assert count == params
    assert count / 1e6 == pytest.approx(TABLE_1[model].params, abs=0.05 if TABLE_1[model].params % 1 else 0.5)
    rates = {name: layer.drop_prob for name, layer in layers.items() if type(layer).__name__ == 'DropPath'}
    expected = {top} if even else {round(top * n / (blocks - 1), 6) for n in range(1, blocks)}
    assert {round(rate, 6) for rate in rates.values()} - {0.0} == expected
    assert not any(rate for name, rate in rates.items() if 'blocks_token_only' in name or '.ca_layers' in name)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        wrapper = build_optim_wrapper(built(model), baseline(model).optim_wrapper.to_dict())
    groups = {id(parameter): group for group in wrapper.param_groups for parameter in group['params']}
    for name, parameter in parameters.items():
        undecayed = parameter.ndim == 1 or name.rsplit('.', 1)[-1] in UNDECAYED[family(model)]
        group = groups[id(parameter)]
        assert (group['lr'], group['weight_decay']) == (1e-3, 0.0 if undecayed else 0.05), name
    # synchronized batch norms in XCiT
    kinds = {type(layer) for layer in layers.values() if isinstance(layer, nn.modules.batchnorm._BatchNorm)}
    assert kinds == ({nn.BatchNorm2d} if family(model) == 'xcit' else set())
    assert baseline(model).get('sync_bn') == ('torch' if kinds else None)


SHALLOW = dict(  # fewer blocks only
    deit=dict(arch=dict(embed_dims=192, num_layers=2, num_heads=3, feedforward_channels=768)),
    pvt=dict(arch=dict(embed_dims=(64, 128, 320, 512), num_heads=(1, 2, 5, 8), mlp_ratios=(8, 8, 4, 4),
                       depths=(1, 1, 2, 1), sr_ratios=(8, 4, 2, 1))),
    ca=dict(arch=dict(embed_dims=96, depths=(1, 1, 2, 2), num_heads=(3, 6, 12, 24)), pad_small_map=True),
    cait=dict(depth=2, img_size=128),  # position embeddings are not interpolated
    xcit=dict(depth=2),
)  # fmt: skip


@pytest.mark.parametrize('name', TRAINED)
def test_models_train(name, tmp_path):
    config = fresh(path_of(name))
    config.model.get('backbone', config.model).update(SHALLOW[family(name)])
    if family(name) == 'deit':
        config.model.head.in_channels = 192
    size = 64 if family(name) in ('pvt', 'ca') else 112 if name == RELEASED else 128  # 2 x 2 cells
    runner = train(config, imagenet(tmp_path, size), tmp_path)
    state = runner.optim_wrapper.optimizer.state
    assert {key for key, p in runner.model.named_parameters() if p not in state or state[p]['step'] != 1} == set()
    linear = {key: layer for key, layer in runner.model.named_modules() if isinstance(layer, nn.Linear)}
    stds = {key: layer.weight.std().item() for key, layer in linear.items() if layer.weight.numel() > 5000}
    assert len(stds) > 8
    assert {key: std for key, std in stds.items() if not 0.019 < std < 0.021} == {}


def spread(net):
    """Return shape -> sorted (std, mean) of all tensors of that shape."""
    found = defaultdict(list)
    for parameter in net.parameters():
        found[parameter.shape].append((parameter.std(correction=0).item(), parameter.mean().item()))
    return {shape: sorted(pairs) for shape, pairs in found.items()}


NAMES_IN_TIMM = {'deit-tiny': 'deit_tiny_patch16_224', 'xcit-small-12-p16': 'xcit_small_12_p16_224'}


@pytest.mark.parametrize('model', NAMES_IN_TIMM)  # for PVT and CA-Swin see tests/models
def test_weights_start_as_in_timm(model):
    torch.manual_seed(0)
    net = create(model)
    net.init_weights()
    released = timm.create_model(NAMES_IN_TIMM[model])
    nn.init.trunc_normal_(released.cls_token, std=0.02)  # as in DeiT and MixPro; now 1e-6 in timm
    ours, theirs = spread(net), spread(released)
    assert ours.keys() == theirs.keys()
    for shape, pairs in ours.items():
        differences = torch.tensor(pairs).sub(torch.tensor(theirs[shape])).abs()
        # 5 sigma, and 5 % for outliers of trunc_normal_
        assert differences.max() <= max(std for std, _ in pairs) * (0.05 + 5 / math.sqrt(shape.numel())), shape
