"""Mixing and labelling alone do what they do in training, on tensors of the same shapes."""

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from mmpretrain.models import CutMix

from mixpro_mm.benchmark.alone import LabellingAlone, MixingAlone
from mixpro_mm.benchmark.models import BACKBONES
from mixpro_mm.benchmark.workbench import Session, Settings, Workbench


def label(session, work, monkeypatch):
    """What the hooks gave the loss, and the target they took from the augment."""
    taken, take = [], session.augment.pop_target
    monkeypatch.setattr(session.augment, 'pop_target', lambda: taken.append(take()) or taken[-1])
    given, seconds = work.label()
    assert len(seconds) == 2
    assert [target is not None for target in taken] == [True]
    return given, taken[0]


@pytest.mark.parametrize('name', ['TransMix', 'MixPro'])
@pytest.mark.parametrize('size', [48, 96])
def test_labels_are_those_of_the_open_formula(name, size, bench, monkeypatch):
    session = Session(bench, name)
    with session.attached():
        work = LabellingAlone(session, 5, size)
        given, target = label(session, work, monkeypatch)
    side = size // 8
    ((layer, output),) = work.outputs.items()
    assert layer is bench.model.backbone.layers[-1].attn.qkv
    assert output.shape == (5, side * side + 1, 96)
    q, k = (part.unflatten(-1, (2, 16)).transpose(1, 2) for part in output.chunk(3, -1)[:2])
    row = (q @ k.transpose(2, 3) / math.sqrt(16)).softmax(-1).mean(1)[:, 0, 1:]  # equations 1 to 4
    tokens = F.avg_pool2d(target.mask.float(), 8).flatten(1)
    attended, area = (row * tokens).sum(1) / row.sum(1), target.mask.float().mean((1, 2, 3))
    by_area = area[:, None] * target.scores + (1 - area[:, None]) * target.partner_scores
    factor = F.cosine_similarity(work.logits.softmax(1), by_area) if name == 'MixPro' else torch.full((5,), 0.5)
    lam = (factor * attended + (1 - factor) * area)[:, None]  # equation 9
    torch.testing.assert_close(given, lam * target.scores + (1 - lam) * target.partner_scores, rtol=0, atol=2e-6)


def test_the_clock_runs_while_attention_is_read_and_labels_are_weighed(bench, monkeypatch):
    session = Session(bench, 'MixPro')
    events = []
    with session.attached():
        work = LabellingAlone(session, 4, 48)
        monkeypatch.setattr(bench.watch, 'start', lambda: events.append('start'))
        monkeypatch.setattr(bench.watch, 'mark', lambda: events.append('mark'))
        monkeypatch.setattr(bench.watch, 'seconds', lambda: [1.0, 2.0])
        read, weigh, draw = session.labeling._tap.read, session.labeling.labeling, session.augment.draw_mask
        block = session.labeling._tap.block
        monkeypatch.setattr(
            session.labeling._tap, 'block', Recording(block, lambda outputs: events.append('attention'))
        )
        monkeypatch.setattr(session.labeling._tap, 'read', lambda: events.append('row') or read())
        monkeypatch.setattr(session.labeling, 'labeling', lambda *args: events.append('weigh') or weigh(*args))
        monkeypatch.setattr(session.augment, 'draw_mask', lambda *args: events.append('mix') or draw(*args))
        assert work.seconds() == [1.0, 2.0]
    assert events == ['mix', 'start', 'attention', 'mark', 'row', 'weigh', 'mark']


class Recording:
    """A block of attention that tells when it is read."""

    def __init__(self, block, tell):
        self.block, self.tell = block, tell

    def __getattr__(self, name):
        return getattr(self.block, name)

    def read(self, outputs):
        self.tell(outputs)
        return self.block.read(outputs)


def test_stand_ins_are_gone_afterwards(bench):
    session = Session(bench, 'MixPro')
    with session.attached():
        work = LabellingAlone(session, 4, 48)
        work.label()
        modules = [*work.outputs, work.loss]
        assert all('forward' not in vars(module) for module in modules)
        session.step()  # trains as ever


def test_projections_of_pvt_stand_in_one_by_one(monkeypatch):
    arch = dict(
        embed_dims=(8, 8, 16, 16),
        num_heads=(1, 1, 2, 2),
        mlp_ratios=(2, 2, 2, 2),
        depths=(1, 1, 1, 1),
        sr_ratios=(4, 2, 2, 1),
    )
    backbone = dict(type='mixpro_mm.PVT', arch=arch)
    monkeypatch.setitem(
        BACKBONES, 'pvt-micro', dict(backbone=backbone, head=dict(type='LinearClsHead', in_channels=16))
    )
    bench = Workbench(Settings(backbone='pvt-micro', size=96, batch=2))
    session = Session(bench, 'MixPro')
    with session.attached():
        work = LabellingAlone(session, 3, 192)
        given, target = label(session, work, monkeypatch)
    assert [tuple(output.shape) for output in work.outputs.values()] == [(3, 37, 16), (3, 37, 32)]
    (q, kv) = (output.unflatten(-1, (-1, 8)).transpose(1, 2) for output in work.outputs.values())
    row = (q[:, :, :1] @ kv[:, :2].transpose(2, 3) / math.sqrt(8)).softmax(-1).mean(1)[:, 0, 1:]
    attended = (row * F.avg_pool2d(target.mask.float(), 32).flatten(1)).sum(1) / row.sum(1)
    area = target.mask.float().mean((1, 2, 3))
    by_area = area[:, None] * target.scores + (1 - area[:, None]) * target.partner_scores
    factor = F.cosine_similarity(work.logits.softmax(1), by_area)
    lam = (factor * attended + (1 - factor) * area)[:, None]
    torch.testing.assert_close(given, lam * target.scores + (1 - lam) * target.partner_scores, rtol=0, atol=2e-6)


def test_images_to_mix_stay_what_they_are(bench, monkeypatch):
    seen = []
    mix = CutMix.mix

    def watched(augment, images, scores):
        seen.append(images.clone())
        return mix(augment, images, scores)  # writes into them

    monkeypatch.setattr(CutMix, 'mix', watched)
    work = MixingAlone(Session(bench, 'CutMix'), 4, 48)
    for _ in range(4):
        work.seconds()
    assert all(torch.equal(images, work.images) for images in seen)
    assert any((work.buffer != work.images).flatten())


def test_no_label_is_left_open_by_mixing_alone(bench):
    work = MixingAlone(Session(bench, 'MixPro'), 4, 48)
    work.seconds()  # MixPro refuses a second batch if the labels of the first were not taken
    work.seconds()
    assert not work.session.augment.pending
