"""Records of every section: what they hold, and that figures follow from the seconds of the clock."""

import itertools
import platform
import resource
import subprocess
import sys

import pytest
import torch

from mixpro_mm.benchmark import compiled
from mixpro_mm.benchmark.allocator import reused_memory
from mixpro_mm.benchmark.compiled import WARM_UP, measure_compiled
from mixpro_mm.benchmark.methods import METHODS, method_names
from mixpro_mm.benchmark.parts import WHERE, measure_labelling, measure_mixing
from mixpro_mm.benchmark.progress import Progress, format_duration
from mixpro_mm.benchmark.scaling import measure_scaling, scaling_sizes
from mixpro_mm.benchmark.training import PARTS, measure_memory, measure_steps
from mixpro_mm.benchmark.workbench import Session


def quiet(done, total):
    """Reports to nobody."""


def fake_times(monkeypatch, seconds):
    """Each turn of a method takes ``seconds[name]``, a list by the number of the turn, with and without update."""
    turns = {name: itertools.count() for name in seconds}

    def turn(session, batch=None):
        row = seconds[session.name]
        value = row[next(turns[session.name]) % len(row)]
        return value, 2 * value

    monkeypatch.setattr(Session, 'turn', turn)


def test_steps_become_speed_and_paired_ratio(bench, monkeypatch):
    fake_times(monkeypatch, dict(CutMix=[9.0, 1.0, 2.0, 4.0], MixPro=[9.0, 1.5, 3.0, 5.0]))
    records = measure_steps(bench, ['CutMix', 'MixPro'], 3, 1e9, quiet)
    assert [(r['method'], r['part']) for r in records] == [(n, p) for p in PARTS for n in ('CutMix', 'MixPro')]
    cutmix, mixpro, _, update = records
    assert cutmix['ratio_to_cutmix'] == 1
    assert mixpro['rounds'] == 3
    assert mixpro['median_s'] == 3.0  # the first round is not among them
    assert mixpro['images_per_s'] == 4 / 3
    assert (mixpro['ratio_to_cutmix_low'], mixpro['ratio_to_cutmix'], mixpro['ratio_to_cutmix_high']) == (
        1.25,
        1.5,
        1.5,
    )
    assert update['median_s'] == 6.0
    assert mixpro['parameters_millions'] == sum(p.numel() for p in bench.model.parameters()) / 1e6
    alone = measure_steps(bench, ['MixPro'], 1, 1e9, quiet)
    assert not any('ratio' in key for key in alone[0])


def test_memory_names_its_peak_and_finds_no_map(bench):
    told = []
    records = measure_memory(bench, ['CutMix', 'MixPro'], lambda *counts: told.append(counts))
    assert told == [(1, 2), (2, 2)]
    cutmix, mixpro = records
    weights = 4 * sum(p.numel() for p in bench.model.parameters()) / 2**20
    assert 3 * weights < cutmix['peak_mib'] < 3 * weights + 20  # weights, two moments; gradients and activations
    assert mixpro['ratio_to_cutmix'] == mixpro['peak_mib'] / cutmix['peak_mib']
    assert (mixpro['attention_maps'], mixpro['attention_maps_from']) == (0, [])


