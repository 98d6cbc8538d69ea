"""Conversion of files with random tensors, compared with the original implementations."""

import argparse
import copy
import hashlib
import math
import re
import subprocess
import sys
from itertools import cycle
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

from mixpro_mm import models
from mixpro_mm.models import PVT, LossWrapper
from mixpro_mm.transfer import convert as convert_module
from mixpro_mm.transfer import keys, proof
from mixpro_mm.transfer.cli import main
from mixpro_mm.transfer.convert import convert
from mixpro_mm.utils.checkpoint import read_state_dict
from mixpro_mm.version import __version__

ROOT = Path(__file__).parents[2]
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


def images(side, seed=7):
    generator = torch.Generator().manual_seed(seed)
    coarse, fine = (torch.randn(2, 3, cells, cells, generator=generator) for cells in (3, side))
    return nn.functional.interpolate(coarse, side) * 2 + fine


def close(a, b):
    assert b.abs().max() > 0.1 and b.std(0).max() > 1e-3  # not trivial, and depends on the image
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


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


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


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
    before = path.read_bytes()
    if layout == 'own':
        convert(path, tmp_path / 'own.pth', own_names(family))
    found_in = tmp_path / 'own.pth' if layout == 'own' else path
    new = tmp_path / 'out' / 'deeper' / 'a.pth'
    result = convert(found_in, new, target)
    known = dict(own='mmpretrain', official='timm' if family == 'cait' else 'official', timm='timm')
    assert result.layout == known[layout] and path.read_bytes() == before
    assert result.proof.deviation <= 1e-5 and not result.proof.skipped
    if target in ('mmseg', 'mmdet'):
        assert result.proof.what.startswith(f'feature maps of {target}.')
        x, wanted = maps_of(family, model)
        every = dict(out_indices=(0, 1, 2, 3)) if family == 'swin' else {}
        found = build(result.config | every, target, new)(x)
        for a, b in zip(found[-len(wanted) :], wanted, strict=True):
            close(a, b)
        return
    assert result.proof.what.startswith('logits of ')
    classifier, x = build(result.config, 'mmpretrain'), images(SIDES[family])
    classifier.load_state_dict(read_state_dict(new)[0], strict=True)
    close(classifier(x), model['head'](model['backbone'](x)[0]) if family == 'pvt' else model(x))


def test_meta_of_the_written_file(source, tmp_path):
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
    assert (tmp_path / 'a.pth').stat().st_size < 2 * sizes + 100_000  # no shared storage


def beginning(prefix, state, more=()):
    return {f'{prefix}{name}': tensor for name, tensor in state.items()} | dict(more)


def other(state):
    return {name: tensor + 1 for name, tensor in state.items()}


def test_wrappings(source, tmp_path):
    criterion, last = {'criterion.weight': torch.ones(3)}, {'head.last_layer.weight_v': torch.ones(3)}
    wraps = (
        lambda state: dict(model=beginning('module._orig_mod.', state), args=argparse.Namespace(lr=1)),
        lambda state: dict(model=beginning('_orig_mod.module.', state)),
        lambda state: dict(state_dict=beginning('model.net._orig_mod.', state, criterion), hyper_parameters={}),
        lambda state: {name.replace('ks.1.', 'ks.1._checkpoint_wrapped_module.'): state[name] for name in state},
        lambda state: dict(  # DINO
            student=beginning('module.backbone.', other(state)),
            teacher=beginning('backbone.', state, last),
            optimizer=dict(state={0: dict(exp_avg=torch.ones(1))}),
        ),
        lambda state: dict(model_state_dict=beginning('encoder.', state)),
    )
    convert(source('deit')[0], tmp_path / 'plain.pth', 'mmseg')
    for wrap in wraps:
        convert(source('deit', wrap=wrap)[0], tmp_path / 'wrapped.pth', 'mmseg')
        assert same(*(read_state_dict(tmp_path / f'{name}.pth')[0] for name in ('plain', 'wrapped')))


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
        assert same(torch.load(tmp_path / 'out')['state_dict'], tensors)


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
    assert convert(path, tmp_path / 'a.pth', 'mmseg', heads=4).config['num_heads'] == 4
    assert main([str(path), str(tmp_path / 'b.pth'), '--to', 'mmseg', '--heads', '4']) == 0
    assert same(*(torch.load(tmp_path / f'{name}.pth')['state_dict'] for name in 'ab'))
    for family in ('swin', 'cait', 'xcit', 'pvt'):
        stopped(source(family)[0], tmp_path / 'c.pth', own_names(family), 'omit --heads', heads=2)


