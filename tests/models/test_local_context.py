"""The loss over cells against loops over cells, and in training."""

import itertools
import math
from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from mmengine.hooks import EMAHook

from mixpro_mm.functional import MixedTarget
from mixpro_mm.hooks.labeling import LabelingHook
from mixpro_mm.labeling.tap import eval_mode
from mixpro_mm.models import LocalContextLoss, cell_means, local_context
from mixpro_mm.models.local_context_loss import find_final_norm
from tests import micro as kit

CLASSES, STOCK, WEIGHT = kit.CLASSES, kit.STOCK, 0.4


def local(grid=2, loss=STOCK, **kwargs):
    common = dict(type='mixpro_mm.LocalContextLoss', loss=loss, in_channels=32, num_classes=CLASSES)
    return dict(common, weight=WEIGHT, grid=grid, **kwargs)


def test_a_row_between_two_cells_counts_to_both_by_its_share():
    """Three rows in two cells: (1 + 4/2) / 1.5 and (4/2 + 16) / 1.5."""
    x = torch.tensor([1.0, 4.0, 16.0]).view(1, 3, 1, 1).expand(1, 3, 2, 1)
    assert cell_means(x, 2)[0, :, :, 0].tolist() == [pytest.approx([2, 2]), pytest.approx([12, 12])]


@pytest.mark.parametrize(('size', 'cells'), [((14, 14), 4), ((7, 5), 3), ((2, 3), 4), ((1, 1), 1)])
def test_cells_are_equal_parts_of_the_image(size, cells):
    """On an upsampled image that cells divide, each cell is a plain mean."""
    x = torch.rand(2, *size, 3)
    big = x.repeat_interleave(cells, 1).repeat_interleave(cells, 2).permute(0, 3, 1, 2)
    expected = F.avg_pool2d(big, size).permute(0, 2, 3, 1)
    means = cell_means(x, cells)
    torch.testing.assert_close(means, expected)
    torch.testing.assert_close(means.mean((1, 2)), x.mean((1, 2)))


def test_means_over_cells_of_masks_stay_exact_under_autocast():
    mask = torch.rand(2, 56, 56, 1) < 0.3
    with torch.autocast('cpu', dtype=torch.bfloat16):
        means = cell_means(mask, 4)
    assert torch.equal(means, cell_means(mask, 4)) and means.dtype == torch.float32
    torch.testing.assert_close(means, cell_means(mask.double(), 4))


