"""Tests of the figures of occlusion."""

from pathlib import Path

import numpy as np
import pytest

from mixpro_mm.report.figures.results import occlusion_figure
from mixpro_mm.report.visualize import main
from tests.report.made_up import occlusion, write


def lines(axes):
    return {line.get_label(): np.round(line.get_xydata(), 6).T.tolist() for line in axes.lines}


def test_every_test_is_a_line_in_each_panel(tmp_path, drawn):
    for name in ('mixpro', 'b', 'c_s0', 'c_s1'):
        write(tmp_path / f'{name}.json', occlusion('any.py', name, whole=60.0 if name == 'c_s1' else 90.0))
    words = [str(tmp_path / f'{name}.json') for name in ('mixpro', 'c_s0', 'c_s1')]
    assert main(['occlusion', *words, f'Ours={tmp_path / "b.json"}', '--out', str(tmp_path / 'o.png')]) == 0
    titles = [axes.get_title(loc='left') for axes in drawn[0].axes]
    assert titles == ['Random patches', 'Salient patches', 'Non-salient patches']
    x, y = [0, 25, 50, 75], np.array([90, 67.5, 45, 22.5])
    for axes in drawn[0].axes:
        assert lines(axes) == {'MixPro': [x, y.tolist()], 'c': [x, (y * 5 / 6).tolist()], 'Ours': [x, y.tolist()]}


def test_equal_names_of_folders(tmp_path, drawn, capsys):
    words = [f'{tmp_path}/{name}.json' for name in ('k/run/a', 'm/run/a', 'm/run/b')]
    for i, word in enumerate(map(Path, words)):
        write(word, occlusion('any.py', 'any', checkpoint=f'{word.parent}/e.pth', whole=60.0 + i))
    assert main(['occlusion', *words[:2], '--out', str(tmp_path / 'o.png')]) == 0
    assert {name: y[0] for name, (_, y) in lines(drawn[0].axes[0]).items()} == {'k': 60, 'm': 61}
    assert main(['occlusion', *words, '--out', str(tmp_path / 'o.png')]) == 1
    assert 'two curves of m with seed' in capsys.readouterr().err


def test_files_that_share_no_axis(tmp_path, capsys):
    words = [str(write(tmp_path / f'{grid}.json', occlusion('a.py', grid=grid))) for grid in (14, 7)]
    assert main(['occlusion', *words, '--out', str(tmp_path / 'o.png')]) == 1
    assert 'naseer, 14 patches a side; naseer, 7 patches a side' in capsys.readouterr().err


def test_bands_are_over_seeds_and_differences_paired_by_seed(drawn):
    values = dict(cutmix=((80, 60), (84, 62)), mixpro=((82, 66), (85, 63)))
    records = [
        dict(backbone='DeiT', metric='occlusion_random', pretraining=name, seed=seed, curve=[[0.0, a], [0.5, b]])
        for name, runs in values.items() for seed, (a, b) in enumerate(runs)
    ]  # fmt: skip
    top1, minus = occlusion_figure([*records, dict(backbone='DeiT', metric='ece')]).axes
    assert lines(top1) == {'CutMix': [[0, 50], [82, 61]], 'MixPro': [[0, 50], [83.5, 64.5]]}
    assert top1.get_title(loc='left') == 'Random patches, DeiT'
    assert lines(minus) == {'CutMix': [[0, 50], [0, 0]], 'MixPro': [[0, 50], [1.5, 3.5]]}
    band = minus.collections[1].get_paths()[0].vertices
    edges = sorted({y for x, y in band.round(6).tolist() if x == 50})
    assert edges == pytest.approx([3.5 - 12.5**0.5, 3.5 + 12.5**0.5], abs=1e-5)  # of 6 and 1
