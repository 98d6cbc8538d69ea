"""Keys and what is drawn under them."""

import itertools
import random

import numpy as np
import pytest
import torch

from mixpro_mm.hooks.randomness import Purpose, seed_generators
from tests.randomness import kit


def drawn(*key, count=1):
    """What each generator gives first under a key."""
    seed_generators(*key)
    python, of_numpy = [random.random() for _ in range(count)], np.random.random(count).tolist()  # noqa: NPY002
    return python, of_numpy, torch.rand(count, dtype=torch.float64).tolist()


def test_a_key_gives_the_same_numbers_whatever_was_drawn_before():
    first = drawn(3, 1, 20, Purpose.STEP, count=5)
    kit.disturb()
    assert drawn(3, 1, 20, Purpose.STEP, count=5) == first


def test_frozen_numbers():
    """Checkpoints out in the world go on with these: they may change only with a release that says so."""
    python, of_numpy, of_torch = drawn(0, 1, 2, Purpose.STEP)
    assert (python, of_numpy, of_torch) == ([0.5371212782631095], [0.053279515701455726], [0.9356189959440572])


def test_every_part_of_the_key_matters_and_no_stream_is_another_shifted():
    """Under ``seed + rank + iteration`` most of these keys would share their streams."""
    keys = itertools.product(range(3), range(4), range(30), Purpose)
    firsts = [drawn(*key, count=3) for key in keys]
    for generator in range(3):
        values = [value for first in firsts for value in first[generator]]
        assert len(set(values)) == len(values) == 3 * 4 * 30 * 2 * 3


@pytest.mark.parametrize('generator', range(3), ids=['python', 'numpy', 'torch'])
def test_numbers_of_neighbouring_keys_are_independent(generator):
    """First draws over 2,000 iterations and 2 ranks: uniform by their deciles, uncorrelated by rank and iteration."""
    values = np.array([[drawn(0, rank, n, Purpose.STEP)[generator][0] for n in range(2000)] for rank in range(2)])
    counts = np.histogram(values, bins=10, range=(0, 1))[0]
    assert ((counts - 400) ** 2 / 400).sum() < 30  # chi-square of 9 degrees of freedom: 0.0004 of all seeds exceed it
    for one, other in [(values[0], values[1]), (values[0, 1:], values[0, :-1]), (values[0, 1:], values[1, :-1])]:
        assert abs(np.corrcoef(one, other)[0, 1]) < 4 / np.sqrt(2000)


def test_negative_numbers_are_refused():
    with pytest.raises(ValueError):
        seed_generators(-1, 0, 0, Purpose.STEP)


def test_the_gpu_is_seeded_where_cuda_is_in_use(monkeypatch):
    seeds = []
    monkeypatch.setattr(torch.cuda, 'manual_seed', seeds.append)
    seed_generators(0, 0, 0, Purpose.STEP)
    assert seeds == []
    monkeypatch.setattr(torch.cuda, 'is_initialized', lambda: True)
    seed_generators(0, 0, 0, Purpose.STEP)
    assert seeds == [torch.initial_seed()]
