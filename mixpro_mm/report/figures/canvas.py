"""Style and output files of all figures, and line figures."""

import re
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from mixpro_mm.report.labels import label
from mixpro_mm.utils.files import replacing

__all__ = ['WIDTHS', 'Panel', 'fit', 'line_figure', 'line_styles', 'over_runs', 'write_figure']

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
# Okabe and Ito's palette. MaskMix and Mixup never share a figure. A lighter grey looks green to some readers.
METHODS = {
    'scratch': '#000000', 'mixpro': '#D55E00', 'cutmix': '#0072B2', 'transmix': '#009E73', 'mixup': '#E69F00',
    'baseline': '#56B4E9', 'official': '#7F7F7F', 'maskmix': '#E69F00', 'none': '#595959', 'tokenmix': '#CC79A7',
}  # fmt: skip
PALETTE = ('#0072B2', '#E69F00', '#009E73', '#CC79A7', '#56B4E9', '#D55E00', '#000000')
MARKERS, DASHES = 'oDs^vPX', ('-', '--', '-.', ':', (0, (4, 1, 1, 1, 1, 1)), (0, (2, 3)), (0, (9, 3)))
PAPER = 'in the paper'
HOLLOW = dict(color='#555555', linestyle='none', marker='s', markersize=7, markerfacecolor='none', label=PAPER)
FEW = 12  # longer lines have no markers


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
    styles = {}
    for i, name in enumerate(dict.fromkeys(names)):
        words = re.split('[^a-z0-9]+', name.lower().replace('no mixing', 'none'))
        color = [PALETTE[i % 7], *(METHODS[word] for word in words if word in METHODS)][-1]
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
    return share_legend(figure)


def share_legend(figure: Figure) -> Figure:
    """Draw one legend above all panels: each label once, published numbers last."""
    handles = {}
    for axes in figure.axes:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(name, handle)
    add_legend(figure, dict(sorted(handles.items(), key=lambda item: item[0] == PAPER)), 'outside upper center')
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
