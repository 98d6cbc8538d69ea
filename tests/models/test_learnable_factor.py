"""The learned factor: gradient, training and log."""

import math
import re

import pytest
import torch
from mmpretrain.engine.hooks import SwitchRecipeHook
from mmpretrain.models import LabelSmoothLoss

from mixpro_mm.functional import MixedTarget
from mixpro_mm.hooks.labeling import LabelingHook
from mixpro_mm.labeling import AttentionLabeling, ProgressiveAttentionLabeling
from mixpro_mm.models import LearnableFactor, connect_factor
from tests import micro as kit

EPS, CLASSES, STOCK = 0.1, kit.CLASSES, kit.STOCK
SOFT, SIGMOID = (dict(type='CrossEntropyLoss', **{kind: True}) for kind in ('use_soft', 'use_sigmoid'))
LOSS = dict(type='mixpro_mm.LearnableFactor', loss=STOCK, init=0.3)
LEARNABLE = dict(type='ProgressiveAttentionLabeling', factor='learnable')


@pytest.mark.parametrize('init', [1e-4, 0.3, 0.5, 0.999])
def test_the_initial_factor(init):
    loss = LearnableFactor(STOCK, init)
    assert loss.factor().item() == pytest.approx(init, rel=1e-5)
    assert loss.raw_factor.shape == (1,)
    assert loss.raw_factor.item() == pytest.approx(math.log(init / (1 - init)), abs=1e-4)


@pytest.mark.parametrize('init', [0, 1, -0.5, float('nan'), None, '0.5', [0.5]])
def test_a_start_out_of_bounds_raises(init):
    with pytest.raises(ValueError, match=f'^init must lie between 0 and 1, got {re.escape(repr(init))}$'):
        LearnableFactor(STOCK, init)


def prepared(stock, init=0.5):
    """Return the loss, a function of its value on a mixed batch, and the target, attention, grid and logits of it."""
    torch.manual_seed(1)
    mask, scores = torch.rand(6, 1, 4, 4) < 0.5, torch.eye(CLASSES)[[0, 1, 2, 3, 4, 0]]
    args = MixedTarget(scores, scores.flip(0).roll(1, 0), mask), torch.rand(6, 16), (4, 4), torch.randn(6, CLASSES)
    loss, labeling = LearnableFactor(stock, init), ProgressiveAttentionLabeling(factor='learnable')
    connect_factor(loss, labeling)
    return loss, lambda **kwargs: loss(args[-1], args[0].blend(labeling(*args).lam), **kwargs), args


@pytest.mark.parametrize('mode', ['original', 'classy_vision'])
def test_the_gradient_is_the_one_derived_by_hand(mode):
    """dL/draw = f (1 - f) mean_b [ -(1 - eps) (lam_attn - lam_area) sum_k (y - y')_k log p_k ]."""
    loss, value, (target, attention, _, logits) = prepared(dict(STOCK, mode=mode), 0.3)
    (gradient,) = torch.autograd.grad(value(avg_factor=6), loss.raw_factor)
    tokens = target.mask.flatten(1).double()
    difference = (attention * tokens).sum(1) / attention.sum(1) - tokens.mean(1)
    log_p = logits.double().log_softmax(1)
    eps = EPS if mode == 'original' else EPS / (1 + EPS)
    terms = -(1 - eps) * difference * ((target.scores - target.partner_scores) * log_p).sum(1)
    assert gradient.item() == pytest.approx(0.3 * 0.7 * terms.mean().item(), rel=1e-4)


@pytest.mark.parametrize('stock', [STOCK, SOFT, SIGMOID, dict(type='CrossEntropyLoss'), dict(STOCK, reduction='none')])
def test_mmpretrain_losses_propagate_the_gradient(stock):
    loss, value, _ = prepared(stock)
    value().sum().backward()
    assert loss.raw_factor.grad.abs().item() > 1e-4


def test_a_loss_without_gradient_for_labels_raises():
    """It rounds its labels."""
    stock = dict(type='LabelSmoothLoss', label_smooth_val=EPS, mode='multi_label', use_sigmoid=True)
    loss, value, args = prepared(stock)
    args[-1].requires_grad_()
    with pytest.raises(RuntimeError, match=r'^LabelSmoothLoss gives its labels no gradient, so LearnableFactor cannot'):
        value()
    assert loss(args[-1], args[0].scores).requires_grad  # labels that are no function of it are fine


