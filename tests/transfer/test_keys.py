"""Renaming of tensors, and the tables and sizes of the families."""

import pytest
import timm
import torch
from mmpretrain.models.backbones import SwinTransformer, VisionTransformer

from mixpro_mm.transfer.keys import Operation, Renamed, rename, some
from mixpro_mm.transfer.layouts import FAMILIES, cait, recognise, swin, vit, xcit
from mixpro_mm.transfer.layouts.family import count, ratio, uncommon, whole

TABLE = (
    ('stem', 'first'),
    ('blocks.*.norm1.', 'layers.*.ln1.'),
    ('blocks.*.qkv', tuple(f'layers.*.{part}' for part in 'qkv'), Operation('split', lambda x: x.chunk(3))),
    ('blocks.*.index', None, 'a constant'),
    ('stage*.*.kv', 'layers.*-1.1.*+1.in', Operation('joined', part=1)),
    ('stage*.*.q', 'layers.*-1.1.*+1.in', Operation('joined')),
    ('steps.*.', 'halves.*/2.'),
)


def tensors(**more):
    names = {'stem': 2} | {f'blocks.{b}.norm1.{kind}': 2 for b in (0, 1, 12) for kind in ('weight', 'bias')}
    names |= {f'blocks.{b}.qkv': 6 for b in (0, 1, 12)} | {'steps.5.weight': 1}
    for stage, block in ((1, 0), (1, 1), (2, 0)):
        names |= {f'stage{stage}.{block}.kv': 4, f'stage{stage}.{block}.q': 2}
    torch.manual_seed(0)
    return {name: torch.randn(rows, 3) for name, rows in names.items()} | more


def renamed(given, table=TABLE):
    return rename(Renamed(given, {name: (name,) for name in given}), table)


def test_values_get_the_names_of_the_table():
    source = tensors(**{'blocks.1.index': torch.ones(1), 'stem': torch.randn(3, 2).t()})
    given = {name: tensor.clone() for name, tensor in source.items()}
    result = renamed(source)
    expected = {'first': source['stem'], 'halves.2.weight': source['steps.5.weight']}
    for b in (0, 1, 12):
        expected |= {f'layers.{b}.ln1.{kind}': source[f'blocks.{b}.norm1.{kind}'] for kind in ('weight', 'bias')}
        expected |= {f'layers.{b}.{x}': source[f'blocks.{b}.qkv'][2 * i : 2 * i + 2] for i, x in enumerate('qkv')}
    for stage, block in ((1, 0), (1, 1), (2, 0)):
        q, kv = source[f'stage{stage}.{block}.q'], source[f'stage{stage}.{block}.kv']
        expected[f'layers.{stage - 1}.1.{block + 1}.in'] = torch.cat((q, kv))  # q first, although kv precedes it
    assert result.tensors.keys() == expected.keys()
    assert all(torch.equal(result.tensors[name], expected[name]) for name in expected)
    assert result.dropped == {'blocks.1.index': 'a constant'}
    assert result.origins['layers.12.v'] == ('blocks.12.qkv',)
    assert set(result.origins['layers.0.1.1.in']) == {'stage1.0.q', 'stage1.0.kv'}
    assert sorted(result.changed.values()) == ['joined'] * 3 + ['split'] * 9
    assert source.keys() == given.keys() and all(torch.equal(source[name], given[name]) for name in given)
    assert all(tensor.is_contiguous() for tensor in result.tensors.values())


def test_a_second_table_keeps_the_origins():
    after = rename(renamed(tensors()), (('layers.*.v', None, 'not wanted'), ('layers.', 'l.'), ('', '')))
    assert after.origins['l.1.q'] == ('blocks.1.qkv',) and after.changed['l.1.q'] == 'split'
    assert set(after.origins['l.1.1.1.in']) == {'stage2.0.kv', 'stage2.0.q'} and 'first' not in after.changed
    assert after.dropped == {f'blocks.{b}.qkv': 'not wanted' for b in (0, 1, 12)}


@pytest.mark.parametrize('name, shape, words', [
    ('blocks.01.norm1.weight', (2,), r'has blocks\.1\.norm1\.weight and blocks\.01\.norm1\.weight for one place'),
    ('stage01.0.kv', (4, 3), r'has stage1\.0\.kv and stage01\.0\.kv for one place \(layers\.0\.1\.1\.in\)$'),
    ('blocks.1.qkv', (), r'has blocks\.1\.qkv of shape \(\) that does not fit: \S'),
    ('blocks.1.qkv', (2, 3), r'has blocks\.1\.qkv of shape \(2, 3\) that does not fit$'),  # two thirds
    ('stage1.1.q', (2, 2), r'has stage1\.1\.q of shape \(2, 2\) and stage1.1.kv of shape \(4, 3\) that do not fit: '),
    ('extra.0', (1,), r'has 1 of 18 tensors without a place: extra\.0$'),
    ('a.blocks.0.qkv', (6,), r'.*without a place: a\.blocks'),
])  # fmt: skip
def test_what_cannot_be_renamed_is_named(name, shape, words):
    given = tensors(**{name: torch.ones(shape)})
    with pytest.raises(ValueError, match=f'^{words}'):
        renamed(given)