PLAIN = dict(type='CrossEntropyLoss', use_soft=True)
LOSSES = dict(
    plain=PLAIN,
    LossWrapper=LossWrapper(PLAIN),
    BranchLoss=dict(type='mixpro_mm.BranchLoss', loss=PLAIN, labelled=PLAIN),
    LearnableFactor=dict(type='mixpro_mm.LearnableFactor', loss=PLAIN),
    LocalContextLoss=dict(type='mixpro_mm.LocalContextLoss', loss=PLAIN, in_channels=64, num_classes=5),
)
LOSSES['nested'] = dict(LOSSES['LocalContextLoss'], loss=LOSSES['LearnableFactor'])
WHY = 'belongs to the loss of pre-training'


def test_all_losses_are_tested():
    classes = (value for value in vars(models).values() if isinstance(value, type) and issubclass(value, nn.Module))
    assert {value.__name__ for value in classes} == (LOSSES.keys() - {'plain', 'nested'}) | {'PVT', 'CASwin'}


@pytest.mark.parametrize('loss', LOSSES)
def test_own_files_with_a_loss(tmp_path, loss):
    arch = dict(embed_dims=64, num_layers=1, num_heads=1, feedforward_channels=64)
    backbone = dict(type='VisionTransformer', arch=arch, img_size=32, patch_size=16)
    head = 'LinearClsHead' if loss == 'plain' else 'VisionTransformerClsHead'
    head = dict(type=head, num_classes=5, in_channels=64, loss=copy.deepcopy(LOSSES[loss]))
    model = drawn(build(dict(type='ImageClassifier', backbone=backbone, head=head), 'mmpretrain'))
    own = {name for name in model.state_dict() if name.startswith('head.loss_module.')}
    assert len(own) == dict(LearnableFactor=1, LocalContextLoss=2, nested=3).get(loss, 0)
    torch.save(dict(state_dict=model.state_dict(), meta=dict(epoch=300)), tmp_path / 'epoch_300.pth')
    result = convert(tmp_path / 'epoch_300.pth', tmp_path / 'a.pth', 'mmseg')
    dropped = result.renamed.dropped
    assert {name for name, why in dropped.items() if why == WHY} == own
    linear = 'head.fc' if loss == 'plain' else 'head.layers.head'
    assert set(dropped) == own | {f'{linear}.{kind}' for kind in ('weight', 'bias')}
    assert result.proof.deviation <= 1e-5 and result.size['classes'] == 5
    assert result.proof.loaded == '18 of 18 tensors of VisionTransformer'


def test_own_cait_with_a_learnable_factor(tmp_path):
    numbers = dict(img_size=32, embed_dim=32, depth=2, num_heads=2, depth_token_only=2, num_classes=5)
    model = dict(type='TimmClassifier', model_name='cait_xxs24_224', loss=copy.deepcopy(LOSSES['LearnableFactor']))
    torch.save(drawn(build(model | numbers, 'mmpretrain')).state_dict(), tmp_path / 'epoch_400.pth')
    result = convert(tmp_path / 'epoch_400.pth', tmp_path / 'a.pth', 'mixpro')
    assert result.renamed.dropped == {'loss_module.raw_factor': WHY} and result.proof.deviation <= 1e-5