def test_mixing_is_held_against_plain_torch(bench, monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(bench.watch, 'clock', lambda: float(next(ticks)))  # every piece of work takes a second
    records = measure_mixing(bench, ['Baseline', 'CutMix', 'MaskMix', 'MixPro'], 3, 1e9, quiet)
    assert [record['method'] for record in records] == ['CutMix', 'MaskMix', 'MixPro', WHERE]
    assert {record['memory'] for record in records} == {'reused' if platform.libc_ver()[0] == 'glibc' else 'usual'}
    for record in records:
        assert (record['batch_images'], record['size_px'], record['rounds']) == (6, 48, 3)
        assert record['median_s'] == record['ratio_to_where'] == record['ratio_to_where_low'] == 1


def test_plain_torch_gets_a_mask_of_cells(bench, monkeypatch):
    """torch.where takes half as long again where the mask changes from pixel to pixel."""
    masks, where = [], torch.where
    monkeypatch.setattr(torch, 'where', lambda mask, a, b: masks.append(mask) or where(mask, a, b))
    measure_mixing(bench, ['CutMix'], 1, 1e9, quiet)
    for mask in masks:
        assert (mask.shape, mask.is_contiguous()) == ((6, 1, 48, 48), True)
        cells = mask[:, 0, ::32, ::32]  # 4 patches of 8 pixels
        assert (cells.flatten(1).sum(1) == 2).all()
        assert torch.equal(mask[:, 0], cells.repeat_interleave(32, 1).repeat_interleave(32, 2)[:, :48, :48])


PAGES = """
import resource, torch
from mixpro_mm.benchmark.allocator import reused_memory

def pages(blocks=20):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(blocks):
        torch.ones(2**26, dtype=torch.uint8)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / blocks

usual = pages()
with reused_memory(torch.device('cpu')) as reused:
    print(usual, pages(), reused)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='other allocators have other rules')
def test_memory_is_reused_meanwhile():
    """New pages for each of many blocks, every one freed before the next; in a process whose heap is still small."""
    shown = subprocess.run([sys.executable, '-c', PAGES], capture_output=True, text=True, check=True).stdout
    usual, meanwhile, reused = shown.split()
    pages = 2**26 / resource.getpagesize()
    assert reused == 'True'
    assert float(usual) > 0.9 * pages
    assert float(meanwhile) < 0.3 * pages  # two or three places are found anew


def test_memory_of_a_gpu_is_always_reused():
    with reused_memory(torch.device('cuda')) as reused:
        assert reused


def test_labelling_is_held_against_the_fastest_step(bench, monkeypatch):
    fake_times(monkeypatch, dict(MixPro=[50.0, 40.0, 30.0]))
    ticks = itertools.count()
    monkeypatch.setattr(bench.watch, 'clock', lambda: float(next(ticks)))
    records = measure_labelling(bench, ['Baseline', 'MaskMix', 'TransMix', 'PuzzleMix', 'MixPro'], 2, 1e9, quiet)
    assert [record['method'] for record in records] == ['TransMix', 'MixPro']  # those with attention labels
    for record in records:
        assert (record['attention_median_s'], record['median_s'], record['step_s']) == (1, 2, 40)
        assert record['share_of_step'] == 2 / 40
    assert measure_labelling(bench, ['Baseline', 'MaskMix'], 2, 1e9, quiet) == []


def test_sizes_to_scale_by():
    assert scaling_sizes(64, 224) == dict(
        batch=[(64, 224), (128, 224), (256, 224)], pixels=[(64, 224), (64, 320), (64, 448)]
    )


def test_scaling_fits_a_power_to_three_sizes_each(bench, monkeypatch):
    """Made-up seconds: mixing grows with the pixels, labelling with the root of the batch and not with the side."""
    monkeypatch.setattr(
        'mixpro_mm.benchmark.alone.MixingAlone.seconds', lambda work: work.images[:, 0].numel() / 1e6, raising=True
    )
    monkeypatch.setattr('mixpro_mm.benchmark.alone.LabellingAlone.seconds', lambda work: [0.0, len(work.logits) ** 0.5])
    records = measure_scaling(bench, 1, 1e9, quiet)
    powers = {(r['what'], r['along']): r['exponent'] for r in records}
    assert powers == {
        ('mixing', 'batch'): pytest.approx(1),
        ('mixing', 'pixels'): pytest.approx(1),
        ('labelling', 'batch'): pytest.approx(0.5),
        ('labelling', 'pixels'): pytest.approx(0, abs=1e-9),
    }
    assert [(r['batch_images'], r['size_px']) for r in records[:6]] == [
        *((6, 48), (12, 48), (24, 48)),
        *((6, 64), (6, 64), (6, 96)),
    ]
    assert all(r['nanoseconds_per_pixel'] == pytest.approx(1000) for r in records if r['what'] == 'mixing')


class Steps:
    """Stands in for a session whose model is compiled anew for every new word."""

    def __init__(self, words, model):
        self.words, self.bench = iter(words), type('Bench', (), dict(model=model, optim=model))

    def step(self):
        self.bench.model.train_step(torch.ones(3), next(self.words))
        return 0.5, 1.0


class Model:
    watch = None

    def train_step(self, x, word):
        return x * len(word)


def test_compilations_after_the_warm_up_are_counted():
    same = compiled._compiled(Steps(['a'] * (WARM_UP + 3), Model()), 'eager', 3)
    assert same == dict(
        works=True, warm_up_s=WARM_UP, compiled_median_s=1.0, compilations_in_warm_up=1, compilations_after=0
    )
    ever_new = compiled._compiled(Steps('abcdefgh', Model()), 'eager', 3)
    assert (ever_new['compilations_in_warm_up'], ever_new['compilations_after']) == (WARM_UP, 3)


def test_compilations_are_counted_where_torch_would_give_up():
    """By default it stays eager from the ninth on."""
    words = [chr(97 + n) for n in range(WARM_UP + 16)]
    assert compiled._compiled(Steps(words, Model()), 'eager', 16)['compilations_after'] == 16


def test_a_step_that_cannot_be_compiled_is_told_in_a_line():
    model = Model()
    result = compiled._compiled(Steps('aaaa', model), 'no such backend', 3)
    assert not result['works']
    assert result['error'].startswith('InvalidBackend: ')
    assert '\n' not in result['error']
    assert 'train_step' not in vars(model)


def test_every_method_is_compiled_as_the_host_does_it(bench, monkeypatch):
    """torch.compile itself is left out here: it takes half a minute for a classifier."""
    asked = []
    monkeypatch.setattr(
        torch, 'compile', lambda function, backend: asked.append((function, backend, bench.optim.watch)) or function
    )
    records = measure_compiled(bench, 'eager', 2, quiet)
    assert asked == [(bench.model.train_step, 'eager', None)] * 4  # a mark of the watch would break the graph
    assert [record['method'] for record in records] == ['Baseline', 'CutMix', 'MaskMix', 'MixPro']
    for record in records:
        assert record['works']
        assert (record['compilations_in_warm_up'], record['compilations_after']) == (0, 0)
        assert min(record['eager_median_s'], record['compiled_median_s']) > 0
    assert 'train_step' not in vars(bench.model)
    assert bench.optim.watch is bench.watch


def test_methods_come_in_the_order_of_the_paper():
    assert method_names(['MixPro', 'CutMix', 'MixPro']) == ['CutMix', 'MixPro']
    assert method_names(['all']) == list(METHODS)
    with pytest.raises(ValueError, match="method 'CowMix' is unknown; known: Baseline, Mixup, "):
        method_names(['CutMix', 'CowMix'])


def test_configs_of_methods_are_fresh_and_know_the_patch():
    config = METHODS['MixPro'].config(14)
    assert config == dict(type='mixpro_mm.MixPro', patch_size=14)
    config['alpha'] = 2.0
    assert 'alpha' not in METHODS['MixPro'].config(14)
    assert METHODS['CutMix'].config(14) == dict(type='CutMix', alpha=1.0)
    assert METHODS['Baseline'].config(14) is None


def test_time_left_is_bounded_by_the_budgets(capsys):
    progress = Progress(dict(step=100.0, memory=20.0, mixing=10.0))
    progress.begin('memory')
    assert capsys.readouterr().err == 'memory, at most about 0:30 left\n'  # that of step was not used
    assert progress.seconds_left(0.25, 2.0) == 10 + 6  # the rest at the pace so far
    assert progress.seconds_left(0.25, 12.0) == 10 + 8  # no more than the budget
    assert progress.seconds_left(0.5, 50.0) == 10
    assert format_duration(125) == '2:05'
