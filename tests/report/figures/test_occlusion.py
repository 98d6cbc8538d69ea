"""Tests of the figures of occlusion."""

import json

import numpy as np
import pytest

from mixpro_mm.report.figures.occlusion import occlusion_bands, occlusion_curves, read_occlusion
from mixpro_mm.report.visualize import main

DINO = dict(saliency=dict(checkpoint='a/dino.pth'), saliency_head=1, saliency_sha256='0123456789' * 6)
OWN = dict(saliency='self', saliency_head='mean', saliency_sha256=None)
MODES = ('random', 'salient', 'non-salient')


def record(label, shift=0.0, std=None, protocol='naseer', grid=14, modes=MODES, checkpoint=None, **saliency):
    curves = {
        mode: [dict(information_loss=loss, top1=80 - number * 50 * loss + shift, std=std) for loss in (0.5, 0.0, 0.9)]
        for number, mode in enumerate(MODES) if mode in modes
    }  # fmt: skip
    settings = dict(protocol=protocol, grid=grid, **(saliency or DINO))
    return dict(kind='occlusion', label=label, settings=settings, curves=curves, checkpoint=checkpoint)


def lines(axes):
    return {line.get_label(): np.round(line.get_xydata(), 6).T.tolist() for line in axes.lines}


def test_three_panels_show_every_model(tmp_path, drawn):
    occlusion_curves([record('mixpro'), record('TransMix', -4)], tmp_path / 'a' / 'occlusion.png')
    random, salient, rest = drawn[0].axes
    x = [0, 50, 90]
    assert lines(random) == {'MixPro': [x, [80, 80, 80]], 'TransMix': [x, [76, 76, 76]]}
    assert lines(salient) == {'MixPro': [x, [80, 55, 35]], 'TransMix': [x, [76, 51, 31]]}
    assert lines(rest) == {'MixPro': [x, [80, 30, -10]], 'TransMix': [x, [76, 26, -14]]}
    shares = [axes.get_xlabel().split()[-1] for axes in drawn[0].axes]
    assert shares == ['patches)', 'attention)', 'attention)']
    assert drawn[0].get_supxlabel() == 'salient by attention of dino (01234567), head 1'


def test_deviations_and_panels_without_a_curve(tmp_path, drawn):
    first = record('a', std=2.0, protocol='count', modes=('random', 'salient'))
    occlusion_curves([first, record('b', protocol='count', modes=())], tmp_path / 'a.png')
    ends = drawn[0].axes[0].containers[0].lines[2][0].get_segments()
    assert [(end[0][1], end[1][1]) for end in ends] == [(78, 82)] * 3
    assert {axes.get_xlabel().split()[-1] for axes in drawn[0].axes} == {'patches)'}
    assert drawn[0].axes[2].get_title(loc='left') == 'Non-salient patches: not measured'


def test_the_note_names_the_attention_that_defines_salient_patches(tmp_path, drawn):
    records = [record('mixpro'), record('b'), record('c', **OWN), record('d', modes=['random'])]
    for shown in (records, records[2:3], records[3:]):
        occlusion_curves(shown, tmp_path / 'a.png')
    own = "salient by each model's own attention, mean of heads"
    first = f'MixPro, b: salient by attention of dino (01234567), head 1; c: {own}'
    assert [figure.get_supxlabel().replace('\n', ' ') for figure in drawn] == [first, own, '']


def test_names_are_labels_or_folders_of_checkpoints(tmp_path, drawn):
    same = [record('digits', checkpoint=f'/w/deit_{name}_s0/epoch_9.pth') for name in ('none', 'mixpro')]
    occlusion_curves(same, tmp_path / 'a.png')
    occlusion_curves([record('a'), record('b'), record('a'), record('a')], tmp_path / 'a.png')
    names = [list(lines(figure.axes[0])) for figure in drawn]
    assert names == [['no mixing', 'MixPro'], ['a', 'b', 'a (2)', 'a (3)']]


def test_different_protocols_or_grids_raise(tmp_path):
    for other, words in ((dict(protocol='count'), 'count on 14x14'), (dict(grid=7), 'naseer on 7x7')):
        with pytest.raises(ValueError, match=words):
            occlusion_curves([record('a'), record('b', **other)], tmp_path / 'a.png')
    with pytest.raises(ValueError, match='no occlusion test'):
        occlusion_curves([], tmp_path / 'a.png')
    assert not list(tmp_path.iterdir())


def test_bands_are_over_seeds_and_differences_paired_by_seed(tmp_path, drawn):
    values = dict(cutmix=((80, 60), (84, 62)), mixpro=((82, 66), (85, 63)))
    records = [
        dict(backbone='DeiT', metric='occlusion_random', pretraining=name, seed=seed, curve=[[0.0, a], [0.5, b]])
        for name, runs in values.items() for seed, (a, b) in enumerate(runs)
    ]  # fmt: skip
    other = dict(backbone='DeiT', metric='ece', pretraining='mixpro', seed=0)
    assert occlusion_bands([*records, other], tmp_path / 'a.png') == tmp_path / 'a.png'
    top1, minus = drawn[0].axes
    ends = [c.lines[0].get_ydata().tolist() for c in top1.containers]
    assert ends == [[82, 61], [83.5, 64.5]] and top1.get_title(loc='left') == 'Random patches, DeiT'
    bar = minus.containers[0].lines[2][0].get_segments()[1][:, 1]
    np.testing.assert_allclose(bar, [3.5 - 12.5**0.5, 3.5 + 12.5**0.5])  # of 6 and 1
    assert occlusion_bands([other], tmp_path / 'b.png') is None and not (tmp_path / 'b.png').exists()


@pytest.mark.parametrize(
    ('change', 'word'),
    [
        (dict(settings={}), 'protocol'),
        (dict(curves=None), 'NoneType'),
        (dict(curves=dict(salient=[dict(information_loss=0.5, top1=None, std=None)])), 'None is not a number'),
        (dict(kind='other'), 'kind'),
    ],
)
def test_an_incomplete_record_raises(tmp_path, change, word):
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(record('a', std=1.0)))
    assert read_occlusion(path) == record('a', std=1.0)
    path.write_text(json.dumps(record('a') | change))
    with pytest.raises(ValueError, match=rf'a\.json is not the result of an occlusion test.*{word}'):
        read_occlusion(path)
    with pytest.raises(FileNotFoundError, match='nowhere'):
        read_occlusion(tmp_path / 'nowhere.json')


def test_occlusion_is_written_in_both_kinds_under_the_names_given(tmp_path, capsys):
    for name in ('a', 'b'):
        (tmp_path / f'{name}.json').write_text(json.dumps(record(name)))
    words = [str(tmp_path / 'a.json'), f'MixPro={tmp_path / "b.json"}', '--out', str(tmp_path / 'o')]
    assert main(['occlusion', *words]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / 'o.png'), str(tmp_path / 'o.svg')]
    text = (tmp_path / 'o.svg').read_text()
    assert '<!-- MixPro -->' in text and '<!-- b -->' not in text
