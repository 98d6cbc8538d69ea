"""Conversion of files with random tensors, compared with the original implementations."""

import argparse
import hashlib
import math
import subprocess
import sys
from pathlib import Path

import mmdet.registry
import mmpretrain.registry
import mmseg.registry
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from safetensors.torch import save_file
from timm.models.cait import Cait
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from timm.models.xcit import Xcit
from torch import nn

from mixpro_mm.models import PVT
from mixpro_mm.transfer import convert as convert_module
from mixpro_mm.transfer import keys, proof
from mixpro_mm.transfer.cli import main
from mixpro_mm.transfer.convert import convert
from mixpro_mm.utils.checkpoint import read_checkpoint
from mixpro_mm.version import __version__

PVT_ARCH = dict(embed_dims=(8, 16, 24, 32), num_heads=(1, 2, 3, 4), mlp_ratios=(4, 3, 2, 2), depths=(1, 2, 1, 2))
PVT_ARCH |= dict(sr_ratios=(8, 4, 2, 1))
XCIT = dict(embed_dim=32, num_heads=2, cls_attn_layers=2, tokens_norm=True, num_classes=5)
SWIN = dict(embed_dim=16, depths=(1, 2, 1, 2), num_heads=(1, 2, 4, 8), window_size=3, num_classes=5)


def vit(**numbers):
    return VisionTransformer(**dict(dict(img_size=32, embed_dim=64, depth=1, num_heads=1, num_classes=5), **numbers))


def pvt(**arch):
    backbone = PVT(dict(PVT_ARCH, **arch), img_size=64)
    return nn.ModuleDict(dict(backbone=backbone, head=nn.Linear(32, 5)))


MODELS = dict(
    deit=lambda: vit(img_size=48, depth=2, mlp_ratio=3),
    p14=lambda: vit(img_size=42, patch_size=14, embed_dim=128, depth=2, num_heads=2),
    xcit8=lambda: Xcit(img_size=32, patch_size=8, depth=1, mlp_ratio=3, **XCIT),
    xcit=lambda: Xcit(img_size=64, depth=2, **XCIT),
    cait=lambda: Cait(img_size=32, embed_dim=32, depth=2, num_heads=2, depth_token_only=2, num_classes=5),
    swin=lambda: SwinTransformer(img_size=96, **SWIN),
    pvt=pvt,
)
SIDES = dict(deit=48, p14=42, xcit8=32, xcit=64, cait=32, swin=96, pvt=64)


def own_names(family):
    return 'mixpro' if family == 'pvt' else 'mmpretrain'


def drawn(model, seed=0):
    """Draw every tensor, so that no two are equal and none is 0 or the identity."""
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
    """Return a state dict of timm (or PVT) under the names of the authors' release, independent of the tables."""
    if family == 'pvt':
        return {name.removeprefix('backbone.'): tensor for name, tensor in state.items()}
    if family == 'cait':
        return {f'module.{name}': tensor for name, tensor in state.items()}
    renamed = {name.replace('pos_embed.', 'pos_embeder.').replace('head.fc.', 'head.'): state[name] for name in state}
    for block, kind in [(block, kind) for block in range(2) for kind in ('weight', 'bias')] if family == 'xcit' else ():
        own = [renamed.pop(f'cls_attn_blocks.{block}.attn.{part}.{kind}') for part in 'qkv']
        renamed[f'cls_attn_blocks.{block}.attn.qkv.{kind}'] = torch.cat(own)
    if family == 'swin':
        for name in [name for name in renamed if '.downsample.' in name]:
            _, stage, rest = name.split('.', 2)
            renamed[f'layers.{int(stage) - 1}.{rest}'] = renamed.pop(name)
        for stage, block in ((0, 0), (1, 0), (1, 1), (2, 0), (3, 0), (3, 1)):
            here = f'layers.{stage}.blocks.{block}'
            renamed[f'{here}.attn.relative_position_index'] = torch.zeros(9, 9, dtype=torch.long)
            if (stage, block) == (1, 1):
                renamed[f'{here}.attn_mask'] = torch.zeros(16, 9, 9)
    return renamed


@pytest.fixture
def source(tmp_path):
    """Return a function that writes the file of a family and returns (path, model)."""

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


