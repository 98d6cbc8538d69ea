"""A classifier small enough to be timed in a test."""

import pytest

from mixpro_mm.benchmark.models import BACKBONES
from mixpro_mm.benchmark.workbench import Settings, Workbench

MICRO = dict(
    backbone=dict(
        type='VisionTransformer',
        arch=dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=48),
        patch_size=8,
        drop_path_rate=0.1,
    ),
    head=dict(type='VisionTransformerClsHead', in_channels=32),
)


@pytest.fixture(autouse=True)
def micro(monkeypatch):
    """36 patches and a class token for images of 48 pixels."""
    monkeypatch.setitem(BACKBONES, 'micro', MICRO)


@pytest.fixture
def settings():
    return Settings(backbone='micro', size=48, batch=4, alone_batch=6)


@pytest.fixture
def bench(settings):
    return Workbench(settings)
