"""Files of other implementations, with every tensor drawn at random, through the converter and into the toolkits."""

import argparse
import copy
import hashlib
import math
import re
import subprocess
import sys
from pathlib import Path

import mmdet.registry
import mmpretrain.registry
import mmseg.registry
import pytest
import timm
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from safetensors.torch import save_file
from timm.models.cait import Cait
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from timm.models.xcit import Xcit
from torch import nn

from mixpro_mm import losses
from mixpro_mm.backbones import PVT
from mixpro_mm.checkpoint import read_state_dict
from mixpro_mm.files import sha256_of
from mixpro_mm.losses import LossWrapper
from mixpro_mm.transfer import compare, keys, proof
from mixpro_mm.transfer import convert as convert_module
from mixpro_mm.transfer.cli import main
from mixpro_mm.transfer.convert import convert
from mixpro_mm.transfer.layouts import FAMILIES
from mixpro_mm.version import __version__

ROOT = Path(__file__).parents[2]
PVT_ARCH = dict(embed_dims=(8, 16, 24, 32), num_heads=(1, 2, 3, 4), mlp_ratios=(4, 3, 2, 2), depths=(1, 2, 1, 2))
MODELS = dict(
    deit=lambda: VisionTransformer(
        img_size=48, patch_size=16, embed_dim=64, depth=2, num_heads=1, mlp_ratio=3, num_classes=5
    ),
    p14=lambda: VisionTransformer(img_size=42, patch_size=14, embed_dim=128, depth=2, num_heads=2, num_classes=5),
    xcit8=lambda: Xcit(
        img_size=32,
        patch_size=8,
        embed_dim=32,
        depth=1,
        num_heads=2,
        cls_attn_layers=2,
        mlp_ratio=3,
        tokens_norm=True,
        num_classes=5,
    ),
    xcit=lambda: Xcit(
        img_size=64, embed_dim=32, depth=2, num_heads=2, cls_attn_layers=2, tokens_norm=True, num_classes=5
    ),
    cait=lambda: Cait(img_size=32, embed_dim=32, depth=2, num_heads=2, depth_token_only=2, num_classes=5),
    swin=lambda: SwinTransformer(
        img_size=96, embed_dim=16, depths=(1, 2, 1, 2), num_heads=(1, 2, 4, 8), window_size=3, num_classes=5
    ),
    pvt=lambda: nn.ModuleDict(
        dict(backbone=PVT(dict(PVT_ARCH, sr_ratios=(8, 4, 2, 1)), img_size=64), head=nn.Linear(32, 5))
    ),
)


def drawn(model, seed=0):
    """The model with no two tensors alike: no bias zero, no norm the identity, no LayerScale small."""
    torch.manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if name.endswith('running_var'):
            tensor.uniform_(0.5, 2)
        elif (tensor.ndim < 2 and name.endswith('weight')) or 'gamma' in name:
            nn.init.normal_(tensor, mean=1, std=0.3)
        elif tensor.is_floating_point():
            nn.init.normal_(tensor, std=0.5 if tensor.ndim < 2 else 1 / math.sqrt(tensor[0].numel()))
    return model.eval()


def official_names(family, state):
    """The names of the authors' release for a model of timm's (or ours): written by hand, apart from the tables."""
    if family == 'pvt':
        return {name.removeprefix('backbone.'): tensor for name, tensor in state.items()}
    if family == 'cait':
        return {f'module.{name}': tensor for name, tensor in state.items()}
    renamed = {}
    for name, tensor in state.items():
        if family == 'swin':
            parts = name.split('.')
            if 'downsample' in parts:
                parts[1] = str(int(parts[1]) - 1)
            name = '.'.join(parts).replace('head.fc.', 'head.')
        elif family == 'xcit':
            name = name.replace('pos_embed.', 'pos_embeder.')
        renamed[name] = tensor
    if family == 'xcit':
        for block in range(2):
            for kind in ('weight', 'bias'):
                own = [renamed.pop(f'cls_attn_blocks.{block}.attn.{part}.{kind}') for part in 'qkv']
                renamed[f'cls_attn_blocks.{block}.attn.qkv.{kind}'] = torch.cat(own)
    if family == 'swin':
        for stage, depth in enumerate((1, 2, 1, 2)):
            for block in range(depth):
                here = f'layers.{stage}.blocks.{block}'
                renamed[f'{here}.attn.relative_position_index'] = torch.zeros(9, 9, dtype=torch.long)
                if block % 2 and stage < 3:
                    renamed[f'{here}.attn_mask'] = torch.zeros((8 >> stage) ** 2, 9, 9)
    return renamed


@pytest.fixture
def source(tmp_path):
    """Writes a file of a family; returns (path, model)."""

    def write(family, layout='official', wrap=lambda state: dict(model=state), edit=None):
        model = drawn(MODELS[family]())
        state = dict(model.state_dict())
        if layout == 'official' or family == 'pvt':
            state = official_names(family, state)
        if edit:
            edit(state)
        path = tmp_path / f'{family}.pth'
        torch.save(wrap(state), path)
        return path, model

    return write


def build(config, host, path=None):
    model = dict(mmpretrain=mmpretrain, mmseg=mmseg, mmdet=mmdet)[host].registry.MODELS.build(ConfigDict(config))
    if path:
        model.init_weights()
    model.eval()
    return model


def images(side, seed=7):
    generator = torch.Generator().manual_seed(seed)
    coarse, fine = (torch.randn(2, 3, cells, cells, generator=generator) for cells in (3, side))
    return nn.functional.interpolate(coarse, side) * 2 + fine


def close(a, b):
    assert b.abs().max() > 0.1 and b.std(0).max() > 1e-3  # something to compare, and it depends on the image
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


CLASSIFIERS = [
    ('deit', 'official', 48),
    ('p14', 'official', 42),
    ('xcit', 'official', 64),
    ('xcit', 'timm', 64),
    ('xcit8', 'timm', 32),
    ('cait', 'official', 32),
    ('cait', 'timm', 32),
    ('swin', 'official', 96),
    ('swin', 'timm', 96),
    ('pvt', 'official', 64),
]


@pytest.mark.parametrize('family, layout, side', CLASSIFIERS)
@torch.no_grad()
def test_classifiers_of_mmpretrain_compute_the_same_logits(source, tmp_path, family, layout, side):
    path, model = source(family, layout)
    before = path.read_bytes()
    result = convert(path, tmp_path / 'out' / 'deeper' / 'a.pth', 'mixpro' if family == 'pvt' else 'mmpretrain')
    assert result.proof.deviation <= 1e-5 and not result.proof.skipped and result.proof.what.startswith('logits of ')
    state, _ = read_state_dict(tmp_path / 'out' / 'deeper' / 'a.pth')
    target = build(result.config, 'mmpretrain')
    target.load_state_dict(state, strict=True)
    logits = model['head'](model['backbone'](images(side))[0]) if family == 'pvt' else model(images(side))
    close(target(images(side)), logits)
    assert path.read_bytes() == before