def build(config, toolkit, checkpoint=None):
    """Build a model of a toolkit, loaded by its init_cfg."""
    if checkpoint:
        config = dict(config, init_cfg=dict(type='Pretrained', checkpoint=str(checkpoint)))
    model = dict(mmpretrain=mmpretrain, mmseg=mmseg, mmdet=mmdet)[toolkit].registry.MODELS.build(ConfigDict(config))
    if checkpoint:
        model.init_weights()
    model.eval()
    return model


def images(side):
    """Return a random walk in each row, because models hardly react to fine noise alone."""
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(7)).cumsum(-1) / 4


def maps_of(family, model):
    """Return images and the feature maps of the original model."""
    x = images(SIDES[family] * (2 if family == 'swin' else 1))
    if family == 'swin':  # four windows in stage 4
        wider = SwinTransformer(img_size=192, **SWIN).eval()
        wider.load_state_dict(model.state_dict(), strict=False)
        return x, [wider.forward_features(x).permute(0, 3, 1, 2)]
    if family == 'pvt':
        maps = PVT(PVT_ARCH, img_size=64, out_type='featmap', conv_norm_eps=1e-6)
        maps.eval()  # returns None in mmpretrain
        maps.load_state_dict(model['backbone'].state_dict())
        return x, maps(x)
    return x, [model.forward_features(x)[:, 1:].transpose(1, 2).unflatten(2, (3, 3))]


ROUND_TRIPS = [
    *((family, 'timm', target) for family in ('deit', 'p14') for target in ('mmpretrain', 'mmseg')),
    *((family, 'own', 'mmseg') for family in ('deit', 'p14')),
    *((family, layout, 'mmpretrain') for family in ('xcit', 'cait') for layout in ('official', 'timm')),
    ('xcit8', 'timm', 'mmpretrain'),
    *(('swin', layout, target) for layout in ('official', 'timm') for target in ('mmpretrain', 'mmseg', 'mmdet')),
    *(('swin', 'own', target) for target in ('mmseg', 'mmdet')),
    *(('pvt', 'official', target) for target in ('mixpro', 'mmdet')),
    ('pvt', 'own', 'mmdet'),
]


@pytest.mark.parametrize('family, layout, target', ROUND_TRIPS)
@torch.no_grad()
def test_a_converted_file_computes_the_same_in_the_class_of_the_target(source, tmp_path, family, layout, target):
    path, model = source(family, 'official' if layout == 'own' else layout)
    if layout == 'own':
        convert(path, tmp_path / 'own.pth', own_names(family))
        path = tmp_path / 'own.pth'
    before, new = path.read_bytes(), tmp_path / 'out' / 'deeper' / 'a.pth'
    result = convert(path, new, target)
    known = dict(own='mmpretrain', official='timm' if family == 'cait' else 'official', timm='timm')
    assert result.layout == known[layout] and path.read_bytes() == before
    assert result.proof.deviation <= 1e-5 and not result.proof.skipped
    if target in ('mmseg', 'mmdet'):
        assert result.proof.what.startswith(f'feature maps of {target}.')
        x, wanted = maps_of(family, model)
        every = dict(out_indices=(0, 1, 2, 3)) if family == 'swin' else {}
        found = build(result.config | every, target, new)(x)[-len(wanted) :]
    else:
        assert result.proof.what.startswith('logits of ')
        classifier, x = build(result.config, 'mmpretrain'), images(SIDES[family])
        classifier.load_state_dict(read_checkpoint(new)[0], strict=True)
        wanted, found = [model['head'](model['backbone'](x)[0]) if family == 'pvt' else model(x)], [classifier(x)]
    for a, b in zip(found, wanted, strict=True):
        assert b.abs().max() > 0.1 and b.std(0).max() > 1e-3  # not trivial, and depends on the image
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_meta_of_the_written_file(source, tmp_path):
    path, _ = source('pvt')
    result = convert(path, tmp_path / 'a.pth', 'mmdet')
    content = torch.load(tmp_path / 'a.pth', weights_only=True)
    sha256, deviation = hashlib.sha256(path.read_bytes()).hexdigest(), result.proof.deviation
    names = dict(source='pvt.pth', family='PVT', layout='official', taken=None, prefix='', target='mmdet')
    assert set(content) == {'state_dict', 'meta'}
    assert content['meta'] == names | dict(source_sha256=sha256, mixpro_mm_version=__version__, deviation=deviation)
    sizes = sum(tensor.numel() * tensor.element_size() for tensor in content['state_dict'].values())
    assert (tmp_path / 'a.pth').stat().st_size < 2 * sizes + 100_000  # no shared storage


