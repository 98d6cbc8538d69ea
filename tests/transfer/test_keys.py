"""Tables of names: nothing lost, nothing invented, values where they belong."""

import re

import pytest
import timm
import torch
from mmdet.models.backbones.pvt import pvt_convert
from mmdet.models.backbones.swin import swin_converter
from mmpretrain.models.backbones import SwinTransformer, VisionTransformer
from torch import nn

from mixpro_mm.backbones import PVT
from mixpro_mm.transfer import hook
from mixpro_mm.transfer.keys import Rule, both, drop, itself, rename, some
from mixpro_mm.transfer.layouts import FAMILIES, recognise, uncommon
from mixpro_mm.transfer.layouts.cait import CAIT
from mixpro_mm.transfer.layouts.family import ratio, whole
from mixpro_mm.transfer.layouts.pvt import PYRAMID
from mixpro_mm.transfer.layouts.swin import SWIN
from mixpro_mm.transfer.layouts.vit import VIT
from mixpro_mm.transfer.layouts.xcit import XCIT

RULES = (
    Rule('stem', ('first',)),
    *both('blocks.*.norm1', 'layers.*.ln1'),
    Rule('blocks.*.qkv', tuple(f'layers.*.{part}' for part in 'qkv'), change=lambda x: x.chunk(3), how='split'),
    Rule('stage*.*.kv', ('layers.*.1.*.in',), numbers=lambda s, b: (s - 1, b + 1), part=1, how='joined'),
    Rule('stage*.*.q', ('layers.*.1.*.in',), numbers=lambda s, b: (s - 1, b + 1), part=0, how='joined'),
    Rule('stage*.*.sr', ('layers.*.1.*.sr',), numbers=lambda s, b: (s - 1, b + 1), together='sr'),
    Rule('stage*.*.norm', ('layers.*.1.*.norm',), numbers=lambda s, b: (s - 1, b + 1), together='sr'),
    *both('head', 'fc', together='head'),
    *drop('a constant', 'blocks.*.index'),
)


def tensors(blocks=3, stages=(2, 1), reduced=(1,), head=True):
    names = {'stem': 2}
    for block in range(blocks):
        names |= {f'blocks.{block}.norm1.weight': 2, f'blocks.{block}.norm1.bias': 2, f'blocks.{block}.qkv': 6}
    for stage, depth in enumerate(stages, 1):
        for block in range(depth):
            names |= {f'stage{stage}.{block}.kv': 4, f'stage{stage}.{block}.q': 2}
            names |= {f'stage{stage}.{block}.{name}': 2 for name in ('sr', 'norm') if stage in reduced}
    names |= {'head.weight': 2, 'head.bias': 2} if head else {}
    torch.manual_seed(0)
    return {name: torch.randn(rows, 3) for name, rows in names.items()}


def test_values_land_where_the_table_says():
    source = tensors() | {'blocks.1.index': torch.ones(1), 'stem': torch.randn(3, 2).t()}
    given = {name: tensor.clone() for name, tensor in source.items()}
    result = rename(source, RULES)
    expected = {'first': source['stem'], 'fc.weight': source['head.weight'], 'fc.bias': source['head.bias']}
    for block in range(3):
        expected |= {
            f'layers.{block}.ln1.{kind}': source[f'blocks.{block}.norm1.{kind}'] for kind in ('weight', 'bias')
        }
        expected |= {
            f'layers.{block}.{x}': source[f'blocks.{block}.qkv'][2 * i : 2 * i + 2] for i, x in enumerate('qkv')
        }
    for stage, block in ((1, 0), (1, 1), (2, 0)):
        q, kv = source[f'stage{stage}.{block}.q'], source[f'stage{stage}.{block}.kv']
        expected[f'layers.{stage - 1}.1.{block + 1}.in'] = torch.cat((q, kv))  # q first, though kv comes first
    for block in (0, 1):
        expected |= {f'layers.0.1.{block + 1}.{name}': source[f'stage1.{block}.{name}'] for name in ('sr', 'norm')}
    assert result.tensors.keys() == expected.keys()
    assert all(torch.equal(result.tensors[name], expected[name]) for name in expected)
    assert result.dropped == {'blocks.1.index': 'a constant'}
    assert result.origins['layers.2.v'] == ('blocks.2.qkv',)
    assert set(result.origins['layers.0.1.1.in']) == {'stage1.0.q', 'stage1.0.kv'}
    assert sorted(result.changed.values()) == ['joined'] * 3 + ['split'] * 9
    assert source.keys() == given.keys() and all(torch.equal(source[name], given[name]) for name in given)
    assert all(tensor.is_contiguous() for tensor in result.tensors.values())


