"""Rows read from projections against attention maps computed from the weights."""

import itertools
import math

import pytest
import timm
import torch
import torch.nn.functional as F  # noqa: N812
from mmpretrain.models import (
    DeiT3,
    DistilledVisionTransformer,
    ImageClassifier,
    LinearClsHead,
    ResNet,
    SwinTransformer,
    SwinTransformerV2,
    TimmClassifier,
    VisionTransformer,
    ViTEVA02,
    XCiT,
)
from timm.layers.diff_attention import DiffAttention
from timm.models.vision_transformer import DiffParallelScalingBlock, ParallelScalingBlock, ParallelThingsBlock
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mixpro_mm.labeling import (
    AttentionBlock,
    ClassAttentionTap,
    class_row,
    find_attention_block,
    parse_attention,
    patches_of,
    query_mean,
    token_grid,
)
from mixpro_mm.models import PVT, CASwin
from tests import micro
from tests.micro import ARCH

SIZE = dict(img_size=32, patch_size=8)
PVT_ARCH = dict(micro.PVT_ARCH, depths=(1, 1, 1, 2))
TIMM = dict(**SIZE, embed_dim=32, depth=2, num_heads=2, num_classes=10)
SWIN = dict(embed_dims=8, depths=[1] * 4, num_heads=[1, 2, 2, 4])
CA_SWIN = dict(embed_dims=8, depths=[1, 1, 1, 2], num_heads=[1, 1, 2, 4])
XCIT = dict(patch_size=8, embed_dims=32, depth=1, cls_attn_layers=2, num_heads=2, layer_scale_init_value=1.0)


def vit(**kwargs):
    return VisionTransformer(**{'arch': ARCH, **SIZE, **kwargs})


def timm_model(name='vit_tiny_patch16_224', **kwargs):
    return timm.create_model(name, **{**TIMM, **kwargs})


# name -> (model, dotted name of its last block, norm before attention, heads, prefix tokens, attention path or None)
CASES = {
    'vit': (vit, 'layers.1', 'ln1', 2, 1, None),
    'vit-distilled': (lambda: DistilledVisionTransformer(arch=ARCH, **SIZE), 'layers.1', 'ln1', 2, 2, None),
    'deit3': (lambda: DeiT3(ARCH, **SIZE), 'layers.1', 'ln1', 2, 1, None),
    'timm': (timm_model, 'blocks.1', 'norm1', 2, 1, None),
    'timm-qk-norm': (lambda: timm_model(qk_norm=True), 'blocks.1', 'norm1', 2, 1, None),
    'timm-registers': (lambda: timm_model(reg_tokens=3), 'blocks.1', 'norm1', 2, 4, None),
    'pvt': (lambda: PVT(PVT_ARCH, img_size=64), 'block4.1', 'norm1', 4, 1, None),
    'xcit-by-path': (lambda: XCiT(**XCIT), 'ca_layers.1', 'norm1', 2, 1, 'ca_layers.1.attn'),
    'cait': (lambda: timm_model('cait_xxs24_224', depth=1), 'blocks_token_only.1', 'norm1', 2, 1, None),
    'xcit': (lambda: XCiT(**XCIT), 'ca_layers.1', 'norm1', 2, 1, None),
    'ca-swin': (lambda: CASwin(CA_SWIN, img_size=64, window_size=2), 'ca_block', 'norm1', 4, 1, None),
}


