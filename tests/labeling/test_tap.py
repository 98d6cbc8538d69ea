"""The tap: no side effects, cost, and release."""

from contextlib import nullcontext

import pytest
import timm
import torch
import torch.nn.functional as F  # noqa: N812
from mmpretrain.models import VisionTransformer
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mixpro_mm.labeling import ClassAttentionTap
from mixpro_mm.models import PVT
from tests import micro
from tests.micro import ARCH

PVT_ARCH = dict(micro.PVT_ARCH, depths=(1, 1, 1, 2))
TIMM = dict(img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=2, num_classes=10)
MODELS = {
    'vit': lambda: VisionTransformer(ARCH, img_size=32, patch_size=8),
    'timm': lambda: timm.create_model('vit_tiny_patch16_224', **TIMM),
    'timm-qk-norm': lambda: timm.create_model('vit_tiny_patch16_224', qk_norm=True, **TIMM),
    'pvt': lambda: PVT(PVT_ARCH, img_size=64),
    'vit-no-class': lambda: VisionTransformer(
        dict(ARCH, feedforward_channels=48), img_size=32, patch_size=4, with_cls_token=False, out_type='avg_featmap'
    ),
    'timm-no-class': lambda: timm.create_model(
        'vit_tiny_patch16_224', **{**TIMM, 'patch_size': 4}, class_token=False, global_pool='avg'
    ),
}
HOOKS = [name for name in vars(torch.nn.Module()) if name.endswith('_hooks')]


@pytest.fixture(params=MODELS)
def model(request):
    torch.manual_seed(0)
    model = MODELS[request.param]()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return model


def tap_of(model):
    """Return a tap on the class row, or on the mean over queries without class token."""
    return ClassAttentionTap(model, 'query_mean' if model.cls_token is None else None)


def images(model, batch=3):
    side = 64 if isinstance(model, PVT) else 32
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(1))


def output(model, x):
    out = model(x)
    return out[0] if isinstance(out, tuple) else out


def count_hooks(model):
    return {(name, kind): len(getattr(module, kind)) for name, module in model.named_modules() for kind in HOOKS}


class Spy(TorchFunctionMode):
    """Counts the calls of the fused kernel, however its name was imported."""

    calls = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.calls += func is F.scaled_dot_product_attention
        return func(*args, **(kwargs or {}))


class Shapes(TorchDispatchMode):
    """Collects the shape of every tensor any operator returns."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.seen |= {tuple(leaf.shape) for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)}
        return out


def test_output_and_gradients_are_bit_identical(model):
    results = []
    for tapped in (False, True):
        tap = tap_of(model)
        if tapped:
            tap.attach()
        out = output(model, images(model))
        out.square().sum().backward()
        assert (tap.read() is not None) is tapped
        results.append([out.detach(), *(p.grad.clone() for p in model.parameters())])
        model.zero_grad()
        tap.release()
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_the_fused_kernel_stays_and_no_square_map_appears(model):
    calls, shapes = [], []
    for attach in (False, True):
        tap = tap_of(model)
        if attach:
            tap.attach()
        with Spy() as spy, Shapes() as spied, torch.no_grad():
            output(model, images(model))
        calls.append(spy.calls)
        shapes.append(spied.seen)
        tokens = tap.block.prefix_tokens + tap.read().shape[1] if attach else None
        tap.release()
    blocks = 5 if isinstance(model, PVT) else 2
    assert calls == [blocks, blocks]
    assert not any(shape[-2:] == (tokens, tokens) for shape in shapes[1])
    assert any(shape[-1] == tokens for shape in shapes[1] - shapes[0])  # the row, or pieces of queries


def test_the_last_forward_pass_wins_and_is_read_once(model):
    keys = list(model.state_dict())
    tap = tap_of(model).attach()
    assert tap.read() is None
    x = images(model)
    output(model, x)
    first = tap.read()
    assert not first.requires_grad and first.grad_fn is None and tap.read() is None
    output(model, x)
    output(model, x.flip(0))
    assert torch.equal(tap.read(), first.flip(0))
    assert list(model.state_dict()) == keys
    model.eval()
    with torch.inference_mode():
        output(model, images(model, batch=1))
    assert tap.read().shape[0] == 1
    tap.release()


def test_release_leaves_no_hooks_twice(model):
    before = count_hooks(model)
    tap = tap_of(model)
    assert count_hooks(model) == before  # nothing is installed before attach
    for _ in range(2):
        tap.attach().attach()  # twice listens once
        assert sum(count_hooks(model).values()) - sum(before.values()) == len(tap.block.projections)
        output(model, images(model))
        tap.release()
        assert count_hooks(model) == before
        assert tap.read() is None  # released, so forgotten
    tap.release()  # once more does no harm
    output(model, images(model))
    assert tap.read() is None


@pytest.mark.parametrize('before', [True, False])
def test_the_setting_of_torch_compile_is_restored(model, before):
    with torch._dynamo.config.patch(skip_nnmodule_hook_guards=before):
        tap = tap_of(model).attach().attach()
        assert torch._dynamo.config.skip_nnmodule_hook_guards is False
        tap.release()
        assert torch._dynamo.config.skip_nnmodule_hook_guards is before


def test_nothing_is_stored_while_disabled(model):
    wanted = False
    tap = tap_of(model).attach(wanted=lambda: wanted)
    with Spy(), Shapes() as asleep, torch.no_grad():
        output(model, images(model))
    assert tap.read() is None
    assert not tap._outputs
    wanted = True
    with Shapes() as awake, torch.no_grad():
        output(model, images(model))
    assert tap.read() is not None
    assert awake.seen - asleep.seen  # asleep, the row was not even computed
    tap.release()


class Head(nn.Module):
    """A timm backbone with a head whose weights are zero."""

    def __init__(self, kind):
        super().__init__()
        self.backbone = timm.create_model(
            'vit_tiny_patch16_224', img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=2, global_pool=''
        )
        self.backbone.head = nn.Identity()
        self.kind, self.head = kind, nn.Linear(32, 3)
        nn.init.zeros_(self.head.weight)

    def forward(self, images):
        tokens = self.backbone(images)
        return self.head(tokens[:, 0] if self.kind == 'class' else tokens[:, 1:].mean(1))


@pytest.mark.parametrize(
    ('kind', 'attention', 'trained'),
    [
        ('class', None, True),
        ('class', 'backbone.blocks.1.attn', True),
        ('patches', None, False),
        ('patches', 'backbone.blocks.1.attn', False),
        ('patches', 'backbone.blocks.0.attn', True),  # by the patches of the next block, which attend to the token
        ('patches', 'query_mean', True),
    ],
)
def test_an_unused_class_token_raises(kind, attention, trained):
    model = Head(kind).eval()
    tap = ClassAttentionTap(model, attention).attach()
    before = count_hooks(model)
    with nullcontext() if trained else pytest.raises(ValueError, match=r'attention is not trained.*query_mean'):
        tap.verify(lambda: model(torch.zeros(1, 3, 32, 32)))
    assert count_hooks(model) == before
    assert tap.read() is None


def test_a_missing_setting_of_torch_compile_is_ignored(model, monkeypatch):
    monkeypatch.setattr('mixpro_mm.labeling.tap.HOOK_GUARDS', 'no_such_setting')
    tap = tap_of(model).attach()
    output(model, images(model))
    assert tap.read() is not None
    tap.release()
    assert not hasattr(torch._dynamo.config, 'no_such_setting')