def test_a_second_table_keeps_the_first_names():
    after = rename(tensors(), RULES).then(
        [
            Rule('first', ('stem',)),
            *both('fc', 'cls', together='h'),
            Rule('layers.*.q', ('q*',), lambda x: -x, 'negated'),
        ]
        + [Rule(f'layers.*.{name}', (f'l.*.{name}',)) for name in ('ln1.weight', 'ln1.bias', 'k')]
        + [*drop('not wanted', 'layers.*.v', 'layers.*.1.*.in', 'layers.*.1.*.sr', 'layers.*.1.*.norm')]
    )
    assert after.origins['q1'] == ('blocks.1.qkv',) and after.changed['q1'] == 'split, negated'
    assert torch.equal(after.tensors['q1'], -tensors()['blocks.1.qkv'][:2])
    assert after.origins['stem'] == ('stem',) and 'stem' not in after.changed
    assert after.renamed == len(after.tensors) - 1  # all but stem
    assert after.dropped['stage2.0.q'] == 'not wanted'


@pytest.mark.parametrize('name', [name for name in tensors() if not name.startswith('head.')])
def test_every_missing_tensor_is_noticed(name):
    source = tensors()
    del source[name]
    with pytest.raises(ValueError, match=r'^lacks '):
        rename(source, RULES)


@pytest.mark.parametrize(
    'gone, lacking',
    [
        (['head.bias'], 'head.bias'),
        (['blocks.1.norm1.bias'], 'blocks.1.norm1.bias'),
        (['blocks.1.qkv', 'blocks.1.norm1.bias', 'blocks.1.norm1.weight'], 'blocks.1.*'),
        (['stage1.1.sr'], 'stage1.1.sr'),
        (['stage1.0.sr', 'stage1.0.norm', 'stage1.0.q', 'stage1.0.kv'], 'layers.0.1.1.*'),
        ([name for name in tensors() if name.startswith('blocks.')], 'blocks.*.norm1.weight, blocks.*.norm1.bias'),
    ],
)
def test_what_is_missing_is_named(gone, lacking):
    with pytest.raises(ValueError) as stop:
        rename({name: tensor for name, tensor in tensors().items() if name not in gone}, RULES)
    assert str(stop.value).removeprefix('lacks ').startswith(lacking)


def test_sets_that_come_together_may_be_absent():
    result = rename(tensors(head=False, reduced=()), RULES)
    assert not any(name.startswith('fc') or name.endswith('.sr') for name in result.tensors)
    assert 'layers.1.1.1.sr' in rename(tensors(reduced=(2,)), RULES).tensors


@pytest.mark.parametrize(
    'extra, sentence',
    [
        ('blocks.01.norm1.weight', r'has blocks\.1\.norm1\.weight and blocks\.01\.norm1\.weight for one place '
         r'\(layers\.1\.ln1\.weight\)'),
        ('blocks.02.qkv', r'has blocks\.2\.qkv and blocks\.02\.qkv for one place \(layers\.2\.q\)'),
        ('stage01.0.kv', r'has stage1\.0\.kv and stage01\.0\.kv for one place \(layers\.0\.1\.1\.in\)'),
    ],
)  # fmt: skip
def test_no_tensor_takes_the_place_of_another(extra, sentence):
    with pytest.raises(ValueError, match=f'^{sentence}$'):
        rename(tensors() | {extra: torch.ones(6, 3)}, RULES)


