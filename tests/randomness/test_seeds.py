"""Random numbers by key."""

import itertools
import random

import numpy as np
import torch

from mixpro_mm.hooks.randomness import Purpose, seed_generators
from tests.randomness import kit


def drawn(*key, count=1):
    """Return the first numbers of each generator for a key."""
    seed_generators(*key)
    python, of_numpy = [random.random() for _ in range(count)], np.random.random(count).tolist()  # noqa: NPY002
    return python, of_numpy, torch.rand(count, dtype=torch.float64).tolist()


def test_a_key_gives_the_same_numbers_whatever_was_drawn_before():
    first = drawn(3, 1, 20, Purpose.STEP, count=5)
    kit.disturb()
    assert drawn(3, 1, 20, Purpose.STEP, count=5) == first


def test_frozen_numbers():
    """Existing checkpoints depend on these numbers; a change needs a release note."""
    python, of_numpy, of_torch = drawn(0, 1, 2, Purpose.STEP)
    assert (python, of_numpy, of_torch) == ([0.5371212782631095], [0.053279515701455726], [0.9356189959440572])


def test_every_part_of_the_key_matters_and_no_stream_is_another_shifted():
    """With ``seed + rank + iteration`` most keys would share streams."""
    keys = itertools.product(range(3), range(4), range(30), Purpose)
    firsts = [drawn(*key, count=3) for key in keys]
    for generator in range(3):
        values = [value for first in firsts for value in first[generator]]
        assert len(set(values)) == len(values) == 3 * 4 * 30 * 2 * 3


def test_the_gpu_is_seeded_where_cuda_is_in_use(monkeypatch):
    seeds = []
    monkeypatch.setattr(torch.cuda, 'manual_seed', seeds.append)
    seed_generators(0, 0, 0, Purpose.STEP)
    assert seeds == []
    monkeypatch.setattr(torch.cuda, 'is_initialized', lambda: True)
    seed_generators(0, 0, 0, Purpose.STEP)
    assert seeds == [torch.initial_seed()]