@pytest.mark.parametrize('layout', ['official', 'timm', 'mmpretrain'])
@pytest.mark.parametrize('host', ['mmseg', 'mmdet'])
@torch.no_grad()
def test_swin_of_mmseg_and_mmdet_loads_the_file_by_its_own_init_cfg(source, tmp_path, layout, host):
    path, model = source('swin', layout)
    if layout == 'mmpretrain':
        convert(path, tmp_path / 'ours.pth', 'mmpretrain')
        path = tmp_path / 'ours.pth'
    result = convert(path, tmp_path / 'a.pth', host)
    assert result.layout == layout
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth'))
    target = build(dict(result.config, out_indices=(0, 1, 2, 3), init_cfg=init_cfg), host, path)
    wider = drawn(
        SwinTransformer(img_size=192, embed_dim=16, depths=(1, 2, 1, 2), num_heads=(1, 2, 4, 8), window_size=3)
    )
    wider.load_state_dict({k: v for k, v in model.state_dict().items() if 'head' not in k}, strict=False)
    close(target(images(192))[3], wider.forward_features(images(192)).permute(0, 3, 1, 2))


@pytest.mark.parametrize('family, side', [('deit', 48), ('p14', 42)])
@pytest.mark.parametrize('ours', [False, True])
@torch.no_grad()
def test_vit_of_mmseg_loads_the_file_by_its_own_init_cfg(source, tmp_path, family, side, ours):
    path, model = source(family)
    if ours:
        convert(path, tmp_path / 'ours.pth', 'mmpretrain')
        path = tmp_path / 'ours.pth'
    result = convert(path, tmp_path / 'a.pth', 'mmseg')
    assert result.layout == ('mmpretrain' if ours else 'timm')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth'))
    target = build(dict(result.config, init_cfg=init_cfg), 'mmseg', path)
    tokens = model.forward_features(images(side))[:, 1:]
    close(target(images(side))[0], tokens.transpose(1, 2).unflatten(2, (3, 3)))


@pytest.mark.parametrize('convert_weights', [False, True])  # True is mmdet's default; the names survive it
@pytest.mark.parametrize('ours', [False, True])
@torch.no_grad()
def test_pvt_of_mmdet_loads_the_file_by_its_own_init_cfg(source, tmp_path, convert_weights, ours):
    path, model = source('pvt')
    if ours:
        convert(path, tmp_path / 'ours.pth', 'mixpro')
        path = tmp_path / 'ours.pth'
    result = convert(path, tmp_path / 'a.pth', 'mmdet')
    assert result.config['convert_weights'] is False
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth'))
    target = build(dict(result.config, convert_weights=convert_weights, init_cfg=init_cfg), 'mmdet', path)
    maps = PVT(dict(PVT_ARCH, sr_ratios=(8, 4, 2, 1)), img_size=64, out_type='featmap', conv_norm_eps=1e-6).eval()
    maps.load_state_dict(model['backbone'].state_dict())
    for found, wanted in zip(target(images(64)), maps(images(64)), strict=True):
        close(found, wanted)


@torch.no_grad()
def test_full_size_deit_tiny(tmp_path):
    model = drawn(timm.create_model('deit_tiny_patch16_224'))
    torch.save(dict(model=model.state_dict()), tmp_path / 'deit.pth')
    result = convert(tmp_path / 'deit.pth', tmp_path / 'a.pth', 'mmpretrain')
    assert result.config['backbone'] == dict(type='VisionTransformer', arch='deit-tiny', img_size=224, patch_size=16)
    assert result.size['classes'] == 1000 and result.size['heads'] == 3
    target = build(result.config, 'mmpretrain')
    target.load_state_dict(read_state_dict(tmp_path / 'a.pth')[0])
    close(target(images(224)), model(images(224)))


def test_hook_accepts_a_converted_file_for_dense_prediction(source, tmp_path):
    """Official DeiT -> mmpretrain's names -> VisionTransformer with maps, as the downstream configs do it."""
    path, _ = source('deit')
    result = convert(path, tmp_path / 'a.pth', 'mmpretrain')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth'), prefix='backbone.')
    backbone = build(dict(result.config['backbone'], out_type='featmap', init_cfg=init_cfg), 'mmpretrain', path)
    state, _ = read_state_dict(tmp_path / 'a.pth')
    coverage = compare(backbone, state, 'backbone.')
    assert coverage.complete and coverage.ratio == 1 and coverage.dropped == ['head.*']
    assert len(coverage.loaded) == len(backbone.state_dict()) == 30

    path, _ = source('pvt')
    convert(path, tmp_path / 'b.pth', 'mixpro')
    own = dict(init_cfg, checkpoint=str(tmp_path / 'b.pth'))
    backbone = PVT(dict(PVT_ARCH, sr_ratios=(8, 4, 2, 1)), 64, out_type='featmap', init_cfg=own)
    backbone.init_weights()
    assert compare(backbone, read_state_dict(tmp_path / 'b.pth')[0], 'backbone.').complete


def test_what_the_file_says_about_itself(source, tmp_path):
    path, _ = source('pvt')
    result = convert(path, tmp_path / 'a.pth', 'mmdet')
    content = torch.load(tmp_path / 'a.pth', weights_only=True)
    assert set(content) == {'state_dict', 'meta'}
    assert content['meta'] == dict(
        source='pvt.pth',
        source_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        family='PVT',
        layout='official',
        taken=None,
        prefix='',
        target='mmdet',
        mixpro_mm_version=__version__,
        deviation=result.proof.deviation,
    )
    sizes = sum(tensor.numel() * tensor.element_size() for tensor in content['state_dict'].values())
    assert (tmp_path / 'a.pth').stat().st_size < 2 * sizes + 100_000  # no shared storage is dragged along


def beginning(prefix, state, more=()):
    return {f'{prefix}{name}': tensor for name, tensor in state.items()} | dict(more)


def other(state):
    return {name: tensor + 1 for name, tensor in state.items()}


