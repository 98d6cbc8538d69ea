"""Timing of the ops of mmcv, with an imitation of compiled ones."""

import sys
from types import SimpleNamespace

import pytest

from mixpro_mm.benchmark import ops
from mixpro_mm.utils.mmcv_ops import extension

NAMES = ('nms', 'roi_align_forward', 'roi_align_backward')


@pytest.fixture
def clock(bench, monkeypatch):
    """Seconds that pass only in ops: 2 in those by torchvision."""
    passed = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(bench, 'now', lambda: passed.seconds)
    monkeypatch.setattr(ops, 'BOXES', (20,))
    monkeypatch.setattr(ops, 'REGIONS', (4,))
    own = {name: getattr(extension, name) for name in NAMES}

    def lasting(name, seconds):
        def op(*args, **kwargs):
            passed.seconds += seconds
            return own[name](*args, **kwargs)

        return op

    for name in NAMES:
        monkeypatch.setattr(extension, name, lasting(name, 2))
    return lasting


def compiled_for(monkeypatch, cuda, clock):
    source = {name: clock(name, 4) for name in NAMES}
    source = SimpleNamespace(__file__='_ext.so', get_compiling_cuda_version=lambda: cuda, **source)
    monkeypatch.setitem(sys.modules, 'mmcv._ext', source)
    return source


def test_ops_are_compared_with_compiled_ones(bench, clock, monkeypatch):
    compiled_for(monkeypatch, 'not available', clock)
    rows = ops.ops(bench)
    assert [(row['op'], row['boxes'], row.get('bins')) for row in rows] == [
        ('nms', 20, None),
        ('roi_align', 4, '7 x 7'),
        ('roi_align forward and backward', 4, '7 x 7'),
        ('roi_align', 4, '14 x 14'),
        ('roi_align forward and backward', 4, '14 x 14'),
    ]
    assert [row['median_s'] for row in rows] == [2, 2, 4, 2, 4]
    assert [row['ratio_to_compiled'] for row in rows] == pytest.approx([0.5] * 5)


def test_without_compiled_ops_there_is_no_ratio(bench, clock, monkeypatch):
    monkeypatch.setitem(sys.modules, 'mmcv._ext', extension)
    assert [(row['median_s'], 'ratio_to_compiled' in row) for row in ops.ops(bench)] == [
        (t, False) for t in (2, 2, 4, 2, 4)
    ]


@pytest.mark.parametrize(('cuda', 'used'), [('not available', False), ('13.0', True)])
def test_ops_that_were_compiled_without_cuda_are_left_out_on_cuda(cuda, used, clock, monkeypatch):
    source = compiled_for(monkeypatch, cuda, clock)
    assert ops._compiled(SimpleNamespace(type='cuda')) is (source if used else None)
