"""Tables of images from plain arrays."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mixpro_mm.report.figures.canvas import SMALLEST, add_legend, styled

__all__ = ['image_table']

GAP = 0.04  # inches between two images
LINE = 1.3 * SMALLEST / 72  # inches


@styled
def image_table(
    rows: Sequence[tuple[str, list[np.ndarray]]], titles: dict[int, list[str]],
    numbers: dict[str, list[str]] | None = None, *, width: float, legend: dict[str, tuple] | None = None,
) -> Figure:  # fmt: skip
    """Draw rows of images with names, titles and numbers.

    Args:
        rows: (name, images), equally many images in each row: images (H, W, 3) in [0, 1], masks (H, W) bool, or maps
            (H, W), which are scaled to their own maximum.
        titles: Index of a row -> a text above each of its images.
        numbers: Name -> a text below each column.
        width: Width of the figure in inches.
        legend: Name -> color, below the images.
    """
    numbers, columns = numbers or {}, len(rows[0][1])
    margin = (max(len(name) for name in [*(name for name, _ in rows), *numbers]) * 0.62 * SMALLEST + 6) / 72
    cell = (width - margin) / columns - GAP
    heights = [np.divide(*row[1][0].shape[:2]) * cell + GAP for row in rows]
    texts = sum(max(text.count('\n') + 2 for text in above) for above in titles.values()) + len(numbers) + 1
    texts += 2 + sum(len(name) + 6 for name in legend) * 0.11 // width if legend else 0
    figure = Figure(figsize=(width, sum(heights) + LINE * texts))
    figure.get_layout_engine().set(w_pad=GAP / 2, h_pad=GAP / 2, wspace=0, hspace=0)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for number, (name, images) in enumerate(rows):
        for axes, image in zip(grid[number], images, strict=True):
            colors = 'gray' if image.dtype == bool else 'viridis'
            axes.imshow(image, cmap=colors, vmin=0, vmax=max(float(image.max()), 1e-6), interpolation='nearest')
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set(color='#999999', linewidth=0.5, visible=True)
            axes.grid(visible=False)
        for axes, text in zip(grid[number], titles.get(number, ()), strict=False):
            axes.set_title(text, fontsize=SMALLEST, pad=2, loc='center', fontweight='normal')
        grid[number][0].set_ylabel(name, fontsize=SMALLEST, rotation=0, ha='right', va='center', labelpad=4)
    for axes, texts in zip(grid[-1], zip(*numbers.values(), strict=True), strict=bool(numbers)):
        axes.set_xlabel('\n'.join(texts), fontsize=SMALLEST, labelpad=4)
    if numbers:
        beside = dict(xycoords='axes fraction', textcoords='offset points', ha='right', va='top', fontsize=SMALLEST)
        grid[-1][0].annotate('\n'.join(numbers), (0, 0), (-4, -4), **beside)
    if legend:
        handles = {name: Patch(facecolor=color) for name, color in legend.items()}
        add_legend(figure, handles, 'outside lower center', handlelength=1, handleheight=1)
    return figure