@pytest.mark.parametrize(
    'wrap',
    [
        lambda state: state,
        lambda state: dict(state_dict=state, epoch=3),
        lambda state: dict(model=dict(state_dict=state), model_ema=state),
        lambda state: dict(state_dict=dict(model=state)),
        lambda state: {f'module.{name}': tensor for name, tensor in state.items()},
        lambda state: dict(model={f'module.{name}': tensor for name, tensor in state.items()}),
        lambda state: dict(model=state, args=argparse.Namespace(lr=1)),
        lambda state: beginning('_orig_mod.', state),  # torch.compile
        lambda state: dict(model=beginning('module._orig_mod.', state)),
        lambda state: dict(model=beginning('_orig_mod.module.', state)),
        lambda state: dict(state_dict=beginning('model.', state), hyper_parameters={}),  # Lightning
        lambda state: dict(state_dict=beginning('model.net._orig_mod.', state, {'criterion.weight': torch.ones(3)})),
        lambda state: {
            name.replace('blocks.1.', 'blocks.1._checkpoint_wrapped_module.'): state[name] for name in state
        },
        lambda state: dict(  # DINO
            student=beginning('module.backbone.', other(state), {'module.head.last_layer.weight_v': torch.ones(3)}),
            teacher=beginning('backbone.', state, {'head.last_layer.weight_v': torch.ones(3)}),
            optimizer=dict(state={0: dict(exp_avg=torch.ones(1))}),
        ),
        lambda state: dict(model_state_dict=beginning('encoder.', state)),
    ],
)
def test_wrappings(source, tmp_path, wrap):
    plain, _ = source('deit')
    convert(plain, tmp_path / 'plain.pth', 'mmseg')
    wrapped, _ = source('deit', wrap=wrap)
    convert(wrapped, tmp_path / 'wrapped.pth', 'mmseg')
    a, b = (read_state_dict(tmp_path / f'{name}.pth')[0] for name in ('plain', 'wrapped'))
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_prefix_is_said_and_what_is_outside_of_it(source, tmp_path, capsys):
    more = {'head.weight': torch.ones(2, 2), 'ema_steps': torch.ones(1)}
    path, _ = source('deit', wrap=lambda state: dict(teacher=beginning('backbone.', state, more), epoch=1))
    assert main([str(path), str(tmp_path / 'a.pth'), '--to', 'mmpretrain']) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        f'{path} (what lies under teacher) (with the prefix backbone.) is DeiT / ViT in the layout of'
    )
    assert 'dropped 2: head.weight, ema_steps (outside of backbone., where the model is)\n' in out
    content = torch.load(tmp_path / 'a.pth')
    assert content['meta']['taken'] == 'teacher' and content['meta']['prefix'] == 'backbone.'
    assert content['state_dict']['head.layers.head.weight'].equal(torch.load(path)['teacher']['backbone.head.weight'])


def test_of_several_models_one_must_be_taken(source, tmp_path, capsys):
    both = lambda state: beginning('module.student.', state, beginning('module.teacher.', other(state)))  # noqa: E731
    path, _ = source('deit', wrap=both)
    stopped(path, tmp_path / 'a.pth', 'mmseg', r'under the prefixes student\., teacher\.: name .* --take student\.$')
    assert main([str(path), str(tmp_path / 'a.pth'), '--to', 'mmseg', '--take', 'teacher']) == 0
    tensors = torch.load(tmp_path / 'a.pth')['state_dict']
    assert tensors['ln1.bias'].equal(torch.load(path)['module.teacher.norm.bias'])


@pytest.mark.parametrize('family, target', [('deit', 'mmpretrain'), ('pvt', 'mixpro'), ('xcit', 'mmpretrain')])
def test_our_own_names_are_as_they_should_be_only_where_mmengine_finds_them(source, tmp_path, family, target):
    own = tmp_path / 'own.pth'
    convert(source(family)[0], own, target)
    stopped(own, tmp_path / 'a.pth', target, 'already, use it as it is')
    tensors = torch.load(own)['state_dict']
    save_file(tensors, tmp_path / 'a.safetensors')
    torch.save(dict(model=tensors), tmp_path / 'b.pth')
    torch.save(dict(state_dict=beginning('model.', tensors)), tmp_path / 'c.pth')
    for name in ('a.safetensors', 'b.pth', 'c.pth'):
        assert convert(tmp_path / name, tmp_path / 'out', target).proof.deviation == 0
        again = torch.load(tmp_path / 'out')['state_dict']
        assert again.keys() == tensors.keys() and all(again[key].equal(tensors[key]) for key in again)


@pytest.mark.parametrize(
    'family, target',
    [('deit', 'mmpretrain'), ('swin', 'mmpretrain'), ('cait', 'mmpretrain'), ('pvt', 'mixpro'), ('xcit', 'mixpro')],
)
def test_files_without_classifier_are_proved_by_their_features(source, tmp_path, family, target):
    path, _ = source(family, edit=lambda state: [state.pop(key) for key in list(state) if 'head.' in key])
    result = convert(path, tmp_path / 'a.pth', target)
    assert result.proof.what.startswith('features of') and result.proof.deviation <= 1e-5
    assert not any(name.startswith('head') for name in result.renamed.tensors)


def test_second_heads_and_mask_tokens_are_dropped_by_name(source, tmp_path):
    extra = {
        'deit': ('token_head.weight', 'head1.bias', 'mask_token'),
        'swin': ('mask_token',),
        'pvt': ('token_head.bias',),
    }
    for family, names in extra.items():
        path, _ = source(family, edit=lambda state, names=names: state.update(dict.fromkeys(names, torch.ones(1))))
        result = convert(path, tmp_path / 'a.pth', 'mixpro' if family == 'pvt' else 'mmpretrain')
        assert set(names) <= set(result.renamed.dropped)
        assert all('SMMix' in why or 'MixPro' in why or 'constants' in why for why in result.renamed.dropped.values())


def test_loss_and_plain_head_of_our_own_files(source, tmp_path):
    path, _ = source('deit')
    convert(path, tmp_path / 'ours.pth', 'mmpretrain')
    content = torch.load(tmp_path / 'ours.pth')
    state = {name.replace('head.layers.head', 'head.fc'): tensor for name, tensor in content['state_dict'].items()}
    state['head.loss_module.raw_factor'] = torch.zeros(1)
    torch.save(dict(state_dict=state, meta=dict(epoch=300)), tmp_path / 'epoch_300.pth')
    result = convert(tmp_path / 'epoch_300.pth', tmp_path / 'a.pth', 'mmseg')
    assert set(result.renamed.dropped) == {'head.fc.weight', 'head.fc.bias', 'head.loss_module.raw_factor'}
    assert result.size['classes'] == 5 and result.proof.deviation <= 1e-5


