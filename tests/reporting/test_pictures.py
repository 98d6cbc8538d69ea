import numpy as np
from PIL import Image

from mixpro_mm.reporting import pictures


def test_ids_beyond_the_palette_are_grey(tmp_path, monkeypatch):
    """Of a palette of two colours 255, to be ignored, has none; the ids are bytes, as read from a PNG."""
    seen = []
    save = pictures._save
    monkeypatch.setattr(pictures, '_save', lambda figure, path: seen.append(figure) or save(figure, path))
    ids = np.array([[0, 1], [2, 255]], dtype=np.uint8)
    palette = np.array([[200, 0, 0], [0, 0, 200]])
    path = pictures.segmentation_panel([np.zeros((2, 2, 3))], {'truth': [ids]}, palette, tmp_path / 'a.png')
    grey = list(pictures.GREY)
    shown = np.asarray(seen[0].axes[1].images[0].get_array())
    assert shown.tolist() == [[[200, 0, 0], [0, 0, 200]], [grey, grey]]
    with Image.open(path) as image:
        colors = {color for _, color in image.convert('RGB').getcolors(1 << 20)}
    assert {(200, 0, 0), (0, 0, 200), pictures.GREY} <= colors