def test_names_are_counted_beyond_three():
    assert some('ab') == 'a, b' and some('abcd') == 'a, b, c and 1 more'
    assert count(dict.fromkeys(['a.0.b', 'a.11.b', 'a.1.bb', 'xa.1.b', 'a.x.b']), 'a.*.b') == 2


@pytest.mark.parametrize('family', FAMILIES, ids=lambda family: family.LABEL)
def test_an_unpublished_depth_of_a_published_width_gets_a_note(family):
    for width, known in family.PUBLISHED.items():
        assert not any(uncommon(family, dict(width=width, blocks=blocks)) for blocks in known)
        note = f'{family.LABEL} of {width} channels is published with {" or ".join(known)} blocks, this one has 1'
        assert note in uncommon(family, dict(width=width, blocks='1'))
    assert uncommon(family, dict(width=52, blocks='1')) == ''


def test_published_widths_and_depths_are_those_of_the_toolkits():
    swins = {(a['embed_dims'], '-'.join(map(str, a['depths']))) for a in SwinTransformer.arch_zoo.values()}
    assert swins == {(width, depth) for width, depths in swin.PUBLISHED.items() for depth in depths}
    zoo = (VisionTransformer.arch_zoo[name] for name in ('deit-tiny', 'deit-small', 'deit-base', 'large', 'huge'))
    archs = {(arch['embed_dims'], str(arch['num_layers'])) for arch in zoo}
    assert archs == {(width, depth) for width, depths in vit.PUBLISHED.items() for depth in depths}
    for name in (name for name in timm.list_models('xcit_*') if 'xcit_' in name):
        width = dict(nano=128, tiny=192, small=384, medium=512, large=768)[name.split('_')[1]]
        assert f'{name.split("_")[2]} + 2' in xcit.PUBLISHED[width]


def test_configs_of_published_models_have_their_names():
    numbers = dict(embed_dim=192, depth=24, depth_token_only=2, num_heads=4)
    size = dict(width=192, numbers=numbers, patch_size=16, img_size=224, classes=7)
    named = dict(type='TimmClassifier', model_name='cait_xxs24_224', img_size=224, num_classes=7)
    assert cait.config(size, 'mmpretrain') == named
    other = cait.config(dict(size, numbers=dict(numbers, depth_token_only=3)), 'mmpretrain')
    assert other == named | numbers | dict(depth_token_only=3, patch_size=16)
    numbers = dict(embed_dims=192, num_layers=12, num_heads=3, mlp_ratio=4)
    size |= dict(numbers=numbers, hidden=768, head='VisionTransformerClsHead', img_size=32)
    config = vit.config(size, 'mmpretrain')
    assert (config['backbone']['arch'], config['head']['num_classes']) == ('deit-tiny', 7)
    numbers = dict(embed_dims=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24), window_size=3, mlp_ratio=4)
    config = swin.config(dict(size, numbers=numbers, width=96, patch_size=4), 'mmpretrain')
    assert (config['backbone']['arch'], config['backbone']['img_size']) == ('tiny', 32)


@pytest.mark.parametrize('dims', [1, 3, 49, 64, 96, 107])
def test_ratio_gives_back_the_hidden_channels(dims):
    for hidden in range(1, 6 * dims):
        found = ratio(hidden, dims)
        assert int(found * dims) == hidden and isinstance(found, int) == (hidden % dims == 0)
    assert whole(4, 'mmdet') == 4
    with pytest.raises(ValueError, match=r'^has an MLP ratio of 2\.5; the class of mmdet '):
        whole(2.5, 'mmdet')


def test_layouts_are_recognised_and_other_files_refused():
    one = torch.ones(1)
    for family in FAMILIES:
        for layout, (sign, _) in family.LAYOUTS.items():
            assert recognise({sign: one, 'head.fc.weight': one}) == (family, layout)
    mergings = {f'layers.{stage}.downsample.reduction.weight': one for stage in (1, 0)}
    assert recognise(mergings) == (swin, 'official')
    with_vit_names = {'blocks.0.attn.qkv.weight': one, 'cls_attn_blocks.0.attn.qkv.weight': one}
    assert recognise(with_vit_names) == (xcit, 'official')
    for what, *names in [
        ('is a distilled DeiT', 'dist_token', 'blocks.0.attn.qkv.weight'),
        ('is a distilled DeiT', 'head_dist.weight', 'blocks.0.attn.qkv.weight'),
        ('is a CA-Swin', 'backbone.ca_block.attn.q.weight', 'backbone.stages.0.blocks.0.attn.w_msa.qkv.weight'),
        ('is a PVT v2', 'block1.0.mlp.dwconv.dwconv.weight', 'block1.0.attn.kv.weight'),
        ('is a Swin v2', 'layers.0.blocks.0.attn.logit_scale', 'layers.0.downsample.reduction.weight'),
        (r'matches no known layout \(CaiT, .*; it has conv1\.weight, bn1', 'conv1.weight', 'bn1.weight'),
    ]:
        with pytest.raises(ValueError, match=f'^{what}'):
            recognise(dict.fromkeys(names, one))
