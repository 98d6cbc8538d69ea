"""The loss over cells against loops over cells, and in training."""

import math
import re
from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from mmengine.hooks import EMAHook, Hook
from mmpretrain.models import Mixup

from mixpro_mm.functional import MixedTarget
from mixpro_mm.hooks.labeling import LabelingHook
from mixpro_mm.labeling import AreaLabeling
from mixpro_mm.labeling.tap import eval_mode
from mixpro_mm.models import LocalContextLoss, cell_means, local_context
from mixpro_mm.models.tokens import find_final_norm

CLASSES, WEIGHT = 5, 0.4
STOCK = dict(type='LabelSmoothLoss', label_smooth_val=0.1, num_classes=CLASSES, mode='original')


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


def test_means_over_cells_stay_exact_under_autocast_and_for_masks():
    mask = torch.rand(2, 56, 56, 1) < 0.3
    plain = cell_means(mask, 4)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        inside = cell_means(mask, 4)
    assert plain.dtype == inside.dtype == torch.float32
    assert torch.equal(plain, inside)
    torch.testing.assert_close(plain, cell_means(mask.double(), 4))


def cells_by_hand(logits, own, scores, partner_scores):
    """Return the mean cross entropy of one sample by loops; ``own`` (H, W) is divisible into cells."""
    cells, total = len(logits), 0.0
    height, width = own.shape[0] // cells, own.shape[1] // cells
    for i in range(cells):
        for j in range(cells):
            area = own[i * height : (i + 1) * height, j * width : (j + 1) * width].double().mean()
            label = area * scores.double() + (1 - area) * partner_scores.double()
            total = total - (label * logits[i, j].double().log_softmax(0)).sum()
    return total / cells**2


def test_the_loss_over_cells_is_that_of_the_open_formula():
    torch.manual_seed(0)
    scores = torch.eye(CLASSES)[[0, 1, 2]]
    target = MixedTarget(scores, scores.roll(1, 0), torch.rand(3, 1, 8, 12) < 0.5)
    logits = torch.randn(3, 4, 4, CLASSES)
    expected = [cells_by_hand(logits[b], target.mask[b, 0], scores[b], scores[b - 1]) for b in range(3)]
    torch.testing.assert_close(local_context(logits, target), torch.stack(expected).float())


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_parameters_in_half_precision(dtype):
    """As with FSDP and mixed precision, the loss equals that in fp32 up to rounding."""
    torch.manual_seed(0)
    scores = torch.eye(CLASSES)[:3]
    target = MixedTarget(scores, scores.roll(1, 0), torch.rand(3, 1, 8, 8) < 0.5)
    loss = LocalContextLoss(STOCK, 32, CLASSES, weight=WEIGHT, grid=2).train()
    tokens, logits, values = torch.randn(3, 16, 32), torch.randn(3, CLASSES), []
    for kind in (torch.float32, dtype):
        loss.to(kind).expect(target, lambda count: (4, 4))
        loss._tokens = tokens.to(kind)
        values.append(loss(logits.to(kind), target.blend()))
    values[1].backward()
    assert loss.classifier.weight.grad.abs().max() > 0
    torch.testing.assert_close(values[1].float(), values[0].float(), rtol=0.02, atol=0)


class KeepTargets(AreaLabeling):
    """Records its targets."""

    def __init__(self):
        self.targets = []

    def __call__(self, target, *args):
        self.targets.append(target)
        return super().__call__(target, *args)


