"""Style and output files of all figures, line figures and tables of images."""

import itertools
import re
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from mixpro_mm.report.labels import label
from mixpro_mm.utils.files import replacing

__all__ = ['WIDTHS', 'Panel', 'fit', 'image_table', 'line_figure', 'line_styles', 'over_runs', 'write_figure']

WIDTHS = {'column': 3.25, 'text': 6.75}  # inches; a column is readable on a phone
SMALLEST = 7  # points
STYLE = {
    'font.family': 'DejaVu Sans', 'font.size': 8, 'axes.titlesize': 8, 'axes.titleweight': 'bold',
    'axes.titlelocation': 'left', 'axes.labelsize': 8, 'axes.linewidth': 0.6, 'axes.spines.top': False,
    'axes.spines.right': False, 'axes.grid': True, 'axes.axisbelow': True, 'grid.color': '#e3e3e3',
    'grid.linewidth': 0.5, 'lines.linewidth': 1.3, 'lines.markersize': 3.5,
    'xtick.labelsize': SMALLEST, 'ytick.labelsize': SMALLEST, 'legend.fontsize': SMALLEST, 'legend.frameon': False,
    'legend.handlelength': 1.8, 'legend.columnspacing': 1.2, 'figure.constrained_layout.use': True,
    'figure.constrained_layout.wspace': 0.06, 'figure.constrained_layout.hspace': 0.06, 'svg.hashsalt': 'mixpro_mm',
}  # fmt: skip
styled = matplotlib.rc_context(STYLE)
METADATA = {'.png': {'Software': None}, '.svg': {'Date': None, 'Creator': None}}  # reproducible bytes
# Okabe and Ito's palette, and Tol's indigo for MaskMix. A lighter grey looks green to some readers.
METHODS = {
    'scratch': '#000000', 'mixpro': '#D55E00', 'cutmix': '#0072B2', 'transmix': '#009E73', 'mixup': '#E69F00',
    'baseline': '#56B4E9', 'official': '#7F7F7F', 'maskmix': '#332288', 'none': '#595959', 'tokenmix': '#CC79A7',
}  # fmt: skip
PALETTE = ('#0072B2', '#E69F00', '#009E73', '#CC79A7', '#56B4E9', '#D55E00', '#000000')
MARKERS, DASHES = 'oDs^vPX', ('-', '--', '-.', ':', (0, (4, 1, 1, 1, 1, 1)), (0, (2, 3)), (0, (9, 3)))
PAPER = 'in the paper'
HOLLOW = dict(color='#555555', linestyle='none', marker='s', markersize=7, markerfacecolor='none', label=PAPER)
FEW = 12  # longer lines have no markers
GAP = 0.04  # inches between two images
LINE = 1.3 * SMALLEST / 72  # inches


class Panel(NamedTuple):
    """Axes with lines, name -> (x, y, deviation), each (N,). ``ticks`` label the integers on the x axis."""

    lines: dict[str, tuple]
    xlabel: str
    ylabel: str
    title: str = ''
    bottom: float | None = None
    ticks: Sequence[str] = ()


def over_runs(runs: Iterable[tuple[str, dict]]) -> dict[str, tuple]:
    """Average runs, pairs (name, {x: y}), that share a name.

    Returns:
        Name -> x, mean and sample standard deviation (0 for a single value), each (N,). Empty runs are skipped.
    """
    rows = [(name, x, y) for name, run in runs for x, y in run.items()]
    frame, lines = pd.DataFrame(rows, columns=['name', 'x', 'y']), {}
    for name, same in frame.groupby('name', sort=False):
        line = same.groupby('x')['y'].agg(['mean', 'std'])
        lines[name] = line.index.to_numpy(), line['mean'].to_numpy(), line['std'].fillna(0).to_numpy()
    return lines


def line_styles(names: Iterable[str]) -> dict[str, dict]:
    """Return color, marker, dashes and label of each name. The last method in a name sets its color."""
    styles = dict.fromkeys(names)
    words = {name: re.split('[^a-z0-9-]+', name.lower().replace('no mixing', 'none')) for name in styles}
    known = {name: METHODS[word] for name in styles for word in words[name] if word in METHODS}
    others = itertools.cycle([color for color in PALETTE if color not in known.values()] or PALETTE)
    for i, name in enumerate(styles):
        color = known.get(name) or next(others)
        styles[name] = dict(color=color, marker=MARKERS[i % 7], linestyle=DASHES[i % 7], label=label(name))
    return styles | {PAPER: HOLLOW}


