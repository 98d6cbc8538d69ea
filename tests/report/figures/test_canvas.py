"""Tests of styles, output files and tables of images."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from mixpro_mm.report.figures import canvas


def test_a_method_has_one_color():
    def colors(*names):
        return {name: style['color'] for name, style in canvas.line_styles(names).items() if name != canvas.PAPER}

    assert colors('TransMix', 'MixPro', 'TransMix') == {'TransMix': '#009E73', 'MixPro': '#D55E00'}
    assert colors('no mixing', 'mixup_cutmix') == {'no mixing': '#595959', 'mixup_cutmix': '#0072B2'}  # the last one
    study = ('none', 'mixup', 'cutmix', 'transmix', 'tokenmix', 'maskmix', 'MixPro')
    for names in (study, ('attentive-cutmix', 'cutmix'), ('Ours', 'CutMix'), ('SMMix', 'a', 'MixPro', 'b')):
        assert len(set(colors(*names).values())) == len(names)
    assert set(colors('pvt MixPro', 'deit MixPro', 'MixPro').values()) == {'#D55E00'}
    styles = canvas.line_styles('abcdefg').values()
    assert len({(str(style['linestyle']), style['marker']) for style in styles}) == 8  # and that of the paper


def test_files_are_reproducible(tmp_path, monkeypatch):
    for kind, start in (('png', b'\x89PNG'), ('svg', b'<?xml')):
        for epoch in ('0', '1000000000'):
            monkeypatch.setenv('SOURCE_DATE_EPOCH', epoch)
            figure = Figure(figsize=(2, 1))
            figure.subplots().plot([1, 2])
            canvas.write_figure(figure, tmp_path / 'a' / f'{epoch}.{kind}', dpi=100)
        first, second = (tmp_path / 'a' / f'{epoch}.{kind}' for epoch in ('0', '1000000000'))
        assert first.read_bytes() == second.read_bytes() and first.read_bytes().startswith(start)
    assert Image.open(tmp_path / 'a' / '0.png').size == (200, 100)


def test_a_line_is_the_mean_over_runs():
    lines = canvas.over_runs([('b', {1: 1.0, 2: 5.0, 3: 9.0}), ('b', {2: 7.0, 1: 4.0}), ('a', {}), ('c', {4: 2.0})])
    assert list(lines) == ['b', 'c']
    np.testing.assert_allclose(lines['b'], [[1, 2, 3], [2.5, 6, 9], [4.5**0.5, 2**0.5, 0]])
    np.testing.assert_allclose(lines['c'], [[4], [2], [0]])


@pytest.mark.parametrize('width', canvas.WIDTHS.values())
def test_the_text_of_a_table_of_images_stays_inside_and_off_the_images(width):
    image, mask = np.full((8, 8, 3), 0.25), np.eye(8, dtype=bool)
    rows = [('partner', [image] * 4), ('mask', [mask] * 4), ('heat', [np.arange(64.0).reshape(8, 8)] * 4)]
    legend = dict.fromkeys('abcdefghi', (0, 0, 0))
    figure = canvas.image_table(rows, {0: ['2\n3'] * 4, 2: ['area 0.75\nx'] * 4}, width=width, legend=legend)
    FigureCanvasAgg(figure).draw()
    axes = figure.axes
    assert [axis.get_title() for axis in axes[:4]] == ['2\n3'] * 4
    assert (axes[8].get_ylabel(), axes[8].get_title()) == ('heat', 'area 0.75\nx')
    np.testing.assert_allclose(axes[4].images[0].to_rgba(axes[4].images[0].get_array())[..., 0], mask)  # white if true
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(legend)
    words = [*(text for axis in axes for text in (axis.title, axis.xaxis.label, axis.yaxis.label, *axis.texts))]
    words = [word.get_window_extent() for word in (*words, figure.legends[0]) if word.get_window_extent().width > 1]
    page, frames = figure.bbox.padded(1), [axis.get_window_extent() for axis in axes]
    assert all(page.contains(w.x0, w.y0) and page.contains(w.x1, w.y1) for w in words)
    assert not any(word.padded(-0.5).overlaps(frame) for word in words for frame in frames)
    assert min(frame.width for frame in frames) > 0.7 * (width - 1.4) / 4 * figure.dpi
