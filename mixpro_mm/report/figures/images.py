"""Tables of images from plain arrays."""

from collections.abc import Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mixpro_mm.report.figures.canvas import SMALLEST, add_legend, fit, styled

__all__ = ['image_table']

GAP = 0.04  # inches between two images
LINE = 1.3 * SMALLEST / 72  # inches


@styled
def image_table(
    rows: Sequence[tuple[str, list[np.ndarray]]],
    titles: dict[int, list[str]],
    numbers: dict[str, list[str]] | None = None,
    *,
    width: float,
    note: str = '',
    bar: tuple[Colormap, str] | None = None,
    legend: dict[str, tuple] | None = None,
) -> Figure:
    """Draw rows of images with names, titles and numbers.

    Args:
        rows: (name, images), equally many images in each row: images (H, W, 3) in [0, 1], masks (H, W) bool, or maps
            (H, W), which are scaled to their own maximum.
        titles: Index of a row -> a text above each of its images.
        numbers: Name -> a text below each column.
        width: Width of the figure in inches.
        note: Text at the bottom.
        bar: Colormap and label of a colour bar.
        legend: Name -> colour, below the images.
    """
    numbers, columns, note = numbers or {}, len(rows[0][1]), fit(note, width, 4)
    names = [line for name in [*(name for name, _ in rows), *numbers] for line in name.split('\n')]
    margin = (max(map(len, names)) * 0.62 * SMALLEST + 6) / 72
    cell = (width - margin - 0.45 * bool(bar)) / columns - GAP
    heights = [np.divide(*row[1][0].shape[:2]) * cell + GAP for row in rows]
    above = sum(LINE * max(text.count('\n') + 1 for text in texts) + 0.07 for texts in titles.values())
    below = LINE * len(numbers) + 0.1 * bool(numbers) + (LINE * (note.count('\n') + 1) + 0.08) * bool(note)
    letters = sum(len(name) + 6 for name in legend or ())
    below += LINE * (1 + letters * 0.09 // width) * 1.2 + 0.1 if legend else 0
    figure = Figure(figsize=(width, sum(heights) + above + below + 0.05))
    figure.get_layout_engine().set(w_pad=GAP / 2, h_pad=GAP / 2, wspace=0, hspace=0)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for number, (name, images) in enumerate(rows):
        for axis, image in zip(axes[number], images, strict=True):
            colors = 'gray' if image.dtype == bool else 'viridis'
            axis.imshow(image, cmap=colors, vmin=0, vmax=max(float(image.max()), 1e-6), interpolation='nearest')
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set(color='#999999', linewidth=0.5, visible=True)
            axis.grid(visible=False)
        for axis, text in zip(axes[number], titles.get(number, ()), strict=False):
            axis.set_title(text, fontsize=SMALLEST, pad=2, loc='center', fontweight='normal')
        _beside(axes[number][0], name, (0, 0.5), (-4, 0), ha='right', va='center')
    if numbers:
        _beside(axes[-1][0], '\n'.join(numbers), (0, 0), (-4, -4), ha='right', va='top')
        for axis, texts in zip(axes[-1], zip(*numbers.values(), strict=True), strict=True):
            _beside(axis, '\n'.join(texts), (0.5, 0), (0, -4), ha='center', va='top')
    if note:
        figure.supxlabel(note, fontsize=SMALLEST, x=0.01, ha='left', color='#444444')
    if legend:
        handles = {name: Patch(facecolor=color) for name, color in legend.items()}
        add_legend(figure, handles, 'outside lower center', handlelength=1, handleheight=1)
    if bar:
        scale = figure.colorbar(ScalarMappable(cmap=bar[0]), ax=axes, aspect=30, pad=0.02)
        scale.set_label(bar[1], fontsize=SMALLEST)
        scale.set_ticks([0, 1], labels=['less', 'more'], rotation=90)
        scale.ax.tick_params(length=0)
        for text, side in zip(scale.ax.get_yticklabels(), ('bottom', 'top'), strict=True):
            text.set_verticalalignment(side)
        scale.outline.set_visible(False)
    return figure


def _beside(axis, text: str, place: tuple, offset: tuple, **kwargs) -> None:
    kwargs |= dict(xycoords='axes fraction', textcoords='offset points', fontsize=SMALLEST)
    axis.annotate(text, place, offset, **kwargs)