def beginning(prefix, state, more=()):
    return {f'{prefix}{name}': tensor for name, tensor in state.items()} | dict(more)


def other(state):
    return {name: tensor + 1 for name, tensor in state.items()}


WRAPPINGS = (
    lambda state: dict(model=beginning('module._orig_mod.', state), args=argparse.Namespace(lr=1)),
    lambda state: dict(state_dict=beginning('model.net._orig_mod.', state, LAST), hyper_parameters={}),
    lambda state: {name.replace('ks.1.', 'ks.1._checkpoint_wrapped_module.'): state[name] for name in state},
    lambda state: dict(student=beginning('backbone.', other(state)), teacher=beginning('backbone.', state, LAST)),
)
LAST = {'criterion.weight': torch.ones(3), 'head.last_layer.weight_v': torch.ones(3)}


@pytest.mark.parametrize('wrap', WRAPPINGS)
def test_wrappings(source, tmp_path, wrap):
    path, model = source('deit', wrap=wrap)
    convert(path, tmp_path / 'a.pth', 'mmpretrain')
    assert read_checkpoint(tmp_path / 'a.pth')[0]['backbone.ln1.bias'].equal(model.norm.bias)


def test_prefix_and_names_outside_it_are_reported(source, tmp_path, capsys):
    more = {'head.weight': torch.ones(2, 2), 'ema_steps': torch.ones(1)}
    path, _ = source('deit', wrap=lambda state: dict(teacher=beginning('backbone.', state, more), epoch=1))
    assert main([str(path), str(tmp_path / 'a.pth'), '--to', 'mmpretrain']) == 0
    out = capsys.readouterr().out
    assert out.startswith(f'{path} (entry teacher) (prefix backbone.) is DeiT / ViT in the layout of')
    assert 'dropped 2: head.weight, ema_steps (outside the prefix backbone. of the model)\n' in out
    content = torch.load(tmp_path / 'a.pth')
    assert content['meta']['taken'] == 'teacher' and content['meta']['prefix'] == 'backbone.'
    assert content['state_dict']['head.layers.head.weight'].equal(torch.load(path)['teacher']['backbone.head.weight'])


def test_several_models_require_take(source, tmp_path):
    both = lambda state: beginning('module.student.', state, beginning('module.teacher.', other(state)))  # noqa: E731
    path, _ = source('deit', wrap=both)
    stopped(path, tmp_path / 'a.pth', 'mmseg', r'prefixes student\., teacher\.: .* --take student\.$')
    assert main([str(path), str(tmp_path / 'a.pth'), '--to', 'mmseg', '--take', 'teacher']) == 0
    tensors = torch.load(tmp_path / 'a.pth')['state_dict']
    assert tensors['ln1.bias'].equal(torch.load(path)['module.teacher.norm.bias'])


@pytest.mark.parametrize('family', ['deit', 'pvt', 'swin'])
def test_own_names_are_refused_where_mmengine_loads_them(source, tmp_path, family):
    own, target = tmp_path / 'own.pth', own_names(family)
    convert(source(family)[0], own, target)
    stopped(own, tmp_path / 'a.pth', 'mmpretrain', 'already has the names')
    stopped(own, tmp_path / 'a.pth', 'mixpro', 'CASwin' if family == 'swin' else 'already has the names')
    tensors = torch.load(own)['state_dict']
    save_file(tensors, tmp_path / 'a.safetensors')
    torch.save(dict(state_dict=beginning('model.', tensors)), tmp_path / 'b.pth')
    for name in ('a.safetensors', 'b.pth'):
        assert convert(tmp_path / name, tmp_path / 'out', target).proof.deviation == 0
        torch.testing.assert_close(torch.load(tmp_path / 'out')['state_dict'], tensors, rtol=0, atol=0)


@pytest.mark.parametrize('family', ['deit', 'swin', 'cait', 'pvt', 'xcit'])
def test_without_classifier_features_are_compared(source, tmp_path, family):
    path, _ = source(family, edit=lambda state: [state.pop(key) for key in list(state) if 'head.' in key])
    result = convert(path, tmp_path / 'a.pth', own_names(family))
    assert result.proof.what.startswith('features of') and result.proof.deviation <= 1e-5
    assert not any(name.startswith('head') for name in result.renamed.tensors)