@pytest.mark.parametrize('build', ['vit', 'timm_vit'])
def test_it_is_optimised_and_logged_in_a_training(build, tmp_path, monkeypatch):
    model = kit.classifier(LOSS, kit.mixpro(), build=getattr(kit, build))
    labeling = ProgressiveAttentionLabeling(factor='learnable')
    kept, call = [], ProgressiveAttentionLabeling.__call__

    def keep(self, target, attention, grid, logits):
        kept.append((target, logits.detach(), call(self, target, attention, grid, logits)))
        return kept[-1][2]

    monkeypatch.setattr(ProgressiveAttentionLabeling, '__call__', keep)
    hooks = kit.count_hooks(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=2.0)
    runner = kit.train(model, tmp_path, LabelingHook(labeling), batches=4, optimizer=optimizer)
    name = 'loss_module.raw_factor' if build == 'timm_vit' else 'head.loss_module.raw_factor'
    raw, expected = math.log(0.3 / 0.7), []
    for (target, logits, weights), taken in zip(kept, runner.optim_wrapper.steps, strict=True):
        factor = 1 / (1 + math.exp(-raw))
        expected.append(factor)
        assert weights.factor.tolist() == pytest.approx([factor] * 4, rel=1e-4)
        slope = ((target.scores - target.partner_scores) * logits.log_softmax(1)).sum(1)
        terms = -(1 - EPS) * (weights.lam_attn - weights.lam_area) * slope
        gradient = factor * (1 - factor) * terms.mean().item()
        assert taken[name].item() == pytest.approx(gradient, rel=1e-3, abs=1e-7)
        raw -= 2.0 * gradient
    assert [record['factor'] for record in kit.scalars(runner)] == pytest.approx(expected, rel=1e-4)
    assert max(abs(factor - 0.3) for factor in expected) > 2e-3
    assert labeling.learned is None
    assert kit.count_hooks(model) == hooks


def test_unmixed_batches_have_a_gradient_of_zero(tmp_path):
    """Mixing ends before training."""
    switch = SwitchRecipeHook([dict(action_epoch=2, batch_augments=None)])
    model = kit.classifier(LOSS, kit.mixpro())
    runner = kit.train(model, tmp_path, switch, LabelingHook(LEARNABLE), epochs=2)
    taken = [step['head.loss_module.raw_factor'].item() for step in runner.optim_wrapper.steps]
    logged = ['factor' in record for record in kit.scalars(runner)]
    assert [gradient != 0 for gradient in taken] == logged == [True, True, False, False]
    assert isinstance(model.head.loss_module.loss, LabelSmoothLoss)


UNUSED = [('ProgressiveAttentionLabeling', LOSS), ('AttentionLabeling', LOSS), (AttentionLabeling().__call__, LOSS)]


@pytest.mark.parametrize(('labeling', 'loss'), [(LEARNABLE, STOCK), (LEARNABLE, SOFT), *UNUSED])
def test_a_factor_without_parameter_or_the_reverse_raises(labeling, loss, tmp_path):
    model = kit.classifier(loss, kit.mixpro())
    hooks = kit.count_hooks(model)
    message = r"^LearnableFactor is not used .* factor='learnable'\), or unwrap"
    if loss is not LOSS:
        message = rf"^factor='learnable' needs a parameter, but {loss['type']} has none: .*'mixpro_mm\.LearnableFactor'"
    with pytest.raises(ValueError, match=message):
        kit.train(model, tmp_path, LabelingHook(labeling))
    assert kit.count_hooks(model) == hooks


@pytest.mark.parametrize(('built', 'late'), [(LOSS, STOCK), (STOCK, LOSS), (LOSS, LOSS)], ids=['gone', 'new', 'other'])
@pytest.mark.parametrize('resume', [False, True])
def test_a_loss_with_parameters_cannot_be_swapped_on_the_way(built, late, resume, tmp_path):
    """Optimizer and DDP would keep the old parameters."""
    labeling = LEARNABLE if built is LOSS else 'ProgressiveAttentionLabeling'
    saver = dict(checkpoint=dict(type='CheckpointHook', interval=1))
    if resume:
        kit.train(kit.classifier(built, kit.mixpro()), tmp_path, LabelingHook(labeling), epochs=2, default_hooks=saver)
    model = kit.classifier(built, kit.mixpro())
    switch = SwitchRecipeHook([dict(action_epoch=2, loss=late)])
    settings = dict(epochs=3, resume=resume, default_hooks=saver)
    runner = kit.make_runner(model, tmp_path, switch, LabelingHook(labeling), **settings)
    names = [x['type'].removeprefix('mixpro_mm.') for x in (built, late)]
    with pytest.raises(ValueError, match=f'^{names[0]} cannot be replaced by {names[1]} during training'):
        runner.train()
    assert runner.epoch == (2 if resume else 1)