def test_shapes_that_no_rule_can_take_are_named():
    with pytest.raises(ValueError, match=r'^has blocks\.1\.qkv of shape \(\) that does not fit: \S'):
        rename(tensors() | {'blocks.1.qkv': torch.tensor(1.0)}, RULES)
    with pytest.raises(ValueError, match=r'^has blocks\.1\.qkv of shape \(2, 3\) that does not fit$'):  # two thirds
        rename(tensors() | {'blocks.1.qkv': torch.ones(2, 3)}, RULES)
    odd = tensors() | {'stage1.1.q': torch.ones(2, 2)}
    pair = r'has stage1\.1\.q of shape \(2, 2\) and stage1\.1\.kv of shape \(4, 3\) that do not fit: \S'
    with pytest.raises(ValueError, match=f'^{pair}'):
        rename(odd, RULES)
    first = rename(tensors(), [Rule(name, (f'new.{name}',)) for name in tensors()])
    second = [Rule(f'new.{name}', (f'newer.{name}',), change=lambda tensor: tensor[:, 7]) for name in tensors()]
    with pytest.raises(ValueError, match=r'^has stem of shape'):  # as in the file, not as between the tables
        first.then(second)


def test_tensors_without_a_place_are_counted_and_named():
    extra = {f'extra.{number}': torch.ones(1) for number in range(5)}
    with pytest.raises(
        ValueError, match=r'^has 5 of 27 tensors without a place: extra\.0, extra\.1, extra\.2 and 2 more$'
    ):
        rename(tensors() | extra, RULES)
    with pytest.raises(ValueError, match=r'blocks\.1\.norm1\.weight2'):
        rename(tensors() | {'blocks.1.norm1.weight2': torch.ones(1)}, RULES)
    assert some('ab') == 'a, b' and some('abcd') == 'a, b, c and 1 more' and hook.some is some


def random_state(module):
    torch.manual_seed(0)
    return {
        name: torch.randn_like(tensor) if tensor.is_floating_point() else tensor
        for name, tensor in module.state_dict().items()
    }


def official_swin(dims=8, depths=(1, 2, 1, 2), heads=(1, 2, 4, 8), window=4, classes=3):
    """A file of the official Swin, written down by hand from its module tree."""
    shapes = {'patch_embed.proj.weight': (dims, 3, 4, 4), 'head.weight': (classes, 8 * dims), 'head.bias': (classes,)}
    shapes |= dict.fromkeys(('patch_embed.proj.bias', 'patch_embed.norm.weight', 'patch_embed.norm.bias'), (dims,))
    for stage, depth in enumerate(depths):
        c = dims * 2**stage
        for block in range(depth):
            own = {'attn.relative_position_bias_table': ((2 * window - 1) ** 2, heads[stage])}
            for layer, (out, into) in {
                'attn.qkv': (3, 1),
                'attn.proj': (1, 1),
                'mlp.fc1': (4, 1),
                'mlp.fc2': (1, 4),
            }.items():
                own |= {f'{layer}.weight': (out * c, into * c), f'{layer}.bias': (out * c,)}
            own |= {f'{norm}.{kind}': (c,) for norm in ('norm1', 'norm2') for kind in ('weight', 'bias')}
            shapes |= {f'layers.{stage}.blocks.{block}.{name}': shape for name, shape in own.items()}
        if stage < 3:
            merging = {'reduction.weight': (2 * c, 4 * c), 'norm.weight': (4 * c,), 'norm.bias': (4 * c,)}
            shapes |= {f'layers.{stage}.downsample.{name}': shape for name, shape in merging.items()}
    shapes |= {'norm.weight': (8 * dims,), 'norm.bias': (8 * dims,)}
    torch.manual_seed(0)
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def test_swin_equals_the_converter_of_mmdet():
    source = official_swin()
    expected = swin_converter(source)  # 'backbone.' and no head; the last norm stays 'norm'
    expected = {key.replace('backbone.norm.', 'backbone.norm3.'): value for key, value in expected.items()}
    result = rename(source, SWIN.layouts['official']).then(SWIN.targets['mmdet'])
    made = {name for name in result.tensors if name.endswith('relative_position_index')}
    assert result.tensors.keys() - made == expected.keys() and len(made) == 6
    assert all(torch.equal(result.tensors[name], value) for name, value in expected.items())
    bare = rename(source, SWIN.layouts['official']).then(SWIN.targets['mmseg'])
    assert {f'backbone.{name}' for name in bare.tensors} == result.tensors.keys()
    assert set(result.dropped) == {'head.weight', 'head.bias'}


