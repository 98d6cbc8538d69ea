"""Training steps in mmengine's Runner against an independent computation of losses and gradients.

The oracle recovers mask and partners from the pixels of the mixed images, computes the full attention map of the last
block, and implements equations 5, 7, 8 and 9 and label smoothing.
"""

import itertools
import math
from copy import deepcopy
from functools import partial

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from mixpro_mm.augments import MixPro, RegionMix
from mixpro_mm.hooks.labeling import LabelingHook
from tests import micro
from tests.micro import CLASSES, HalfPrecision, KeepBatches, KeepGradients, Samples

SMOOTHING = 0.1
PAL, TRANSMIX = 'ProgressiveAttentionLabeling', 'AttentionLabeling'


BUILD = dict(vit=micro.vit, timm=micro.timm_vit, pvt=partial(micro.pvt, depths=(1, 1, 1, 2)))
PATCH = dict(vit=8, timm=8, pvt=32)  # pixels per token of the last block


def lively(config, mask_scale=1):
    """Return a classifier with a MixPro that keeps about half of each image, or with a RegionMix."""
    augment = MixPro(alpha=20.0, patch_size=8, mask_scale=mask_scale) if mask_scale else RegionMix(alpha=20.0)
    return micro.lively(config, dict(augments=augment))


def train(model, samples, work_dir, hook, batch_size=None, **settings):
    """Train one epoch; return the Runner and the gradients of each step."""
    runner = micro.train(model, work_dir, hook, data=samples, batch_size=batch_size or len(samples), **settings)
    return runner, [list(step.values()) for step in runner.optim_wrapper.steps]


def last_block(model):
    """Return the last block and its norm before the attention."""
    if hasattr(model, 'head'):
        stage = getattr(model.backbone, 'layers', None) or model.backbone.block4
        return stage[-1], stage[-1].ln1 if hasattr(stage[-1], 'ln1') else stage[-1].norm1
    return model.model.blocks[-1], model.model.blocks[-1].norm1


def forward(model, inputs):
    """Return logits (B, K) and the class row (B, N) of the last attention map, averaged over heads."""
    block, norm = last_block(model)
    entered = []
    handle = block.register_forward_pre_hook(lambda module, args: entered.append(args[0]))
    logits = model(inputs, mode='tensor')
    handle.remove()
    x, attn = norm(entered[0]), block.attn
    q, k = attn.qkv(x).chunk(3, -1)[:2] if hasattr(attn, 'qkv') else (attn.q(x), attn.kv(x).chunk(2, -1)[0])
    q, k = (t.float().unflatten(-1, (attn.num_heads, -1)).transpose(1, 2) for t in (q, k))
    with torch.autocast('cpu', enabled=False):
        full = (q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])).softmax(-1).mean(1)
    return logits, full[:, 0, 1:].detach()


def sources(mixed, images):
    """Return the mask of own pixels (B, H, W) and the partners (B,), found by pixel value."""
    own = (mixed == images).all(1)
    partner = torch.arange(len(images))
    for b, j in itertools.product(range(len(images)), repeat=2):
        if not own[b].all() and (mixed[b] == images[j]).all(0)[~own[b]].all():
            partner[b] = j
    rebuilt = torch.where(own[:, None], images, images[partner])
    assert torch.equal(rebuilt, mixed)
    return own, partner


def open_target(logits, row, mixed, images, patch=8, rule=PAL, detach=True, first=0):
    """Return the target (B, K) of equations 5, 7, 8 and 9 or of TransMix, the mean of area and attention."""
    own, partner = sources(mixed, images)
    y = torch.eye(CLASSES)[(first + torch.arange(len(images))) % CLASSES]
    area = own.float().mean((1, 2))
    tokens = F.avg_pool2d(own.float()[:, None], patch).flatten(1)
    attended = (row * tokens).sum(1) / row.sum(1)  # eq. 5
    mixed_label = area[:, None] * y + (1 - area[:, None]) * y[partner]  # eq. 7
    if rule == PAL:
        p = (logits.detach() if detach else logits).float().softmax(1)
        factor = (p * mixed_label).sum(1) / (p.norm(dim=1) * mixed_label.norm(dim=1))  # eq. 8
    else:
        factor = torch.full_like(area, 0.5)
    lam = (factor * attended + (1 - factor) * area)[:, None]  # eq. 9
    return lam * y + (1 - lam) * y[partner], mixed_label


def smoothed_cross_entropy(logits, target):
    smooth = (1 - SMOOTHING) * target + SMOOTHING / CLASSES
    return -(smooth * logits.log_softmax(1)).sum(1).mean()


def gradients(loss, model):
    return torch.autograd.grad(loss, list(model.parameters()))


def assert_close(actual, expected):
    for a, b in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


STEPS = [
    ('vit', (32, 32), PAL, 6),
    ('vit', (32, 32), TRANSMIX, 6),
    ('vit', (32, 64), PAL, 6),
    ('vit', (32, 32), PAL, 5),
    ('vit', (32, 32), PAL, 1),
    ('timm', (32, 32), PAL, 6),
    ('timm', (32, 32), TRANSMIX, 6),
    ('pvt', (64, 64), PAL, 6),
    ('pvt', (96, 64), PAL, 6),
]


