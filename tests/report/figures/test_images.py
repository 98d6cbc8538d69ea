import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from mixpro_mm.reporting import pictures


def test_ids_beyond_the_palette_are_grey(tmp_path, monkeypatch):
    """Of a palette of two colours 255, to be ignored, has none; the ids are bytes, as read from a PNG."""
    seen = []
    write = pictures.write_figure
    monkeypatch.setattr(pictures, 'write_figure', lambda figure, path: seen.append(figure) or write(figure, path))
    ids = np.array([[0, 1], [2, 255]], dtype=np.uint8)
    palette = np.array([[200, 0, 0], [0, 0, 200]])
    path = pictures.segmentation_panel([np.zeros((2, 2, 3))], {'truth': [ids]}, palette, tmp_path / 'a.png')
    grey = list(pictures.GREY)
    shown = np.asarray(seen[0].axes[1].images[0].get_array())
    assert shown.tolist() == [[[200, 0, 0], [0, 0, 200]], [grey, grey]]
    with Image.open(path) as image:
        colors = {color for _, color in image.convert('RGB').getcolors(1 << 20)}
    assert {(200, 0, 0), (0, 0, 200), pictures.GREY} <= colors


def test_a_table_of_images_has_its_names_texts_and_numbers_in_place():
    mask, image = np.array([[True, False], [False, True]]), np.full((2, 2, 3), 0.25)
    heat = np.array([[0.0, 1.0], [2.0, 4.0]])
    figure = pictures.image_table(
        [('mask', [mask, ~mask]), ('image', [image, image]), ('heat', [heat, heat / 8])],
        {0: ['cat', 'dog'], 2: ['a', 'b\nc']},
        {'lam': ['0.1', '0.2'], 'factor': ['0.3', '0.4']},
        width=3.25, note='a note',
    )  # fmt: skip
    grid = np.array(figure.axes).reshape(3, 2)
    assert [[axis.get_title() for axis in row] for row in grid] == [['cat', 'dog'], ['', ''], ['a', 'b\nc']]
    words = [[[text.get_text() for text in axis.texts] for axis in row] for row in grid]
    assert words == [[['mask'], []], [['image'], []], [['heat', 'lam\nfactor', '0.1\n0.3'], ['0.2\n0.4']]]
    drawn = [[axis.images[0].to_rgba(axis.images[0].get_array()) for axis in row] for row in grid]
    np.testing.assert_allclose(drawn[0][0][..., 0], mask)  # white where true
    np.testing.assert_allclose(drawn[1][0][..., :3], image)
    np.testing.assert_allclose(drawn[2][0], drawn[2][1])  # each map to its own maximum
    assert figure.get_figwidth() == 3.25 and figure.get_supxlabel() == 'a note'


def test_text_stays_inside_the_figure_and_off_the_images():
    image = np.zeros((8, 8, 3))
    rows = [('partner', [image] * 4), ('attention', [image] * 4)]
    numbers = {'partner label': ['0.25'] * 4, 'lam_area': ['0.75'] * 4}
    for width in (3.25, 6.75):
        figure = pictures.image_table(rows, {0: ['2\n3'] * 4}, numbers, width=width, note='one\ntwo')
        FigureCanvasAgg(figure).draw()
        words = [t.get_window_extent() for axis in figure.axes for t in [*axis.texts, axis.title] if t.get_text()]
        page = figure.bbox.padded(1)
        assert all(page.contains(w.x0, w.y0) and page.contains(w.x1, w.y1) for w in words)
        frames = [axis.get_window_extent() for axis in figure.axes]
        assert not any(word.padded(-0.5).overlaps(frame) for word in words for frame in frames)
        assert min(frame.width for frame in frames) > 0.75 * (width - 0.9) / 4 * figure.dpi


def test_a_bar_has_no_numbers_and_its_words_stay_inside():
    rows = [('cat', [np.zeros((8, 8, 3))] * 3)]
    figure = pictures.image_table(rows, {}, width=3.25, bar=(colormaps['gray'], 'attention'))
    FigureCanvasAgg(figure).draw()
    bar = figure.axes[-1]
    words = [*bar.get_yticklabels(), bar.yaxis.label]
    assert [text.get_text() for text in words] == ['less', 'more', 'attention']
    places = [text.get_window_extent() for text in words]
    assert all(figure.bbox.contains(p.x0, p.y0) and figure.bbox.contains(p.x1, p.y1) for p in places)
    assert places[0].y1 <= places[1].y0 and not any(place.overlaps(places[2]) for place in places[:2])
    assert places[0].y0 < bar.get_window_extent().y1 / 2 < places[1].y1  # less below more