def lively(model, seed=0):
    """Add noise to every parameter, so that attention is far from uniform."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    model.eval()
    return model


def normed(x, norm):
    return F.layer_norm(x, x.shape[-1:], norm.weight.double(), norm.bias.double(), norm.eps)


def explicit_map(attn, x, heads):
    """Compute softmax(Q K^T / sqrt(d)) (B, T, T), mean over heads, in double precision for x (B, T, C)."""
    width, weights = x.shape[-1], {name: p.double() for name, p in attn.named_parameters()}
    if 'qkv.weight' in weights:
        (wq, wk, _), (bq, bk, _) = weights['qkv.weight'].split(width), weights['qkv.bias'].split(width)
    else:
        key = 'kv' if 'kv.weight' in weights else 'k'
        wq, bq = weights['q.weight'], weights['q.bias']
        wk, bk = weights[f'{key}.weight'][:width], weights[f'{key}.bias'][:width]
    depth, maps = width // heads, []
    for rows in torch.arange(width).split(depth):
        q, k = x @ wq[rows].T + bq[rows], x @ wk[rows].T + bk[rows]
        if isinstance(getattr(attn, 'q_norm', None), nn.LayerNorm):
            q, k = normed(q, attn.q_norm), normed(k, attn.k_norm)
        maps.append((q @ k.transpose(1, 2) / math.sqrt(depth)).softmax(-1))
    return torch.stack(maps).mean(0)


def row_and_map(build, block_name, norm, heads, attention, side, joined=lambda x, *rest: x):
    """Return the row of the tap for three images, and the attention map of the block."""
    torch.manual_seed(0)
    model = lively(build())
    block, entered = model.get_submodule(block_name), []
    block.register_forward_pre_hook(lambda module, args: entered.append(joined(*args)))
    tap = ClassAttentionTap(model, attention).attach()
    model(torch.randn(3, 3, side, side))
    row, (x,) = tap.read(), entered
    assert row.dtype == torch.float32 and not row.requires_grad
    return row, explicit_map(block.attn, normed(x.detach().double(), getattr(block, norm)), heads)


@pytest.mark.parametrize('name', CASES)
def test_row_is_the_class_row_of_the_explicit_map(name):
    build, block_name, norm, heads, prefix, path = CASES[name]
    # some blocks take the class token separately
    join = dict(cait=lambda x, cls: torch.cat((cls, x), 1)).get(name.removesuffix('-by-path'), lambda x, *grid: x)
    join = (lambda cls, x: torch.cat((cls, x), 1)) if name == 'ca-swin' else join
    row, full = row_and_map(build, block_name, norm, heads, path, 64 if name in ('pvt', 'ca-swin') else 32, join)
    assert full.std() > 0.02  # something to compare
    torch.testing.assert_close(row.double(), full[:, 0, prefix:], rtol=0, atol=1e-6)
    torch.testing.assert_close(1 - row.sum(1).double(), full[:, 0, :prefix].sum(1), rtol=0, atol=1e-6)


FINE = dict(patch_size=4)  # 64 patches, so that the queries come in several pieces
AVERAGED = dict(class_token=False, global_pool='avg')
# name -> (model, dotted name of its last block, norm before attention, heads, prefix tokens, image size)
QUERY_CASES = {
    'vit': (lambda: vit(**FINE), 'layers.1', 'ln1', 2, 1, 32),
    'vit-no-class': (lambda: vit(with_cls_token=False, out_type='avg_featmap', **FINE), 'layers.1', 'ln1', 2, 0, 32),
    'timm-no-class': (lambda: timm_model(**AVERAGED, **FINE), 'blocks.1', 'norm1', 2, 0, 32),
    'timm-qk-norm': (lambda: timm_model(qk_norm=True, **AVERAGED, **FINE), 'blocks.1', 'norm1', 2, 0, 32),
    'timm-registers': (lambda: timm_model(reg_tokens=3, **AVERAGED, **FINE), 'blocks.1', 'norm1', 2, 3, 32),
    'pvt': (lambda: PVT(PVT_ARCH, img_size=128), 'block4.1', 'norm1', 4, 1, 128),
    'pvt-featmap': (lambda: PVT(PVT_ARCH, img_size=128, out_type='featmap'), 'block4.1', 'norm1', 4, 0, 128),
}


@pytest.mark.parametrize('name', QUERY_CASES)
def test_query_mean_is_the_mean_over_patches_of_the_explicit_map(name):
    build, block_name, norm, heads, prefix, side = QUERY_CASES[name]
    row, full = row_and_map(build, block_name, norm, heads, 'query_mean', side)
    expected = full[:, prefix:, prefix:].mean(1)
    assert row.shape == (3, (side // (32 if 'pvt' in name else 4)) ** 2)
    assert expected.std() > 1e-3  # something to compare
    torch.testing.assert_close(row.double(), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(1 - row.sum(1).double(), full[:, prefix:, :prefix].sum(2).mean(1), rtol=0, atol=1e-6)


def test_query_mean_of_swin_counts_its_position_bias():
    """One window covers the map of the last stage; the reference is the softmax of the module."""
    torch.manual_seed(0)
    model, path = SwinTransformer(SWIN, 192, window_size=6), 'stages.3.blocks.0.attn.w_msa'
    attn, maps = lively(model).get_submodule(path), []
    attn.softmax.register_forward_hook(lambda module, args, output: maps.append(output))
    tap = ClassAttentionTap(model, dict(reading='query_mean', path=path)).attach()
    images = torch.randn(2, 3, 192, 192)
    model(images)
    row = tap.read()
    assert row.shape == (2, 36)
    torch.testing.assert_close(row, maps[0].mean(dim=(1, 2)).detach(), rtol=0, atol=1e-6)
    bias = attn.relative_position_bias_table
    with torch.no_grad():
        bias.copy_(bias.flip(0))
    model(images)
    assert (tap.read() - row).abs().max() > 1e-4


def hand_made(heads=2, width=16):
    attn = nn.Module()
    attn.num_heads, attn.qkv = heads, nn.Linear(width, 3 * width)
    return attn


class Largest(TorchDispatchMode):
    """Size in bytes of the largest tensor that an operator returns."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() * leaf.element_size() for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
        self.bytes = max(self.bytes, *sizes)
        return out