def cells_by_hand(logits, target):
    """Return the mean cross entropy of each sample by loops over cells, which divide the mask."""
    cells, total = logits.shape[1], 0.0
    height, width = (length // cells for length in target.mask.shape[2:])
    for i, j in itertools.product(range(cells), range(cells)):
        rows, columns = slice(i * height, (i + 1) * height), slice(j * width, (j + 1) * width)
        own = target.mask[:, :, rows, columns].double().mean((2, 3))
        label = own * target.scores + (1 - own) * target.partner_scores
        total = total - (label * logits[:, i, j].double().log_softmax(1)).sum(1)
    return (total / cells**2).float()


def mixed_target(size):
    torch.manual_seed(0)
    scores = torch.eye(CLASSES)[:3]
    return MixedTarget(scores, scores.roll(1, 0), torch.rand(3, 1, *size) < 0.5)


def test_the_loss_over_cells_is_that_of_the_open_formula():
    target, logits = mixed_target((8, 12)), torch.randn(3, 4, 4, CLASSES)
    torch.testing.assert_close(local_context(logits, target), cells_by_hand(logits, target))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_parameters_in_half_precision(dtype):
    """As with FSDP and mixed precision, the loss equals that in fp32 up to rounding."""
    target, loss = mixed_target((8, 8)), LocalContextLoss(STOCK, 32, CLASSES, weight=WEIGHT, grid=2).train()
    tokens, logits, values = torch.randn(3, 16, 32), torch.randn(3, CLASSES), []
    for kind in (torch.float32, dtype):
        loss.to(kind).expect(target, lambda count: (4, 4))
        loss._tokens = tokens.to(kind)
        values.append(loss(logits.to(kind), target.blend()))
    values[1].backward()
    assert loss.classifier.weight.grad.abs().max() > 0
    torch.testing.assert_close(values[1].float(), values[0].float(), rtol=0.02, atol=0)


def logits_by_hand(tokens, grid, cells, classifier):
    """Return the predictions (B, cells, cells, K) for the last tokens, which lie on ``grid``."""
    patches = tokens[:, -math.prod(grid) :].unflatten(1, grid).permute(0, 3, 1, 2)
    pooled = F.avg_pool2d(patches, (grid[0] // cells, grid[1] // cells)).permute(0, 2, 3, 1)
    return pooled @ classifier.weight.T + classifier.bias


@pytest.mark.parametrize(
    ('build', 'size', 'grid', 'kwargs'),
    [
        ('vit', (32, 64), (4, 8), {}),
        ('vit', (32, 32), (4, 4), dict(out_type='avg_featmap', with_cls_token=False)),
        ('timm_vit', (32, 32), (4, 4), dict(reg_tokens=3)),
        ('pvt', (128, 64), (4, 2), {}),
    ],
)
def test_value_and_gradients_of_a_step_are_those_of_the_open_formula(build, size, grid, kwargs, tmp_path):
    """Smoothed cross entropy on area labels plus the weighted mean over cells."""
    model, targets = kit.classifier(local(), kit.mixpro(), build=getattr(kit, build), **kwargs), []
    twin, hooks, kept = deepcopy(model), kit.count_hooks(model), kit.KeepBatches(model)
    loss = (model.head if hasattr(model, 'head') else model).loss_module
    loss.expect = lambda target, grid_of, expect=loss.expect: targets.append(target) or expect(target, grid_of)
    runner = kit.train(model, tmp_path, LabelingHook('AreaLabeling'), batches=1, size=size)
    seen, (target,) = [], targets
    find_final_norm(twin)[0].register_forward_hook(lambda module, args, output: seen.append(output))
    logits = twin(kept.inputs[0], mode='tensor')
    smooth = 0.9 * target.blend() + 0.1 / CLASSES
    classifier = (twin.head if hasattr(twin, 'head') else twin).loss_module.classifier
    cells = cells_by_hand(logits_by_hand(seen[0], grid, 2, classifier), target).mean()
    total = -(smooth * logits.log_softmax(1)).sum(1).mean() + WEIGHT * cells
    assert kept.losses[0] == pytest.approx(total.item(), rel=1e-5)
    total.backward()
    (taken,) = runner.optim_wrapper.steps
    for key, parameter in twin.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(taken[key], parameter.grad, rtol=1e-4, atol=1e-6, msg=key)
    own = [taken[key].abs().max() for key in taken if 'loss_module.classifier' in key]
    assert len(own) == 2 and min(own) > 1e-4
    assert kit.count_hooks(model) - 2 == hooks  # those of KeepBatches


def prepared():
    """Return a loss that expects a mixed batch, its target and logits, and the loss over cells."""
    model, target, seen = kit.classifier(local()), mixed_target((32, 32)), []
    loss = model.head.loss_module
    loss.attach(model)
    handle = model.backbone.ln1.register_forward_hook(lambda module, args, output: seen.append(output))
    logits = model.train()(torch.rand(3, 3, 32, 32), mode='tensor')
    handle.remove()
    loss.expect(target, lambda tokens: (4, 4))
    return loss, target, logits, cells_by_hand(logits_by_hand(seen[0], (4, 4), 2, loss.classifier), target)


WEIGHTS = torch.tensor([0.5, 2.0, 0.0])


@pytest.mark.parametrize(
    ('call', 'reduce'),
    [
        ({}, torch.mean),
        (dict(avg_factor=7), lambda x: x.sum() / 7),
        (dict(weight=WEIGHTS), lambda x: (x * WEIGHTS).mean()),
        (dict(reduction_override='sum'), torch.sum),
        (dict(reduction_override='none', weight=WEIGHTS), lambda x: x * WEIGHTS),
    ],
)
def test_both_summands_are_reduced_alike(call, reduce):
    loss, target, logits, each = prepared()
    expected = loss.loss(logits, target.blend(), **call) + WEIGHT * reduce(each)
    torch.testing.assert_close(loss(logits, target.blend(), **call), expected)


def test_a_batch_counts_once():
    loss, target, logits, _ = prepared()
    with_cells, without = loss(logits, target.blend()), loss(logits, target.blend())
    assert with_cells > without == loss.loss(logits, target.blend())
    loss.expect(target, lambda tokens: (4, 4))
    with pytest.raises(RuntimeError, match=r'^the final norm was not called'):
        loss(logits, target.blend())


def test_evaluation_passes_are_ignored():
    """Passes in evaluation mode or without gradient are not kept."""
    model, images = kit.classifier(local()), torch.rand(2, 3, 32, 32)
    loss = model.head.loss_module
    loss.attach(model)
    with eval_mode(model.train()):
        model(images)
    with torch.no_grad():
        model(images)
    assert loss._tokens is None
    model(images)
    assert loss._tokens is not None
    loss.release()
    assert loss._tokens is None


def test_state_is_cleared_after_training(tmp_path):
    model, ema = kit.classifier(local(), kit.mixpro()), EMAHook(momentum=0.5)
    hooks, loss = kit.count_hooks(model), model.head.loss_module
    for run in range(2):
        kit.train(model, tmp_path / str(run), ema, LabelingHook())
        assert kit.count_hooks(model) == kit.count_hooks(ema.ema_model.module) == hooks
        assert not any((loss._handle, loss._target, loss._grid_of)) and loss._tokens is None


def test_a_copy_starts_without_a_batch_and_reads_its_own_norm():
    model, target = kit.classifier(local()).train(), mixed_target((32, 32))
    loss = model.head.loss_module
    loss.attach(model)
    model(torch.rand(3, 3, 32, 32))
    loss.expect(target, lambda tokens: (4, 4))
    copy, tokens = deepcopy(model), loss._tokens
    assert copy.head.loss_module._tokens is copy.head.loss_module._target is None
    copy(torch.rand(2, 3, 32, 32))
    assert len(copy.head.loss_module._tokens) == 2 and loss._tokens is tokens


@pytest.mark.parametrize(
    'settings', [dict(weight=0), dict(grid=0), dict(in_channels=0), dict(in_channels=10**30), dict(num_classes=5.0)]
)
def test_invalid_settings_raise(settings):
    ((name, value),) = settings.items()
    with pytest.raises(ValueError, match=f'{name}.*{value}'):
        LocalContextLoss(**{'loss': STOCK, 'in_channels': 32, 'num_classes': CLASSES, **settings})


@pytest.mark.parametrize(
    ('backbone', 'loss', 'message'),
    [
        ({}, dict(in_channels=64), '^the final tokens of this model have 32 channels, in_channels is 64$'),
        (dict(final_norm=False), {}, '^VisionTransformer has no known final norm'),
        (dict(type='LeNet5'), {}, r'^LeNet5 has no known final norm .*\(known: VisionTransformer of mmpr'),
        ({}, dict(num_classes=7), '^LocalContextLoss was built for 7 classes, got labels of 5$'),
        ({}, dict(grid=5), '^4x4 patch tokens are too few for grid 5 of LocalContextLoss$'),
    ],
)
def test_models_and_batches_that_do_not_fit_stop_training(backbone, loss, message, tmp_path):
    model = kit.classifier(local() | loss, kit.mixpro())
    if backbone:
        model.backbone = kit.MODELS.build(backbone if 'type' in backbone else kit.vit()['backbone'] | backbone)
    runner = kit.make_runner(model, tmp_path, LabelingHook('AreaLabeling'))
    with pytest.raises(ValueError, match=message):
        runner.train()
    assert runner.iter == 0