def test_heads_of_other_width_must_be_told(source, tmp_path):
    model = drawn(VisionTransformer(img_size=32, embed_dim=48, depth=1, num_heads=4, num_classes=3))
    torch.save(model.state_dict(), tmp_path / 'micro.pth')
    none = r'has 48 channels, which are no heads of 64 channels each: give the number of heads with --heads\.$'
    stopped(tmp_path / 'micro.pth', tmp_path / 'a.pth', 'mmseg', none)
    for heads in (5, 0, -1, 96):
        sentence = f'has 48 channels, which cannot be shared by the {heads} heads of --heads\\.$'
        stopped(tmp_path / 'micro.pth', tmp_path / 'a.pth', 'mmseg', sentence, heads=heads)
    result = convert(tmp_path / 'micro.pth', tmp_path / 'a.pth', 'mmseg', heads=4)
    assert result.config['num_heads'] == 4
    assert main([str(tmp_path / 'micro.pth'), str(tmp_path / 'b.pth'), '--to', 'mmseg', '--heads', '4']) == 0
    assert torch.load(tmp_path / 'b.pth')['state_dict'].keys() == torch.load(tmp_path / 'a.pth')['state_dict'].keys()


@pytest.mark.parametrize('family', ['swin', 'cait', 'xcit', 'pvt'])
def test_heads_are_refused_where_the_file_tells_them(source, tmp_path, family):
    sentence = r'(Swin|CaiT|XCiT|PVT), whose number of heads is told by its? .*: leave out --heads\.$'
    sentence = sentence.replace('its?', '(its|the)')
    stopped(source(family)[0], tmp_path / 'a.pth', 'mixpro' if family == 'pvt' else 'mmpretrain', sentence, heads=2)


def classifier(backbone, loss, head='VisionTransformerClsHead', channels=64):
    """Our own classifier as it is trained, every tensor drawn."""
    head = dict(type=head, num_classes=5, in_channels=channels, loss=loss)
    return drawn(build(dict(type='ImageClassifier', backbone=backbone, head=head), 'mmpretrain'))


PLAIN = dict(type='CrossEntropyLoss', use_soft=True)
LOSSES = dict(
    plain=PLAIN,
    LossWrapper=LossWrapper(PLAIN),
    BranchLoss=dict(type='mixpro_mm.BranchLoss', loss=PLAIN, labelled=PLAIN),
    LearnableFactor=dict(type='mixpro_mm.LearnableFactor', loss=PLAIN),
    LocalContextLoss=dict(type='mixpro_mm.LocalContextLoss', loss=PLAIN, in_channels=64, num_classes=5),
)
LOSSES['nested'] = dict(LOSSES['LocalContextLoss'], loss=LOSSES['LearnableFactor'])


def test_no_loss_is_forgotten():
    classes = (value for value in vars(losses).values() if isinstance(value, type) and issubclass(value, nn.Module))
    assert {value.__name__ for value in classes} == LOSSES.keys() - {'plain', 'nested'}


@pytest.mark.parametrize('loss', LOSSES)
def test_our_own_files_with_any_loss(tmp_path, loss):
    arch = dict(embed_dims=64, num_layers=1, num_heads=1, feedforward_channels=64)
    backbone = dict(type='VisionTransformer', arch=arch, img_size=32, patch_size=16)
    model = classifier(backbone, copy.deepcopy(LOSSES[loss]))
    own = {name for name in model.state_dict() if name.startswith('head.loss_module.')}
    assert len(own) == dict(LearnableFactor=1, LocalContextLoss=2, nested=3).get(loss, 0)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'epoch_300.pth')
    result = convert(tmp_path / 'epoch_300.pth', tmp_path / 'a.pth', 'mmseg')
    why = {name: why for name, why in result.renamed.dropped.items() if name in own}
    assert set(why) == own and set(why.values()) <= {'belongs to the loss of pre-training'}
    assert set(result.renamed.dropped) == own | {f'head.layers.head.{kind}' for kind in ('weight', 'bias')}
    assert result.proof.deviation <= 1e-5 and len(result.proof.coverage.loaded) == len(result.renamed.tensors) == 18


@pytest.mark.parametrize('target', ['mmpretrain', 'mixpro'])
def test_our_own_cait_with_a_learned_factor(tmp_path, target):
    numbers = dict(img_size=32, embed_dim=32, depth=2, num_heads=2, depth_token_only=2, num_classes=5)
    model = dict(type='TimmClassifier', model_name='cait_xxs24_224', loss=copy.deepcopy(LOSSES['LearnableFactor']))
    model = drawn(build(model | numbers, 'mmpretrain'))
    assert 'loss_module.raw_factor' in model.state_dict()
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'epoch_400.pth')
    result = convert(tmp_path / 'epoch_400.pth', tmp_path / 'a.pth', target)
    assert result.renamed.dropped == {'loss_module.raw_factor': 'belongs to the loss of pre-training'}
    fresh = build(result.config, 'mmpretrain')
    fresh.load_state_dict(read_state_dict(tmp_path / 'a.pth')[0])
    with torch.no_grad():
        close(fresh(images(32)), model(images(32)))


def test_a_broken_loss_is_no_obstacle_and_a_loss_alone_is_no_model(source, tmp_path):
    path, _ = source('deit', edit=lambda state: state.update({'loss_module.raw_factor': torch.tensor([torch.nan])}))
    assert 'loss_module.raw_factor' in convert(path, tmp_path / 'a.pth', 'mmseg').renamed.dropped
    torch.save({'head.loss_module.raw_factor': torch.zeros(1)}, tmp_path / 'loss.pth')
    stopped(tmp_path / 'loss.pth', tmp_path / 'b.pth', 'mmseg', r'no layout known here \(.*\); it has a loss alone\.$')


def stopped(path, destination, target, sentence, **kwargs):
    """One sentence, nothing written, nothing left."""
    before = sorted(path.parent.rglob('*'))
    with pytest.raises((ValueError, FileNotFoundError), match=sentence) as stop:
        convert(path, destination, target, **kwargs)
    message = str(stop.value)
    assert '\n' not in message and message.endswith('.') and len(message) < 500
    assert sorted(path.parent.rglob('*')) == before
    return message


@pytest.mark.parametrize(
    'family, target, sentence',
    [
        (
            'deit',
            'mmdet',
            r'DeiT / ViT .* --to mmdet: .*mmpretrain\.VisionTransformer.*; possible here: mmp',
        ),
        ('xcit', 'mmseg', r'XCiT .*: mmseg has no XCiT of its own; .*mmpretrain\.XCiT'),
        ('xcit', 'mmdet', r'XCiT .*: mmdet has no XCiT of its own; .*mmpretrain\.XCiT'),
        ('cait', 'mmseg', r'CaiT .*: mmseg has no CaiT'),
        ('cait', 'mmdet', r'CaiT .*: mmdet has no CaiT'),
        ('swin', 'mixpro', r'Swin .*: the last block of mixpro_mm\.CASwin .*possible here: mmpretrain, mmseg, mmdet\.'),
        ('pvt', 'mmseg', r"PVT .*: mmseg has no PVT; .*type='mixpro_mm\.PVT'"),
    ],
)
def test_impossible_pairs_name_what_is_possible(source, tmp_path, family, target, sentence):
    stopped(source(family)[0], tmp_path / 'a.pth', target, sentence)


