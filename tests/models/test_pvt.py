"""PVT against published numbers and mmdet's implementation."""

import math
import re
from functools import partial

import pytest
import torch
from mmdet.models.backbones.pvt import PyramidVisionTransformer, pvt_convert
from mmdet.registry import MODELS as MMDET_MODELS

from mixpro_mm.models import PVT
from tests.models import backbones
from tests.models.backbones import MATCH, images
from tests.models.backbones import PVT_ARCH as ARCH

micro = partial(backbones.micro, 'PVT')


@pytest.mark.parametrize('arch, millions', [('tiny', 13.229), ('small', 24.486), ('medium', 44.208), ('large', 61.369)])
def test_parameter_counts_are_the_published_ones(arch, millions):
    with torch.device('meta'):
        model = torch.nn.Sequential(PVT(arch), torch.nn.Linear(512, 1000))
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 3) == millions


def test_norm_eps_are_the_official_ones_and_can_be_set():
    for model, conv, other in ((micro(), 1e-5, 1e-6), (micro(norm_eps=1e-3, conv_norm_eps=1e-4), 1e-4, 1e-3)):
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.LayerNorm):
                assert module.eps == (conv if re.search('patch_embed|attn.norm', name) else other), name


def mmdet_twin(model):
    """Return mmdet's PVT v1 with the weights of a class-token model, converted from the official names by mmdet."""
    shared = dict(num_layers=ARCH['depths'], **{key: ARCH[key] for key in ('num_heads', 'mlp_ratios', 'sr_ratios')})
    twin = PyramidVisionTransformer(embed_dims=16, **shared).eval()
    twin.load_state_dict(pvt_convert(model.state_dict()), strict=True)
    return twin


@pytest.mark.parametrize('size', [(224, 224), (160, 96)])
@torch.no_grad()
def test_maps_equal_those_of_mmdet(size):
    source = micro(img_size=224, conv_norm_eps=1e-6)
    ours = micro(seed=1, img_size=224, out_type='featmap', conv_norm_eps=1e-6)
    ours.load_state_dict(source.state_dict(), strict=True)
    for stage, (a, b) in enumerate(zip(ours(images(*size)), mmdet_twin(source)(images(*size)), strict=True)):
        assert a.shape == (2, ARCH['embed_dims'][stage], size[0] >> stage + 2, size[1] >> stage + 2)
        assert a.std() > 0.1  # something to compare
        torch.testing.assert_close(a, b, **MATCH)


@torch.no_grad()
def test_class_token_equals_mmdet_layers_run_by_hand():
    """mmdet has no class token; its stage 4 takes 1 + 49 tokens as a 50 x 1 map."""
    model, x = micro(img_size=224, conv_norm_eps=1e-6), images(224, 224)
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
    maps, grid = micro(out_type='featmap')(images(*size)), size
    for stage, (feature_map, stride) in enumerate(zip(maps, (4, 2, 2, 2), strict=True)):
        grid = tuple(math.ceil(side / stride) for side in grid)
        assert feature_map.shape == (2, ARCH['embed_dims'][stage], *grid)
        assert feature_map.isfinite().all() and feature_map.is_contiguous()
    assert micro()(images(*size))[0].shape == (2, 128)


@torch.no_grad()
def test_position_embedding_follows_the_grid_of_its_own_stage():
    """At 448 stage 2 has the 3136 tokens that stage 1 has at 224; the released code does not resize there."""
    model, large = (micro(out_type='featmap', img_size=size) for size in (224, 448))
    for stage in (1, 2, 3, 4):  # positions constant over the grid survive any resizing
        pos_embed = getattr(model, f'pos_embed{stage}')
        pos_embed.copy_(pos_embed[:, :1].expand_as(pos_embed))
    large.load_state_dict(model.state_dict(), strict=True)
    for a, b in zip(model(images(448, 448, batch=1)), large(images(448, 448, batch=1)), strict=True):
        torch.testing.assert_close(a, b, **MATCH)


HEAD = {'head.weight': torch.ones(10, 128), 'head.bias': torch.ones(10)}


@pytest.mark.parametrize('img_size', [64, 96, (64, 96)])
@torch.no_grad()
def test_transfer_to_maps_is_strict_and_complete(img_size):
    file = {**micro().state_dict(), **HEAD}
    before, model = {key: value.clone() for key, value in file.items()}, micro(1, img_size=img_size, out_type='featmap')
    assert model.load_state_dict(file, strict=True) == ([], [])
    assert file.keys() == before.keys() and all(torch.equal(file[key], before[key]) for key in file)
    for name, value in model.state_dict().items():
        if not name.startswith('pos_embed'):
            assert torch.equal(value, before[name]), name
    for stage, grid in enumerate(model.grids, 1):
        side = 64 >> stage + 1
        square = before[f'pos_embed{stage}'][:, -(side**2) :].transpose(1, 2).reshape(1, -1, side, side)
        expected = torch.nn.functional.interpolate(square, size=grid, mode='bilinear').flatten(2).transpose(1, 2)
        torch.testing.assert_close(getattr(model, f'pos_embed{stage}').data, expected, rtol=0, atol=1e-6)


@torch.no_grad()
def test_transfer_between_sizes_keeps_the_class_row():
    source, model = micro(), micro(seed=1, img_size=128)
    model.load_state_dict({**source.state_dict(), **HEAD}, strict=True)
    assert torch.equal(model.pos_embed4[:, :1], source.pos_embed4[:, :1])
    # resizing once at load or on the fly at every forward is the same
    torch.testing.assert_close(model(images(128, 128)), source(images(128, 128)), **MATCH)


def test_unfitting_checkpoints_raise():
    with pytest.raises(RuntimeError, match='size mismatch for pos_embed1'):  # 24 x 16 positions are not a square
        micro().load_state_dict(micro(img_size=(96, 64)).state_dict())


def test_drop_path_rises_linearly_over_all_blocks():
    model = micro(drop_path_rate=0.5)
    rates = [block.drop_path.drop_prob for stage in (1, 2, 3, 4) for block in getattr(model, f'block{stage}')]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])


def test_patch_sizes_and_input_channels_can_be_set():
    model = PVT({**ARCH, 'patch_sizes': (2, 2, 2, 2)}, img_size=32, in_channels=1, out_type='featmap')
    assert model.grids == [(16, 16), (8, 8), (4, 4), (2, 2)]
    assert [out.shape[2] for out in model(torch.zeros(1, 1, 32, 32))] == [16, 8, 4, 2]


def test_fpn_of_mmdet_takes_the_maps():
    backbone = MMDET_MODELS.build(dict(type='mixpro_mm.PVT', arch=ARCH, img_size=64, out_type='featmap'))
    fpn = MMDET_MODELS.build(dict(type='FPN', in_channels=list(ARCH['embed_dims']), out_channels=8, num_outs=5))
    assert [out.shape[2:] for out in fpn(backbone(images(96, 64)))] == [(24, 16), (12, 8), (6, 4), (3, 2), (2, 1)]