def test_a_broken_loss_is_dropped_and_a_loss_alone_refused(source, tmp_path):
    path, _ = source('deit', edit=lambda state: state.update({'loss_module.raw_factor': torch.tensor([torch.nan])}))
    assert 'loss_module.raw_factor' in convert(path, tmp_path / 'a.pth', 'mmseg').renamed.dropped
    torch.save({'head.loss_module.raw_factor': torch.zeros(1)}, tmp_path / 'loss.pth')
    stopped(tmp_path / 'loss.pth', tmp_path / 'b.pth', 'mmseg', r'no known layout \(.*only a loss\.$')


def stopped(path, destination, target, words, **kwargs):
    """Check that a conversion raises one line and writes nothing; return the message."""
    before = sorted(path.parent.rglob('*'))
    with pytest.raises((ValueError, FileNotFoundError), match=words) as stop:
        convert(path, destination, target, **kwargs)
    message = str(stop.value)
    assert '\n' not in message and message.endswith('.') and len(message) < 500
    assert sorted(path.parent.rglob('*')) == before
    return message


@pytest.mark.parametrize(
    'family, target, words',
    [
        ('deit', 'mmdet', r'DeiT / ViT .*mmpretrain\.VisionTransformer.*: mmpretrain, mixpro, mmseg\.$'),
        ('xcit', 'mmseg', r'XCiT .*mmseg has no XCiT.*mmpretrain\.XCiT'),
        ('cait', 'mmdet', r'CaiT .*mmdet has no CaiT'),
        ('swin', 'mixpro', r'Swin .*mixpro_mm\.CASwin .*: mmpretrain, mmseg, mmdet\.$'),
        ('pvt', 'mmseg', r'PVT .*mmseg has no PVT.*mixpro_mm\.PVT'),
    ],
)
def test_impossible_targets_name_the_possible_ones(source, tmp_path, family, target, words):
    stopped(source(family)[0], tmp_path / 'a.pth', target, words)


def without(*names):
    return lambda state: [state.pop(name) for name in names]


def put(name, *shape):
    return lambda state: state.update({name: torch.ones(*shape)})


def change(name, function):
    return lambda state: state.update({name: function(state[name])})


TABLE = 'layers.2.blocks.0.attn.relative_position_bias_table'
DAMAGED = [
    ('deit', without('blocks.1.norm1.bias'), r'layout of timm, but lacks backbone\.layers\.1\.ln1\.bias '),
    ('deit', put('extra', 1), r'but has 1 of 33 tensors without a place: extra\.$'),
    ('deit', put('pos_embed', 1, 8, 64), r'has 7 positions in pos_embed'),
    ('deit', put('norm.weight', 9), r'has norm\.weight that does not fit: .*ln1\.weight .* \(64,\), not \(9,\)\.$'),
    ('deit', change('norm.bias', lambda bias: bias * torch.nan), r'not finite in norm\.bias\.$'),
    ('deit', change('norm.weight', torch.Tensor.to_sparse), r'cannot be converted \(NotImplementedError: '),
    ('xcit', without('patch_embed.proj.4.1.running_mean'), r'lacks .*patch_embed\.proj\.2\.bn\.running_mean'),
    ('cait', put('module.pos_embed', 1, 5, 32), r'has 5 positions in pos_embed'),
    ('swin', put(TABLE, 9, 4), r'has 1-2-1-2 blocks with windows of 2, 3; '),
    ('swin', without('layers.2.downsample.reduction.weight'), r'lacks .*stages\.2\.downsample\.reduction'),
    ('swin', put(TABLE, 25, 0), r' has layers\.2\.\S+ of shape \(25, 0\) that does not fit: '),
    ('pvt', without('block2.1.attn.sr.weight'), r'lacks .*block2\.1\.attn\.sr\.weight'),
    ('pvt', put('patch_embed2.proj.weight', 17, 8, 2, 2), r'has \(8, 17, 24, 32\) channels in its stages'),
]


@pytest.mark.parametrize('family, edit, words', DAMAGED)
def test_damaged_tensors_are_named(source, tmp_path, family, edit, words):
    stopped(source(family, edit=edit)[0], tmp_path / 'a.pth', own_names(family), words)