@pytest.mark.parametrize('tokens', [5, 64, 257])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_query_mean_makes_nothing_larger_than_the_keys(tokens, dtype):
    torch.manual_seed(0)
    qkv = torch.randn(3, tokens, 48).to(dtype)
    block = AttentionBlock(hand_made(), 1, 'query_mean')
    with Largest() as largest:
        row = query_mean(block, {'qkv': qkv})
    keys = 3 * tokens * 16 * 4
    assert largest.bytes <= keys  # the full map: 3 x 2 x T x T x 4 bytes, sixteen times that of 257 tokens
    query, key = (part.double().unflatten(-1, (2, 8)).transpose(1, 2) for part in qkv.split(16, -1)[:2])
    full = (query @ key.transpose(2, 3) / math.sqrt(8)).softmax(-1)
    torch.testing.assert_close(row.double(), full[:, :, 1:, 1:].mean(dim=(1, 2)), rtol=0, atol=1e-6)


def test_a_scale_of_the_module_counts_in_both_readings():
    """The same two patches, halved: logits 0, ln 4, ln 25 over 2, with queries 1, 0 and 2."""
    attn = hand_made(heads=1, width=1)
    attn.scale = 0.5
    qkv = torch.tensor([[[2.0, 0.0, 9.0], [1.0, math.log(4), 9.0], [0.0, math.log(25), 9.0]]])
    row = query_mean(AttentionBlock(attn, 1, 'query_mean'), {'qkv': qkv})
    assert row.tolist()[0] == pytest.approx([(2 / 8 + 1 / 3) / 2, (5 / 8 + 1 / 3) / 2])
    row = class_row(AttentionBlock(attn, 1, 'class'), {'qkv': qkv})
    assert row.tolist()[0] == pytest.approx([4 / 30, 25 / 30])


@pytest.mark.parametrize(
    ('attention', 'parsed'),
    [
        (None, ('class', None)),
        ('class', ('class', None)),
        ('query_mean', ('query_mean', None)),
        ('backbone.layers.0.attn', ('class', 'backbone.layers.0.attn')),
        (dict(reading='query_mean'), ('query_mean', None)),
        (dict(path='a.b'), ('class', 'a.b')),
        (dict(reading='query_mean', path='a.b'), ('query_mean', 'a.b')),
        (dict(reading='class', path=None), ('class', None)),
    ],
)
def test_parse_attention(attention, parsed):
    assert parse_attention(attention) == parsed


