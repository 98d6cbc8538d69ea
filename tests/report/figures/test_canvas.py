"""Tests of styles, output files and tables of images."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from mixpro_mm.report.figures import canvas

# Machado et al., A physiologically-based model for simulation of color vision deficiency, 2009, severity 1; linear RGB
VISIONS = {
    'normal': np.eye(3),
    'protan': [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    'deutan': [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    'tritan': [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(hexadecimal, vision):
    """Convert an sRGB colour to CIELAB, as seen with a kind of colour vision."""
    rgb = np.array([int(hexadecimal[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(VISIONS[vision]) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen
    xyz = xyz / [0.9505, 1, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize('vision', VISIONS)
def test_methods_differ_in_colour_for_all_kinds_of_vision(vision):
    names = ('scratch', 'none', 'cutmix', 'transmix', 'tokenmix', 'maskmix', 'mixpro')
    styles = canvas.line_styles(names)
    colors = [lab(styles[name]['color'], vision) for name in names]
    assert min(np.linalg.norm(a - b) for place, a in enumerate(colors) for b in colors[:place]) > 15  # 2.3 is visible
    for key in ('marker', 'linestyle'):
        assert len({str(styles[name][key]) for name in names}) == 7


def test_a_method_has_one_colour():
    def colors(*names):
        return {name: style['color'] for name, style in canvas.line_styles(names).items() if name != canvas.PAPER}

    assert colors('TransMix', 'MixPro', 'TransMix') == {'TransMix': '#009E73', 'MixPro': '#D55E00'}
    assert colors('no mixing', 'mixup_cutmix') == {'no mixing': '#595959', 'mixup_cutmix': '#0072B2'}  # the last one
    assert set(colors('pvt MixPro', 'deit MixPro', 'MixPro').values()) == {'#D55E00'}  # dashes differ


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


@pytest.mark.parametrize(('length', 'columns'), [(4, 3), (20, 2), (60, 1)])
def test_a_legend_has_as_many_columns_as_fit(length, columns):
    lines = {f'{"n" * (length - 1)}{i}': ([0, 1], np.zeros(2), np.zeros(2)) for i in range(6)}
    figure = canvas.line_figure([canvas.Panel(canvas.over_runs([(canvas.PAPER, {0: 1})]) | lines, 'x', 'y')])
    (legend,) = figure.legends
    assert legend._ncols == columns and legend.get_texts()[-1].get_text() == canvas.PAPER
    assert length > 50 or legend.get_window_extent().width <= figure.bbox.width


def test_a_line_is_the_mean_over_runs():
    lines = canvas.over_runs([('b', {1: 1.0, 2: 5.0, 3: 9.0}), ('b', {2: 7.0, 1: 4.0}), ('a', {}), ('c', {4: 2.0})])
    assert list(lines) == ['b', 'c']
    np.testing.assert_allclose(lines['b'], [[1, 2, 3], [2.5, 6, 9], [4.5**0.5, 2**0.5, 0]])
    np.testing.assert_allclose(lines['c'], [[4], [2], [0]])


@pytest.mark.parametrize('width', canvas.WIDTHS.values())
def test_the_text_of_a_table_of_images_stays_inside_and_off_the_images(width):
    image, mask = np.full((8, 8, 3), 0.25), np.eye(8, dtype=bool)
    rows = [('partner', [image] * 4), ('mask', [mask] * 4), ('heat', [np.arange(64.0).reshape(8, 8)] * 4)]
    numbers, legend = {'partner label': ['0.25'] * 4, 'lam_area': ['0.75'] * 4}, dict.fromkeys('abcdefghi', (0, 0, 0))
    figure = canvas.image_table(rows, {0: ['2\n3'] * 4}, numbers, width=width, legend=legend)
    FigureCanvasAgg(figure).draw()
    axes = figure.axes
    assert [axis.get_title() for axis in axes[:4]] == ['2\n3'] * 4
    assert (axes[8].get_ylabel(), axes[8].get_xlabel()) == ('heat', '0.25\n0.75')
    np.testing.assert_allclose(axes[4].images[0].to_rgba(axes[4].images[0].get_array())[..., 0], mask)  # white if true
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(legend)
    words = [*(text for axis in axes for text in (axis.title, axis.xaxis.label, axis.yaxis.label, *axis.texts))]
    words = [word.get_window_extent() for word in (*words, figure.legends[0]) if word.get_window_extent().width > 1]
    page, frames = figure.bbox.padded(1), [axis.get_window_extent() for axis in axes]
    assert all(page.contains(w.x0, w.y0) and page.contains(w.x1, w.y1) for w in words)
    assert not any(word.padded(-0.5).overlaps(frame) for word in words for frame in frames)
    assert min(frame.width for frame in frames) > 0.7 * (width - 1.4) / 4 * figure.dpi