CUTS = dict(
    narrow=lambda tensor: tensor[..., :-1],
    short=lambda tensor: tensor[:-1],
    empty=lambda tensor: tensor[..., :0],
    scalar=lambda tensor: tensor.sum(),
    deep=lambda tensor: tensor[None],
)
READ = dict(  # tensors that are read or changed, not only renamed
    deit='pos_embed patch_embed.proj.weight blocks.0.mlp.fc1.weight head.weight norm.weight',
    xcit='cls_token blocks.0.attn.temperature blocks.0.mlp.fc1.weight cls_attn_blocks.0.attn.qkv.weight',
    cait='cls_token pos_embed patch_embed.proj.weight blocks.0.attn.proj_l.bias',
    swin='patch_embed.proj.weight layers.0.blocks.0.attn.relative_position_bias_table layers.0.blocks.0.mlp.fc1.weight '
    'layers.0.downsample.norm.weight layers.1.downsample.reduction.weight',
    pvt='pos_embed1 pos_embed4 patch_embed2.proj.weight block2.0.attn.sr.weight block2.0.attn.q.weight '
    'block1.0.mlp.fc1.bias block1.0.mlp.fc2.weight head.weight',
)


@pytest.mark.parametrize('family', READ)
def test_damaged_shapes_are_named(source, tmp_path, family):
    cuts, target = cycle(CUTS), 'mmdet' if family == 'pvt' else own_names(family)
    for name in READ[family].split():
        for cut in (next(cuts), next(cuts), next(cuts)):
            inside = f'module.{name}' if family == 'cait' else name
            path, _ = source(family, edit=change(inside, CUTS[cut]))
            message = stopped(path, tmp_path / 'a.pth', target, f'^Checkpoint {re.escape(str(path))} ')
            assert 'cannot be converted (' not in message, (name, cut)  # not the fallback
            assert cut != 'empty' or f' has {name} of shape ' in message


def test_other_models_and_missing_files_are_refused(tmp_path):
    torch.save({'conv1.weight': torch.ones(1)}, tmp_path / 'resnet.pth')
    known = r'resnet\.pth .*\(CaiT, DeiT / ViT, PVT, Swin, XCiT\); it has conv1\.weight'
    stopped(tmp_path / 'resnet.pth', tmp_path / 'a.pth', 'mmseg', known)
    stopped(tmp_path / 'none.pth', tmp_path / 'a.pth', 'mmseg', r'is not an existing file')


class Code:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


def test_code_in_a_file_runs_only_with_trust(source, tmp_path):
    ran = tmp_path / 'ran'
    path, _ = source('deit', wrap=lambda state: dict(model=state, config=Code(ran)))
    stopped(path, tmp_path / 'a.pth', 'mmseg', '; with --trust ')
    command = [str(path), str(tmp_path / 'b.pth'), '--to', 'mmseg']
    assert main(command) == 1 and not ran.exists()
    assert main([*command, '--trust']) == 0 and ran.exists()


@pytest.mark.parametrize('scope, target', [('mmpretrain', 'mmseg'), ('mmdet', 'mmseg'), ('mmseg', 'mmdet')])
def test_proof_builds_the_class_of_the_target_in_any_scope(source, tmp_path, scope, target):
    path, _ = source('swin')
    with DefaultScope.overwrite_default_scope(scope):
        result = convert(path, tmp_path / 'a.pth', target)
        assert DefaultScope.get_current_instance().scope_name == scope
    assert f'feature maps of {target}.' in result.proof.what