@pytest.mark.parametrize('target', ['mmpretrain', 'mixpro'])
def test_our_own_files_are_left_as_they_are(source, tmp_path, target):
    for family in ('deit', 'xcit', 'pvt', 'swin'):
        path, _ = source(family)
        ours = tmp_path / f'{family}-ours.pth'
        convert(path, ours, 'mixpro' if family == 'pvt' else 'mmpretrain')
        sentence = (
            'CASwin' if (family, target) == ('swin', 'mixpro') else "has the names of mmpretrain's classifier already"
        )
        stopped(ours, tmp_path / 'a.pth', target, sentence)


def rename_one(old, new):
    return lambda state: state.update({new: state.pop(old)})


@pytest.mark.parametrize(
    'family, edit, sentence',
    [
        ('deit', lambda s: s.pop('blocks.1.norm1.bias'), r'layout of timm, but lacks blocks\.1\.norm1\.bias\.'),
        ('deit', lambda s: s.pop('head.bias'), r'lacks head\.bias'),
        (
            'deit',
            lambda s: s.update(extra=torch.ones(1)),
            r'but has 1 of 33 tensors without a place: extra\.',
        ),
        ('deit', rename_one('norm.weight', 'fc_norm.weight'), r'without a place: fc_norm\.weight'),
        ('deit', lambda s: s.update(dist_token=torch.ones(1)), 'is a distilled DeiT'),
        (
            'deit',
            lambda s: s.update(pos_embed=torch.ones(1, 8, 64)),
            r'has 7 positions in pos_embed, which is no square grid\.$',
        ),
        (
            'deit',
            lambda s: s.update({'norm.weight': torch.ones(9)}),
            r'does not fit mmpretrain\.Vis.*: size mismatch for backbone\.ln1',
        ),
        ('xcit', lambda s: s.pop('patch_embed.proj.4.1.running_mean'), r'lacks patch_embed\.proj\.4\.1\.running_mean'),
        (
            'cait',
            lambda s: s.update({'module.pos_embed': torch.ones(1, 5, 32)}),
            r'has 5 positions in pos_embed, which is no square grid\.$',
        ),
        (
            'swin',
            lambda s: s.update({'layers.2.blocks.0.attn.relative_position_bias_table': torch.ones(9, 4)}),
            r'has 4 stages with windows of 2, 3; Swin has four, with one size of window\.$',
        ),
        ('cait', lambda s: s.pop('module.blocks.1.attn.proj_w.bias'), r'lacks blocks\.1\.attn\.proj_w\.bias'),
        (
            'swin',
            lambda s: [s.pop(k) for k in list(s) if k.startswith('layers.2.downsample')],
            r'lacks .*stages\.2\.down',
        ),
        ('swin', lambda s: s.pop('layers.3.blocks.1.attn.relative_position_bias_table'), r'lacks layers\.3\.blocks\.1'),
        ('pvt', lambda s: s.pop('block2.1.attn.sr.weight'), r'lacks block2\.1\.attn\.sr\.weight'),
        ('pvt', lambda s: s.pop('pos_embed3'), r'lacks pos_embed3'),
        (
            'pvt',
            lambda s: s.update({'patch_embed2.proj.weight': torch.ones(17, 8, 2, 2)}),
            r'has \(8, 17, 24, 32\) channels in its stages; in a PVT the first of these divides the others\.$',
        ),
        ('pvt', lambda s: s.update(norm2=torch.ones(1)), r'without a place: norm2'),
    ],
)
def test_damaged_files_are_named(source, tmp_path, family, edit, sentence):
    stopped(source(family, edit=edit)[0], tmp_path / 'a.pth', 'mixpro' if family == 'pvt' else 'mmpretrain', sentence)


def damaged(name, change):
    return lambda state: state.update({name: change(state[name])})


CUTS = dict(
    flat=lambda tensor: tensor.flatten(),
    narrow=lambda tensor: tensor[..., :-1],
    short=lambda tensor: tensor[:-1],
    empty=lambda tensor: tensor[..., :0],
    scalar=lambda tensor: tensor.sum(),
    deep=lambda tensor: tensor[None],
)
READ = {  # what is read or changed on the way, apart from being renamed
    ('deit', 'mmseg'): ('pos_embed', 'patch_embed.proj.weight', 'blocks.0.mlp.fc1.weight', 'head.weight'),
    ('deit', 'mmpretrain'): ('pos_embed', 'norm.weight'),
    ('xcit', 'mmpretrain'): (
        'cls_token',
        'blocks.0.attn.temperature',
        'blocks.0.mlp.fc1.weight',
        'cls_attn_blocks.0.attn.qkv.weight',
    ),
    ('cait', 'mmpretrain'): tuple(
        f'module.{name}' for name in ('cls_token', 'pos_embed', 'patch_embed.proj.weight', 'blocks.0.attn.proj_l.bias')
    ),
    ('swin', 'mmpretrain'): (
        'patch_embed.proj.weight',
        'layers.0.blocks.0.attn.relative_position_bias_table',
        'layers.2.blocks.0.attn.relative_position_bias_table',
        'layers.0.downsample.norm.weight',
        'layers.1.downsample.reduction.weight',
    ),
    ('swin', 'mmdet'): ('layers.2.blocks.0.attn.relative_position_bias_table', 'layers.0.blocks.0.mlp.fc1.weight'),
    ('pvt', 'mmdet'): (
        'pos_embed1',
        'pos_embed4',
        'patch_embed2.proj.weight',
        'block2.0.attn.sr.weight',
        'block2.0.attn.q.weight',
        'block1.0.mlp.fc1.bias',
        'block1.0.mlp.fc2.weight',
    ),
    ('pvt', 'mixpro'): ('block1.0.attn.sr.weight', 'block1.0.attn.q.weight', 'head.weight'),
}


DAMAGES = [
    (*pair, name, cut)
    for pair, names in READ.items()
    for name in names
    for cut in CUTS
    if cut != 'flat' or not name.endswith(('norm.weight', 'bias'))  # these are flat
]


@pytest.mark.parametrize('family, target, name, cut', DAMAGES)
def test_damaged_shapes_are_one_sentence(source, tmp_path, family, target, name, cut):
    path, _ = source(family, edit=damaged(name, CUTS[cut]))
    message = stopped(path, tmp_path / 'a.pth', target, f'^Checkpoint {re.escape(str(path))} ')
    assert 'cannot be converted (' not in message  # not by the last net
    if cut == 'empty':
        assert re.search(
            rf' has {name.removeprefix("module.")} of shape \(.*\) that does not fit: there is not', message
        )