def test_second_heads_and_mask_tokens_are_dropped(source, tmp_path):
    extra = dict(deit=('token_head.weight', 'head1.bias', 'mask_token'), swin=('mask_token',), pvt=('token_head.bias',))
    for family, names in extra.items():
        path, _ = source(family, edit=lambda state, names=names: state.update(dict.fromkeys(names, torch.ones(1))))
        dropped = convert(path, tmp_path / 'a.pth', own_names(family)).renamed.dropped
        assert set(names) <= set(dropped)
        assert all('SMMix' in why or 'MixPro' in why or 'constant' in why for why in dropped.values())


def test_heads_of_other_width_need_the_option(source, tmp_path):
    path = tmp_path / 'micro.pth'
    torch.save(drawn(vit(embed_dim=48, num_heads=4)).state_dict(), path)
    stopped(path, tmp_path / 'a.pth', 'mmseg', r'has 48 channels, .* with --heads\.$')
    for heads in (5, 0, -1, 96):
        stopped(path, tmp_path / 'a.pth', 'mmseg', f'has 48 channels, which {heads} heads', heads=heads)
    assert main([str(path), str(tmp_path / 'b.pth'), '--to', 'mmseg', '--heads', '4']) == 0
    assert convert(path, tmp_path / 'a.pth', 'mmseg', heads=4).config['num_heads'] == 4
    for family in ('swin', 'cait', 'xcit', 'pvt'):
        stopped(source(family)[0], tmp_path / 'c.pth', own_names(family), 'omit --heads', heads=2)


LEARNABLE = dict(type='mixpro_mm.LearnableFactor', loss=dict(type='CrossEntropyLoss', use_soft=True))
NESTED = dict(type='mixpro_mm.LocalContextLoss', loss=LEARNABLE, in_channels=64, num_classes=5)
WHY = 'belongs to the loss of pre-training'


@pytest.mark.parametrize('head, loss, linear', [
    ('LinearClsHead', dict(type='CrossEntropyLoss'), 'head.fc'),
    ('VisionTransformerClsHead', NESTED, 'head.layers.head'),
])  # fmt: skip
def test_own_files_with_a_loss(tmp_path, head, loss, linear):
    arch = dict(embed_dims=64, num_layers=1, num_heads=1, feedforward_channels=64)
    backbone = dict(type='VisionTransformer', arch=arch, img_size=32, patch_size=16)
    head = dict(type=head, num_classes=5, in_channels=64, loss=loss)
    model = drawn(build(dict(type='ImageClassifier', backbone=backbone, head=head), 'mmpretrain'))
    own = {name for name in model.state_dict() if name.startswith('head.loss_module.')}
    assert len(own) == (3 if loss is NESTED else 0)
    torch.save(dict(state_dict=model.state_dict(), meta=dict(epoch=300)), tmp_path / 'epoch_300.pth')
    result = convert(tmp_path / 'epoch_300.pth', tmp_path / 'a.pth', 'mmseg')
    dropped = result.renamed.dropped
    assert {name for name, why in dropped.items() if why == WHY} == own
    assert set(dropped) == own | {f'{linear}.{kind}' for kind in ('weight', 'bias')}
    assert result.proof.deviation <= 1e-5 and result.size['classes'] == 5
    assert result.proof.loaded == '18 of 18 tensors of VisionTransformer'


def test_a_broken_loss_is_dropped_and_a_loss_alone_refused(source, tmp_path):
    path, _ = source('deit', edit=lambda state: state.update({'loss_module.raw_factor': torch.tensor([torch.nan])}))
    assert 'loss_module.raw_factor' in convert(path, tmp_path / 'a.pth', 'mmseg').renamed.dropped
    torch.save({'head.loss_module.raw_factor': torch.zeros(1)}, tmp_path / 'loss.pth')
    stopped(tmp_path / 'loss.pth', tmp_path / 'b.pth', 'mmseg', r'no known layout \(.*only a loss\.$')


def stopped(path, destination, target, words, **kwargs):
    """Check that a conversion raises one line and writes nothing."""
    before = sorted(path.parent.rglob('*'))
    with pytest.raises((ValueError, FileNotFoundError), match=words) as stop:
        convert(path, destination, target, **kwargs)
    message = str(stop.value)
    assert '\n' not in message and message.endswith('.') and len(message) < 500
    assert sorted(path.parent.rglob('*')) == before


