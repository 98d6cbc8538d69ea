"""CASwin against arithmetic, against mmpretrain's Swin, timm's CaiT block and explicit attention."""

import copy
import logging

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.runner.checkpoint import load_state_dict
from mmpretrain.models import SwinTransformer
from torch.nn.functional import layer_norm
from torch.utils.flop_counter import FlopCounterMode

from mixpro_mm.models import CASwin
from mixpro_mm.transfer import compare

MICRO = dict(embed_dims=8, depths=[1, 1, 2, 2], num_heads=[1, 2, 2, 4])  # at 64: maps of 16, 8, 4, 2; 64 channels
DEPTHS = dict(tiny=(2, 2, 6, 2), small=(2, 2, 18, 2))
MATCH = dict(rtol=1e-5, atol=1e-5)


def noisy(model, seed=0):
    """In eval mode and with no bias zero and no norm the identity, so that none can be mixed up."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.05)
    model.eval()  # returns None where it is the host's
    return model


def micro(seed=0, **kwargs):
    torch.manual_seed(seed)
    return noisy(CASwin(**{'arch': MICRO, 'img_size': 64, 'window_size': 2, **kwargs}), seed)


def micro_swin(seed=0, **kwargs):
    return noisy(SwinTransformer(**{'arch': MICRO, 'img_size': 64, 'window_size': 2, **kwargs}), seed)


def images(*size, batch=2):
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(1))


def seen_by_block(model, x):
    """((class token, patches) as they enter the class-attention block, features)."""
    seen = []
    handle = model.ca_block.register_forward_pre_hook(lambda _, args: seen.append(args))
    (feature,) = model(x)
    handle.remove()
    return seen[0], feature


def counted_by_hand(depths, classes=1000):
    """Parameters at 224 with a linear head, from layer sizes: (of plain Swin, of CA-Swin)."""
    total = 4**2 * 3 * 96 + 96 + 2 * 96
    for stage, depth in enumerate(depths):
        c, heads = 96 * 2**stage, 3 * 2**stage
        linear = (3 * c**2 + 3 * c) + (c**2 + c) + (4 * c**2 + 4 * c) + (4 * c**2 + c)
        total += depth * (2 * 2 * c + linear + 13**2 * heads)
        if stage < 3:
            total += 2 * 4 * c + 4 * c * 2 * c
    swin = total + 2 * 768 + 768 * classes + classes
    return swin, swin - 13**2 * 24 + 768  # a class token in place of a table of position biases


def macs_by_hand(depths, classes=1000):
    """Multiply-adds at 224 of CA-Swin with a linear head: (without class attention's own products, these)."""
    total = 56**2 * 4**2 * 3 * 96
    for stage, depth in enumerate(depths):
        c, n = 96 * 2**stage, 56**2 // 4**stage
        total += (depth - (stage == 3)) * (n * 12 * c**2 + 2 * n * 49 * c)
        if stage < 3:
            total += n // 4 * 4 * c * 2 * c
    class_attention = 768**2 * (1 + 2 * 50 + 1 + 8)  # q, kv of 50 tokens, proj, MLP
    return total + class_attention + 768 * classes, 2 * 50 * 768


@pytest.mark.parametrize(
    'arch, params, mparams, gmacs', [('tiny', 28_285_066, 28.3, 4.2), ('small', 49_602_970, 49.6, 8.5)]
)
def test_parameters_and_macs_are_those_of_table_1(arch, params, mparams, gmacs):
    model = torch.nn.ModuleList([CASwin(arch), torch.nn.Linear(768, 1000)]).to('meta').eval()
    count = sum(p.numel() for p in model.parameters())
    assert count == params == counted_by_hand(DEPTHS[arch])[1]
    with FlopCounterMode(display=False) as counter:
        model[1](model[0](torch.empty(1, 3, 224, 224, device='meta'))[0])
    macs, (without, products) = counter.get_total_flops() / 2, macs_by_hand(DEPTHS[arch])
    assert macs in (without, without + products)  # not every fused kernel of attention is in the counter's list
    assert (round(count / 1e6, 1), round(macs / 1e9, 1)) == (mparams, gmacs)
    assert (arch, round(macs / 1e9, 3)) in (('tiny', 4.205), ('small', 8.455))


def test_it_is_swin_less_the_last_block():
    ours, plain = CASwin('tiny'), SwinTransformer('tiny')
    count, swin = (sum(p.numel() for p in model.parameters()) for model in (ours, plain))
    assert swin + 768 * 1000 + 1000 == counted_by_hand(DEPTHS['tiny'])[0] == 28_288_354
    assert swin - count == 13**2 * 24 - 768
    shapes, swin_shapes = ({k: v.shape for k, v in model.state_dict().items()} for model in (ours, plain))
    last = 'stages.3.blocks.1.'
    assert shapes.items() - swin_shapes.items() == {
        (k, v) for k, v in shapes.items() if k == 'cls_token' or k.startswith('ca_block.')
    }
    assert swin_shapes.items() - shapes.items() == {(k, v) for k, v in swin_shapes.items() if k.startswith(last)}
    assert {k for k in shapes if k.startswith('ca_block.') and '.attn.' not in k} == {
        k.replace(last, 'ca_block.') for k in swin_shapes if k.startswith(last) and '.attn.' not in k
    }
    attn = ours.ca_block.attn
    assert (attn.num_heads, attn.scale) == (24, 32**-0.5) and ours.num_extra_tokens == 1
    assert attn.q.weight.shape == (768, 768) and attn.kv.weight.shape == (1536, 768) and attn.kv.bias is not None


@pytest.mark.parametrize('size', [(64, 64), (96, 120), (61, 90)])
@torch.no_grad()
def test_patches_are_those_of_swin_before_its_last_block(size):
    """mmpretrain's own Swin with the same weights, read before the block that is replaced."""
    model, plain, patches = micro(), micro_swin(seed=1), []
    plain.load_state_dict(model.state_dict(), strict=False)
    plain.stages[3].blocks[1].register_forward_pre_hook(lambda _, args: patches.append(args[0]))
    plain(images(*size))
    (_, ours), _ = seen_by_block(model, images(*size))
    assert ours.std() > 0.1  # something to compare
    assert torch.equal(ours, patches[0])


@torch.no_grad()
def test_class_attention_equals_explicit_softmax_head_by_head():
    attn, x = micro().ca_block.attn, torch.randn(3, 1 + 5, 64, generator=torch.Generator().manual_seed(2))
    d = 64 // 4
    heads = []
    for head in range(4):
        rows = slice(head * d, (head + 1) * d)
        q = x[:, 0] @ attn.q.weight[rows].T + attn.q.bias[rows]  # the class token alone asks
        k = x @ attn.kv.weight[:64][rows].T + attn.kv.bias[:64][rows]
        v = x @ attn.kv.weight[64:][rows].T + attn.kv.bias[64:][rows]
        exponents = torch.einsum('bd,btd->bt', q, k).div(d**0.5).exp()
        heads.append(torch.einsum('bt,btd->bd', exponents / exponents.sum(1, keepdim=True), v))
    expected = torch.cat(heads, 1) @ attn.proj.weight.T + attn.proj.bias
    torch.testing.assert_close(attn(x), expected[:, None], **MATCH)


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


def test_patches_ignore_the_class_token_and_the_output_needs_every_patch():
    model, x = micro(), images(96, 64)
    (cls_token, patches), feature = seen_by_block(model, x)
    assert torch.equal(cls_token, model.cls_token.expand(2, -1, -1)) and patches.shape == (2, 3 * 2, 64)
    with torch.no_grad():
        model.cls_token.add_(torch.randn(64, generator=torch.Generator().manual_seed(3)))
    (_, same), other = seen_by_block(model, x)
    assert torch.equal(patches, same) and (feature - other).abs().max() > 0.01
    free = patches.detach().requires_grad_()
    (grad,) = torch.autograd.grad(model.ca_block(cls_token, free).square().sum(), free)
    assert grad.abs().amax(2).min() > 1e-6
    # no bias, window or shift: patches are a set
    order = torch.randperm(6, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(
        model.ca_block(cls_token, patches[:, order]), model.ca_block(cls_token, patches), **MATCH
    )


@pytest.mark.parametrize('arch, rate', [('tiny', 0.2), ('small', 0.3)])
def test_drop_path_rises_linearly_over_all_blocks(arch, rate):
    model = CASwin(arch, drop_path_rate=rate)
    blocks = [block for stage in model.stages for block in stage.blocks]
    rates = [(block.attn.drop.drop_prob, block.ffn.dropout_layer.drop_prob) for block in blocks]
    rates.append((model.ca_block.drop_path.drop_prob, model.ca_block.ffn.dropout_layer.drop_prob))
    count = sum(DEPTHS[arch])
    assert len(rates) == count
    for index, pair in enumerate(rates):
        assert pair == pytest.approx([rate * index / (count - 1)] * 2)


@torch.no_grad()
def test_drop_path_leaves_out_attention_and_mlp_of_a_sample_independently():
    model = micro(drop_path_rate=0.5)
    (cls_token, patches), _ = seen_by_block(model, images(64, 64, batch=1))
    block, expected = model.ca_block, []
    for attn_kept in (0, 2):  # times 1 / (1 - 0.5) if kept
        x = cls_token + attn_kept * block.attn(block.norm1(torch.cat((cls_token, patches), 1)))
        expected += [x + mlp_kept * block.ffn.layers(block.norm2(x)) for mlp_kept in (0, 2)]
    torch.manual_seed(0)
    out = block.train()(cls_token.expand(256, -1, -1), patches.expand(256, -1, -1))
    hits = torch.stack([(out - x).abs().amax((1, 2)) < 1e-4 for x in expected], 1)
    assert (hits.sum(1) == 1).all()
    assert all(40 <= count <= 88 for count in hits.sum(0))  # 64 expected, standard deviation 7


@pytest.mark.filterwarnings('ignore:torch.utils.checkpoint')  # the host leaves use_reentrant open
def test_checkpointing_runs_swin_blocks_twice_and_keeps_the_gradients():
    passes, models = [], (micro(), micro(with_cp=True))
    for model in models:
        for block in (model.stages[3].blocks[0], model.ca_block):
            block.norm1.register_forward_hook(lambda *_, block=block: passes.append(type(block).__name__))
        model(images(64, 64))[0].square().sum().backward()
        passes.append('done')
    once = ['SwinBlock', 'ClassAttentionBlock']
    assert passes == [*once, 'done', *once, 'SwinBlock', 'done']
    for p, q in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(p.grad, q.grad, **MATCH)


@torch.no_grad()
def test_other_input_sizes_of_the_real_model():
    model, keys = CASwin('tiny', pad_small_map=True).eval(), []
    model.ca_block.attn.kv.register_forward_hook(lambda _, args, out: keys.append(out.shape[1]))
    for size in ((256, 256), (192, 224), (224, 224)):
        (out,) = model(images(*size, batch=1))
        assert out.shape == (1, 768) and out.isfinite().all()
    assert keys == [1 + 8 * 8, 1 + 6 * 7, 1 + 7 * 7]  # padding of windows is cut off again
    with pytest.raises(AssertionError, match=r'\(6, 7\) is smaller than the window size \(7\).*pad_small_map=True'):
        CASwin('tiny').eval()(images(192, 224, batch=1))


def test_file_of_a_plain_swin_is_reported(caplog):
    model, file = micro(), micro_swin(seed=1).state_dict()
    lacking = {name for name in model.state_dict() if name.startswith(('cls_token', 'ca_block.'))}
    homeless = {name for name in file if name.startswith('stages.3.blocks.1.')}
    missing, unexpected = copy.deepcopy(model).load_state_dict(file, strict=False)
    assert set(missing) == lacking and set(unexpected) == homeless and len(lacking) == 15
    with caplog.at_level(logging.WARNING):
        load_state_dict(model, file, logger=logging.getLogger('of the host'))
    assert 'missing keys in source state_dict: cls_token, ca_block.norm1.weight' in caplog.text
    coverage = compare(model, file)
    assert not coverage.complete and set(coverage.missing) == lacking and set(coverage.unexpected) == homeless


def test_old_names_of_the_host_are_reported_too():
    file = {name.replace('norm3.', 'norm.'): value for name, value in micro().state_dict().items()}  # no version
    with pytest.raises(RuntimeError, match=r'(?s)Missing key.*"norm3\.weight".*Unexpected key.*"norm\.weight"'):
        micro().load_state_dict(file)


def test_drawn_parameters():
    torch.manual_seed(0)
    model = CASwin('tiny')
    before = {name: p.clone() for name, p in model.named_parameters()}
    model.init_weights()
    for name, p in model.named_parameters():
        if name.endswith('bias_table'):
            assert p.std().item() == pytest.approx(0.02, rel=0.15), name
            continue
        assert torch.equal(p, before[name]), name  # all but the tables of the host are final at construction
        if name.startswith('patch_embed.projection'):
            assert p.abs().max() <= (4 * 4 * 3) ** -0.5  # torch's own
        elif name.endswith('.bias'):
            assert not p.any(), name
        elif 'norm' in name:
            assert (p == 1).all(), name
        else:
            assert p.std().item() == pytest.approx(0.02, rel=0.1), name


@pytest.mark.parametrize(
    'kwargs, sentence',
    [
        (dict(arch='base'), "no arch 'base'; choose one of tiny, small, or give a dict"),
        (dict(arch=18), 'no arch 18; choose one of tiny, small, or give a dict'),
        (dict(arch={**MICRO, 'depth': 1}), r'takes the keys embed_dims, .*\(missing: none; unknown: depth\)'),
        (dict(arch={'depths': [1]}), r'\(missing: embed_dims, num_heads; unknown: none\)'),
        (dict(arch={**MICRO, 'depths': [1, 2]}), r'of the same stages, not \[1, 2\] and \[1, 2, 2, 4\]'),
        (
            dict(arch={**MICRO, 'depths': [1, 1, 1, 0]}),
            r'positive numbers, not embed_dims 8, depths \[1, 1, 1, 0\] and',
        ),
        (dict(arch={**MICRO, 'num_heads': [1, 2, 2, 3]}), 'stage 4: 3 heads do not divide 64 dimensions'),
        (dict(drop_path_rate=1.0), 'drop_path_rate from 0 to below 1, not 1.0'),
        (dict(drop_path_rate=-0.1), 'drop_path_rate from 0 to below 1, not -0.1'),
        (
            dict(img_size=(192, 224)),
            '192x224 pixels has a map of 6x7 in stage 4, smaller than its window of 7: give pad',
        ),
        (dict(arch=MICRO, img_size=28), '28x28 pixels has a map of 4x4 in stage 2, smaller than its window of 7'),
    ],
)
def test_wrong_settings_fail_in_one_sentence(kwargs, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        CASwin(**kwargs)
    assert '\n' not in str(error.value)


@torch.no_grad()
def test_sizes_and_stages_can_be_set():
    """Two stages on grey images of 28 pixels; the last has no window, so its 7x7 map need not fit one."""
    arch = ConfigDict(embed_dims=16, depths=(2, 1), num_heads=(2, 4))
    model = CASwin(arch, img_size=28, patch_size=2, in_channels=1, window_size=14).eval()
    (cls_token, patches), feature = seen_by_block(model, torch.randn(2, 1, 28, 28))
    assert len(model.stages[1].blocks) == 0 and cls_token.shape == (2, 1, 32) and patches.shape == (2, 49, 32)
    expected = layer_norm(model.ca_block(cls_token, patches)[:, 0], (32,))
    torch.testing.assert_close(feature, expected, **MATCH)
    assert set(model.norm1.state_dict()) == {'weight', 'bias'}


def test_layer_depth_for_layer_wise_rates():
    model = micro()
    names = {
        'patch_embed.norm.weight': 0,
        'stages.0.blocks.0.norm1.weight': 1,
        'stages.3.blocks.0.attn.w_msa.qkv.bias': 5,
        'ca_block.attn.kv.bias': 6,
        'cls_token': 6,
        'norm3.weight': 7,
    }
    for name, depth in names.items():
        assert model.get_layer_depth(f'backbone.{name}', 'backbone.') == (depth, 8), name
    assert model.get_layer_depth('head.fc.weight', 'backbone.') == (7, 8)