def test_the_last_net_is_one_sentence_too(source, tmp_path):
    path, _ = source('deit', edit=damaged('norm.weight', torch.Tensor.to_sparse))
    stopped(
        path, tmp_path / 'a.pth', 'mmseg', r'deit\.pth has tensors that cannot be converted \(NotImplementedError: '
    )


@pytest.mark.parametrize(
    'family, target, name, cut, sentence',
    [
        ('pvt', 'mmdet', 'block1.0.attn.q.weight', 'narrow', r'of shape \(8, 7\) and block1\.0\.attn\.kv\.weight of'),
        ('swin', 'mmseg', 'layers.0.downsample.norm.weight', 'narrow', r'of shape \(63,\) that does not fit: '),
        ('swin', 'mmseg', 'layers.0.blocks.0.attn.relative_position_bias_table', 'empty', r'of shape \(25, 0\) that'),
        ('cait', 'mmpretrain', 'patch_embed.proj.weight', 'flat', r'of shape \(24576,\) that does not fit: 4 dim'),
        ('xcit', 'mmpretrain', 'blocks.1.attn.temperature', 'flat', r'of shape \(2,\) that does not fit: 3 dim'),
    ],
)
def test_damaged_shapes_are_named(source, tmp_path, family, target, name, cut, sentence):
    path, _ = source(family, edit=damaged(f'module.{name}' if family == 'cait' else name, CUTS[cut]))
    stopped(path, tmp_path / 'a.pth', target, rf' has {re.escape(name)} {sentence}')


def test_two_heads_for_one_place(source, tmp_path):
    second = {f'head.fc.{kind}': torch.ones(5) for kind in ('weight', 'bias')}
    path, _ = source('swin', 'timm', edit=lambda state: state.update(
        {name.replace('.fc', ''): tensor for name, tensor in state.items() if name in second}))  # fmt: skip
    stopped(
        path, tmp_path / 'a.pth', 'mmseg', r'has head\.fc\.weight and head\.weight for one place \(head\.fc\.weight\)'
    )


def test_files_that_are_none(source, tmp_path):
    path, _ = source('deit')
    path.write_bytes(path.read_bytes()[:-2000])
    stopped(path, tmp_path / 'a.pth', 'mmseg', r'cannot be read: it is truncated')
    stopped(tmp_path / 'none.pth', tmp_path / 'a.pth', 'mmseg', r'is not an existing file')
    torch.save({'conv1.weight': torch.ones(1)}, tmp_path / 'resnet.pth')
    stopped(
        tmp_path / 'resnet.pth',
        tmp_path / 'a.pth',
        'mmseg',
        r'resnet\.pth has the names of no layout known here '
        r'\(CaiT, DeiT / ViT, PVT, Swin, XCiT\); it has conv1\.weight\.$',
    )


class Code:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


def test_code_in_a_file_runs_only_with_trust(source, tmp_path):
    ran = tmp_path / 'ran'
    path, _ = source('deit', wrap=lambda state: dict(model=state, config=Code(ran)))
    sentence = r'is refused: to unpickle it is to run \S+, which tensors do not need; with --trust it is '
    sentence += r'unpickled all the same and whatever code is in it runs with your rights, so say so only of a file '
    sentence += r'whose author you trust\.$'
    stopped(path, tmp_path / 'a.pth', 'mmseg', sentence)
    assert not ran.exists() and not (tmp_path / 'a.pth').exists()
    convert(path, tmp_path / 'a.pth', 'mmseg', trust=True)
    assert ran.exists() and (tmp_path / 'a.pth').exists()
    ran.unlink()
    command = [str(path), str(tmp_path / 'b.pth'), '--to', 'mmseg']
    assert main(command) == 1 and not ran.exists()
    assert main([*command, '--trust']) == 0 and ran.exists()


def swapped(a, b):
    """A renaming that confuses two tensors of one shape."""

    def rename(tensors, rules):
        result = keys.rename(tensors, rules)
        result.tensors[a], result.tensors[b] = result.tensors[b], result.tensors[a]
        return result

    return rename


@pytest.mark.parametrize('scope', ['mmpretrain', 'mmdet', 'mmseg'])
@pytest.mark.parametrize('family, target', [('deit', 'mmseg'), ('swin', 'mmseg'), ('swin', 'mmdet'), ('pvt', 'mmdet')])
def test_proof_builds_the_class_of_the_host_in_any_scope(source, tmp_path, scope, family, target):
    path, _ = source(family)
    with DefaultScope.overwrite_default_scope(scope):
        result = convert(path, tmp_path / 'a.pth', target)
        assert DefaultScope.get_current_instance().scope_name == scope
    assert f'feature maps of {target}.' in result.proof.what


def test_mlps_of_any_width(tmp_path):
    numbers = dict(img_size=32, embed_dim=64, depth=1, num_heads=1, mlp_ratio=2.5, num_classes=3)
    torch.save(drawn(VisionTransformer(**numbers)).state_dict(), tmp_path / 'vit.pth')
    assert convert(tmp_path / 'vit.pth', tmp_path / 'a.pth', 'mmpretrain').proof.deviation <= 1e-5
    sentence = r'has MLPs 2\.5 times as wide as their input; the class of mmseg takes whole numbers\.$'
    stopped(tmp_path / 'vit.pth', tmp_path / 'b.pth', 'mmseg', sentence)
    numbers = dict(img_size=96, embed_dim=16, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8), window_size=3, num_classes=3)
    for ratio, refused in ((2, ''), (2.5, 'mmdet')):
        torch.save(drawn(SwinTransformer(**numbers, mlp_ratio=ratio)).state_dict(), tmp_path / 'swin.pth')
        for target in ('mmpretrain', 'mmseg', 'mmdet'):
            if target == refused:
                stopped(tmp_path / 'swin.pth', tmp_path / 'c.pth', target, sentence.replace('mmseg', target))
            else:
                assert convert(tmp_path / 'swin.pth', tmp_path / 'a.pth', target).proof.deviation <= 1e-5
    arch = dict(PVT_ARCH, mlp_ratios=(4, 2.5, 2, 2), depths=(1, 1, 1, 1), sr_ratios=(8, 4, 2, 1))
    model = drawn(nn.ModuleDict(dict(backbone=PVT(arch, img_size=64), head=nn.Linear(32, 5))))
    torch.save(official_names('pvt', model.state_dict()), tmp_path / 'pvt.pth')
    assert convert(tmp_path / 'pvt.pth', tmp_path / 'a.pth', 'mixpro').proof.deviation <= 1e-5
    stopped(tmp_path / 'pvt.pth', tmp_path / 'b.pth', 'mmdet', sentence.replace('mmseg', 'mmdet'))