@pytest.mark.parametrize(
    ('attention', 'error', 'sentence'),
    [
        (dict(reading='key_mean'), ValueError, "^attention reading 'key_mean' is unknown; known: class, query_mean$"),
        (dict(reading=['class']), ValueError, '^attention reading .*is unknown; known: class, query_mean$'),
        (dict(reading='class', where='a.b'), ValueError, "^attention has no key 'where'; known: path, reading$"),
        (dict(path=3), TypeError, r'^attention must be a reading, a path, or dict\(.* got .*3'),
        (3, TypeError, '^attention must be a reading, a path, .* got 3$'),
    ],
)
def test_an_invalid_attention_raises(attention, error, sentence):
    for read in (parse_attention, lambda asked: ClassAttentionTap(vit(), asked)):
        with pytest.raises(error, match=sentence):
            read(attention)


def test_a_mean_over_queries_needs_the_queries_of_patches():
    model = XCiT(**XCIT)
    ClassAttentionTap(model, of('ca_layers.1.attn')).attach()
    with pytest.raises(ValueError, match=r'^Class.*Att.* takes queries from the class token only'):
        model(torch.randn(2, 3, 32, 32))


def test_the_last_block_is_found_through_every_wrapper():
    classifier = ImageClassifier(backbone=vit(), head=LinearClsHead(10, 32))
    last = classifier.backbone.layers[1].attn
    for model in (classifier, classifier.backbone, nn.DataParallel(classifier)):
        assert find_attention_block(model)[:3] == AttentionBlock(last, 1)[:3]
    wrapped = TimmClassifier('vit_tiny_patch16_224', **TIMM)
    assert find_attention_block(wrapped).attn is wrapped.model.blocks[1].attn
    pyramid = ImageClassifier(backbone=PVT(PVT_ARCH, img_size=64), head=LinearClsHead(10, 32))
    assert find_attention_block(pyramid).attn is pyramid.backbone.block4[1].attn


def test_a_path_overrides_the_last_block():
    classifier = ImageClassifier(backbone=vit(), head=LinearClsHead(10, 32))
    first = classifier.backbone.layers[0].attn
    assert find_attention_block(classifier, 'backbone.layers.0.attn')[:3] == (first, 1, 'class')
    asked = dict(reading='query_mean', path='backbone.layers.0.attn')
    assert find_attention_block(classifier, asked)[:3] == (first, 1, 'query_mean')
    asked = dict(reading='class', path='backbone.layers.0.attn')
    assert find_attention_block(classifier, asked)[:3] == (first, 1, 'class')


@pytest.mark.parametrize(
    ('has', 'prefix'),
    [
        (dict(), 0),
        (dict(cls_token=None), 0),
        (dict(cls_token=nn.Parameter(torch.zeros(1))), 1),
        (dict(cls_token=nn.Parameter(torch.zeros(1)), num_prefix_tokens=2), 2),
        (dict(num_extra_tokens=3, num_prefix_tokens=2), 3),
    ],
)
def test_prefix_tokens_of_an_unknown_model(has, prefix):
    model = nn.Module()
    model.block = hand_made()
    for name, value in has.items():
        setattr(model, name, value)
    asked = dict(reading='query_mean', path='block')
    assert find_attention_block(model, asked) == AttentionBlock(model.block, prefix, 'query_mean')
    if has.get('cls_token') is None:
        with pytest.raises(ValueError, match=r"^Module was built without a class token.*path='block'\)"):
            find_attention_block(model, 'block')
    else:
        assert find_attention_block(model, 'block') == AttentionBlock(model.block, prefix)


def cait(**kwargs):
    return timm_model('cait_xxs24_224', depth=1, **kwargs)


def of(path):
    return dict(reading='query_mean', path=path)


