"""PVT against published numbers and mmdet's implementation."""

import math

import pytest
import torch
from mmdet.models.backbones.pvt import PyramidVisionTransformer, pvt_convert
from mmdet.registry import MODELS as MMDET_MODELS

from mixpro_mm.models import PVT

MICRO = dict(
    embed_dims=(16, 32, 64, 128),
    num_heads=(1, 2, 4, 8),
    mlp_ratios=(4, 4, 2, 2),
    depths=(1, 1, 2, 2),
    sr_ratios=(8, 4, 2, 1),
)
MATCH = dict(rtol=1e-5, atol=1e-5)


def micro(seed=0, **kwargs):
    """Return a small PVT in eval mode with noise on all parameters."""
    torch.manual_seed(seed)
    model = PVT(**{'arch': MICRO, **kwargs})
    model.eval()  # returns None in mmpretrain
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return model


def images(*size, batch=2):
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize('arch, millions', [('tiny', 13.229), ('small', 24.486), ('medium', 44.208), ('large', 61.369)])
def test_parameter_counts_are_the_published_ones(arch, millions):
    with torch.device('meta'):
        model = torch.nn.Sequential(PVT(arch), torch.nn.Linear(512, 1000))
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 3) == millions


def test_parameter_names_and_rows_are_the_official_ones():
    with torch.device('meta'):
        shapes = {name: tuple(p.shape) for name, p in PVT('tiny').named_parameters()}
    assert [shapes[f'pos_embed{stage}'][1] for stage in (1, 2, 3, 4)] == [3136, 784, 196, 50]
    assert shapes['cls_token'] == (1, 1, 512) and shapes['norm.weight'] == (512,)
    assert shapes['patch_embed2.proj.weight'] == (128, 64, 2, 2) and shapes['patch_embed2.norm.bias'] == (128,)
    block = {name.removeprefix('block1.1.') for name in shapes if name.startswith('block1.1.')}
    layers = ['attn.q', 'attn.kv', 'attn.proj', 'attn.sr', 'attn.norm', 'norm1', 'norm2', 'mlp.fc1', 'mlp.fc2']
    assert block == {f'{layer}.{kind}' for layer in layers for kind in ('weight', 'bias')}
    assert shapes['block1.1.attn.sr.weight'] == (64, 64, 8, 8) and shapes['block1.1.mlp.fc1.weight'] == (512, 64)
    assert shapes['block4.1.attn.kv.weight'] == (1024, 512) and not any('block4.1.attn.sr' in name for name in shapes)


def test_norm_eps_are_the_official_ones_and_can_be_set():
    def eps(model):
        return {name: module.eps for name, module in model.named_modules() if isinstance(module, torch.nn.LayerNorm)}

    for name, value in eps(micro()).items():
        behind_conv = name.startswith('patch_embed') or name.endswith('attn.norm')
        assert value == (1e-5 if behind_conv else 1e-6), name
    assert set(eps(micro(norm_eps=1e-3, conv_norm_eps=1e-3)).values()) == {1e-3}


def mmdet_twin(model):
    """Return mmdet's PVT v1 with the weights of a class-token model, converted by mmdet."""
    twin = PyramidVisionTransformer(
        embed_dims=16,
        num_layers=MICRO['depths'],
        num_heads=MICRO['num_heads'],
        mlp_ratios=MICRO['mlp_ratios'],
        sr_ratios=MICRO['sr_ratios'],
    ).eval()
    twin.load_state_dict(pvt_convert(model.state_dict()), strict=True)
    return twin


@pytest.mark.parametrize('size', [(224, 224), (160, 96)])
@torch.no_grad()
def test_maps_equal_those_of_mmdet(size):
    source = micro(conv_norm_eps=1e-6)
    ours = micro(seed=1, out_type='featmap', conv_norm_eps=1e-6)
    ours.load_state_dict(source.state_dict(), strict=True)
    for stage, (a, b) in enumerate(zip(ours(images(*size)), mmdet_twin(source)(images(*size)), strict=True)):
        assert a.shape == (2, MICRO['embed_dims'][stage], size[0] >> stage + 2, size[1] >> stage + 2)
        assert a.std() > 0.1  # something to compare
        torch.testing.assert_close(a, b, **MATCH)


