"""Panels of images from plain arrays: mixed batches with their attention, predicted masks and boxes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mixpro_mm.report.figures.canvas import write_figure

__all__ = ['detection_panel', 'image_table', 'mix_panel', 'segmentation_panel']

CELL = 1.25  # inches along the side of one image
GAP = 0.04  # inches between two images
POINTS = 72  # of an inch
GREY = (160, 160, 160)  # pixels without a label


def mix_panel(rows: dict[str, list[np.ndarray]], titles: list[str], path: str | Path) -> Path:
    """Rows of equal length, such as originals, masks, mixed images and their class attention (Figure 6 of MixPro).

    Args:
        rows: name -> images as of :func:`image_table`.
        titles: One above each column.
        path: PNG or SVG to write.
    """
    width = CELL * len(titles) + 0.7
    return write_figure(image_table(list(rows.items()), {0: titles}, width=width, size=8), path)


def image_table(
    rows: Sequence[tuple[str, list[np.ndarray]]],
    titles: dict[int, list[str]],
    numbers: dict[str, list[str]] | None = None,
    *,
    width: float,
    size: float = 7,
    note: str = '',
    bar: tuple[Colormap, str] | None = None,
) -> Figure:
    """Named rows of images, texts above some of them, numbers below each column.

    Args:
        rows: (name, images), the same number in each row: images (H, W, 3) in [0, 1]; masks (H, W) bool, drawn white
            where true; or maps (H, W), drawn in viridis from 0 to their own maximum.
        titles: number of a row -> a text above each of its images.
        numbers: name -> one text below each column; a line each.
        width: Of the figure in inches; the height follows.
        size: Of all text in points.
        note: A sentence at the bottom.
        bar: Colours and what they say, from less to more, for a bar at the right.
    """
    numbers, columns = numbers or {}, len(rows[0][1])
    names = [name for name, _ in rows] + list(numbers)
    margin = (max(len(line) for name in names for line in name.split('\n')) * 0.62 * size + 6) / POINTS
    cell = (width - margin - 0.45 * bool(bar)) / columns - GAP
    line = 1.3 * size / POINTS
    texts = sum(line * max(text.count('\n') + 1 for text in above) + 0.07 for above in titles.values())
    texts += line * len(numbers) + 0.1 * bool(numbers) + (line * (note.count('\n') + 1) + 0.08) * bool(note)
    figure = Figure(figsize=(width, (cell + GAP) * len(rows) + texts + 0.05), layout='constrained')
    axes = _axes(figure, len(rows), columns)
    for number, (name, images) in enumerate(rows):
        for axis, image in zip(axes[number], images, strict=True):
            colors = 'gray' if image.dtype == bool else 'viridis'
            axis.imshow(image, cmap=colors, vmin=0, vmax=max(float(image.max()), 1e-6), interpolation='nearest')
        for axis, text in zip(axes[number], titles.get(number, ()), strict=False):
            axis.set_title(text, fontsize=size, pad=2, loc='center', fontweight='normal')
        _beside(axes[number][0], name, (0, 0.5), (-4, 0), size, ha='right', va='center')
    if numbers:
        _beside(axes[-1][0], '\n'.join(numbers), (0, 0), (-4, -4), size, ha='right', va='top')
        for axis, texts in zip(axes[-1], zip(*numbers.values(), strict=True), strict=True):
            _beside(axis, '\n'.join(texts), (0.5, 0), (0, -4), size, ha='center', va='top')
    if note:
        figure.supxlabel(note, fontsize=size, x=0.01, ha='left', color='#444444')
    if bar:
        legend = figure.colorbar(ScalarMappable(cmap=bar[0]), ax=axes, aspect=30, pad=0.02)
        legend.set_label(bar[1], fontsize=size)
        legend.set_ticks([0, 1], labels=['less', 'more'], rotation=90)
        legend.ax.tick_params(labelsize=size, length=0)
        for text, side in zip(legend.ax.get_yticklabels(), ('bottom', 'top'), strict=True):
            text.set_verticalalignment(side)
        legend.outline.set_visible(False)
    return figure


def _beside(axis, text: str, place: tuple, offset: tuple, size: float, **kwargs) -> None:
    axis.annotate(text, place, offset, xycoords='axes fraction', textcoords='offset points', fontsize=size, **kwargs)


def segmentation_panel(
    images: list[np.ndarray], columns: dict[str, list[np.ndarray]], palette: np.ndarray, path: str | Path
) -> Path:
    """One scene a row: the image, then one class map per column.

    Args:
        images: (H, W, 3) in [0, 1].
        columns: name -> class ids (H, W) for every image, such as ground truth and predictions; ids that the palette
            does not reach, such as 255 for pixels to ignore, are painted grey.
        palette: (classes, 3) uint8.
        path: PNG or SVG to write.
    """
    figure, axes = _grid(len(images), 1 + len(columns))
    colors = np.array([*palette, GREY], dtype=np.uint8)
    for index, line in enumerate(axes):
        line[0].imshow(images[index])
        for axis, maps in zip(line[1:], columns.values(), strict=True):
            axis.imshow(colors[np.minimum(maps[index], len(palette))], interpolation='nearest')
    _column_titles(axes, ['image', *columns])
    return write_figure(figure, path)


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
        path: PNG or SVG to write.
    """
    figure, axes = _grid(len(images), len(columns))
    palette = np.asarray(palette) / 255
    for index, line in enumerate(axes):
        for axis, found in zip(line, columns.values(), strict=True):
            _draw_instances(axis, images[index], found[index], classes, palette)
    _column_titles(axes, list(columns))
    return write_figure(figure, path)


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
    return figure, _axes(figure, rows, columns)


def _axes(figure: Figure, rows: int, columns: int):
    figure.get_layout_engine().set(w_pad=GAP / 2, h_pad=GAP / 2, wspace=0, hspace=0)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set(color='#999999', linewidth=0.5, visible=True)
        axis.grid(visible=False)
    return axes


def _column_titles(axes, titles: list[str]) -> None:
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=8)
