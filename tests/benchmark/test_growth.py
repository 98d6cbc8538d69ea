"""Steps of several sizes and of several processes: what is measured, what ranks really sum up, and who failed."""

import itertools
from contextlib import nullcontext
from multiprocessing import Pipe
from types import SimpleNamespace

import pytest
import torch
from torch import distributed, nn

from mixpro_mm.benchmark import growth
from mixpro_mm.benchmark.growth import COMPARED, Case, growth_cases, measure_growth
from mixpro_mm.benchmark.ranks import Ranks, reduced_bytes
from mixpro_mm.benchmark.training import MIB
from mixpro_mm.benchmark.workbench import Session, Settings, Workbench

MICRO = Settings(backbone='micro', size=96, batch=4, threads=1)


def quiet(done, total):
    """Reports to nobody."""


def test_each_axis_leaves_the_others_where_they_are():
    axes = growth_cases(Settings(batch=4))
    assert axes == dict(
        batch=[(4, 224, 1000, 1), (8, 224, 1000, 1), (16, 224, 1000, 1)],
        size=[(4, 160, 1000, 1), (4, 224, 1000, 1), (4, 320, 1000, 1)],
        classes=[(4, 224, 10, 1), (4, 224, 1000, 1), (4, 224, 21841, 1)],
        ranks=[(4, 224, 1000, 1), (4, 224, 1000, 2), (4, 224, 1000, 4)],
    )
    assert growth_cases(Settings(classes=10), [3])['classes'] == [(8, 224, 10, 1), (8, 224, 21841, 1)]


class FakeRanks:
    """Three ranks that take three seconds with CutMix."""

    entered = 0

    def __init__(self, count, settings, names):
        assert (count, settings.batch, tuple(names)) == (3, 4, COMPARED)

    def __enter__(self):
        FakeRanks.entered += 1
        return self

    def __exit__(self, *error):
        FakeRanks.entered -= 1

    def seconds(self, name):
        assert FakeRanks.entered == 1
        return dict(CutMix=3.0, MixPro=6.0)[name]

    def peak_bytes(self, name):
        return 10 * MIB

    def reduced_bytes(self, name):
        return 2 * MIB


def test_figures_follow_from_the_seconds_of_each_case(monkeypatch):
    """A step of CutMix takes a second an image, one of MixPro a quarter more from its second turn on."""
    turns = {}

    def turn(session):
        key = session.name, session.bench.settings
        longer = session.name == 'MixPro' and next(turns.setdefault(key, itertools.count())) > 0
        return 99.0, session.bench.settings.batch * (1.25 if longer else 1.0)

    monkeypatch.setattr(Session, 'turn', turn)
    monkeypatch.setattr(growth, 'peak_bytes', lambda session: session.bench.settings.size * MIB)
    monkeypatch.setattr(growth, 'Ranks', FakeRanks)
    records = measure_growth(MICRO, 2, 1e9, quiet, (1, 3))
    assert FakeRanks.entered == 0
    by = {(r['along'], r['method'], r['batch_images'], r['size_px'], r['classes'], r['ranks']): r for r in records}
    assert len(by) == len(records) == 2 * (3 + 3 + 3 + 2)
    for (_, method, batch, size, _, ranks), record in by.items():
        assert record['rounds'] == 2
        if ranks == 1:
            ratio = 1.25 if method == 'MixPro' else 1.0
            assert record['ratio_to_cutmix'] == record['ratio_to_cutmix_low'] == ratio
            assert record['images_per_s'] == 1 / ratio
            assert record['median_s'] == batch * ratio
            assert (record['peak_mib'], record['reduced_mib']) == (size, 0)
    several = by['ranks', 'MixPro', 4, 96, 1000, 3]
    assert several['images_per_s'] == 3 * 4 / 6
    assert several['ratio_to_cutmix'] == 2
    assert (several['peak_mib'], several['reduced_mib']) == (12, 2)  # DDP keeps what it sums up