@torch.no_grad()
def test_class_token_equals_mmdet_layers_run_by_hand():
    """mmdet has no class token; its stage 4 takes 1 + 49 tokens as a 50 x 1 map."""
    model = micro(conv_norm_eps=1e-6)
    x = images(224, 224)
    *_, stage3 = mmdet_twin(model)(x)[:3]
    patch_embed, (_, *blocks), _ = mmdet_twin(model).layers[3]
    tokens, _ = patch_embed(stage3)
    tokens = torch.cat((model.cls_token.expand(2, -1, -1), tokens), 1) + model.pos_embed4
    for block in blocks:
        tokens = block(tokens, (50, 1))
    expected = torch.nn.functional.layer_norm(tokens[:, 0], (128,), model.norm.weight, model.norm.bias, 1e-6)
    torch.testing.assert_close(model(x), (expected,), **MATCH)


@pytest.mark.parametrize('size', [(200, 333), (33, 65), (1, 1), (224, 448)])
@torch.no_grad()
def test_any_input_size_gives_ceil_grids(size):
    maps = micro(out_type='featmap')(images(*size))
    grid = size
    for stage, (feature_map, stride) in enumerate(zip(maps, (4, 2, 2, 2), strict=True)):
        grid = tuple(math.ceil(side / stride) for side in grid)
        assert feature_map.shape == (2, MICRO['embed_dims'][stage], *grid)
        assert feature_map.isfinite().all() and feature_map.is_contiguous()
    assert micro()(images(*size))[0].shape == (2, 128)


@torch.no_grad()
def test_position_embedding_follows_the_grid_of_its_own_stage():
    """At 448 stage 2 has the 3136 tokens that stage 1 has at 224; the released code does not resize there."""
    model = micro(out_type='featmap')
    for stage in (1, 2, 3, 4):  # positions constant over the grid survive any resizing
        pos_embed = getattr(model, f'pos_embed{stage}')
        pos_embed.copy_(pos_embed[:, :1].expand_as(pos_embed))
    large = micro(out_type='featmap', img_size=448)
    large.load_state_dict(model.state_dict(), strict=True)
    for a, b in zip(model(images(448, 448, batch=1)), large(images(448, 448, batch=1)), strict=True):
        torch.testing.assert_close(a, b, **MATCH)


@pytest.mark.parametrize('img_size', [64, 96, (64, 96)])
@torch.no_grad()
def test_transfer_to_maps_is_strict_and_complete(img_size):
    source = micro(img_size=64)
    file = {**source.state_dict(), 'head.weight': torch.ones(10, 128), 'head.bias': torch.ones(10)}
    before = {key: value.clone() for key, value in file.items()}
    model = micro(seed=1, img_size=img_size, out_type='featmap')
    assert model.load_state_dict(file, strict=True) == ([], [])

    assert file.keys() == before.keys() and all(torch.equal(file[key], before[key]) for key in file)
    for name, value in model.state_dict().items():
        if not name.startswith('pos_embed'):
            assert torch.equal(value, before[name]), name
    for stage, grid in enumerate(model.grids, 1):
        rows = before[f'pos_embed{stage}'][:, -((64 >> stage + 1) ** 2) :]
        side = math.isqrt(rows.shape[1])
        square = rows.transpose(1, 2).reshape(1, -1, side, side)
        expected = torch.nn.functional.interpolate(square, size=grid, mode='bilinear').flatten(2).transpose(1, 2)
        torch.testing.assert_close(getattr(model, f'pos_embed{stage}').data, expected, rtol=0, atol=1e-6)


@torch.no_grad()
def test_transfer_between_sizes_keeps_the_class_row():
    source, model = micro(img_size=64), micro(seed=1, img_size=128)
    model.load_state_dict({**source.state_dict(), 'head.weight': torch.ones(10, 128)}, strict=True)
    assert model.pos_embed4.shape == (1, 1 + 16, 128)
    assert torch.equal(model.pos_embed4[:, :1], source.pos_embed4[:, :1])
    assert torch.equal(model.cls_token, source.cls_token)
    # resizing once at load or on the fly at every forward is the same
    torch.testing.assert_close(model(images(128, 128)), source(images(128, 128)), **MATCH)


def test_unfitting_checkpoints_raise():
    with pytest.raises(RuntimeError, match='size mismatch for pos_embed1'):  # 24 x 16 positions are not a square
        micro(img_size=64).load_state_dict(micro(img_size=(96, 64)).state_dict())
    with pytest.raises(RuntimeError, match=r'Missing key.*cls_token.*norm\.weight'):
        micro(img_size=64).load_state_dict(micro(img_size=64, out_type='featmap').state_dict())