@pytest.mark.parametrize('family, target, words', [
    ('deit', 'mmdet', r'DeiT / ViT .*mmpretrain\.VisionTransformer.*: mmpretrain, mixpro, mmseg, timm\.$'),
    ('xcit', 'mmseg', r'XCiT .*mmseg has no XCiT.*mmpretrain\.XCiT'),
    ('cait', 'mmdet', r'CaiT .*mmdet has no CaiT'),
    ('swin', 'mixpro', r'Swin .*mixpro_mm\.CASwin .*: mmpretrain, mmseg, mmdet, timm\.$'),
    ('pvt', 'mmseg', r'PVT .*mmseg has no PVT.*mixpro_mm\.PVT'),
])  # fmt: skip
def test_impossible_targets_name_the_possible_ones(source, tmp_path, family, target, words):
    stopped(source(family)[0], tmp_path / 'a.pth', target, words)


TABLE = 'layers.2.blocks.0.attn.relative_position_bias_table'
DAMAGED = [  # family, tensor, its new value or a change (None: removed), words
    ('deit', 'blocks.1.norm1.bias', None, r'layout of timm, but lacks backbone\.layers\.1\.ln1\.bias '),
    ('deit', 'patch_embed.proj.weight', None, r'but lacks backbone\.patch_embed\.projection\.weight of mmpretrain\.$'),
    ('deit', 'blocks.7.norm2.bias', torch.ones(64), r'has 1 of 33 tensors without a place: blocks\.7\.norm2\.bias\.$'),
    ('deit', 'extra', torch.ones(1), r'but has 1 of 33 tensors without a place: extra\.$'),
    ('deit', 'pos_embed', torch.ones(1, 8, 64), r'has 7 positions in pos_embed'),
    ('deit', 'norm.weight', torch.ones(9), r'has norm\.weight that does not fit: .*ln1\.weight .*\(64,\), not \(9,\)'),
    ('deit', 'norm.bias', torch.full((64,), torch.nan), r'not finite in norm\.bias\.$'),
    ('deit', 'norm.weight', torch.Tensor.to_sparse, r'cannot be converted \(NotImplementedError: '),
    ('xcit', 'blocks.0.attn.temperature', torch.sum, r'cannot be converted \(TypeError: len\(\) of a 0-d tensor\)\.$'),
    ('xcit', 'cls_token', torch.ones(1, 1, 0), r' has cls_token of shape \(1, 1, 0\) that does not fit: '),
    ('cait', 'module.pos_embed', torch.ones(1, 5, 32), r'has 5 positions in pos_embed'),
    ('swin', TABLE, torch.ones(9, 4), r'has 1-2-1-2 blocks with windows of 2, 3; '),
    ('swin', TABLE, torch.ones(26, 4), r'has a position bias table of 26 rows, not a square window'),
    ('swin', 'layers.2.downsample.reduction.weight', None, r'lacks .*stages\.2\.downsample\.reduction'),
    ('swin', 'layers.1.downsample.reduction.weight', torch.ones(8, 6), r'weight of shape \(8, 6\) that does not fit'),
    ('pvt', 'patch_embed2.proj.weight', torch.ones(17, 8, 2, 2), r'has \(8, 17, 24, 32\) channels in its stages'),
]


@pytest.mark.parametrize('family, name, value, words', DAMAGED)
def test_damaged_tensors_are_named(source, tmp_path, family, name, value, words):
    def edit(state):
        old = state.pop(name, None)
        state |= {} if value is None else {name: value(old) if callable(value) else value}

    stopped(source(family, edit=edit)[0], tmp_path / 'a.pth', own_names(family), words)


class Code:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_code_in_a_file_runs_only_with_trust(source, tmp_path):
    ran = tmp_path / 'ran'
    path, _ = source('deit', wrap=lambda state: dict(model=state, config=Code(ran)))
    stopped(tmp_path / 'none.pth', tmp_path / 'a.pth', 'mmseg', r'is not an existing file')
    stopped(path, tmp_path / 'a.pth', 'mmseg', '; with --trust ')
    command = [str(path), str(tmp_path / 'b.pth'), '--to', 'mmseg']
    assert main(command) == 1 and not ran.exists()
    assert main([*command, '--trust']) == 0 and ran.exists()