def test_a_step_on_two_ranks_sums_up_the_gradients_and_nothing_else(monkeypatch):
    """Real processes, real hooks: labelling adds no byte, and memory grows by DDP's copy of the gradients."""
    start = Case(4, 96, 1000, 1)
    twice, four_times = start._replace(batch=8), start._replace(batch=16)
    many, two = start._replace(classes=21841), start._replace(ranks=2)
    axes = dict(batch=[start, twice, four_times], classes=[many], ranks=[two])
    monkeypatch.setattr(growth, 'growth_cases', lambda settings, ranks: axes)
    records = measure_growth(MICRO, 1, 1e9, quiet)
    by = {(r['method'], Case(r['batch_images'], r['size_px'], r['classes'], r['ranks'])): r for r in records}
    assert all(record['median_s'] > 0 for record in records)
    gradients = 4 * sum(p.numel() for p in Workbench(MICRO).model.parameters()) / MIB
    for method in COMPARED:
        peak = {case: record['peak_mib'] for (name, case), record in by.items() if name == method}
        assert by[method, two]['reduced_mib'] == gradients
        assert by[method, start]['reduced_mib'] == 0
        assert peak[two] == pytest.approx(peak[start] + gradients, rel=0.02)
        assert peak[four_times] - peak[twice] == pytest.approx(2 * (peak[twice] - peak[start]), rel=0.02)
        head = 4 * 33 * (21841 - 1000) / MIB  # weights of the classes that come on top
        assert 4 * head < peak[many] - peak[start] < 8 * head  # with gradient and two moments; the rest are the logits


class Step:
    """Stands in for a session: a step of a wrapped layer, and a sum of seven numbers as a hook might add it."""

    def __init__(self, wrapped, extra):
        self.wrapped, self.extra = wrapped, extra

    def attached(self):
        return nullcontext()

    def step(self):
        self.wrapped(torch.ones(2, 10)).sum().backward()
        if self.extra:
            distributed.all_reduce(torch.ones(7))
        distributed.barrier()


def test_whatever_is_summed_up_beside_the_gradients_is_seen():
    distributed.init_process_group('gloo', store=distributed.HashStore(), rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(nn.Linear(10, 3))
        for _ in range(2):  # DDP puts its gradients in order
            Step(wrapped, extra=False).step()
        assert reduced_bytes(Step(wrapped, extra=False)) == 4 * 33
        assert reduced_bytes(Step(wrapped, extra=True)) == 4 * (33 + 7)
    finally:
        distributed.destroy_process_group()


@pytest.fixture
def group():
    """Three ranks without processes, and the ends at which they would sit."""
    ranks = Ranks(3, MICRO, COMPARED)
    pairs = [Pipe() for _ in range(3)]
    ranks._ends = [mine for mine, _ in pairs]
    return ranks, [other for _, other in pairs]


def test_the_slowest_rank_counts(group):
    ranks, others = group
    for other, figure in zip(others, (2.0, 5.0, 3.0), strict=True):
        other.send((True, figure))
    assert ranks.seconds('MixPro') == 5.0
    assert [other.recv() for other in others] == [('seconds', 'MixPro')] * 3


def test_a_rank_that_fails_is_heard_while_others_wait_for_it(group):
    ranks, others = group
    others[2].send((False, 'FloatingPointError: the loss of MixPro is nan after 1 steps'))
    with pytest.raises(RuntimeError, match='rank 2 of 3: FloatingPointError: the loss of MixPro is nan'):
        ranks.peak_bytes('MixPro')


def test_a_rank_that_is_killed_is_missed(group):
    ranks, others = group
    others[0].send((True, 1))
    others[1].close()
    with pytest.raises(RuntimeError, match='rank 1 of 3: its process ended'):
        ranks._answers()


def test_a_rank_that_is_killed_between_two_orders_is_missed(group):
    """Whether its end is gone before the order comes, or with the order unread."""
    ranks, others = group
    others[1].close()
    with pytest.raises(RuntimeError, match=r'^rank 1 of 3: its process ended$'):
        ranks.seconds('MixPro')
    assert others[2].recv() == ('seconds', 'MixPro')  # those behind it were asked as well
    ranks._ends[2].send('an order')
    others[2].close()
    ranks._ends, ranks.count = ranks._ends[2:], 1
    with pytest.raises(RuntimeError, match=r'^rank 0 of 1: its process ended$'):
        ranks._answers()


def test_the_last_words_of_a_rank_are_heard_though_it_takes_no_more_orders(group):
    ranks, others = group
    others[1].send((False, 'MemoryError: no more'))
    others[1].close()
    with pytest.raises(RuntimeError, match=r'^rank 1 of 3: MemoryError: no more$'):
        ranks.seconds('MixPro')


def test_gpus_bound_the_number_of_ranks(monkeypatch):
    """No GPU is touched: the cases are looked at before anything is built."""
    seen = []
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    monkeypatch.setattr(growth, 'growth_cases', lambda settings, ranks: seen.append(ranks) or {})
    monkeypatch.setattr(growth, 'interleave', lambda *args: {})
    assert measure_growth(SimpleNamespace(device='cuda', seed=0), 1, 1.0, quiet) == []
    assert seen == [[1, 2]]
