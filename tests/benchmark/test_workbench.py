"""A timed step is a training step of its method, and a turn leaves nothing behind."""

import itertools

import pytest
import torch
from mmengine.hooks import EMAHook
from mmpretrain.models import LabelSmoothLoss

from mixpro_mm.benchmark.methods import METHODS
from mixpro_mm.benchmark.stopwatch import CLOCKS
from mixpro_mm.benchmark.workbench import Session, Settings, Workbench

HOOK_KINDS = [name for name in vars(torch.nn.Module()) if name.endswith('_hooks')]
CHEAP = [name for name in METHODS if name != 'AttentiveCutMix']  # a ResNet-50


def count_hooks(model):
    return {(name, kind): len(getattr(module, kind)) for name, module in model.named_modules() for kind in HOOK_KINDS}


class Watch:
    """Images and labels as the classifier got them, labels as the loss got them."""

    def __init__(self, model, monkeypatch):
        self.images, self.scores, self.given, self.logits = [], [], [], []
        model.register_forward_pre_hook(self.on_model, with_kwargs=True)
        forward = LabelSmoothLoss.forward

        def on_loss(loss, logits, target, **kwargs):
            self.logits.append(logits.detach())
            self.given.append(target.detach().clone())
            return forward(loss, logits, target, **kwargs)

        monkeypatch.setattr(LabelSmoothLoss, 'forward', on_loss)

    def on_model(self, module, args, kwargs):
        if kwargs['mode'] == 'loss':
            self.images.append(kwargs['inputs'].clone())
            self.scores.append(torch.stack([sample.gt_score for sample in kwargs['data_samples']]))


@pytest.mark.parametrize('name', CHEAP)
def test_a_step_trains_with_its_method(name, bench, monkeypatch):
    session = Session(bench, name)
    watch = Watch(bench.model, monkeypatch)
    before = [p.detach().clone() for p in bench.model.parameters()]
    taken = []
    if session.labeling is not None:
        take = session.augment.pop_target
        monkeypatch.setattr(session.augment, 'pop_target', lambda: taken.append(take()) or taken[-1])
    for _ in range(6):  # a mask may happen to show nothing of the partner
        session.turn()

    assert session.runner.iter == 6
    moments = [bench.optim.optimizer.state[p]['exp_avg'] for p in bench.model.parameters()]
    assert all(moment.abs().max() > 0 for moment in moments)  # every parameter had a gradient
    assert all((p != old).any() for p, old in zip(bench.model.parameters(), before, strict=True))
    unmixed = bench.model.data_preprocessor(bench.draw(4), training=False)['inputs']
    mixed = [(images != unmixed).any().item() for images in watch.images]
    assert any(mixed) is (name != 'Baseline')
    classes = torch.eye(4, 1000)
    for images, scores, given in zip(watch.images, watch.scores, watch.given, strict=True):
        assert (images == unmixed).all() or (scores != classes).any() or name == 'TokenMix'
        torch.testing.assert_close(given.float().sum(1), torch.ones(4))
        assert (given[:, 4:] == 0).all()
    relabelled = any(not torch.equal(a, b) for a, b in zip(watch.scores, watch.given, strict=True))
    assert relabelled is (name in ('TransMix', 'MixPro'))
    if session.labeling is not None:
        assert sum(target is not None for target in taken) == 6
        assert not session.augment.pending


def test_all_methods_train_the_same_weights(bench):
    sessions = [Session(bench, name) for name in ('CutMix', 'MixPro')]
    assert all(session.runner.model is bench.model for session in sessions)
    for session in sessions * 2:
        session.turn()
        assert bench.model.data_preprocessor is session.preprocessor
    assert {state['step'].item() for state in bench.optim.optimizer.state.values()} == {4}


def test_a_turn_leaves_no_hook_behind(bench):
    before = count_hooks(bench.model)
    for name in ('MixPro', 'TokenMix', 'SMMix'):
        session = Session(bench, name)
        with session.attached():
            assert count_hooks(bench.model) != before
            session.step()
        assert count_hooks(bench.model) == before


def test_hooks_go_even_if_a_step_fails(bench, monkeypatch):
    before, session = count_hooks(bench.model), Session(bench, 'MixPro')
    monkeypatch.setattr(bench.model, 'train_step', lambda data, optim: dict(loss=torch.tensor(float('nan'))))
    with pytest.raises(FloatingPointError, match='the loss of MixPro is nan after 1 steps'):
        session.turn()
    assert count_hooks(bench.model) == before


