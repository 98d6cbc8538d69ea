"""Records of all sections: times with a fake clock, labels by the formula, and counted bytes."""

import itertools
import math
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from scipy import stats

from mixpro_mm.benchmark import measure
from mixpro_mm.benchmark.measure import interleave, peak_bytes, ratio, spread
from mixpro_mm.benchmark.workbench import Session


def play(settings):
    """Return the order of calls in each round, and the results, which are the numbers of the calls."""
    calls, counters = [], {name: itertools.count() for name in 'abc'}
    tasks = {name: lambda name=name: calls.append(name) or next(counters[name]) for name in 'abc'}
    kept = interleave(tasks, settings)
    return [''.join(calls[i : i + 3]) for i in range(0, len(calls), 3)], kept


def test_each_round_runs_all_tasks_in_random_order(settings):
    settings.rounds = 60
    orders, kept = play(settings)
    assert kept == {name: list(range(1, 61)) for name in 'abc'}  # the first round is dropped
    assert set(orders) == {''.join(order) for order in itertools.permutations('abc')}
    assert orders == play(settings)[0]
    settings.seed = 1
    assert orders != play(settings)[0]


@pytest.mark.parametrize(('rounds', 'minutes', 'kept'), [(50, 1e-9, 3), (2, 1e-9, 2), (50, 10 / 60, 13), (50, 9, 50)])
def test_the_time_limit_ends_after_at_least_three_rounds(rounds, minutes, kept, settings, monkeypatch):
    seconds = itertools.count()
    monkeypatch.setattr(measure.time, 'perf_counter', lambda: next(seconds))  # one second for each call
    settings.rounds, settings.minutes = rounds, minutes
    assert len(play(settings)[1]['a']) == kept


def test_spread_and_ratio():
    std = pytest.approx((50 / 3) ** 0.5)
    assert spread([1.0, 2.0, 3.0, 10.0]) == dict(rounds=4, median_s=2.5, mean_s=4.0, std_s=std)
    assert spread([7.0]) == dict(rounds=1, median_s=7.0, mean_s=7.0, std_s=0.0)
    base, seconds = [1.0, 3.0, 1.0], [1.1, 3.6, 1.1]  # the middle round is three times slower
    found = ratio(seconds, base)
    assert found['ratio_to_cutmix'] == pytest.approx((1.1 * 1.2 * 1.1) ** (1 / 3))
    logs = np.log(np.divide(seconds, base))
    half = stats.t.ppf(0.975, 2) * logs.std(ddof=1) / 3**0.5
    assert found['ratio_to_cutmix_low'] == pytest.approx(math.exp(logs.mean() - half))
    assert found['ratio_to_cutmix_high'] == pytest.approx(math.exp(logs.mean() + half))
    assert ratio([2.0], [1.0], 'where') == {'ratio_to_where': pytest.approx(2)}
    assert ratio(base, base) == ratio(base, None) == {}


@pytest.fixture
def fake_times(monkeypatch):
    """A step takes 1 s for each image with CutMix, 1.5 s with other methods, and twice that with the update."""

    def step(session, batch=None):
        value = (batch or session.bench.settings.batch) * (1.0 if session.name == 'CutMix' else 1.5)
        return value, 2 * value

    monkeypatch.setattr(Session, 'step', step)


def test_records_of_steps(bench, fake_times):
    records = measure.steps(bench, ['CutMix', 'MixPro'])
    assert [(r['method'], r['part']) for r in records] == [(n, p) for p in measure.PARTS for n in ('CutMix', 'MixPro')]
    cutmix, mixpro, _, update = records
    assert 'ratio_to_cutmix' not in cutmix and update['median_s'] == 12.0
    assert (mixpro['rounds'], mixpro['median_s'], mixpro['ratio_to_cutmix']) == (3, 6.0, pytest.approx(1.5))
    assert mixpro['images_per_s'] == 4 / 6
    assert (mixpro['backbone'], mixpro['batch_images'], mixpro['size_px']) == ('deit-micro_mixpro_digits', 4, 32)


def test_parameters_include_other_networks_of_a_method(bench, fake_times):
    own = sum(p.numel() for p in bench.model.parameters()) / 1e6
    records = measure.steps(bench, ['Baseline', 'SMMix', 'TokenMix', 'AttentiveCutMix'])[:4]
    expected = [own, own, 2 * own, own + 25.557032]  # with the average, with a ResNet-50
    assert [record['parameters_millions'] for record in records] == pytest.approx(expected)


def test_peak_memory_is_exact(bench, monkeypatch):
    session = Session(bench, 'MixPro')
    peak = peak_bytes(session)
    weights = 4 * sum(p.numel() for p in bench.model.parameters())
    assert 4 * weights < peak < 4 * weights + 2**23  # weights, gradients, two moments; and activations
    assert peak_bytes(session) == peak  # deterministic
    kept, mix = [], session.augment.mix

    def hoarding(*args):
        kept[:] = [torch.empty(250_000)]  # 1 MB that is kept during the step
        torch.empty(100_000)  # freed before the peak
        return mix(*args)

    monkeypatch.setattr(session.augment, 'mix', hoarding)
    assert peak_bytes(session) == peak + 1_000_000
    monkeypatch.setattr(session.augment, 'mix', lambda *args: torch.empty(10_000_000) is None or mix(*args))
    assert 40_000_000 < peak_bytes(session) < 40_000_000 + peak  # freed at once, but counted