def test_mlps_of_any_width(tmp_path, monkeypatch):
    swin = dict(SWIN, img_size=96, depths=(1, 1, 1, 1))
    cases = [
        ('vit', vit(mlp_ratio=2.5), ('mmpretrain',), 'mmseg'),
        ('swin', SwinTransformer(**swin, mlp_ratio=2), ('mmpretrain', 'mmseg', 'mmdet'), ''),
        ('swin', SwinTransformer(**swin, mlp_ratio=2.5), ('mmpretrain', 'mmseg'), 'mmdet'),
        ('pvt', pvt(mlp_ratios=(4, 2.5, 2, 2), depths=(1, 1, 1, 1)), ('mixpro',), 'mmdet'),
    ]
    for family, model, possible, refused in cases:
        path, state = tmp_path / f'{family}.pth', drawn(model).state_dict()
        torch.save(official_names('pvt', state) if family == 'pvt' else state, path)
        for target in possible:
            assert convert(path, tmp_path / 'a.pth', target).proof.deviation <= 1e-5
        for _ in range(2 if refused else 0):  # the second time without the class
            stopped(path, tmp_path / 'b.pth', refused, rf'has an MLP ratio of 2\.5; the class of {refused} ')
            monkeypatch.setitem(sys.modules, f'{refused}.models', None)
        monkeypatch.undo()


@pytest.mark.parametrize(
    'family, target, pair',
    [
        ('deit', 'mmpretrain', ('layers.0.ln1.bias', 'layers.0.ln2.bias')),
        ('xcit', 'mmpretrain', ('ca_layers.1.attn.q.bias', 'ca_layers.1.attn.v.bias')),
        ('swin', 'mmdet', ('stages.1.downsample.norm.weight', 'stages.1.downsample.norm.bias')),
    ],
)
def test_a_wrong_renaming_is_not_written(source, tmp_path, monkeypatch, family, target, pair):
    a, b = (f'backbone.{name}' for name in pair)
    done = []

    def swapped(file, table):
        result = keys.rename(file, table)
        if a in result.tensors and not done:
            done.append(a)
            result.tensors |= {a: result.tensors[b], b: result.tensors[a]}
        return result

    monkeypatch.setattr(convert_module, 'rename', swapped)
    path, _ = source(family)
    stopped(path, tmp_path / 'a.pth', target, r'was converted wrongly: .* differ by \S+ \(limit 1e-05\)\.$')


@pytest.mark.parametrize('value', [math.nan, math.inf])
@pytest.mark.parametrize('spoiled', ['wanted', 'found', 'both'])
def test_proof_requires_finite_values_in_every_map(value, spoiled):
    for place in range(3):
        wanted, found = ([torch.ones(1, 2, 3, 3) for _ in range(3)] for _ in range(2))
        assert proof._deviation(tuple(wanted), tuple(found)) == 0
        for maps in dict(wanted=[wanted], found=[found], both=[wanted, found])[spoiled]:
            maps[place][0, 1, 2, 0] = value
        assert not math.isfinite(proof._deviation(tuple(wanted), tuple(found)))


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
    stopped(path, tmp_path, 'mmseg', r'is a folder')
    stopped(path, tmp_path / 'out.safetensors', 'mmseg', r'out\.safetensors must end in \.pth')
    assert path.read_bytes() == before


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
        for name in ('a.pth', 'old.pth'):
            stopped(path, tmp_path / name, 'mmseg', rf'{name} cannot be written: No space left on device\.$')
    assert (tmp_path / 'old.pth').read_text() == 'older content'
    convert(path, tmp_path / 'old.pth', 'mmseg')
    assert read_state_dict(tmp_path / 'old.pth')


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
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert err == '' and lines[0].startswith(
        f'{path} is Swin in the layout of official: 1-2-1-2 blocks of 16 channels, patch 4, window 3, 96 px, 5 classes'
    )
    # stem 4, blocks 6 x 13, mergings 3 x 3, norm and head 4 make 95; with 6 indices and a mask 102; without head 99
    assert lines[1].startswith('102 tensors in, 99 out: ') and lines[1].endswith(', 9 dropped')
    assert {'9 re-ordered for nn.Unfold', '12 with window indices computed'} < set(lines[1].split(', ')), lines[1]
    assert 'dropped 7: ' in out and '(constant, recomputed)' in out
    assert 'dropped 2: head.weight, head.bias (a backbone of mmdet has no classifier)' in out
    assert 'loaded: 99 of 99 tensors of SwinTransformer\n' in out
    proved = 'feature maps of mmdet.SwinTransformer and timm.SwinTransformer on 2 random images of 192 px differ by'
    assert f'proof: {proved}' in out
    settings = eval(next(line for line in lines if line.startswith('backbone=')).removeprefix('backbone='))
    assert settings['init_cfg'] == dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth'))
    loaded = build(settings, 'mmdet', tmp_path / 'a.pth').state_dict()
    assert loaded['norm3.bias'].equal(torch.load(path)['model']['norm.bias'])

    capsys.readouterr()
    assert main([str(source('pvt')[0]), str(tmp_path / 'b.pth'), '--to', 'mmdet']) == 0
    out = capsys.readouterr().out
    # 6 blocks with a weight and a bias each; 2 layers of 6 MLPs; stage 4's positions
    kinds = {'12 joined of q and kv', '12 made a 1x1 convolution', '1 without its class row'}
    assert kinds < set(out.splitlines()[1].split(', ')) and "(mmdet's PVT has no class token)" in out