@pytest.mark.parametrize(('name', 'size', 'rule', 'batch'), STEPS)
def test_loss_and_gradient_of_a_step_are_those_of_the_open_formula(name, size, rule, batch, tmp_path):
    model = lively(BUILD[name](img_size=size), 2 if rule == PAL else None)
    twin, kept, samples = deepcopy(model), KeepBatches(model), Samples(batch, size)
    runner, (taken,) = train(model, samples, tmp_path, LabelingHook(rule))

    (mixed,), (given,) = kept.inputs, kept.targets
    logits, row = forward(twin, mixed)
    target, by_area = open_target(logits, row, mixed, samples.images, PATCH[name], rule)
    loss = smoothed_cross_entropy(logits, target)
    torch.testing.assert_close(given, target, rtol=0, atol=2e-6)
    assert batch == 1 or (given - by_area).abs().max() > 1e-3  # attention changes the labels
    assert runner.message_hub.get_scalar('train/loss').current() == pytest.approx(loss.item(), abs=2e-6)
    assert_close(taken, gradients(loss, twin))


@pytest.mark.parametrize('name', ['vit', 'timm'])
def test_gradient_flows_through_the_factor_only_where_asked(name, tmp_path):
    """With detach=True the target is constant in the gradient."""
    taken, samples = {}, Samples(6)
    for detach in (True, False):
        model = lively(BUILD[name]())
        twin, kept = deepcopy(model), KeepBatches(model)
        hook = LabelingHook(dict(type=PAL, detach=detach))
        _, (taken[detach],) = train(model, samples, tmp_path / str(detach), hook)
        logits, row = forward(twin, kept.inputs[0])
        target, _ = open_target(logits, row, kept.inputs[0], samples.images, detach=detach)
        assert target.requires_grad is not detach
        assert_close(taken[detach], gradients(smoothed_cross_entropy(logits, target), twin))
    assert max((a - b).abs().max() for a, b in zip(taken[True], taken[False], strict=True)) > 1e-3


@pytest.mark.parametrize(('name', 'size'), [('vit', 32), ('timm', 32), ('pvt', 64)])
def test_labels_stay_fp32_under_autocast(name, size, tmp_path):
    """The labels equal fp32 arithmetic on bf16 queries, keys and logits."""
    model = lively(BUILD[name](img_size=size), 2)
    twin, kept, samples = deepcopy(model), KeepBatches(model), Samples(6, (size, size))
    train(model, samples, tmp_path, LabelingHook(), wrapper=HalfPrecision)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        logits, row = forward(twin, kept.inputs[0])
    target, _ = open_target(logits, row, kept.inputs[0], samples.images, PATCH[name])
    assert kept.logits[0].dtype == logits.dtype == torch.bfloat16
    assert kept.targets[0].dtype == torch.float32
    torch.testing.assert_close(kept.targets[0], target, rtol=0, atol=2e-6)


def test_gradient_accumulation_labels_every_micro_batch(tmp_path):
    model = lively(micro.vit())
    twin, kept, samples = deepcopy(model), KeepBatches(model), Samples(12)
    wrapper = partial(KeepGradients, accumulative_counts=3)
    _, (taken,) = train(model, samples, tmp_path, LabelingHook(), batch_size=4, wrapper=wrapper)
    losses = []
    for i, (mixed, given) in enumerate(zip(kept.inputs, kept.targets, strict=True)):
        logits, row = forward(twin, mixed)
        target, _ = open_target(logits, row, mixed, samples.images[4 * i : 4 * i + 4], first=4 * i)
        torch.testing.assert_close(given, target, rtol=0, atol=2e-6)
        losses.append(smoothed_cross_entropy(logits, target))
    assert len(losses) == 3
    assert_close(taken, gradients(sum(losses) / 3, twin))


@pytest.mark.filterwarnings('ignore::UserWarning')  # from mmpretrain's use of torch checkpoint
@pytest.mark.parametrize('name', ['vit', 'timm'])
def test_activation_checkpointing_changes_nothing(name, tmp_path):
    """The second run of the last block in the backward pass is not recorded."""
    results = []
    for checkpointed in (False, True):
        model = lively(micro.vit() if name == 'vit' else micro.timm_vit(with_cp=checkpointed))
        kept, passes = KeepBatches(model), []
        last_block(model)[0].attn.qkv.register_forward_hook(lambda module, args, out, passes=passes: passes.append(1))
        cfg = dict(activation_checkpointing=['backbone.layers.1']) if checkpointed and name == 'vit' else {}
        _, steps = train(model, Samples(12), tmp_path / str(checkpointed), LabelingHook(), batch_size=6, cfg=cfg)
        assert len(passes) == 1 + (4 if checkpointed else 2)  # one pass verifies the class token
        results.append([*kept.targets, *itertools.chain(*steps)])
        assert len(kept.targets) == 2
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