NO_TOKEN = r"^{} was built without a class token.*attention='query_mean'"
V2 = dict(SWIN, extra_norm_every_n_blocks=0)
SENTENCES = [
    (lambda: ResNet(18), None, r"^ResNet has no known class attention \(known: .*PVT.*='path.to.attn'.*MaskMix"),
    (lambda: SwinTransformer(SWIN, 32, window_size=2), None, '^SwinTransformer has no known class attention'),
    (
        lambda: SwinTransformer(SWIN, 32, window_size=2),
        'query_mean',
        r"^SwinTransformer has no known attention .*attention=dict\(reading='query_mean', path='path",
    ),
    (
        lambda: SwinTransformerV2(V2, 32, window_size=2),
        of('stages.3.blocks.0.attn.w_msa'),
        '^WindowMSAV2 at stages.3.* compares q and k by their cosine, so its attention cannot be read',
    ),
    (cait, of('blocks.0.attn'), '^TalkingHeadAttn at blocks.0.attn mixes its heads, so its attention cannot be read'),
    (
        lambda: timm_model(attn_layer=DiffAttention),
        'query_mean',
        '^DiffAttention at the last block takes the difference of two attentions, so its attention cannot be read',
    ),
    (lambda: vit(with_cls_token=False, out_type='avg_featmap'), None, NO_TOKEN.format('VisionTransformer')),
    (lambda: PVT(PVT_ARCH, img_size=64, out_type='featmap'), None, NO_TOKEN.format('PVT')),
    (
        lambda: timm_model(class_token=False, global_pool='avg'),
        'blocks.1.attn',
        r"^VisionTransformer was built without a class token.*dict\(reading='query_mean', path='blocks.1.attn'\)",
    ),
    *(
        (lambda: ViTEVA02(ARCH, **SIZE), reading, '^AttentionWithRoPE at the last block rotates q and k after their')
        for reading in (None, 'query_mean')
    ),
    *(
        (lambda out=out: vit(out_type=out), path, f"does not reach .*out_type='{out}'.*query_mean")
        for out in ('featmap', 'avg_featmap')
        for path in (None, 'layers.1.attn')
    ),
    *(
        (lambda pool=pool: timm_model(global_pool=pool), path, f"does not reach .*global_pool='{pool}'.*query_mean")
        for pool in ('avg', 'max', 'avgmax', 'map')
        for path in (None, 'blocks.1.attn')
    ),
    (
        lambda: timm_model('vit_relpos_small_patch16_224'),
        of('blocks.1.attn'),
        '^RelPosAttention at blocks.1.attn adds a position bias',
    ),
    (lambda: timm_model('vit_small_patch16_rope_224'), 'blocks.1.attn', '^AttentionRope at blocks.1.attn rotates'),
    (
        lambda: timm_model('xcit_nano_12_p16_224', depth=1),
        'blocks.0.attn',
        '^XCA at blocks.0.attn scales q and k by a temp',
    ),
    (lambda: PVT(PVT_ARCH, img_size=64), 'block3.0.attn', '^.* at block3.0.attn has no class token: .* in block4'),
    *(
        (lambda kind=kind: timm_model(block_fn=kind), reading, f'^{kind.__name__}, the last block of VisionTransf')
        for kind in (ParallelThingsBlock, ParallelScalingBlock, DiffParallelScalingBlock)
        for reading in (None, 'query_mean')
    ),
    (vit, 'query_maen', "^attention path 'query_maen' does not exist .* known readings: class, query_mean$"),
    (vit, 'layers.7.attn', "^attention path 'layers.7.attn' does not exist in VisionTransformer: .*7"),
    (vit, 'layers.1.ffn', '^FFN at layers.1.ffn has no class attention: it needs num_heads and linear layers'),
]