def test_records_of_growth(bench, fake_times, monkeypatch):
    monkeypatch.setattr(measure, 'peak_bytes', lambda session: session.bench.settings.size * 2**20)
    bench.settings.size = 96
    records = measure.growth(bench, [])
    assert [(r['along'], r['batch_images'], r['size_px'], r['classes']) for r in records[1::2]] == [
        *(('batch', batch, 96, 10) for batch in (4, 8, 16)),
        *(('size', 4, size, 10) for size in (64, 96, 128)),
        *(('classes', 4, 96, classes) for classes in (10, 21841)),
    ]
    for base, ours in zip(records[::2], records[1::2], strict=True):
        assert (base['method'], ours['method'], ours['section']) == ('CutMix', 'MixPro', 'growth')
        assert ours['median_s'] == 3 * ours['batch_images']  # with update
        assert (ours['ratio_to_cutmix'], ours['peak_mib']) == (pytest.approx(1.5), ours['size_px'])


def test_mixing_is_compared_with_torch_where_on_the_same_images(bench, monkeypatch):
    seen, ticks, where = [], itertools.count(), torch.where
    monkeypatch.setattr(bench, 'now', lambda: float(next(ticks)))  # each task takes one second
    monkeypatch.setattr(torch, 'where', lambda *args, **out: seen.append(args[1].clone()) or where(*args, **out))
    records = measure.mixing(bench, ['Baseline', 'CutMix', 'MaskMix', 'MixPro'])  # CutMix modifies its input
    kinds = [('float32', name) for name in ('CutMix', 'MaskMix', 'MixPro', 'torch.where')]
    kinds += [('uint8', name) for name in ('MaskMix', 'torch.where')]
    assert [(r['memory'], r['dtype'], r['method']) for r in records] == [
        (memory, *kind) for memory in ('reused', 'fresh') for kind in kinds
    ]
    assert {(r['batch_images'], r['size_px'], r['rounds'], r['median_s']) for r in records} == {(6, 32, 3, 1)}
    assert [record.get('ratio_to_where') for record in records] == 2 * [1, 1, 1, None, 1, None]
    for dtype in (torch.float32, torch.uint8):
        first, *others = (images for images in seen if images.dtype == dtype)
        assert all(torch.equal(images, first) for images in others) and others


@pytest.mark.parametrize('fails', [False, True])
def test_memory_is_allocated_as_usual_after_mixing(fails, monkeypatch):
    calls = []
    monkeypatch.setattr(measure.ctypes, 'CDLL', lambda name: SimpleNamespace(mallopt=lambda *call: calls.append(call)))
    with suppress(ZeroDivisionError), measure.allocated(measure.ALLOCATION['fresh']):
        assert calls == [*measure.ALLOCATION['fresh'].items()]
        calls.clear()
        1 / (not fails)
    assert calls == [*measure.USUAL_ALLOCATION.items()]


def test_records_of_labelling(bench, monkeypatch):
    steps, ticks = iter([50.0, 40.0]), itertools.count()
    monkeypatch.setattr(Session, 'step', lambda session, batch: (next(steps), 99.0))
    monkeypatch.setattr(bench, 'now', lambda: float(next(ticks)))
    records = measure.labelling(bench, ['Baseline', 'MaskMix', 'TransMix', 'PuzzleMix', 'MixPro'])
    assert [record['method'] for record in records] == ['TransMix', 'MixPro']  # those with attention labels
    assert {(record['median_s'], record['step_s'], record['share_of_step']) for record in records} == {(1, 40, 1 / 40)}
    assert measure.labelling(bench, ['Baseline', 'MaskMix']) == []


@pytest.mark.parametrize('name', ['TransMix', 'MixPro'])
def test_labels_follow_the_formula(name, bench, monkeypatch):
    session, targets = Session(bench, name), []
    take = session.augment.pop_target
    monkeypatch.setattr(session.augment, 'pop_target', lambda: targets.append(take()) or targets[-1])
    images, scores = torch.randn(5, 3, 32, 32), torch.eye(10)[:5]
    attn = bench.model.backbone.layers[-1].attn
    output, logits = torch.randn(5, 65, 192), torch.randn(5, 10)
    given, seconds = measure.label(session, images, scores, {attn.qkv: output}, logits)
    (target,) = (target for target in targets if target is not None)
    q, k = (part.unflatten(-1, (4, 16)).transpose(1, 2) for part in output.chunk(3, -1)[:2])
    row = (q @ k.transpose(2, 3) / math.sqrt(16)).softmax(-1).mean(1)[:, 0, 1:]  # equations 1 to 4
    tokens = F.avg_pool2d(target.mask.float(), 4).flatten(1)
    attended, area = (row * tokens).sum(1) / row.sum(1), target.mask.float().mean((1, 2, 3))
    by_area = area[:, None] * target.scores + (1 - area[:, None]) * target.partner_scores
    factor = F.cosine_similarity(logits.softmax(1), by_area) if name == 'MixPro' else torch.full((5,), 0.5)
    lam = (factor * attended + (1 - factor) * area)[:, None]  # equation 9
    torch.testing.assert_close(given, lam * target.scores + (1 - lam) * target.partner_scores, rtol=0, atol=2e-6)
    assert seconds > 0
    assert 'forward' not in {*vars(attn.qkv), *vars(bench.model.head.loss_module)}  # the replacements are removed
    session.step()