def test_the_clock_is_read_at_start_after_backward_and_at_the_end(settings, monkeypatch):
    ticks, events = itertools.count(), []
    monkeypatch.setitem(CLOCKS, 'wall', lambda: events.append('tick') or next(ticks))
    bench = Workbench(settings)
    session = Session(bench, 'TokenMix')
    session.augment.draw_mask = lambda *args, draw=session.augment.draw_mask: events.append('mix') or draw(*args)
    last = next(iter(bench.model.parameters()))
    last.register_post_accumulate_grad_hook(lambda p: events.append('gradient'))
    update = bench.optim.optimizer.step
    monkeypatch.setattr(bench.optim.optimizer, 'step', lambda: events.append('update') or update())
    average = EMAHook.after_train_iter
    monkeypatch.setattr(
        EMAHook, 'after_train_iter', lambda hook, *args: events.append('average') or average(hook, *args)
    )
    assert session.turn() == (1, 2)
    assert events == ['tick', 'mix', 'gradient', 'tick', 'update', 'average', 'tick']


def test_batches_are_the_same_images_with_fresh_labels(bench):
    first = bench.draw(4)
    images = first['inputs'].clone()
    Session(bench, 'CutMix').turn()  # it writes into the images it is given, the host into the samples
    second = bench.draw(4)
    assert torch.equal(second['inputs'], images)
    assert images.dtype == torch.uint8
    assert [sample.gt_label.item() for sample in second['data_samples']] == [0, 1, 2, 3]
    assert not any('gt_score' in sample for sample in second['data_samples'])
    assert len(bench.draw(7)['data_samples']) == len(bench.draw(7)['inputs']) == 7


def test_parameters_count_the_networks_a_method_keeps(bench):
    own = sum(p.numel() for p in bench.model.parameters())
    counted = {
        name: Session(bench, name).parameters() for name in ('Baseline', 'MixPro', 'TokenMix', 'AttentiveCutMix')
    }
    assert counted == dict(Baseline=own, MixPro=own, TokenMix=2 * own, AttentiveCutMix=own + 25_557_032)
    with (session := Session(bench, 'SMMix')).attached():
        assert session.parameters() == own  # it holds the model itself


def test_bfloat16_on_a_cpu(settings, monkeypatch):
    bench = Workbench(Settings(**{**vars(settings), 'amp': 'bf16'}))
    watch = Watch(bench.model, monkeypatch)
    Session(bench, 'MixPro').turn()
    assert watch.logits[0].dtype == torch.bfloat16
    assert watch.given[0].dtype == torch.float32


@pytest.mark.parametrize(
    ('wrong', 'sentence'),
    [
        (dict(backbone='resnet'), "backbone 'resnet' is unknown; known: deit-tiny, "),
        (dict(device='tpu'), "device 'tpu' is unknown; known: cpu, cuda"),
        (dict(amp='int8'), "amp 'int8' is unknown; known: none, bf16, fp16"),
        (dict(amp='fp16'), "amp 'fp16' needs a CUDA device, not cpu"),
        (dict(clock='sun'), "clock 'sun' is unknown; known: wall, cpu"),
        (dict(clock='cpu', threads=2), "clock 'cpu' adds up over threads"),
    ],
)
def test_bad_settings_stop_in_a_sentence(wrong, sentence, settings):
    with pytest.raises(ValueError, match=sentence):
        Workbench(Settings(**{**vars(settings), **wrong}))


@pytest.mark.skipif(torch.cuda.is_available(), reason='needs a machine without CUDA')
def test_a_machine_without_cuda_says_so(settings):
    with pytest.raises(ValueError, match='no CUDA device that torch can use: choose cpu'):
        Workbench(Settings(**{**vars(settings), 'device': 'cuda'}))


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
@pytest.mark.parametrize('amp', ['none', 'bf16', 'fp16'])
@pytest.mark.parametrize('name', CHEAP)
def test_a_step_on_cuda(name, amp, settings):
    bench = Workbench(Settings(**{**vars(settings), 'device': 'cuda', 'amp': amp}))
    backward, whole = Session(bench, name).turn()
    assert 0 < backward <= whole
    assert bench.draw(4)['inputs'].is_cuda


@pytest.mark.parametrize(('size', 'scale'), [(224, 4), (193, 4), (192, 3), (128, 2), (64, 1)])
@pytest.mark.parametrize('name', ['MaskMix', 'MixPro'])
def test_the_mask_leaves_four_cells_a_side_at_any_size(name, size, scale):
    assert METHODS[name].config(16, size).get('mask_scale', 4) == scale
    assert -(-size // (16 * scale)) >= 4