@pytest.mark.parametrize('scope, target', [('mmpretrain', 'mmseg'), ('mmdet', 'mmseg'), ('mmseg', 'mmdet')])
def test_proof_builds_the_class_of_the_target_in_any_scope(source, tmp_path, scope, target):
    with DefaultScope.overwrite_default_scope(scope):
        result = convert(source('swin')[0], tmp_path / 'a.pth', target)
    assert f'feature maps of {target}.' in result.proof.what


@pytest.mark.parametrize('family, model, possible, refused', [
    ('deit', lambda: vit(mlp_ratio=2.5), ('mmpretrain',), 'mmseg'),
    ('swin', lambda: SwinTransformer(**SWIN, img_size=96, mlp_ratio=2), ('mmpretrain', 'mmseg', 'mmdet'), None),
    ('swin', lambda: SwinTransformer(**SWIN, img_size=96, mlp_ratio=2.5), ('mmpretrain', 'mmseg'), 'mmdet'),
    ('pvt', lambda: pvt(mlp_ratios=(4, 2.5, 2, 2)), ('mixpro',), 'mmdet'),
])  # fmt: skip
def test_mlps_of_any_width(source, tmp_path, monkeypatch, family, model, possible, refused):
    monkeypatch.setitem(MODELS, family, model)
    path, _ = source(family, 'timm')
    for target in possible:
        assert convert(path, tmp_path / 'a.pth', target).proof.deviation <= 1e-5
    if refused:
        stopped(path, tmp_path / 'b.pth', refused, rf'has an MLP ratio of 2\.5; the class of {refused} ')


@pytest.mark.parametrize('family, target, a, b', [
    ('deit', 'mmpretrain', 'backbone.layers.0.ln1.bias', 'backbone.layers.0.ln2.bias'),
    ('swin', 'mmdet', 'backbone.stages.1.downsample.norm.weight', 'backbone.stages.1.downsample.norm.bias'),
])  # fmt: skip
def test_a_wrong_renaming_is_not_written(source, tmp_path, monkeypatch, family, target, a, b):
    def swapped(file, table):
        result = keys.rename(file, table)
        if a in result.tensors and a not in file.tensors:  # the first renaming
            result.tensors |= {a: result.tensors[b], b: result.tensors[a]}
        return result

    monkeypatch.setattr(convert_module, 'rename', swapped)
    words = r'was converted wrongly: .* differ by \S+ \(limit 1e-05\)\.$'
    stopped(source(family)[0], tmp_path / 'a.pth', target, words)


@pytest.mark.parametrize('value', [math.nan, math.inf, 1])
@pytest.mark.parametrize('place', range(3))
def test_proof_requires_finite_and_equal_values_in_every_map(value, place):
    found, spoiled = [[torch.ones(1, 2, 3, 3) for _ in range(3)] for _ in range(2)]
    spoiled[place][0, 1, 2, 0] = value
    for pair in ((found, spoiled), (spoiled, found), (spoiled, spoiled)):
        assert (proof._deviation(*map(tuple, pair)) == 0) == (value == 1)
    assert proof._deviation((torch.ones(1),), (torch.ones(2),)) == math.inf


def test_outputs_that_are_zero_or_not_finite_prove_nothing(source, tmp_path):
    for value in (0, 3e38):
        path, _ = source('deit', edit=lambda s, value=value: [s[f'head.{k}'].fill_(value) for k in ('weight', 'bias')])
        stopped(path, tmp_path / 'a.pth', 'mmpretrain', r'cannot be verified: logits of .* timm\.VisionTransformer ')


def test_the_source_is_never_written_to(source, tmp_path):
    path, _ = source('deit')
    before = path.read_bytes()
    (tmp_path / 'link.pth').symlink_to(path)
    (tmp_path / 'hard.pth').hardlink_to(path)
    for destination in (path, tmp_path / 'x' / '..' / 'deit.pth', tmp_path / 'link.pth', tmp_path / 'hard.pth'):
        stopped(path, destination, 'mmseg', r'(deit|link|hard)\.pth is the source itself')
    assert path.read_bytes() == before


def test_unwritable_destination_leaves_nothing_behind(source, tmp_path, monkeypatch):
    path, _ = source('deit')
    stopped(path, tmp_path, 'mmseg', r'cannot be written: Is a directory\.$')
    stopped(path, tmp_path / 'out.safetensors', 'mmseg', r'out\.safetensors must end in \.pth')
    stopped(path, path / 'a.pth', 'mmseg', r'deit\.pth/a\.pth cannot be written: ')
    (tmp_path / 'old.pth').write_text('older content')

    def full(content, file):
        Path(file).write_bytes(b'half')
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(convert_module.torch, 'save', full)
    for name in ('a.pth', 'old.pth'):
        stopped(path, tmp_path / name, 'mmseg', rf'{name} cannot be written: No space left on device\.$')
    assert (tmp_path / 'old.pth').read_text() == 'older content'