def test_window_index_is_that_of_mmpretrain():
    arch = dict(embed_dims=8, depths=[1, 2, 1, 2], num_heads=[1, 2, 4, 8])
    own = SwinTransformer(arch, img_size=128, window_size=4).state_dict()
    result = rename(official_swin(), SWIN.layouts['official']).tensors
    name = 'stages.2.blocks.0.attn.w_msa.relative_position_index'
    assert torch.equal(result[f'backbone.{name}'], own[name])
    assert {f'backbone.{name}': tuple(value.shape) for name, value in own.items()} == {
        name: tuple(value.shape) for name, value in result.items() if not name.startswith('head.')
    }


def test_pvt_equals_the_converter_of_mmdet():
    arch = dict(embed_dims=(8, 16, 32, 64), num_heads=(1, 2, 4, 8), mlp_ratios=(4, 4, 2, 2), depths=(1, 2, 1, 2))
    source = random_state(PVT(dict(arch, sr_ratios=(8, 4, 2, 1)))) | random_state(
        nn.ModuleDict(dict(head=nn.Linear(64, 3)))
    )
    expected = pvt_convert(source)
    result = rename(source, PYRAMID.layouts['official']).then(PYRAMID.targets['mmdet'])
    assert result.tensors.keys() == expected.keys()
    assert all(torch.equal(result.tensors[name], value) for name, value in expected.items())
    assert set(result.dropped) == {'cls_token', 'norm.weight', 'norm.bias', 'head.weight', 'head.bias'}
    assert result.tensors['layers.3.1.0.pos_embed'].shape == (1, 49, 64)


@pytest.mark.parametrize('family', FAMILIES, ids=lambda family: family.label)
def test_tables_are_consistent(family):
    """Every layout leads to the same names, every target starts from all of them, every sign is in its table."""
    names = {layout: {target for rule in rules for target in rule.target} for layout, rules in family.layouts.items()}
    assert set(family.signs) == set(names)
    for layout, rules in family.layouts.items():
        assert any(rule.match(family.signs[layout]) is not None for rule in rules if rule.target)
        sources = [rule.source for rule in rules]
        assert len(sources) == len(set(sources))
    for rules in family.targets.values():
        if rules is not None:
            assert {rule.source for rule in rules} >= set.union(*names.values())
    for layout, rules in family.layouts.items():
        bound = {target: rule.together for rule in rules for target in rule.target}
        assert {rule.source: rule.together for rule in itself(rules)} == bound, layout
    numbered = {rule.source for rules in family.layouts.values() for rule in itself(rules)}
    assert set(family.ranks) <= {re.sub(r'\d+(?=[.]proj|$)', '*', name) for name in numbered} | numbered


@pytest.mark.parametrize('family', FAMILIES, ids=lambda family: family.label)
def test_a_published_width_with_another_depth_is_remarked_on(family):
    for width, depths in family.published.items():
        for depth in depths:
            size = made(family, width, depth)
            assert family.blocks(size) == (width, depth) and uncommon(family, size) == ''
        cut = (*depth[:3], depth[3] - 1) if isinstance(depth, tuple) else depth
        cut = cut - 1 if isinstance(cut, int) else '11 + 2' if isinstance(cut, str) else cut
        said = uncommon(family, made(family, width, cut))
        assert said.startswith(f'{family.label} of ') and said.endswith('the file was cut off')
    if family.label == 'Swin':
        assert 'of 192 channels is published with 2-2-18-2 blocks and this one has 2-2-18-1: ' in said
    width = 52 if isinstance(width, int) else (52, 104, 208, 416)
    assert uncommon(family, made(family, width, cut)) == ''


def made(family, width, depth):
    numbers = dict(zip(('depth', 'class_depth'), str(depth).split(' + '), strict=False))
    return dict(numbers, dims=width, embed_dims=width, depths=depth) | (dict(depth=depth) if family is VIT else {})


