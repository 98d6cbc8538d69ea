"""Rows read from projections against attention maps computed from the weights."""

import itertools
import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from mmpretrain import models as hosts
from timm.layers.diff_attention import DiffAttention
from timm.models.vision_transformer import ParallelScalingBlock
from torch import nn

from mixpro_mm.labeling import ClassAttentionTap, find_attention_block, parse_attention
from mixpro_mm.labeling.grid import patches_of, token_grid
from mixpro_mm.labeling.readers import AttentionBlock, class_row, query_mean
from mixpro_mm.models import CASwin
from tests.labeling.kit import FINE, SIZE, Returned, averaged, lively, no_class, pvt, timm_model, vit
from tests.micro import ARCH

SWIN = dict(embed_dims=8, depths=[1, 1, 1, 2], num_heads=[1, 2, 2, 4])
swin = partial(hosts.SwinTransformer, SWIN, 32, window_size=2)
swin_v2 = partial(hosts.SwinTransformerV2, dict(SWIN, extra_norm_every_n_blocks=0), 32, window_size=2)
ca_swin = partial(CASwin, SWIN, img_size=64, window_size=2)
eva = partial(hosts.ViTEVA02, ARCH, **SIZE)
cait = partial(timm_model, 'cait_xxs24_224', depth=1)
xcit = partial(hosts.XCiT, patch_size=8, embed_dims=32, depth=1, cls_attn_layers=2, num_heads=2)


def of(path):
    return dict(reading='query_mean', path=path)


