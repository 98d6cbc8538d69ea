"""Panels of images from plain arrays: mixed batches with their attention, predicted masks and boxes."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mixpro_mm.files import replacing

__all__ = ['detection_panel', 'mix_panel', 'segmentation_panel']

CELL = 1.25  # inches along the side of one image
GREY = (160, 160, 160)  # pixels without a label


def mix_panel(rows: dict[str, list[np.ndarray]], titles: list[str], path: str | Path) -> Path:
    """Rows of equal length, such as originals, masks, mixed images and their class attention (Figure 6 of MixPro).

    Args:
        rows: name -> images (H, W, 3) in [0, 1], or maps (H, W), drawn in viridis from 0 to their own maximum.
        titles: One above each column.
        path: PNG to write.
    """
    figure, axes = _grid(len(rows), len(titles))
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for axis, image in zip(line, images, strict=True):
            axis.imshow(image, cmap='viridis', vmin=0, vmax=max(float(image.max()), 1e-6), interpolation='nearest')
        line[0].set_ylabel(name)
    _column_titles(axes, titles)
    return _save(figure, path)


def segmentation_panel(
    images: list[np.ndarray], columns: dict[str, list[np.ndarray]], palette: np.ndarray, path: str | Path
) -> Path:
    """One scene a row: the image, then one class map per column.

    Args:
        images: (H, W, 3) in [0, 1].
        columns: name -> class ids (H, W) for every image, such as ground truth and predictions; ids that the palette
            does not reach, such as 255 for pixels to ignore, are painted grey.
        palette: (classes, 3) uint8.
        path: PNG to write.
    """
    figure, axes = _grid(len(images), 1 + len(columns))
    colors = np.array([*palette, GREY], dtype=np.uint8)
    for index, line in enumerate(axes):
        line[0].imshow(images[index])
        for axis, maps in zip(line[1:], columns.values(), strict=True):
            axis.imshow(colors[np.minimum(maps[index], len(palette))], interpolation='nearest')
    _column_titles(axes, ['image', *columns])
    return _save(figure, path)


def detection_panel(
    images: list[np.ndarray], columns: dict[str, list[dict]], classes: list[str], palette: np.ndarray, path: str | Path
) -> Path:
    """One scene a row, one column per set of instances drawn on the image.

    Args:
        images: (H, W, 3) in [0, 1].
        columns: name -> for every image a dict of ``boxes`` (n, 4) as x1, y1, x2, y2 in pixels, ``labels`` (n,),
            ``masks`` (n, H, W) bool and, for predictions, ``scores`` (n,).
        classes: Their names.
        palette: (classes, 3) uint8.
        path: PNG to write.
    """
    figure, axes = _grid(len(images), len(columns))
    palette = np.asarray(palette) / 255
    for index, line in enumerate(axes):
        for axis, found in zip(line, columns.values(), strict=True):
            _draw_instances(axis, images[index], found[index], classes, palette)
    _column_titles(axes, list(columns))
    return _save(figure, path)


def _draw_instances(axis, image: np.ndarray, found: dict, classes: list[str], palette: np.ndarray) -> None:
    shown = image.copy()
    for mask, label in zip(found['masks'], found['labels'], strict=True):
        shown[mask] = 0.45 * shown[mask] + 0.55 * palette[label]
    axis.imshow(shown)
    scores = found.get('scores', [None] * len(found['labels']))
    for box, label, score in zip(found['boxes'], found['labels'], scores, strict=True):
        x1, y1, x2, y2 = box
        axis.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=palette[label], linewidth=1.2))
        text = classes[label] if score is None else f'{classes[label]} {score:.2f}'
        box_style = dict(facecolor=palette[label], edgecolor='none', pad=0.6)
        axis.text(x1, y1, text, fontsize=5, va='bottom', color='black', bbox=box_style, clip_on=True)


def _grid(rows: int, columns: int):
    figure = Figure(figsize=(CELL * columns + 0.4, CELL * rows + 0.3), layout='constrained')
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_visible(False)
    return figure, axes


def _column_titles(axes, titles: list[str]) -> None:
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=8)


def _save(figure: Figure, path: str | Path) -> Path:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, metadata={'Software': None})
    return Path(path)
