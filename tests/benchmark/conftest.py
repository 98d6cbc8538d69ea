"""A small classifier with 64 patches of 4 px and a class token."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from mixpro_mm.benchmark import loading
from mixpro_mm.benchmark.workbench import Workbench
from tests.datasets.conftest import tiny_fashion  # noqa: F401

MICRO = str(Path(__file__).parents[2] / 'configs' / 'digits' / 'deit-micro_mixpro_digits.py')


def shorten_loading(monkeypatch):
    """Load few and small images."""
    for name, value in dict(SIZES=((80, 60), (40, 50)), IMAGES=4, WORKERS=(1,), BATCHES=1, BATCH=2, MANY=20).items():
        monkeypatch.setattr(loading, name, value)


@pytest.fixture
def settings():
    numbers = dict(size=32, batch=4, alone_batch=6, classes=10, rounds=3, minutes=1.0, seed=0, threads=1)
    return SimpleNamespace(backbone=MICRO, device='cpu', amp='none', clock='wall', **numbers)


@pytest.fixture
def bench(settings):
    return Workbench(settings)