@styled
def line_figure(panels: Sequence[Panel], width: str = 'column', columns: int | None = None) -> Figure:
    """Draw panels stacked at column width or side by side at text width. Bands are one standard deviation."""
    styles = line_styles(name for panel in panels for name in panel.lines)
    columns = columns or (1 if width == 'column' else len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(WIDTHS[width], 0.3 + 1.75 * rows))
    for axes, panel in zip(figure.subplots(rows, columns, squeeze=False).flat, panels, strict=True):
        for name, (x, y, deviation) in panel.lines.items():
            style = styles[name] | ({} if len(x) <= FEW else {'marker': None})
            axes.plot(x, y, **style)
            axes.fill_between(x, y - deviation, y + deviation, color=style['color'], alpha=0.18, linewidth=0)
        axes.set(xlabel=panel.xlabel, ylabel=panel.ylabel, title=panel.title)
        axes.set_ylim(bottom=panel.bottom)
        at_most = 5 if columns == 1 else 3
        axes.xaxis.set_major_locator(MaxNLocator(at_most, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
        axes.xaxis.set_major_formatter(StrMethodFormatter('{x:,.0f}'))
        if panel.ticks:
            axes.set_xticks(range(len(panel.ticks)), panel.ticks)
    handles = {}
    for axes in figure.axes:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(name, handle)
    add_legend(figure, dict(sorted(handles.items(), key=lambda item: item[0] == PAPER)), 'outside upper center')
    return figure


@styled
def image_table(
    rows: Sequence[tuple[str, list[np.ndarray]]], titles: dict[int, list[str]], *, width: float,
    legend: dict[str, tuple] | None = None,
) -> Figure:  # fmt: skip
    """Draw rows of images, each with a name and equally many images, in a figure of ``width`` inches.

    Images are (H, W, 3) in [0, 1], masks (H, W) bool, or maps (H, W), which are scaled to their own maximum. ``titles``
    has texts above the images of a row, by its index. ``legend`` is name -> color.
    """
    columns = len(rows[0][1])
    margin = max(len(name) for name, _ in rows) * 0.62 * SMALLEST / 72 + 0.04
    cell = (width - margin) / columns - GAP
    heights = [np.divide(*row[1][0].shape[:2]) * cell + GAP for row in rows]
    height = sum(max(text.count('\n') + 1 for text in above) + 0.4 for above in titles.values())
    height += 2 + sum(len(name) + 6 for name in legend) * 0.11 // width if legend else 0
    figure = Figure(figsize=(width, sum(heights) + LINE * height))
    figure.get_layout_engine().set(w_pad=GAP / 2, h_pad=GAP / 2, wspace=0, hspace=0)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for number, (name, images) in enumerate(rows):
        for axes, image in zip(grid[number], images, strict=True):
            colors = 'gray' if image.dtype == bool else 'viridis'
            smooth = 'bicubic' if image.ndim == 3 and len(image) < 64 else 'nearest'
            axes.imshow(image, cmap=colors, vmin=0, vmax=max(float(image.max()), 1e-6), interpolation=smooth)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set(color='#999999', linewidth=0.5, visible=True)
            axes.grid(visible=False)
        for axes, text in zip(grid[number], titles.get(number, ()), strict=False):
            axes.set_title(text, fontsize=SMALLEST, pad=2, loc='center', fontweight='normal')
        grid[number][0].set_ylabel(name, fontsize=SMALLEST, rotation=0, ha='right', va='center', labelpad=4)
    if legend:
        handles = {name: Patch(facecolor=color) for name, color in legend.items()}
        add_legend(figure, handles, 'outside lower center', handlelength=1, handleheight=1)
    return figure


def add_legend(figure: Figure, handles: dict, loc: str, **settings) -> None:
    """Draw a legend of {label: handle} in as many columns as fit, estimated from the longest label."""
    columns = figure.get_figwidth() // (0.35 + 0.06 * max(map(len, handles)))
    figure.legend(handles.values(), handles.keys(), loc=loc, ncols=max(1, int(columns)), **settings)


def fit(text: str, inches: float, lines: int = 2) -> str:
    """Wrap a text to a width at the smallest font size, and cut it after ``lines`` lines."""
    letters = max(4, int(inches / (0.54 * SMALLEST / 72)))
    return '\n'.join(textwrap.wrap(text, letters, max_lines=lines, placeholder='…'))


def write_figure(figure: Figure, path: str | Path, dpi: int = 200) -> Path:
    """Save a figure atomically as PNG or SVG."""
    path = Path(path)
    kind = path.suffix.lower()
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, matplotlib.rc_context(STYLE):
        figure.savefig(temporary, format=kind[1:], dpi=dpi, metadata=METADATA[kind])
    return path
