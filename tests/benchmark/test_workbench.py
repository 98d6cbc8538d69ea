"""A timed step is a training step of its method and leaves no hooks on the model."""

import itertools
from contextlib import nullcontext

import pytest
import torch
from mmengine.hooks import EMAHook
from mmpretrain.models import LabelSmoothLoss
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from mixpro_mm.benchmark import workbench
from mixpro_mm.benchmark.methods import METHODS, classifier_config, preprocessor_config
from mixpro_mm.benchmark.workbench import Session, Workbench

HOOK_KINDS = [name for name in vars(torch.nn.Module()) if name.endswith('_hooks')]
CHEAP = [name for name in METHODS if name != 'AttentiveCutMix']  # a ResNet-50


def count_hooks(model):
    return {(name, kind): len(getattr(module, kind)) for name, module in model.named_modules() for kind in HOOK_KINDS}


@pytest.mark.parametrize('name', CHEAP)
def test_a_step_trains_with_its_method(name, bench, monkeypatch):
    session, hooks = Session(bench, name), count_hooks(bench.model)
    before = [p.detach().clone() for p in bench.model.parameters()]
    images, scores, given, taken, loss = [], [], [], [], LabelSmoothLoss.forward

    def on_model(module, args, kwargs):
        if kwargs['mode'] == 'loss':
            images.append(kwargs['inputs'].clone())
            scores.append(torch.stack([sample.gt_score for sample in kwargs['data_samples']]))

    def on_loss(module, logits, target, **kwargs):
        given.append(target.detach().clone())
        return loss(module, logits, target, **kwargs)

    monkeypatch.setattr(LabelSmoothLoss, 'forward', on_loss)
    if METHODS[name][1]:
        take = session.augment.pop_target
        monkeypatch.setattr(session.augment, 'pop_target', lambda: taken.append(take()) or taken[-1])
    with bench.model.register_forward_pre_hook(on_model, with_kwargs=True):
        for _ in range(6):  # a single mask may be empty
            session.step()

    assert count_hooks(bench.model) == hooks
    assert (session.runner.iter, session.runner.model) == (6, bench.model)  # all methods train the same weights
    assert all(bench.optim.optimizer.state[p]['exp_avg'].any() for p in bench.model.parameters())  # had a gradient
    assert all((p != old).any() for p, old in zip(bench.model.parameters(), before, strict=True))
    unmixed = bench.model.data_preprocessor(bench.draw(4), training=False)['inputs']
    if name not in ('ManifoldMixup', 'MixToken'):  # these mix tokens
        assert any((mixed != unmixed).any().item() for mixed in images) is (name != 'Baseline')
    torch.testing.assert_close(torch.cat(given).float().sum(1), torch.ones(24))
    assert not torch.cat(given)[:, 4:].any()
    assert torch.equal(torch.cat(scores), torch.cat(given)) is (name not in ('TransMix', 'MixPro'))
    assert sum(target is not None for target in taken) == (6 if METHODS[name][1] else 0)


class Maps(TorchDispatchMode):
    """Collects the operators whose results look like an attention map of 12 x 12 patches and a class token."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return tree_map(lambda value: self.look(str(func), value), func(*args, **(kwargs or {})))

    def look(self, origin, value):
        if isinstance(value, torch.Tensor) and tuple(value.shape[-2:]) in {(145, 145), (144, 144)}:
            self.origins.add(origin)
        return value


@pytest.mark.parametrize('name', ['CutMix', 'TransMix', 'MixPro'])
def test_labelling_adds_no_attention_map_to_a_step(name, settings):
    """Neither as a result nor saved for backward: only the math kernel has maps."""
    settings.size, maps = 48, Maps()
    session = Session(Workbench(settings), name)
    math = sdpa_kernel(SDPBackend.MATH), {'aten._softmax_backward_data.default', 'saved'}
    for kernel, expected in ((nullcontext(), set()), math):
        maps.origins = set()
        saved = torch.autograd.graph.saved_tensors_hooks(lambda value: maps.look('saved', value), lambda value: value)
        with kernel, saved, maps:
            session.step()
        assert expected <= maps.origins and bool(expected) == bool(maps.origins)


def test_hooks_are_removed_if_a_step_fails(bench, monkeypatch):
    before, session = count_hooks(bench.model), Session(bench, 'MixPro')
    monkeypatch.setattr(bench.model, 'train_step', lambda data, optim: dict(loss=torch.tensor(float('nan'))))
    with pytest.raises(FloatingPointError, match='MixPro is nan after 1 steps'):
        session.step()
    assert count_hooks(bench.model) == before


def test_the_clock_is_read_before_and_after_the_update(bench, monkeypatch):
    ticks, events = itertools.count(), []
    monkeypatch.setitem(workbench.CLOCKS, 'wall', lambda: events.append('tick') or next(ticks))
    session = Session(bench, 'TokenMix')
    draw, average = session.augment.draw_mask, EMAHook.after_train_iter
    monkeypatch.setattr(session.augment, 'draw_mask', lambda *args: events.append('mix') or draw(*args))
    next(iter(bench.model.parameters())).register_post_accumulate_grad_hook(lambda p: events.append('gradient'))
    bench.optim.optimizer.register_step_post_hook(lambda *args: events.append('update'))
    monkeypatch.setattr(EMAHook, 'after_train_iter', lambda *args: events.append('average') or average(*args))
    assert session.step() == (1, 2)
    assert events == ['tick', 'mix', 'gradient', 'tick', 'update', 'average', 'tick']


def test_batches_have_the_same_images_and_new_samples(bench):
    images = bench.draw(4)['inputs'].clone()
    Session(bench, 'CutMix').step()  # modifies images and samples
    batch = bench.draw(4)
    assert images.dtype == torch.uint8 and torch.equal(batch['inputs'], images)
    assert [sample.gt_label.item() for sample in batch['data_samples']] == [0, 1, 2, 3]
    assert not any('gt_score' in sample for sample in batch['data_samples'])
    assert len(bench.draw(7)['data_samples']) == len(bench.draw(7)['inputs']) == 7


@pytest.mark.parametrize(('size', 'scale'), [(224, 4), (193, 4), (192, 3), (128, 2), (64, 1)])
@pytest.mark.parametrize('name', ['MaskMix', 'MixPro'])
def test_masks_have_at_least_four_cells_a_side(name, size, scale):
    config = classifier_config('deit-small', size, 5)
    assert (config.model.backbone.img_size, config.model.head.num_classes) == (size, 5)
    (augment,) = preprocessor_config(config, name, size)['batch_augments']['augments']
    assert augment == dict(type=f'mixpro_mm.{name}', patch_size=16, mask_scale=scale)
    assert 'mask_scale' not in METHODS[name][0]


@pytest.mark.parametrize('backbone', ['pvt-tiny', 'xcit-tiny-24-p16'])
def test_other_backbones(backbone, settings):
    settings.backbone, settings.size, settings.batch = backbone, 64, 2
    assert Session(Workbench(settings), 'MixPro').step()[0] > 0


@pytest.mark.cuda
@pytest.mark.parametrize('amp', ['none', 'bf16', 'fp16'])
@pytest.mark.parametrize('name', CHEAP)
def test_a_step_on_cuda(name, amp, settings):
    settings.device, settings.amp = 'cuda', amp
    backward, whole = Session(Workbench(settings), name).step()
    assert 0 < backward <= whole