def test_averaged_weights_are_remarked_on_and_taken(tmp_path, capsys):
    raw, mean = (drawn(MODELS['deit'](), seed).state_dict() for seed in (0, 1))
    torch.save(dict(state_dict=raw, state_dict_ema=dict(mean), epoch=3, args_ema=None), tmp_path / 'last.pth')
    command = [str(tmp_path / 'last.pth'), str(tmp_path / 'a.pth'), '--to', 'mmpretrain']
    assert main(command) == 0
    out = capsys.readouterr().out
    assert 'note: state_dict_ema has averaged weights; --take state_dict_ema converts them\n' in out
    assert torch.load(tmp_path / 'a.pth')['state_dict']['backbone.cls_token'].equal(raw['cls_token'])
    assert main([*command, '--take', 'state_dict_ema']) == 0
    out = capsys.readouterr().out
    assert 'averaged weights' not in out and 'not read: state_dict, epoch, args_ema' in out
    assert out.startswith(f'{tmp_path}/last.pth (entry state_dict_ema) is DeiT / ViT')
    taken = torch.load(tmp_path / 'a.pth')
    assert taken['state_dict']['backbone.cls_token'].equal(mean['cls_token'])
    assert taken['meta']['taken'] == 'state_dict_ema'
    assert main([*command, '--take', 'model_ema']) == 1
    assert '`model_ema`' in capsys.readouterr().err


def test_a_note_says_that_a_file_may_be_truncated(tmp_path, capsys):
    torch.save(drawn(vit(embed_dim=192, depth=2, num_heads=3, mlp_ratio=1)).state_dict(), tmp_path / 'cut.pth')
    assert main([str(tmp_path / 'cut.pth'), str(tmp_path / 'a.pth'), '--to', 'mmpretrain']) == 0
    assert 'note: DeiT / ViT of 192 channels is published with 12 blocks, this one has 2;' in capsys.readouterr().out


def test_interrupt_is_code_130_and_wrong_usage_2(tmp_path, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr('mixpro_mm.transfer.cli.convert', interrupt)
    assert main(['a.pth', str(tmp_path / 'b.pth'), '--to', 'mmseg']) == 130
    assert capsys.readouterr().err == 'interrupted; nothing was written\n'
    with pytest.raises(SystemExit) as stop:
        main(['a.pth', 'b.pth', '--to', 'keras'])
    assert stop.value.code == 2


def test_tool_runs_as_a_script(source, tmp_path):
    path, _ = source('deit')
    command = [sys.executable, ROOT / 'tools' / 'convert_checkpoint.py', path, tmp_path / 'a.pth', '--to', 'mmdet']
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1 and done.stdout == ''
    assert done.stderr.count('\n') == 1 and 'cannot be converted --to mmdet' in done.stderr
