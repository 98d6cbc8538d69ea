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


def pvt(size=64):
    return micro.pvt(img_size=size, depths=(1, 1, 1, 2))


def vit(size=32, **kwargs):
    return micro.vit(img_size=size, **kwargs)


def timm_vit(size=32, **kwargs):
    return micro.timm_vit(img_size=size, **kwargs)


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


def open_target(logits, row, mixed, images, labels, patch, rule=PAL, detach=True):
    """Return the target (B, K) of equations 5, 7, 8 and 9 or of TransMix, the mean of area and attention."""
    own, partner = sources(mixed, images)
    y = torch.eye(CLASSES)[labels]
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


STEPS = {
    'vit': (vit, (32, 32), PAL, 6),
    'vit-transmix': (vit, (32, 32), TRANSMIX, 6),
    'vit-not-square': (vit, (32, 64), PAL, 6),
    'vit-odd-batch': (vit, (32, 32), PAL, 5),
    'vit-batch-of-one': (vit, (32, 32), PAL, 1),
    'timm': (timm_vit, (32, 32), PAL, 6),
    'timm-transmix': (timm_vit, (32, 32), TRANSMIX, 6),
    'pvt': (pvt, (64, 64), PAL, 6),
    'pvt-not-square': (pvt, (96, 64), PAL, 6),
}


@pytest.mark.parametrize(('build', 'size', 'rule', 'batch'), STEPS.values(), ids=STEPS)
def test_loss_and_gradient_of_a_step_are_those_of_the_open_formula(build, size, rule, batch, tmp_path):
    model = lively(build(size), 2 if rule == PAL else None)
    twin, kept, samples = deepcopy(model), KeepBatches(model), Samples(batch, size)
    runner, (taken,) = train(model, samples, tmp_path, LabelingHook(rule))

    (mixed,), (given,) = kept.inputs, kept.targets
    patch = 32 if build is pvt else 8  # pixels per token of the last block
    logits, row = forward(twin, mixed)
    target, by_area = open_target(logits, row, mixed, samples.images, torch.arange(batch) % CLASSES, patch, rule)
    loss = smoothed_cross_entropy(logits, target)
    torch.testing.assert_close(given, target, rtol=0, atol=2e-6)
    assert batch == 1 or (given - by_area).abs().max() > 1e-3  # attention changes the labels
    assert runner.message_hub.get_scalar('train/loss').current() == pytest.approx(loss.item(), abs=2e-6)
    assert_close(taken, gradients(loss, twin))


@pytest.mark.parametrize('build', [vit, timm_vit])
def test_gradient_flows_through_the_factor_only_where_asked(build, tmp_path):
    """With detach=True the target is constant in the gradient."""
    taken = {}
    samples = Samples(6)
    for detach in (True, False):
        model = lively(build())
        twin, kept = deepcopy(model), KeepBatches(model)
        hook = LabelingHook(dict(type='ProgressiveAttentionLabeling', detach=detach))
        _, (taken[detach],) = train(model, samples, tmp_path / str(detach), hook)
        logits, row = forward(twin, kept.inputs[0])
        target, _ = open_target(
            logits, row, kept.inputs[0], samples.images, torch.arange(6) % CLASSES, 8, detach=detach
        )
        assert target.requires_grad is not detach
        assert_close(taken[detach], gradients(smoothed_cross_entropy(logits, target), twin))
    assert max((a - b).abs().max() for a, b in zip(taken[True], taken[False], strict=True)) > 1e-3


def test_released_code_compares_with_the_smoothed_label(tmp_path):
    model = lively(vit())
    twin, kept, samples = deepcopy(model), KeepBatches(model), Samples(6)
    train(model, samples, tmp_path, LabelingHook(dict(type=PAL, smooth_target=True, label_smooth_val=0.3)))
    logits, row = forward(twin, kept.inputs[0])
    _, by_area = open_target(logits, row, kept.inputs[0], samples.images, torch.arange(6) % CLASSES, 8)
    factor = F.cosine_similarity(logits.softmax(1), 0.7 * by_area + 0.3 / CLASSES)
    own, partner = sources(kept.inputs[0], samples.images)
    attended = (row * F.avg_pool2d(own.float()[:, None], 8).flatten(1)).sum(1) / row.sum(1)
    lam = (factor * attended + (1 - factor) * own.float().mean((1, 2)))[:, None]
    y = torch.eye(CLASSES)[torch.arange(6) % CLASSES]
    torch.testing.assert_close(kept.targets[0], lam * y + (1 - lam) * y[partner], rtol=0, atol=2e-6)


@pytest.mark.parametrize('build', [vit, timm_vit, pvt])
def test_labels_stay_fp32_under_autocast(build, tmp_path):
    """The labels equal fp32 arithmetic on bf16 queries, keys and logits."""
    size, patch = (64, 32) if build is pvt else (32, 8)
    model = lively(build(), 2)
    twin, kept, samples = deepcopy(model), KeepBatches(model), Samples(6, (size, size))
    train(model, samples, tmp_path, LabelingHook(), wrapper=HalfPrecision)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        logits, row = forward(twin, kept.inputs[0])
    target, _ = open_target(logits, row, kept.inputs[0], samples.images, torch.arange(6) % CLASSES, patch)
    assert kept.logits[0].dtype == logits.dtype == torch.bfloat16
    assert kept.targets[0].dtype == torch.float32
    torch.testing.assert_close(kept.targets[0], target, rtol=0, atol=2e-6)


def test_gradient_accumulation_labels_every_micro_batch(tmp_path):
    model = lively(vit())
    twin, kept, samples = deepcopy(model), KeepBatches(model), Samples(12)
    wrapper = partial(KeepGradients, accumulative_counts=3)
    _, (taken,) = train(model, samples, tmp_path, LabelingHook(), batch_size=4, wrapper=wrapper)
    losses = []
    for i, (mixed, given) in enumerate(zip(kept.inputs, kept.targets, strict=True)):
        own = slice(4 * i, 4 * i + 4)
        logits, row = forward(twin, mixed)
        target, _ = open_target(logits, row, mixed, samples.images[own], torch.arange(12)[own] % CLASSES, 8)
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
        config = vit() if name == 'vit' else timm_vit(with_cp=checkpointed)
        model = lively(config)
        kept, passes = KeepBatches(model), []
        last_block(model)[0].attn.qkv.register_forward_hook(lambda module, args, out, passes=passes: passes.append(1))
        cfg = dict(activation_checkpointing=['backbone.layers.1']) if checkpointed and name == 'vit' else {}
        _, steps = train(model, Samples(12), tmp_path / str(checkpointed), LabelingHook(), batch_size=6, cfg=cfg)
        assert len(passes) == 1 + (4 if checkpointed else 2)  # one pass verifies the class token
        results.append([*kept.targets, *itertools.chain(*steps)])
        assert len(kept.targets) == 2
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