def test_a_ratio_that_a_class_cannot_take_is_refused_without_that_class_too(tmp_path, monkeypatch):
    numbers = dict(img_size=32, embed_dim=64, depth=1, num_heads=1, mlp_ratio=2.5, num_classes=3)
    torch.save(drawn(VisionTransformer(**numbers)).state_dict(), tmp_path / 'vit.pth')
    monkeypatch.setitem(sys.modules, 'mmseg.models', None)
    stopped(tmp_path / 'vit.pth', tmp_path / 'b.pth', 'mmseg', r'the class of mmseg takes whole numbers')


@pytest.mark.parametrize(
    'family, target, pair',
    [
        ('deit', 'mmpretrain', ('layers.0.ln1.bias', 'layers.0.ln2.bias')),
        ('deit', 'mmseg', ('layers.0.attn.proj.weight', 'layers.1.attn.proj.weight')),
        ('xcit', 'mmpretrain', ('xca_layers.1.gamma2', 'xca_layers.1.gamma3')),
        ('xcit', 'mmpretrain', ('ca_layers.1.attn.q.bias', 'ca_layers.1.attn.v.bias')),
        ('xcit', 'mmpretrain', ('patch_embed.proj.1.bn.running_mean', 'patch_embed.proj.1.bn.running_var')),
        ('swin', 'mmdet', ('stages.1.downsample.norm.weight', 'stages.1.downsample.norm.bias')),
        ('swin', 'mmpretrain', ('stages.1.blocks.0.norm1.bias', 'stages.1.blocks.1.norm1.bias')),
        ('pvt', 'mmdet', ('block2.0.attn.sr.weight', 'block2.1.attn.sr.weight')),
    ],
)
def test_a_wrong_renaming_is_not_written(source, tmp_path, monkeypatch, family, target, pair):
    path, _ = source(family)
    monkeypatch.setattr(convert_module, 'rename', swapped(*(f'backbone.{name}' for name in pair)))
    stopped(path, tmp_path / 'a.pth', target, r'was converted wrongly: .* differ by \S+ \(limit 1e-05\)\.$')


@pytest.mark.parametrize('value', [math.nan, math.inf])
@pytest.mark.parametrize('place', [0, 1, 2])
@pytest.mark.parametrize('spoiled', ['wanted', 'found', 'both'])
def test_a_proof_needs_numbers_in_every_map(value, place, spoiled):
    wanted, found = ([torch.ones(1, 2, 3, 3) for _ in range(3)] for _ in range(2))
    assert proof._deviation(tuple(wanted), tuple(found)) == 0
    for maps in dict(wanted=[wanted], found=[found], both=[wanted, found])[spoiled]:
        maps[place][0, 1, 2, 0] = value
    assert not math.isfinite(proof._deviation(tuple(wanted), tuple(found)))


def test_outputs_that_are_zero_or_no_numbers_prove_nothing(source, tmp_path):
    def zero(state):
        state['head.weight'].zero_(), state['head.bias'].zero_()

    def huge(state):
        state['head.weight'].fill_(3e38)

    for edit in (zero, huge):
        path, _ = source('deit', edit=edit)
        sentence = r'cannot be proved: logits of .* timm\.VisionTransformer are not finite or zero'
        stopped(path, tmp_path / 'a.pth', 'mmpretrain', sentence)


def test_what_is_not_a_number_is_not_converted(source, tmp_path):
    path, _ = source('deit', edit=lambda state: state['norm.bias'].fill_(torch.nan))
    stopped(path, tmp_path / 'a.pth', 'mmseg', r'has values that are not finite in norm\.bias\.')


def test_the_source_is_never_written_to(source, tmp_path):
    path, _ = source('deit')
    digest = sha256_of(path)
    (tmp_path / 'link.pth').symlink_to(path)
    (tmp_path / 'hard.pth').hardlink_to(path)
    for destination in (path, tmp_path / 'x' / '..' / 'deit.pth', tmp_path / 'link.pth', tmp_path / 'hard.pth'):
        stopped(path, destination, 'mmseg', r'deit\.pth is the source itself|(link|hard)\.pth is the source itself')
    stopped(path, tmp_path, 'mmseg', r'is a folder: name another file')
    stopped(path, tmp_path / 'out.safetensors', 'mmseg', r'would hold a checkpoint of torch\.save, not safetensors')
    assert sha256_of(path) == digest