def test_drawn_parameters():
    torch.manual_seed(0)
    model = PVT('tiny', img_size=64)
    for name, p in model.named_parameters():
        module, _, kind = name.rpartition('.')
        if name.startswith('pos_embed') or name == 'cls_token':
            assert p.std().item() == pytest.approx(0.02, rel=0.15), name
        elif kind == 'bias':
            assert not p.any(), name
        elif 'norm' in module:
            assert (p == 1).all(), name
        else:
            fan_out = p.shape[0] * p[0, 0].numel()
            assert p.std().item() == pytest.approx(math.sqrt(2 / fan_out) if p.dim() == 4 else 0.02, rel=0.1), name
    before = {name: p.clone() for name, p in model.named_parameters()}
    model.init_weights()
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


@pytest.mark.parametrize('out_type', ['cls_token', 'featmap'])
def test_layer_depth_for_layer_wise_rates(out_type):
    """With 1, 1, 2 and 2 blocks, 0 is the stem, 1 to 6 are the blocks, 7 is the rest."""
    names = {
        'patch_embed1.proj.weight': 0,
        'pos_embed1': 0,
        'block1.0.norm1.weight': 1,
        'patch_embed2.norm.bias': 1,  # as Swin's merging, which counts to the stage before
        'block2.0.attn.sr.weight': 2,
        'pos_embed3': 2,
        'block3.0.mlp.fc1.weight': 3,
        'block3.1.mlp.fc1.weight': 4,
        'patch_embed4.proj.weight': 4,
        'pos_embed4': 4,
        'block4.0.attn.q.weight': 5,
        'block4.1.attn.kv.bias': 6,
    }
    if out_type == 'cls_token':
        names |= {'cls_token': 4, 'norm.weight': 7}
    model = PVT(MICRO, img_size=64, out_type=out_type)
    assert names.keys() <= dict(model.named_parameters()).keys()
    for name, depth in names.items():
        assert model.get_layer_depth(f'backbone.{name}', 'backbone.') == (depth, 8), name
        assert model.get_layer_depth(name) == (depth, 8), name
    assert model.get_layer_depth('head.fc.weight', 'backbone.') == (7, 8)


def test_drop_path_rises_linearly_over_all_blocks():
    model = micro(img_size=64, drop_path_rate=0.5)
    rates = [block.drop_path.drop_prob for stage in (1, 2, 3, 4) for block in getattr(model, f'block{stage}')]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])


@pytest.mark.parametrize(
    'kwargs, sentence',
    [
        (dict(arch='huge'), "no arch 'huge'; choose one of tiny, small, medium, large"),
        (dict(arch={**MICRO, 'depth': 1}), r'takes the keys embed_dims, .*missing: none; unknown: depth\)'),
        (dict(arch={'depths': (1, 1, 1, 1)}), 'missing: embed_dims, mlp_ratios, num_heads, sr_ratios; unknown: none'),
        (dict(arch={**MICRO, 'depths': (1, 2)}), r'4 numbers for depths, one per stage, not \[1, 2\]'),
        (dict(arch={**MICRO, 'num_heads': (1, 3, 4, 8)}), 'stage 2: 3 heads do not divide 32 dimensions'),
        (dict(arch={**MICRO, 'sr_ratios': (8, 4, 2, 2)}), 'stage 4 has the class token and needs sr_ratio 1, not 2'),
        (dict(arch=MICRO, out_type='raw'), "no out_type 'raw'; choose one of cls_token, featmap"),
    ],
)
def test_wrong_settings_raise(kwargs, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        PVT(**kwargs)
    assert '\n' not in str(error.value)


def test_patch_sizes_and_input_channels_can_be_set():
    model = PVT({**MICRO, 'patch_sizes': (2, 2, 2, 2)}, img_size=32, in_channels=1, out_type='featmap')
    assert model.grids == [(16, 16), (8, 8), (4, 4), (2, 2)]
    assert [out.shape[2] for out in model(torch.zeros(1, 1, 32, 32))] == [16, 8, 4, 2]


def test_fpn_of_mmdet_takes_the_maps():
    backbone = MMDET_MODELS.build(dict(type='mixpro_mm.PVT', arch=MICRO, img_size=64, out_type='featmap'))
    fpn = MMDET_MODELS.build(dict(type='FPN', in_channels=list(MICRO['embed_dims']), out_channels=8, num_outs=5))
    assert [out.shape[2:] for out in fpn(backbone(images(96, 64)))] == [(24, 16), (12, 8), (6, 4), (3, 2), (2, 1)]