@pytest.mark.parametrize(('build', 'path', 'sentence'), SENTENCES)
def test_models_without_class_attention_raise(build, path, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        find_attention_block(build(), path)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('patch', [1, 4, 8, 14, 16, 32])
@pytest.mark.parametrize('up', [True, False], ids=['padded', 'dropped'])
def test_token_grid_is_that_of_the_patches(patch, up):
    sizes = [32, 48, 56, 64, 80, 96, 112, 224, 384, *([33, 100, 131, 333] if up else [])]
    for size in itertools.product(sizes, repeat=2):
        if patch > min(size):
            continue
        grid = tuple(-(-length // patch) if up else length // patch for length in size)
        assert token_grid(grid[0] * grid[1], size) == grid, size


def test_token_grid_by_hand():
    for tokens, size, grid in [
        (196, (224, 224), (14, 14)),
        (6, (32, 48), (2, 3)),
        (6, (48, 32), (3, 2)),
        (25 * 42, (800, 1333), (25, 42)),  # stride 32, padded
        (9, (50, 50), (3, 3)),  # floor of 50 / 16, which no padding gives
        (1, (5, 300), (1, 1)),
    ]:
        assert token_grid(tokens, size) == grid
    for tokens, (height, width) in [(197, (224, 224)), (5, (32, 32)), (0, (32, 32)), (7, (32, 64))]:
        with pytest.raises(ValueError, match=f'^{tokens} patch tokens do not cover an input of {height}x{width} '):
            token_grid(tokens, (height, width))


def test_grids_are_those_of_the_patch_embedding():
    assert token_grid(12, (32, 24), patches_of(vit(img_size=(32, 24)))) == (4, 3)
    assert token_grid(32, (32, 32), patches_of(vit(patch_size=(8, 4)))) == (4, 8)
    assert token_grid(9, (32, 32), patches_of(vit(patch_size=16, patch_cfg=dict(stride=8, padding=0)))) == (3, 3)
    assert token_grid(32, (32, 32), patches_of(timm_model(patch_size=(4, 8)))) == (8, 4)
    assert token_grid(16, (32, 32), patches_of(XCiT(**XCIT))) == (4, 4)
    models = {
        'stages.3.blocks.0.attn.w_msa': SwinTransformer(SWIN, 224, window_size=7),
        'layers.3.blocks.0.attn': timm.create_model('swin_tiny_patch4_window7_224', embed_dim=8, depths=[1] * 4),
    }
    swins = [find_attention_block(m, dict(reading='query_mean', path=p)).patches for p, m in models.items()]
    for swin in swins:
        assert token_grid(49, (224, 224), swin) == (7, 7)
    padded = [(swin, count, size) for swin in swins for count, size in ((49, (128, 128)), (49, (112, 112)))]
    for patches, tokens, size in [(patches_of(vit()), 4, (32, 32)), *padded]:  # dropped, padded
        with pytest.raises(ValueError, match=rf'^{tokens} patch tokens do not fit an input of {size[0]}x{size[1]} '):
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
        tap.release()
    assert rows[1].dtype == torch.float32
    torch.testing.assert_close(rows[1], rows[0], rtol=0, atol=0.02)


def test_a_norm_over_all_channels_comes_before_the_heads():
    torch.manual_seed(0)
    attn = hand_made()
    attn.q_norm, attn.k_norm = nn.LayerNorm(16), nn.LayerNorm(16)
    q, k, v = torch.randn(3, 2, 5, 16).unbind()
    heads = [x.unflatten(2, (2, 8)).transpose(1, 2) for x in (attn.q_norm(q), attn.k_norm(k))]
    expected = (heads[0] @ heads[1].transpose(2, 3) / 8**0.5).softmax(3).mean(1)[:, 0, 1:]
    torch.testing.assert_close(class_row(AttentionBlock(attn, 1), dict(qkv=torch.cat((q, k, v), 2))), expected)


def test_a_class_row_counts_the_position_bias_of_its_module():
    attn = hand_made()
    attn.relative_position_bias_table = torch.randn(9, 2)
    attn.relative_position_index = torch.arange(9).view(3, 3)
    row = class_row(AttentionBlock(attn, 1), dict(qkv=torch.zeros(1, 3, 48)))
    torch.testing.assert_close(row[0], attn.relative_position_bias_table[:3].softmax(0).mean(1)[1:])