def open_total(model, images, target, tokens, grid, cells):
    """Return smoothed cross entropy on area labels plus the weighted mean over cells."""
    logits = model(images, mode='tensor')
    patches = tokens().unflatten(1, grid).permute(0, 3, 1, 2)
    pooled = F.avg_pool2d(patches, (grid[0] // cells, grid[1] // cells)).permute(0, 2, 3, 1)
    head = (model.head if hasattr(model, 'head') else model).loss_module.classifier
    own, share = target.mask[:, 0], target.mask.float().mean((1, 2, 3))[:, None]
    label = share * target.scores + (1 - share) * target.partner_scores
    smooth = 0.9 * label + 0.1 / CLASSES
    total = -(smooth * logits.log_softmax(1)).sum(1).mean()
    each = [
        cells_by_hand(pooled[b] @ head.weight.T + head.bias, own[b], target.scores[b], target.partner_scores[b])
        for b in range(len(images))
    ]
    return total + WEIGHT * torch.stack(each).mean().float()


STEPS = {
    'vit': ('vit', (32, 32), (4, 4), 2, {}),
    'vit-not-square': ('vit', (32, 64), (4, 8), 2, {}),
    'vit-mean': ('vit', (32, 32), (4, 4), 2, dict(out_type='avg_featmap', with_cls_token=False)),
    'timm-registers': ('timm_vit', (32, 32), (4, 4), 2, dict(reg_tokens=3)),
    'pvt-not-square': ('pvt', (128, 64), (4, 2), 2, {}),
}


@pytest.mark.parametrize('name', STEPS)
def test_value_and_gradients_of_a_step_are_those_of_the_open_formula(name, kit, tmp_path):
    build, size, grid, cells, kwargs = STEPS[name]
    model = kit.classifier(local(cells), kit.mixpro(), build=getattr(kit, build), **kwargs)
    twin, hooks, kept, asked = deepcopy(model), kit.count_hooks(model), kit.KeepBatches(model), KeepTargets()
    runner = kit.train(model, tmp_path, LabelingHook(asked), batches=1, size=size)
    seen = []
    backbone = getattr(twin, 'backbone', None) or twin.model
    (backbone.ln1 if hasattr(backbone, 'ln1') else backbone.norm).register_forward_hook(
        lambda module, args, output: seen.append(output)
    )
    total = open_total(twin, kept.inputs[0], asked.targets[0], lambda: seen[0][:, -math.prod(grid) :], grid, cells)
    assert kept.losses[0] == pytest.approx(total.item(), rel=1e-5)
    total.backward()
    (taken,) = runner.optim_wrapper.steps
    for key, parameter in twin.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(taken[key], parameter.grad, rtol=1e-4, atol=1e-6, msg=key)
    classifier = [key for key in taken if 'loss_module.classifier' in key]
    assert len(classifier) == 2
    assert all(taken[key].abs().max() > 1e-4 for key in classifier)
    assert kit.count_hooks(model) - 2 == hooks  # those of KeepBatches


@pytest.mark.parametrize('augments', ['Mixup', 'none'])
def test_unmixed_batches_have_the_wrapped_loss(augments, kit, tmp_path):
    def run(loss, folder):
        choice = [Mixup(alpha=0.8), kit.mixpro()] if augments == 'Mixup' else [kit.mixpro()]
        probs = [1.0, 0.0] if augments == 'Mixup' else [0.0]
        torch.manual_seed(0)
        model = kit.classifier(STOCK, choice, probs)
        if loss is not STOCK:
            model.head.loss_module = kit.MODELS.build(loss)
        runner = kit.train(model, tmp_path / folder, LabelingHook('AreaLabeling'))
        return model, [record['loss'] for record in kit.scalars(runner)], runner.optim_wrapper.steps

    stock, wrapped = run(STOCK, 'stock'), run(local(), 'wrapped')
    assert stock[1] == wrapped[1]
    kept = wrapped[0].state_dict()
    assert all(torch.equal(value, kept[key]) for key, value in stock[0].state_dict().items())
    for step in wrapped[2]:
        own = [step[key] for key in step if 'classifier' in key]
        assert len(own) == 2  # not None because DDP waits for them
        assert all(torch.equal(gradient, torch.zeros_like(gradient)) for gradient in own)


def prepared(kit, batch=3, **kwargs):
    """Return a loss that expects a mixed batch, its target and logits, and the loss over cells."""
    model = kit.classifier(local(**kwargs))
    loss = model.head.loss_module
    torch.manual_seed(5)
    scores = torch.eye(CLASSES)[torch.arange(batch) % CLASSES]
    target = MixedTarget(scores, scores.roll(1, 0), torch.rand(batch, 1, 32, 32) < 0.5)
    loss.attach(model)
    images = torch.rand(batch, 3, 32, 32)
    seen = []
    handle = model.backbone.ln1.register_forward_hook(lambda module, args, output: seen.append(output))
    logits = model.train()(images, mode='tensor')
    handle.remove()
    loss.expect(target, lambda tokens: (4, 4))
    pooled = F.avg_pool2d(seen[0][:, 1:].unflatten(1, (4, 4)).permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
    return loss, target, logits, local_context(loss.classifier(pooled), target)


@pytest.mark.parametrize(
    ('call', 'reduce'),
    [
        ({}, torch.mean),
        (dict(avg_factor=7), lambda x: x.sum() / 7),
        (dict(weight=torch.tensor([0.5, 2.0, 0.0])), lambda x: (x * torch.tensor([0.5, 2.0, 0.0])).mean()),
        (dict(reduction_override='sum'), torch.sum),
        (
            dict(reduction_override='none', weight=torch.tensor([1.0, 2.0, 3.0])),
            lambda x: x * torch.tensor([1.0, 2, 3]),
        ),
    ],
    ids=lambda value: '-'.join(value) if isinstance(value, dict) else '',
)
def test_both_summands_are_reduced_alike(call, reduce, kit):
    loss, target, logits, each = prepared(kit)
    expected = loss.loss(logits, target.blend(), **call) + WEIGHT * reduce(each)
    torch.testing.assert_close(loss(logits, target.blend(), **call), expected)


def test_a_batch_counts_once(kit):
    loss, target, logits, _ = prepared(kit)
    with_cells, without = loss(logits, target.blend()), loss(logits, target.blend())
    assert with_cells > without == loss.loss(logits, target.blend())
    loss.expect(target, lambda tokens: (4, 4))
    with pytest.raises(RuntimeError, match=r'^the final norm was not called'):
        loss(logits, target.blend())


def test_evaluation_passes_are_ignored(kit):
    """Passes in evaluation mode or without gradient are not kept."""
    model = kit.classifier(local())
    loss = model.head.loss_module
    loss.attach(model)
    images = torch.rand(2, 3, 32, 32)
    with eval_mode(model.train()):
        model(images)
    with torch.no_grad():
        model.train()(images)
    assert loss._tokens is None
    model(images)
    assert loss._tokens is not None
    loss.release()
    assert loss._tokens is None


def test_state_is_cleared_after_training_and_in_copies(kit, tmp_path):
    copies = []

    class Copy(Hook):
        priority = 'VERY_LOW'

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            copies.append(deepcopy(runner.model))

    model, ema = kit.classifier(local(), kit.mixpro()), EMAHook(momentum=0.5)
    hooks, loss = kit.count_hooks(model), model.head.loss_module
    for run in range(2):
        kit.train(model, tmp_path / str(run), ema, LabelingHook(), Copy())
        average = ema.ema_model.module
        assert kit.count_hooks(model) == kit.count_hooks(average) == hooks
        assert not any((loss._handle, loss._target, loss._grid_of))
        assert loss._tokens is None
    assert not torch.equal(average.head.loss_module.classifier.weight, loss.classifier.weight)
    for copy in copies:
        copy.train()(torch.rand(2, 3, 32, 32)).pow(2).sum().backward()
        assert copy.head.loss_module._tokens is not None  # its norm serves its own loss
        assert loss._tokens is None
    half_way = prepared(kit)[0]
    assert deepcopy(half_way)._tokens is None
    assert deepcopy(half_way)._target is None
    assert half_way._tokens is not None


@pytest.mark.parametrize(
    'settings',
    [dict(weight=0), dict(grid=0), *(dict(in_channels=value) for value in (0, 10**30)), dict(num_classes=5.0)],
    ids=str,
)
def test_invalid_settings_raise(settings):
    ((name, value),) = settings.items()
    least = 'a finite number above 0' if name == 'weight' else 'a whole number of at least 1'
    sentence = f'^{name} must be {least}, got {re.escape(repr(value))}$'
    if value == 10**30:
        sentence = '^in_channels 10{30} and num_classes 5 are too large for a classifier$'
    with pytest.raises(ValueError, match=sentence):
        LocalContextLoss(**{'loss': STOCK, 'in_channels': 32, 'num_classes': CLASSES, **settings})


@pytest.mark.parametrize(
    ('kwargs', 'loss', 'sentence'),
    [
        ({}, dict(in_channels=64), '^the final tokens of this model have 32 channels, LocalContextLoss expects 64$'),
        (dict(final_norm=False), {}, '^VisionTransformer has no final norm of its patch tokens'),
        (dict(type='LeNet5'), {}, r'^LeNet5 has no known patch tokens .*\(known: VisionTransformer of mmpr'),
    ],
)
def test_models_without_the_right_tokens_stop_before_training(kwargs, loss, sentence, kit, tmp_path):
    model = kit.classifier(local() | loss, kit.mixpro())
    if kwargs:
        backbone = dict(kit.vit(STOCK)['backbone'], **kwargs) if 'type' not in kwargs else kwargs
        model.backbone = kit.MODELS.build(backbone)
    hooks = kit.count_hooks(model)
    runner = kit.make_runner(model, tmp_path, LabelingHook('AreaLabeling'))
    with pytest.raises(ValueError, match=sentence):
        runner.train()
    assert runner.iter == 0
    assert kit.count_hooks(model) == hooks


@pytest.mark.parametrize(
    ('loss', 'sentence'),
    [
        (dict(num_classes=7), '^LocalContextLoss was built for 7 classes, got labels of 5$'),
        (dict(grid=5), '^4x4 patch tokens are too few for grid 5 of LocalContextLoss$'),
    ],
)
def test_unfitting_batches_raise(loss, sentence, kit, tmp_path):
    runner = kit.make_runner(kit.classifier(local() | loss, kit.mixpro()), tmp_path, LabelingHook('AreaLabeling'))
    with pytest.raises(ValueError, match=sentence):
        runner.train()


def test_the_final_norm_is_found_behind_every_kind_of_classifier(kit):
    model = kit.classifier()
    assert find_final_norm(model) == find_final_norm(model.backbone) == (model.backbone.ln1, 1)
    model = kit.classifier(build=kit.timm_vit, reg_tokens=2)
    assert find_final_norm(model) == (model.model.norm, 3)
    assert find_final_norm(torch.nn.ModuleDict(dict(timm_model=model.model))) == (model.model.norm, 3)
    model = kit.classifier(build=kit.pvt)
    assert find_final_norm(model) == (model.backbone.norm, 1)
