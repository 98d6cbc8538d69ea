"""The tap: no side effects, cost, and release."""

from contextlib import nullcontext
from functools import partial

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.overrides import TorchFunctionMode

from mixpro_mm.labeling import ClassAttentionTap
from mixpro_mm.models import PVT
from tests.labeling.kit import FINE, Returned, averaged, lively, no_class, pvt, timm_model, vit
from tests.micro import ARCH, count_hooks

MODELS = {
    'vit': vit,
    'timm': timm_model,
    'timm-qk-norm': partial(timm_model, qk_norm=True),
    'pvt': pvt,
    'vit-no-class': partial(no_class, arch=dict(ARCH, feedforward_channels=48), **FINE),
    'timm-no-class': averaged,
}


@pytest.fixture(params=MODELS)
def model(request):
    torch.manual_seed(0)
    model = lively(MODELS[request.param]())
    model.train()
    return model


def tap_of(model):
    """Return a tap on the class row, or on the mean over queries without class token."""
    return ClassAttentionTap(model, 'query_mean' if model.cls_token is None else None)


def output(model, order=(0, 1, 2)):
    side = 64 if isinstance(model, PVT) else 32
    images = torch.randn(3, 3, side, side, generator=torch.Generator().manual_seed(1))
    out = model(images[list(order)])
    return out[0] if isinstance(out, tuple) else out


class Spy(TorchFunctionMode):
    """Counts the calls of the fused kernel, however its name was imported."""

    calls = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.calls += func is F.scaled_dot_product_attention
        return func(*args, **(kwargs or {}))


def test_output_and_gradients_are_bit_identical_and_the_state_dict_stays(model):
    results, keys = [], list(model.state_dict())
    for tapped in (False, True):
        tap = tap_of(model).attach() if tapped else tap_of(model)
        out = output(model)
        out.square().sum().backward()
        assert (tap.read() is not None) is tapped
        results.append([out.detach(), *(p.grad.clone() for p in model.parameters())])
        model.zero_grad()
        assert list(model.state_dict()) == keys
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_the_fused_kernel_stays_no_square_map_appears_and_nothing_is_computed_while_disabled(model):
    shapes, wanted = [], False
    tap = tap_of(model).attach(wanted=lambda: wanted)
    for wanted in (False, True):
        with Spy() as spy, Returned() as returned, torch.no_grad():
            output(model)
        assert spy.calls == (5 if isinstance(model, PVT) else 2)
        shapes.append(returned.shapes)
        row = tap.read()
        assert (row is not None) is wanted and not tap._outputs
    tokens = tap.block.prefix_tokens + row.shape[1]
    assert not any(shape[-2:] == (tokens, tokens) for shape in shapes[1])
    assert any(shape[-1] == tokens for shape in shapes[1] - shapes[0])  # the row, or pieces of queries


def test_the_last_forward_pass_wins_and_is_read_once(model):
    tap = tap_of(model).attach()
    assert tap.read() is None
    output(model)
    first = tap.read()
    assert not first.requires_grad and first.grad_fn is None and tap.read() is None
    output(model)
    output(model, [2, 1, 0])
    assert torch.equal(tap.read(), first.flip(0))
    model.eval()
    with torch.inference_mode():
        output(model, [0])
    assert tap.read().shape[0] == 1


@pytest.mark.parametrize('guards', [True, False])
def test_release_leaves_neither_hooks_nor_the_setting_of_torch_compile(model, guards):
    before, config = count_hooks(model), torch._dynamo.config
    tap = tap_of(model)
    assert count_hooks(model) == before  # nothing is installed before attach
    with config.patch(skip_nnmodule_hook_guards=guards):
        for _ in range(2):
            tap.attach().attach()  # twice listens once
            assert config.skip_nnmodule_hook_guards is False
            assert count_hooks(model) == before + len(tap.block.projections)
            output(model)
            tap.release()
            assert config.skip_nnmodule_hook_guards is guards and count_hooks(model) == before
            assert tap.read() is None  # released, so forgotten
        tap.release()  # once more does no harm
    output(model)
    assert tap.read() is None


LAST = 'blocks.1.attn'
UNTRAINED = rf'^the class token at {LAST} does not reach the output of VisionTransformer .*query_mean'
UNUSED = rf'^Attention at {LAST} does not reach the output of VisionTransformer, so its attention .*path.to.attn'


@pytest.mark.parametrize(
    ('kind', 'attention', 'error'),
    [
        ('token', None, None),
        ('token', LAST, None),
        ('patches', None, UNTRAINED),
        ('patches', LAST, UNTRAINED),
        ('patches', 'blocks.0.attn', None),  # by the patches of the next block, which attend to the token
        ('patches', 'query_mean', None),
        ('none', None, UNUSED),
        ('none', dict(reading='query_mean', path=LAST), UNUSED),
    ],
)
def test_attention_that_no_output_uses_raises_once(kind, attention, error):
    """The weights of the head are zero."""
    model, head = timm_model(num_classes=0, global_pool='').eval(), nn.Linear(32, 3)
    nn.init.zeros_(head.weight)

    def look():
        tokens = model(torch.zeros(1, 3, 32, 32))
        return head(dict(token=tokens[:, 0], patches=tokens[:, 1:].mean(1), none=torch.zeros(1, 32))[kind])

    tap = ClassAttentionTap(model, attention).attach()
    before = count_hooks(model)
    with pytest.raises(ValueError, match=error) if error else nullcontext():
        tap.verify(look)
    assert count_hooks(model) == before
    assert tap.read() is None
    tap.verify(look)  # not again
