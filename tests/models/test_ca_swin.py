"""CASwin against mmpretrain's Swin and timm's CaiT block."""

from functools import partial

import pytest
import torch
from mmengine.config import ConfigDict
from mmpretrain.models import SwinTransformer
from torch.nn.functional import layer_norm
from torch.utils.flop_counter import FlopCounterMode

from mixpro_mm.models import CASwin
from mixpro_mm.transfer import compare
from tests.models import backbones
from tests.models.backbones import MATCH, SWIN_ARCH, images, noisy

micro = partial(backbones.micro, 'CASwin')


def micro_swin():
    torch.manual_seed(1)
    return noisy(SwinTransformer(SWIN_ARCH, img_size=64, window_size=2))


def seen_by_block(model, x):
    """Return the input of the class-attention block (class token, patches), and the features."""
    seen = []
    handle = model.ca_block.register_forward_pre_hook(lambda _, args: seen.append(args))
    (feature,) = model(x)
    handle.remove()
    return seen[0], feature


@pytest.mark.parametrize(
    'arch, params, gmacs', [('tiny', 28_285_066, 4.2), pytest.param('small', 49_602_970, 8.5, marks=pytest.mark.long)]
)
def test_parameters_and_macs_are_those_of_table_1(arch, params, gmacs):
    model = torch.nn.ModuleList([CASwin(arch), torch.nn.Linear(768, 1000)]).to('meta').eval()
    assert sum(p.numel() for p in model.parameters()) == params
    with FlopCounterMode(display=False) as counter:
        model[1](model[0](torch.empty(1, 3, 224, 224, device='meta'))[0])
    assert round(counter.get_total_flops() / 2e9, 1) == gmacs


@pytest.mark.parametrize('size', [(64, 64), (96, 120), (61, 90)])
@torch.no_grad()
def test_patches_are_those_of_swin_before_its_last_block(size):
    """Compare with mmpretrain's Swin before the block that is replaced."""
    model, plain, patches = micro(), micro_swin(), []
    plain.load_state_dict(model.state_dict(), strict=False)
    plain.stages[3].blocks[1].register_forward_pre_hook(lambda _, args: patches.append(args[0]))
    plain(images(*size))
    (_, ours), _ = seen_by_block(model, images(*size))
    assert ours.std() > 0.1  # something to compare
    assert torch.equal(ours, patches[0])


@torch.no_grad()
def test_block_equals_that_of_cait_without_layer_scale():
    cait = pytest.importorskip('timm.models.cait')
    model = micro()
    block, twin = model.ca_block, cait.LayerScaleBlockClassAttn(64, 4, 4.0, qkv_bias=True, init_values=1.0).eval()
    for norm in (twin.norm1, twin.norm2):
        norm.eps = 1e-5
    weights = {'gamma_1': torch.ones(64), 'gamma_2': torch.ones(64)}
    names = {'ffn.layers.0.0': 'mlp.fc1', 'ffn.layers.1': 'mlp.fc2'}
    for name, value in block.state_dict().items():
        layer, _, kind = name.rpartition('.')
        if layer == 'attn.kv':
            weights[f'attn.k.{kind}'], weights[f'attn.v.{kind}'] = value.chunk(2)
        else:
            weights[f'{names.get(layer, layer)}.{kind}'] = value
    twin.load_state_dict(weights, strict=True)
    (cls_token, patches), feature = seen_by_block(model, images(96, 64))
    expected = twin(patches, cls_token)
    torch.testing.assert_close(block(cls_token, patches), expected, **MATCH)
    norm = model.norm3
    torch.testing.assert_close(feature, layer_norm(expected[:, 0], (64,), norm.weight, norm.bias, 1e-5), **MATCH)


def test_file_of_a_plain_swin_is_reported():
    model, file = micro(), micro_swin().state_dict()
    lacking = {name for name in model.state_dict() if name.startswith(('cls_token', 'ca_block.'))}
    homeless = {name for name in file if name.startswith('stages.3.blocks.1.')}
    missing, unexpected = model.load_state_dict(file, strict=False)
    assert set(missing) == lacking and set(unexpected) == homeless and len(lacking) == 15
    coverage = compare(model, file)
    assert not coverage.complete and set(coverage.missing) == lacking and set(coverage.unexpected) == homeless


@torch.no_grad()
def test_sizes_and_stages_can_be_set():
    """Two stages on grey images of 28 pixels; the last has no window."""
    arch = ConfigDict(embed_dims=16, depths=(2, 1), num_heads=(2, 4))
    model = CASwin(arch, img_size=28, patch_size=2, in_channels=1, window_size=14)
    model.eval()
    (cls_token, patches), feature = seen_by_block(model, torch.randn(2, 1, 28, 28))
    assert len(model.stages[1].blocks) == 0 and cls_token.shape == (2, 1, 32) and patches.shape == (2, 49, 32)
    expected = layer_norm(model.ca_block(cls_token, patches)[:, 0], (32,))
    torch.testing.assert_close(feature, expected, **MATCH)