@pytest.mark.parametrize('package, family, target', [('timm', 'deit', 'mmseg'), ('mmdet.models', 'pvt', 'mmdet')])
def test_missing_packages_skip_the_proof(source, tmp_path, monkeypatch, capsys, package, family, target):
    path, _ = source(family)
    monkeypatch.setitem(sys.modules, package, None)
    assert main([str(path), str(tmp_path / 'a.pth'), '--to', target]) == 0
    out, timm_only = capsys.readouterr().out, package == 'timm'
    assert f'proof skipped: {package.partition(".")[0]} is missing (' in out
    assert f'pip install {"timm" if timm_only else "onedl-mmdetection"}' in out
    assert ('tensors of VisionTransformer\n' in out) == timm_only
    assert torch.load(tmp_path / 'a.pth')['meta']['deviation'] is None


def test_command_reports_what_it_did(source, tmp_path, capsys):
    path, _ = source('swin')
    assert main([str(path), str(tmp_path / 'a.pth'), '--to', 'mmdet']) == 0
    lines = capsys.readouterr().out.splitlines()
    size = '1-2-1-2 blocks of 16 channels, patch 4, window 3, 96 px, 5 classes'
    assert lines[0].startswith(f'{path} is Swin in the layout of official: {size} (SHA-256 ')
    # stem 4, blocks 6 x 13, mergings 3 x 3, norm and head 4 make 95; with 6 indices and a mask 102; without head 99
    assert lines[1].startswith('102 tensors in, 99 out: ') and lines[1].endswith(', 9 dropped')
    assert {'9 re-ordered for nn.Unfold', '12 with window indices computed'} < set(lines[1].split(', ')), lines[1]
    assert lines[2].startswith('dropped 7: ') and lines[2].endswith('(constant, recomputed)')
    assert lines[3] == 'dropped 2: head.weight, head.bias (a backbone of mmdet has no classifier)'
    assert lines[4] == 'loaded: 99 of 99 tensors of SwinTransformer'
    proved = 'feature maps of mmdet.SwinTransformer and timm.SwinTransformer on 2 random images of 192 px differ by'
    assert lines[5].startswith(f'proof: {proved}')
    settings = eval(lines[-1].removeprefix('backbone='))
    assert settings['init_cfg'] == dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth'))
    loaded = build(settings, 'mmdet', tmp_path / 'a.pth').state_dict()
    assert loaded['norm3.bias'].equal(torch.load(path)['model']['norm.bias'])


def test_averaged_weights_are_remarked_on_and_taken(tmp_path, capsys):
    raw, mean = (drawn(MODELS['deit'](), seed).state_dict() for seed in (0, 1))
    torch.save(dict(state_dict=raw, state_dict_ema=mean, epoch=3), tmp_path / 'last.pth')
    command = [str(tmp_path / 'last.pth'), str(tmp_path / 'a.pth'), '--to', 'mmpretrain']
    for more, said, tensors in (
        ([], '\nnote: state_dict_ema has averaged weights; --take state_dict_ema converts them\n', raw),
        (['--take', 'state_dict_ema'], '\nnot read: state_dict, epoch\n', mean),
    ):
        assert main([*command, *more]) == 0
        assert said in capsys.readouterr().out
        assert torch.load(tmp_path / 'a.pth')['state_dict']['backbone.cls_token'].equal(tensors['cls_token'])
    assert torch.load(tmp_path / 'a.pth')['meta']['taken'] == 'state_dict_ema'


def test_interrupt_is_code_130(monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr('mixpro_mm.transfer.cli.convert', interrupt)
    assert main(['a.pth', 'b.pth', '--to', 'mmseg']) == 130
    assert capsys.readouterr().err == 'interrupted; nothing was written\n'


def test_tool_runs_as_a_script(tmp_path):
    tool = Path(__file__).parents[2] / 'tools' / 'convert_checkpoint.py'
    command = [sys.executable, tool, tmp_path / 'none.pth', tmp_path / 'a.pth', '--to', 'mmdet']
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.endswith('none.pth is not an existing file.\n')