def test_widths_and_depths_of_our_own_models_are_published_ones():
    swin = {(arch['embed_dims'], tuple(arch['depths'])) for arch in SwinTransformer.arch_zoo.values()}
    assert swin == {(width, depth) for width, depths in SWIN.published.items() for depth in depths}
    archs = {name: (VisionTransformer.arch_zoo[name]['embed_dims'], VisionTransformer.arch_zoo[name]['num_layers'])
             for name in ('deit-tiny', 'deit-small', 'deit-base', 'large', 'huge')}  # fmt: skip
    assert set(archs.values()) == {(width, depth) for width, depths in VIT.published.items() for depth in depths}
    for name in (name for name in timm.list_models('xcit_*') if 'xcit_' in name):
        width = dict(nano=128, tiny=192, small=384, medium=512, large=768)[name.split('_')[1]]
        assert f'{name.split("_")[2]} + 2' in XCIT.published[width]


def test_published_models_go_by_their_names():
    cait = dict(dims=192, depth=24, class_depth=2, heads=4, patch_size=16, img_size=224, classes=7)
    assert CAIT.config(cait, 'mmpretrain') == dict(
        type='TimmClassifier', model_name='cait_xxs24_224', img_size=224, num_classes=7
    )
    other = CAIT.config(dict(cait, class_depth=3), 'mmpretrain')
    assert other['depth'] == 24 and other['depth_token_only'] == 3 and other['num_classes'] == 7
    swin = dict(dims=96, depths=(2, 2, 6, 2), heads=(3, 6, 12, 24), window=7, patch_size=4, img_size=224, mlp_ratio=4)
    assert SWIN.maps(swin)['arch'] == 'tiny'
    assert SWIN.maps(dict(swin, dims=48))['arch'] == dict(embed_dims=48, depths=[2, 2, 6, 2], num_heads=[3, 6, 12, 24])


@pytest.mark.parametrize('dims', [1, 3, 49, 64, 96, 107])
def test_ratio_gives_back_the_hidden_channels(dims):
    for hidden in range(1, 6 * dims):
        found = ratio(hidden, dims)
        assert int(found * dims) == hidden
        assert isinstance(found, int) == (hidden % dims == 0)
        if isinstance(found, int):
            assert whole(found, 'mmdet') == found
        else:
            with pytest.raises(
                ValueError, match=r'^has MLPs \S+ times as wide as their input; the class of mmdet takes'
            ):
                whole(found, 'mmdet')


def test_files_of_others_are_recognised_or_named():
    one = torch.ones(1)
    for family in FAMILIES:
        for layout, sign in family.signs.items():
            assert recognise({sign: one, 'head.fc.weight': one}) == (family, layout)
    both_mergings = {f'layers.{stage}.downsample.reduction.weight': one for stage in (1, 0)}
    assert recognise(both_mergings) == (SWIN, 'official')
    with_vit_names = {'blocks.0.attn.qkv.weight': one, 'cls_attn_blocks.0.attn.qkv.weight': one}
    assert recognise(with_vit_names) == (XCIT, 'official')
    assert recognise({'blocks.0.attn.qkv.weight': one})[0] is VIT
    for names, what in [
        (['dist_token', 'blocks.0.attn.qkv.weight'], 'is a distilled DeiT'),
        (['head_dist.weight', 'blocks.0.attn.qkv.weight'], 'is a distilled DeiT'),
        (['backbone.ca_block.attn.q.weight', 'backbone.stages.0.blocks.0.attn.w_msa.qkv.weight'], 'is a CA-Swin'),
        (['block1.0.mlp.dwconv.dwconv.weight', 'block1.0.attn.kv.weight'], 'is a PVT v2'),
        (['layers.0.blocks.0.attn.logit_scale', 'layers.0.downsample.reduction.weight'], 'is a Swin v2'),
        (
            ['conv1.weight', 'bn1.weight'],
            r'has the names of no layout known here \(CaiT, .*; it has conv1\.weight, bn1',
        ),
    ]:
        with pytest.raises(ValueError, match=f'^{what}'):
            recognise(dict.fromkeys(names, one))
