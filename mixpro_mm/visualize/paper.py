"""Figures at the size they have in print: as wide as a column or the text, no letter below 7 pt, as PNG and SVG."""

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from mixpro_mm.report.figures.canvas import STYLE, share_legend, write_figure

__all__ = ['PRINT', 'SMALLEST', 'WIDTHS', 'fit', 'legend_above', 'outputs', 'panels', 'save']

WIDTHS = {'column': 3.25, 'text': 6.75}  # inches, those of a page in two columns
SMALLEST = 7  # points
LETTER = 0.54 * SMALLEST / 72  # inches, about the mean width of one
PRINT = STYLE | {
    'font.size': 8, 'axes.titlesize': 8, 'axes.labelsize': 8, 'legend.fontsize': SMALLEST, 'xtick.labelsize': SMALLEST,
    'ytick.labelsize': SMALLEST, 'lines.linewidth': 1.3, 'axes.linewidth': 0.6, 'grid.linewidth': 0.5,
    'legend.handlelength': 1.8, 'legend.columnspacing': 1.2,
}  # fmt: skip
DPI = 300


def outputs(out: str | Path | None, command: str) -> list[Path]:
    """Files to write: the one that is named, or ``.png`` and ``.svg`` where the name has no suffix.

    Args:
        out: As given; ``work_dirs/pictures/<command>`` if None.
        command: Whose picture it is.

    Raises:
        ValueError: for another suffix, or a folder.
    """
    path = Path(out or Path('work_dirs') / 'pictures' / command)
    if path.is_dir():
        raise ValueError(f'--out {path} is a folder: name a file in it')
    if not path.suffix:
        return [path.with_suffix('.png'), path.with_suffix('.svg')]
    if path.suffix.lower() not in ('.png', '.svg'):
        raise ValueError(f'--out {path} must end in .png or .svg; without a suffix both are written')
    return [path]


def save(draw: Callable[[], Figure], paths: Sequence[Path]) -> list[Path]:
    """Draw once in the style of print and write to every path."""
    with matplotlib.rc_context(PRINT):
        figure = draw()
        return [write_figure(figure, path, DPI) for path in paths]


def panels(count: int, width: str, height: float = 1.75):
    """A figure of panels: below each other at the width of a column, beside each other at that of the text.

    Args:
        count: Of panels.
        width: 'column' or 'text'.
        height: Inches of one panel.

    Returns:
        The figure, and its axes in a list.
    """
    rows, columns = (count, 1) if width == 'column' else (1, count)
    figure = Figure(figsize=(WIDTHS[width], 0.3 + height * rows))
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def legend_above(figure: Figure, last: str | None = None) -> Figure:
    """One legend above all panels, the name ``last`` at its end, in as many columns as fit; none without names."""
    names = {name for axes in figure.axes for name in axes.get_legend_handles_labels()[1]}
    return share_legend(figure, last, len(names)) if names else figure


def fit(text: str, inches: float, lines: int = 2) -> str:
    """A text broken into lines of the smallest letters that fit into a width; what is too much gives way to dots."""
    return '\n'.join(textwrap.wrap(text, max(4, int(inches / LETTER)), max_lines=lines, placeholder='…'))
