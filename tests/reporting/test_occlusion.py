import json

import numpy as np
import pytest
from PIL import Image

from mixpro_mm.reporting import occlusion


@pytest.fixture
def drawn(monkeypatch):
    """Every figure as it is written."""
    seen = []
    write = occlusion._write
    monkeypatch.setattr(occlusion, '_write', lambda figure, path: seen.append(figure) or write(figure, path))
    return seen


def record(label, shift=0.0, std=None, protocol='naseer', grid=14, modes=('random', 'salient', 'non-salient')):
    def curve(sign):
        losses = [0.5, 0.0, 0.9]  # in no order
        return [dict(information_loss=loss, top1=80 - sign * 50 * loss + shift, std=std) for loss in losses]

    curves = {mode: curve(number) for number, mode in enumerate(('random', 'salient', 'non-salient')) if mode in modes}
    return dict(kind='occlusion', label=label, settings=dict(protocol=protocol, grid=grid), curves=curves)


def lines(axes):
    return {c.get_label(): (list(c.lines[0].get_xdata()), list(c.lines[0].get_ydata())) for c in axes.containers}


def test_three_panels_show_every_model_by_information_loss(tmp_path, drawn):
    path = occlusion.occlusion_curves([record('mixpro'), record('TransMix', -4)], tmp_path / 'a' / 'occlusion.png')
    random, salient, rest = drawn[0].axes
    x = [0, 50, 90]
    assert lines(random) == {'MixPro': (x, [80, 80, 80]), 'TransMix': (x, [76, 76, 76])}
    assert lines(salient) == {'MixPro': (x, [80, 55, 35]), 'TransMix': (x, [76, 51, 31])}
    assert lines(rest) == {'MixPro': (x, [80, 30, -10]), 'TransMix': (x, [76, 26, -14])}
    titles = [axes.get_title(loc='left') for axes in drawn[0].axes]
    assert titles == ['Random patches', 'Salient patches', 'Non-salient patches']
    shares = [axes.get_xlabel() for axes in drawn[0].axes]
    assert shares == ['% of the patches', '% of the attention', '% of the attention']
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ['MixPro', 'TransMix']
    with Image.open(path) as image:
        assert image.format == 'PNG' and image.width == 1080 and np.asarray(image.convert('L')).std() > 5


def test_counts_are_plotted_by_patches_and_what_is_missing_is_said(tmp_path, drawn):
    occlusion.occlusion_curves([record('a', protocol='count', modes=('random', 'salient'))], tmp_path / 'a.png')
    assert {axes.get_xlabel() for axes in drawn[0].axes} == {'% of the patches'}
    assert [[text.get_text() for text in axes.texts] for axes in drawn[0].axes] == [[], [], ['not measured']]


def test_bars_are_the_deviation_over_runs(tmp_path, drawn):
    occlusion.occlusion_curves([record('a', std=2.0), record('b')], tmp_path / 'a.png')
    with_bars, without = drawn[0].axes[0].containers
    ends = with_bars.lines[2][0].get_segments()
    assert [(end[0][1], end[1][1]) for end in ends] == [(78, 82)] * 3
    assert not without.lines[2]


def test_models_of_one_name_stay_apart(tmp_path, drawn):
    occlusion.occlusion_curves([record('a'), record('b'), record('a', 1), record('a', 2)], tmp_path / 'a.png')
    containers = drawn[0].axes[0].containers
    assert [container.get_label() for container in containers] == ['a', 'b', 'a (2)', 'a (3)']
    assert len({container.lines[0].get_color() for container in containers}) == 4


def test_tests_of_different_kinds_share_no_axis(tmp_path):
    with pytest.raises(ValueError, match='share no axis: count on 14x14 patches, naseer on 14x14 patches'):
        occlusion.occlusion_curves([record('a'), record('b', protocol='count')], tmp_path / 'a.png')
    with pytest.raises(ValueError, match='naseer on 7x7 patches'):
        occlusion.occlusion_curves([record('a'), record('b', grid=7)], tmp_path / 'a.png')
    with pytest.raises(ValueError, match='no occlusion test to draw'):
        occlusion.occlusion_curves([], tmp_path / 'a.png')
    assert not list(tmp_path.iterdir())


def test_files_are_drawn_from_the_command_line(tmp_path, drawn, capsys):
    for name in ('a', 'b'):
        (tmp_path / f'{name}.json').write_text(json.dumps(record(name)))
    occlusion.main([str(tmp_path / 'out.png'), str(tmp_path / 'a.json'), f'Ours={tmp_path / "b.json"}'])
    assert list(lines(drawn[0].axes[0])) == ['a', 'Ours']
    assert capsys.readouterr().out.strip() == str(tmp_path / 'out.png')
    (tmp_path / 'c.json').write_text('{"kind": "other"}')
    for bad in ('c.json', 'nowhere.json'):
        with pytest.raises(SystemExit) as end:
            occlusion.main([str(tmp_path / 'bad.png'), str(tmp_path / bad)])
        assert end.value.code == 1
        assert capsys.readouterr().err == f'{tmp_path / bad} is not the result of an occlusion test\n'
    assert not (tmp_path / 'bad.png').exists()