def explicit_map(attn, x, heads):
    """Compute softmax(Q K^T / sqrt(d)) (B, T, T), mean over heads, in double precision for x (B, T, C)."""
    width, weights = x.shape[-1], {name: p.double() for name, p in attn.named_parameters()}
    if 'qkv.weight' in weights:
        (wq, wk, _), (bq, bk, _) = weights['qkv.weight'].split(width), weights['qkv.bias'].split(width)
    else:
        key = 'kv' if 'kv.weight' in weights else 'k'
        wq, bq = weights['q.weight'], weights['q.bias']
        wk, bk = weights[f'{key}.weight'][:width], weights[f'{key}.bias'][:width]
    q, k = ((x @ w.T + b).unflatten(2, (heads, -1)).transpose(1, 2) for w, b in ((wq, bq), (wk, bk)))
    if isinstance(getattr(attn, 'q_norm', None), nn.LayerNorm):
        q, k = normed(q, attn.q_norm), normed(k, attn.k_norm)
    return (q @ k.transpose(2, 3) / math.sqrt(width // heads)).softmax(-1).mean(1)


def normed(x, norm):
    return F.layer_norm(x, x.shape[-1:], norm.weight.double(), norm.bias.double(), norm.eps)


# name -> (model, dotted name of its last block, norm before attention, heads, prefix tokens, image size, attention)
CASES = {
    'vit': (vit, 'layers.1', 'ln1', 2, 1, 32),
    'vit-distilled': (partial(hosts.DistilledVisionTransformer, arch=ARCH, **SIZE), 'layers.1', 'ln1', 2, 2, 32),
    'deit3': (partial(hosts.DeiT3, ARCH, **SIZE), 'layers.1', 'ln1', 2, 1, 32),
    'timm': (timm_model, 'blocks.1', 'norm1', 2, 1, 32),
    'timm-norm': (partial(timm_model, qk_norm=True), 'blocks.1', 'norm1', 2, 1, 32),
    'timm-registers': (partial(timm_model, reg_tokens=3), 'blocks.1', 'norm1', 2, 4, 32),
    'pvt': (pvt, 'block4.1', 'norm1', 4, 1, 64),
    'cait': (cait, 'blocks_token_only.1', 'norm1', 2, 1, 32),
    'xcit': (xcit, 'ca_layers.1', 'norm1', 2, 1, 32),
    'xcit-path': (xcit, 'ca_layers.1', 'norm1', 2, 1, 32, 'ca_layers.1.attn'),
    'ca-swin': (ca_swin, 'ca_block', 'norm1', 4, 1, 64),
    'vit-queries': (partial(vit, **FINE), 'layers.1', 'ln1', 2, 1, 32, 'query_mean'),
    'vit-no-class': (partial(no_class, **FINE), 'layers.1', 'ln1', 2, 0, 32, 'query_mean'),
    'timm-no-class': (averaged, 'blocks.1', 'norm1', 2, 0, 32, 'query_mean'),
    'timm-no-class-norm': (partial(averaged, qk_norm=True), 'blocks.1', 'norm1', 2, 0, 32, 'query_mean'),
    'timm-no-class-registers': (partial(averaged, reg_tokens=3), 'blocks.1', 'norm1', 2, 3, 32, 'query_mean'),
    'pvt-queries': (partial(pvt, img_size=128), 'block4.1', 'norm1', 4, 1, 128, 'query_mean'),
    'pvt-featmap': (partial(pvt, img_size=128, out_type='featmap'), 'block4.1', 'norm1', 4, 0, 128, 'query_mean'),
}


@pytest.mark.parametrize('name', CASES)
def test_rows_are_those_of_the_explicit_map(name):
    build, block_name, norm, heads, prefix, side, *attention = CASES[name]
    torch.manual_seed(0)
    model = lively(build())
    block, entered = model.get_submodule(block_name), []
    block.register_forward_pre_hook(lambda module, args: entered.append([x for x in args if torch.is_tensor(x)]))
    tap = ClassAttentionTap(model, *attention).attach()
    model(torch.randn(3, 3, side, side))
    row, (tokens,) = tap.read(), entered
    assert row.dtype == torch.float32 and not row.requires_grad
    x = torch.cat(sorted(tokens, key=lambda part: part.shape[1]), 1)  # some blocks take the class token separately
    full = explicit_map(block.attn, normed(x.detach().double(), getattr(block, norm)), heads)
    full = full[:, prefix:].mean(1) if 'query_mean' in attention else full[:, 0]
    assert full[:, prefix:].std() > 1e-3  # something to compare
    torch.testing.assert_close(row.double(), full[:, prefix:], rtol=0, atol=1e-6)
    torch.testing.assert_close(1 - row.sum(1).double(), full[:, :prefix].sum(1), rtol=0, atol=1e-6)


def test_query_mean_of_swin_counts_its_position_bias():
    """One window covers the map of the last stage; the reference is the softmax of the module."""
    torch.manual_seed(0)
    model, path = hosts.SwinTransformer(SWIN, 192, window_size=6), 'stages.3.blocks.0.attn.w_msa'
    attn, maps = lively(model).get_submodule(path), []
    attn.softmax.register_forward_hook(lambda module, args, output: maps.append(output))
    tap = ClassAttentionTap(model, of(path)).attach()
    images = torch.randn(2, 3, 192, 192)
    model(images)
    torch.testing.assert_close(tap.read(), maps[0].mean(dim=(1, 2)).detach(), rtol=0, atol=1e-6)


def module(**attributes):
    made = nn.Module()
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def hand_made(heads=2, width=16, **attributes):
    return module(num_heads=heads, qkv=nn.Linear(width, 3 * width), **attributes)


@pytest.mark.parametrize('tokens', [5, 64, 257])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_query_mean_makes_nothing_larger_than_the_keys(tokens, dtype):
    torch.manual_seed(0)
    qkv, block = torch.randn(3, tokens, 48).to(dtype), AttentionBlock(hand_made(), 1, 'query_mean')
    with Returned() as returned:
        row = query_mean(block, {'qkv': qkv})
    assert returned.bytes <= 3 * tokens * 16 * 4  # the full map: 3 x 2 x T x T x 4 bytes, sixteen times as many for 257
    query, key = (part.double().unflatten(-1, (2, 8)).transpose(1, 2) for part in qkv.split(16, -1)[:2])
    full = (query @ key.transpose(2, 3) / math.sqrt(8)).softmax(-1)
    torch.testing.assert_close(row.double(), full[:, :, 1:, 1:].mean(dim=(1, 2)), rtol=0, atol=1e-6)


def test_a_scale_of_the_module_counts_in_both_readings():
    """The same two patches, halved: logits 0, ln 4, ln 25 over 2, with queries 1, 0 and 2."""
    attn = hand_made(heads=1, width=1, scale=0.5)
    qkv = torch.tensor([[[2.0, 0.0, 9.0], [1.0, math.log(4), 9.0], [0.0, math.log(25), 9.0]]])
    row = query_mean(AttentionBlock(attn, 1, 'query_mean'), {'qkv': qkv})
    assert row.tolist()[0] == pytest.approx([(2 / 8 + 1 / 3) / 2, (5 / 8 + 1 / 3) / 2])
    row = class_row(AttentionBlock(attn, 1, 'class'), {'qkv': qkv})
    assert row.tolist()[0] == pytest.approx([4 / 30, 25 / 30])


def test_a_single_head_can_be_read():
    torch.manual_seed(0)
    model, images, outputs = lively(vit()), torch.randn(2, 3, 32, 32), []
    maps = [ClassAttentionTap(model, head=head).maps(lambda: model(images), images) for head in (0, 1, 'mean')]
    model.layers[1].attn.qkv.register_forward_hook(lambda module, args, output: outputs.append(output))
    model(images)
    query, key = (part.unflatten(-1, (2, 16)).transpose(1, 2) for part in outputs[0].split(32, -1)[:2])
    heads = (query @ key.transpose(2, 3) / 4).softmax(-1)[:, :, 0, 1:].unflatten(2, (4, 4)).detach()
    torch.testing.assert_close(torch.stack(maps), torch.stack((heads[:, 0], heads[:, 1], heads.mean(1))))


@pytest.mark.parametrize(
    ('attention', 'parsed'),
    [
        (None, ('class', None)),
        ('query_mean', ('query_mean', None)),
        ('backbone.layers.0.attn', ('class', 'backbone.layers.0.attn')),
        (dict(path='a.b'), ('class', 'a.b')),
        (of('a.b'), ('query_mean', 'a.b')),
        (dict(reading='key_mean'), ValueError("attention reading 'key_mean' is unknown; known: class, query_mean")),
        (dict(reading=['class']), ValueError("attention reading ['class'] is unknown; known: class, query_mean")),
        (dict(reading='class', where='a.b'), ValueError("attention has no key 'where'; known: path, reading")),
        (dict(path=3), TypeError("got {'path': 3}")),
        (3, TypeError('attention must be a reading, a path, or dict(reading=..., path=...), got 3')),
    ],
)
def test_parse_attention(attention, parsed):
    if isinstance(parsed, tuple):
        assert parse_attention(attention) == parsed
    else:
        with pytest.raises(type(parsed)) as error:
            ClassAttentionTap(vit(), attention)
        assert str(error.value).endswith(str(parsed))


def test_a_mean_over_queries_needs_the_queries_of_patches():
    tap, images = ClassAttentionTap(model := xcit(), of('ca_layers.1.attn')), torch.randn(2, 3, 32, 32)
    with pytest.raises(ValueError, match=r'^Class.*Att.* has a query of the class token only'):
        tap.maps(lambda: model(images), images)


def test_the_last_block_is_found_through_every_wrapper_and_a_path_overrides_it():
    classifier = hosts.ImageClassifier(backbone=vit(), head=hosts.LinearClsHead(10, 32))
    first, last = (layer.attn for layer in classifier.backbone.layers)
    for model in (classifier, classifier.backbone, nn.DataParallel(classifier)):
        assert find_attention_block(model)[:3] == (last, 1, 'class')
    wrapped = hosts.TimmClassifier('vit_tiny_patch16_224', **SIZE, embed_dim=32, depth=2, num_heads=2)
    assert find_attention_block(wrapped).attn is wrapped.model.blocks[1].attn
    path = 'backbone.layers.0.attn'
    for asked in (path, dict(reading='class', path=path), of(path)):
        assert find_attention_block(classifier, asked)[:3] == (first, 1, parse_attention(asked)[0])


TOKEN = dict(cls_token=nn.Parameter(torch.zeros(1)))
PREFIXES = [({}, 0), (dict(cls_token=None), 0), (TOKEN, 1), (dict(TOKEN, num_prefix_tokens=2), 2)]
PREFIXES += [(dict(num_extra_tokens=3, num_prefix_tokens=2), 3)]


@pytest.mark.parametrize(('has', 'prefix'), PREFIXES)
def test_prefix_tokens_of_an_unknown_model(has, prefix):
    model = module(block=hand_made(), **has)
    assert find_attention_block(model, of('block')) == AttentionBlock(model.block, prefix, 'query_mean')
    if has.get('cls_token') is None:
        with pytest.raises(ValueError, match=r"^Module has no class token at.*path='block'\)"):
            find_attention_block(model, 'block')
    else:
        assert find_attention_block(model, 'block') == AttentionBlock(model.block, prefix)


PARALLEL = partial(timm_model, block_fn=ParallelScalingBlock)
POOLED = [(vit, 'layers.1.attn', 'out_type', value) for value in ('featmap', 'avg_featmap')]
POOLED += [(timm_model, 'blocks.1.attn', 'global_pool', value) for value in ('avg', 'max', 'avgmax', 'map')]
DEVIATIONS = [
    (swin_v2, of('stages.3.blocks.0.attn.w_msa'), 'logit_scale'),
    (cait, of('blocks.0.attn'), 'proj_l'),
    (partial(timm_model, attn_layer=DiffAttention), 'query_mean', 'lambda_init'),
    (eva, None, 'rope'),
    (partial(timm_model, 'vit_relpos_small_patch16_224'), of('blocks.1.attn'), 'rel_pos'),
    (partial(timm_model, 'vit_small_patch16_rope_224'), 'blocks.1.attn', 'rope'),
    (partial(timm_model, 'xcit_nano_12_p16_224', depth=1), 'blocks.0.attn', 'temperature'),
    (partial(module, block=hand_made(num_kv_heads=1)), of('block'), 'num_kv_heads=1'),
    (partial(module, block=hand_made(attention_biases=torch.zeros(2))), of('block'), 'attention_biases'),
    (partial(module, block=hand_made(), shared_rel_pos=nn.Identity()), of('block'), 'shared_rel_pos'),
]
SENTENCES = [
    (partial(hosts.ResNet, 18), None, r"^ResNet has no known class attention \(known: .*PVT.*='path.to.attn'.*MaskMix"),
    (swin, 'query_mean', r"^Swin\S+ has no known attention .*attention=dict\(reading='query_mean', path='path"),
    (PARALLEL, None, '^VisionTransformer has no known class attention'),
    (no_class, None, "^VisionTransformer has no class token at.*attention='query_mean'"),
    (partial(pvt, out_type='featmap'), None, "^PVT has no class token at.*attention='query_mean'"),
    (
        averaged,
        'blocks.1.attn',
        r"^VisionTransformer has no class token at blocks.1.attn: .*'query_mean', path='blocks.1.attn'\)",
    ),
    *(
        (partial(build, **{key: value}), path, rf"^the class token at .* \({key}='{value}'\).*query_mean")
        for build, attn, key, value in POOLED
        for path in (None, attn)
    ),
    *((build, path, rf'^\w+ at .* more than softmax.*: {name}, .* cannot be') for build, path, name in DEVIATIONS),
    (vit, 'query_maen', "^attention path 'query_maen' does not exist .* known readings: class, query_mean$"),
    (vit, 'layers.7.attn', "^attention path 'layers.7.attn' does not exist in VisionTransformer: .*7"),
    (vit, 'layers.1.ffn', '^FFN at layers.1.ffn has no class attention: it needs num_heads and linear layers'),
]


@pytest.mark.parametrize(('build', 'path', 'sentence'), SENTENCES)
def test_models_without_class_attention_raise(build, path, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        find_attention_block(build(), path)
    assert '\n' not in str(error.value)


def test_blocks_before_the_class_token_have_patches_only():
    model, size = pvt(), (64, 64)
    block = find_attention_block(model, dict(reading='query_mean', path='block3.0.attn'))
    assert block.prefix_tokens == 0 and block.grid(16, size) == (4, 4)
    assert find_attention_block(vit()).patches == patches_of(vit()) is not None
    assert find_attention_block(model, dict(reading='query_mean', path='block4.0.attn')).prefix_tokens == 1
    with pytest.raises(ValueError, match=r"^PVT has no class token at block3\.0\.attn: use .*'query_mean'"):
        find_attention_block(model, 'block3.0.attn')


@pytest.mark.parametrize('patch', [1, 4, 8, 14, 16, 32])
@pytest.mark.parametrize('up', [True, False], ids=['padded', 'dropped'])
def test_token_grid_is_that_of_the_patches(patch, up):
    sizes = [32, 48, 56, 64, 80, 96, 112, 224, 384, *([33, 100, 131, 333] if up else [])]
    for size in itertools.product([side for side in sizes if side >= patch], repeat=2):
        grid = tuple(-(-length // patch) if up else length // patch for length in size)
        assert token_grid(grid[0] * grid[1], size) == grid, size


@pytest.mark.parametrize(
    ('tokens', 'size', 'model', 'grid'),
    [
        (196, (224, 224), None, (14, 14)),
        (6, (32, 48), None, (2, 3)),
        (25 * 42, (800, 1333), None, (25, 42)),  # stride 32, padded
        (9, (50, 50), None, (3, 3)),  # floor of 50 / 16, which no padding gives
        (1, (5, 300), None, (1, 1)),
        (12, (32, 24), vit, (4, 3)),
        (32, (32, 32), partial(vit, patch_size=(8, 4)), (4, 8)),
        (9, (34, 34), partial(vit, patch_size=16, patch_cfg=dict(stride=8, padding=2)), (3, 3)),
        (32, (32, 32), partial(timm_model, patch_size=(4, 8)), (8, 4)),
        (16, (31, 30), vit, (4, 4)),  # padded
        (9, (31, 30), vit, (3, 3)),  # dropped
        (16, (32, 32), xcit, (4, 4)),
        (4, (64, 64), pvt, (2, 2)),  # stages: square patches are assumed
        (4, (64, 64), ca_swin, (2, 2)),
        (197, (224, 224), None, 'cover an input of 224x224 pixels'),
        (0, (32, 32), None, 'cover an input of 32x32 pixels'),
        (7, (32, 64), None, 'cover an input of 32x64 pixels'),
        (4, (32, 32), vit, 'fit an input of 32x32 pixels, which has 4x4 = 16 patches'),
        (4, (32, 64), partial(vit, patch_size=(8, 4)), 'fit .* which has 4x16 = 64 patches'),
    ],
)
def test_token_grid_by_hand(tokens, size, model, grid):
    patches = model and patches_of(model())
    if isinstance(grid, tuple):
        assert token_grid(tokens, size, patches) == grid
    else:
        with pytest.raises(ValueError, match=f'^{tokens} patch tokens do not {grid}'):
            token_grid(tokens, size, patches)


@pytest.mark.parametrize('attention', [None, 'query_mean', 'blocks.1.attn'])
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_norms_of_q_and_k(attention, dtype):
    model = lively(timm_model(qk_norm=True))
    images, rows = torch.randn(2, 3, 32, 32), []
    for kind in (torch.float32, dtype):
        tap = ClassAttentionTap(model.to(kind), attention).attach()
        model(images.to(kind))
        rows.append(tap.read())
    assert rows[1].dtype == torch.float32
    torch.testing.assert_close(rows[1], rows[0], rtol=0, atol=0.02)


def test_a_norm_over_all_channels_comes_before_the_heads():
    torch.manual_seed(0)
    attn = hand_made(q_norm=nn.LayerNorm(16), k_norm=nn.LayerNorm(16))
    q, k, v = torch.randn(3, 2, 5, 16).unbind()
    heads = [x.unflatten(2, (2, 8)).transpose(1, 2) for x in (attn.q_norm(q), attn.k_norm(k))]
    expected = (heads[0] @ heads[1].transpose(2, 3) / 8**0.5).softmax(3).mean(1)[:, 0, 1:]
    torch.testing.assert_close(class_row(AttentionBlock(attn, 1), dict(qkv=torch.cat((q, k, v), 2))), expected)


def test_a_class_row_counts_the_position_bias_of_its_module():
    table, index = torch.randn(9, 2), torch.arange(9).view(3, 3)
    attn = hand_made(relative_position_bias_table=table, relative_position_index=index)
    row = class_row(AttentionBlock(attn, 1), dict(qkv=torch.zeros(1, 3, 48)))
    torch.testing.assert_close(row[0], table[:3].softmax(0).mean(1)[1:])
