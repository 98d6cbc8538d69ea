"""Whose turn it is, how often, and when it is over."""

import itertools

import pytest
import torch

from mixpro_mm.benchmark import rounds
from mixpro_mm.benchmark.rounds import LEAST_ROUNDS, interleave
from mixpro_mm.benchmark.stopwatch import CLOCKS, Stopwatch

NAMES = 'abc'


def play(count, **kwargs):
    """Calls in their order, and what was kept; a task gives the number of its call."""
    calls, counters = [], {name: itertools.count() for name in NAMES}

    def task(name):
        calls.append(name)
        return next(counters[name])

    kept = interleave({name: lambda name=name: task(name) for name in NAMES}, count, **kwargs)
    return [tuple(calls[i : i + len(NAMES)]) for i in range(0, len(calls), len(NAMES))], kept


def test_every_round_has_every_task_once_and_orders_change():
    orders, _ = play(60, seed=1)
    assert len(orders) == 61
    assert all(sorted(order) == list(NAMES) for order in orders)
    assert set(orders) == set(itertools.permutations(NAMES))
    first = [order[0] for order in orders]
    assert all(10 < first.count(name) < 31 for name in NAMES)  # 20.3 of 61, give or take 3.7


def test_the_first_round_is_thrown_away_and_rounds_stay_paired():
    _, kept = play(4)
    assert kept == {name: [1, 2, 3, 4] for name in NAMES}


def test_the_seed_decides_the_orders():
    assert play(9, seed=3)[0] == play(9, seed=3)[0] != play(9, seed=4)[0]


def test_a_budget_ends_it_after_the_least_number_of_rounds(monkeypatch):
    seconds = itertools.count()
    monkeypatch.setattr(rounds.time, 'perf_counter', lambda: next(seconds))  # a second a look
    assert len(play(50, budget_s=0)[1]['a']) == LEAST_ROUNDS
    assert len(play(2, budget_s=0)[1]['a']) == 2
    assert len(play(50, budget_s=10)[1]['a']) == LEAST_ROUNDS + 10
    assert len(play(50)[1]['a']) == 50


def test_rounds_are_told():
    told = []
    play(3, report=lambda *counts: told.append(counts))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize('clock', ['wall', 'cpu'])
def test_the_stopwatch_counts_from_its_start(clock, monkeypatch):
    ticks = iter([10.0, 12.0, 15.5, 100.0, 101.0])
    monkeypatch.setitem(CLOCKS, clock, lambda: next(ticks))
    watch = Stopwatch(torch.device('cpu'), clock)
    watch.start()
    watch.mark()
    watch.mark()
    assert watch.seconds() == [2.0, 5.5]
    watch.start()
    watch.mark()
    assert watch.seconds() == [1.0]