def test_unwritable_destination_leaves_nothing_behind(source, tmp_path, monkeypatch):
    path, _ = source('deit')
    (tmp_path / 'file').write_text('no folder')
    stopped(path, tmp_path / 'file' / 'a.pth', 'mmseg', r'file/a\.pth cannot be written: ')
    (tmp_path / 'old.pth').write_text('older content')

    def full(content, file):
        Path(file).write_bytes(b'half')
        raise OSError(28, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr(convert_module.torch, 'save', full)
        stopped(path, tmp_path / 'a.pth', 'mmseg', r'a\.pth cannot be written: No space left on device\.')
        stopped(path, tmp_path / 'old.pth', 'mmseg', r'old\.pth cannot be written: No space left on device\.')
    assert (tmp_path / 'old.pth').read_text() == 'older content'
    convert(path, tmp_path / 'old.pth', 'mmseg')
    assert read_state_dict(tmp_path / 'old.pth')


@pytest.mark.parametrize(
    'package, family, target, covered', [('timm', 'deit', 'mmseg', True), ('mmdet.models', 'pvt', 'mmdet', False)]
)
def test_missing_packages_skip_the_proof_and_say_so(
    source, tmp_path, monkeypatch, capsys, package, family, target, covered
):
    path, _ = source(family)
    monkeypatch.setitem(sys.modules, package, None)
    assert main([str(path), str(tmp_path / 'a.pth'), '--to', target]) == 0
    out = capsys.readouterr().out
    name = package.partition('.')[0]
    assert (
        f'proof skipped: {name} is missing (' in out
        and f'pip install {"timm" if name == "timm" else "onedl-mmdetection"}' in out
    )
    assert ('tensors of VisionTransformer come from the new file' in out) == covered
    assert torch.load(tmp_path / 'a.pth')['meta']['deviation'] is None


def test_command_reports_what_it_did(source, tmp_path, capsys):
    path, _ = source('swin')
    assert main([str(path), str(tmp_path / 'a.pth'), '--to', 'mmdet']) == 0
    out, err = capsys.readouterr()
    assert err == ''
    lines = out.splitlines()
    assert lines[0].startswith(
        f'{path} is Swin in the layout of official: 1-2-1-2 blocks of 16 channels and up, patch 4, window 3, 5'
    )
    # stem 4, blocks 6 x 13, mergings 3 x 3, norm and head 4 make 95; with 6 indices and a mask 102; without head 99
    assert lines[1].startswith('102 tensors in, 99 out: ') and lines[1].endswith(', 9 dropped')
    kinds = {'9 re-ordered for nn.Unfold', '6 window indices made anew'}
    assert kinds < set(lines[1].split(', ')), lines[1]
    assert 'dropped 7: ' in out and '(constants, made anew)' in out
    assert 'dropped 2: head.weight, head.bias (a backbone of mmdet has no classifier)' in out
    assert (
        'proof: feature maps of mmdet.SwinTransformer and timm.SwinTransformer on 2 random images of 192 px differ'
        in out
    )
    config = next(line for line in lines if line.startswith('backbone='))
    settings = eval(config.removeprefix('backbone='))
    assert settings['init_cfg'] == dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth'))
    assert build(settings, 'mmdet', path).state_dict()['norm3.bias'].equal(torch.load(path)['model']['norm.bias'])
    path, _ = source('deit', wrap=lambda state: dict(model=state, optimizer={}, epoch=3))
    assert main([str(path), str(tmp_path / 'b.pth'), '--to', 'mmpretrain']) == 0
    assert 'not read, beside the model: optimizer, epoch' in capsys.readouterr().out


def test_command_names_what_it_did_to_a_pvt(source, tmp_path, capsys):
    assert main([str(source('pvt')[0]), str(tmp_path / 'a.pth'), '--to', 'mmdet']) == 0
    out = capsys.readouterr().out
    # 6 blocks with a weight and a bias each; 2 layers of 6 MLPs; stage 4's positions
    kinds = {'12 joined of q and kv', '12 made a 1x1 convolution', '1 without its class row'}
    assert kinds < set(out.splitlines()[1].split(', ')), out
    assert 'dropped 2: head.weight, head.bias (a backbone of mmdet has no classifier)' in out
    assert "(mmdet's PVT has no class token)" in out
    assert 'proof: feature maps of mmdet.PyramidVisionTransformer and mixpro_mm.PVT on 2 random images of' in out


def test_averaged_weights_are_remarked_on_and_taken(tmp_path, capsys):
    raw, mean = (drawn(MODELS['deit'](), seed).state_dict() for seed in (0, 1))
    content = dict(state_dict=raw, state_dict_ema=dict(mean), epoch=3, args_ema=None)
    torch.save(content, tmp_path / 'last.pth')
    command = [str(tmp_path / 'last.pth'), str(tmp_path / 'a.pth'), '--to', 'mmpretrain']
    assert main(command) == 0
    out = capsys.readouterr().out
    assert 'note: state_dict_ema has averaged weights; --take state_dict_ema converts those instead\n' in out
    assert torch.load(tmp_path / 'a.pth')['state_dict']['backbone.cls_token'].equal(raw['cls_token'])
    assert main([*command, '--take', 'state_dict_ema']) == 0
    out = capsys.readouterr().out
    assert 'averaged weights' not in out and 'not read, beside the model: state_dict, epoch, args_ema' in out
    assert out.startswith(f'{tmp_path}/last.pth (what lies under state_dict_ema) is DeiT / ViT')
    taken = torch.load(tmp_path / 'a.pth')
    assert taken['state_dict']['backbone.cls_token'].equal(mean['cls_token'])
    assert taken['meta']['taken'] == 'state_dict_ema'
    assert main([*command, '--take', 'model_ema']) == 1
    assert capsys.readouterr().err == (
        f'Checkpoint {tmp_path}/last.pth has nothing to take under `model_ema`; beside lie state_dict_ema, epoch, '
        'args_ema.\n'
    )


def test_a_file_that_may_have_lost_its_end_is_remarked_on(tmp_path, capsys):
    model = drawn(VisionTransformer(img_size=32, embed_dim=192, depth=2, num_heads=3, mlp_ratio=1, num_classes=2))
    torch.save(model.state_dict(), tmp_path / 'cut.pth')
    assert main([str(tmp_path / 'cut.pth'), str(tmp_path / 'a.pth'), '--to', 'mmpretrain']) == 0
    note = 'note: DeiT / ViT of 192 channels is published with 12 blocks and this one has 2: if it was not trained like'
    assert note in capsys.readouterr().out


def test_help_says_what_mixpro_means(capsys):
    with pytest.raises(SystemExit) as stop:
        main(['--help'])
    assert stop.value.code == 0
    said = ' '.join(capsys.readouterr().out.split())
    assert 'mixpro is another word for mmpretrain where' in said
    assert said.startswith('usage: convert_checkpoint.py [-h] --to {mmpretrain,mmseg,mmdet,mixpro} [--trust]')
    assert '[--heads HEADS] [--take KEY] SRC DST Convert a checkpoint of DeiT, PVT, XCiT, CaiT or Swin' in said
    for about in (
        'SRC an official, timm, SMMix or released MixPro file, or one of ours DST the file to write',
        '--trust let code that is in the file run',
        '--heads HEADS heads of a DeiT or ViT, if they are not of 64 channels each',
        '--take KEY convert what the file has under KEY, such as model_ema or state_dict_ema',
    ):
        assert about in said
    for family in FAMILIES:
        if {'mmpretrain', 'mixpro'} <= family.targets.keys():
            assert family.targets['mmpretrain'] == family.targets['mixpro']


def test_interrupt_is_code_130(tmp_path, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr('mixpro_mm.transfer.cli.convert', interrupt)
    assert main(['a.pth', str(tmp_path / 'b.pth'), '--to', 'mmseg']) == 130
    assert capsys.readouterr().err == 'interrupted; nothing was written\n'


def test_command_fails_in_one_sentence(tmp_path, capsys):
    assert main([str(tmp_path / 'none.pth'), str(tmp_path / 'a.pth'), '--to', 'mmseg']) == 1
    out, err = capsys.readouterr()
    assert out == '' and err == f'Checkpoint {tmp_path}/none.pth is not an existing file.\n'
    with pytest.raises(SystemExit) as stop:
        main(['a.pth', 'b.pth', '--to', 'keras'])
    assert stop.value.code == 2


def test_tool_runs_as_a_script(source, tmp_path):
    path, _ = source('deit')
    command = [sys.executable, ROOT / 'tools' / 'convert_checkpoint.py', path, tmp_path / 'a.pth', '--to', 'mmdet']
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1 and done.stdout == ''
    assert done.stderr.count('\n') == 1 and 'cannot be converted --to mmdet' in done.stderr
