"""Style and output files of all figures, and line figures."""

import re
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from mixpro_mm.report.labels import label
from mixpro_mm.utils.files import replacing

__all__ = [
    'WIDTHS', 'Panel', 'fit', 'line_figure', 'line_styles', 'outputs', 'over_runs', 'save', 'spread', 'write_figure',
]  # fmt: skip

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
    """Average runs, pairs (name, {x: y}), that share a name, over the x that all of them have.

    Returns:
        Name -> x, mean and sample standard deviation (0 for a single run), each (N,). Empty runs are skipped.
    """
    groups = {}
    for name, run in runs:
        if run:
            groups.setdefault(name, []).append(run)
    return {
        name: spread({x: [run[x] for run in same] for x in sorted(set(same[0]).intersection(*same[1:]))})
        for name, same in groups.items()
    }


def spread(values: dict[float, list[float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x, mean and sample standard deviation (0 for a single value), each (N,), of {x: values}."""
    deviations = [np.std(y, ddof=1) if len(y) > 1 else 0 for y in values.values()]
    return np.array(list(values)), np.array([np.mean(y) for y in values.values()]), np.array(deviations)


def line_styles(names: Iterable[str]) -> dict[str, dict]:
    """Return colour, marker, dashes and label of each name. The last method in a name sets its colour."""
    names, colors = list(dict.fromkeys(name for name in names if name != PAPER)), {}
    words = {name: re.split('[^a-z0-9]+', name.lower().replace('no mixing', 'none')) for name in names}
    methods = {name: [word for word in words[name] if word in METHODS][-1:] for name in names}
    for name in sorted(names, key=lambda name: methods[name] != words[name]):  # exact names first
        if methods[name] and METHODS[methods[name][0]] not in colors.values():
            colors[name] = METHODS[methods[name][0]]
    free = [color for color in PALETTE if color not in colors.values()] or PALETTE
    for place, name in enumerate(name for name in names if name not in colors):
        colors[name] = free[place % len(free)]
    return {PAPER: HOLLOW} | {
        name: dict(color=colors[name], marker=MARKERS[i % 7], linestyle=DASHES[i % 7], label=label(name))
        for i, name in enumerate(names)
    }


@styled
def line_figure(
    panels: Sequence[Panel], width='column', columns=None, styles=None, height: float = 1.75, note: str = ''
) -> Figure:
    """Draw panels stacked at column width or side by side at text width. Bands are one standard deviation."""
    styles = styles or line_styles(name for panel in panels for name in panel.lines)
    columns, note = columns or (1 if width == 'column' else len(panels)), fit(note, WIDTHS[width], 12)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(WIDTHS[width], 0.3 + height * rows + 0.14 * note.count('\n') + 0.2 * bool(note)))
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, panel in zip(grid, panels, strict=False):
        for name, (x, y, deviation) in panel.lines.items():
            style = styles[name] | ({} if len(x) <= FEW else {'marker': None})
            if any(deviation) and len(x) <= FEW:
                axes.errorbar(x, y, yerr=deviation, elinewidth=0.6, **style)
            else:
                axes.plot(x, y, **style)
                axes.fill_between(x, y - deviation, y + deviation, color=style['color'], alpha=0.18, linewidth=0)
        axes.set(xlabel=panel.xlabel, ylabel=panel.ylabel, title=panel.title)
        at_most = 5 if columns == 1 else 3
        axes.xaxis.set_major_locator(MaxNLocator(at_most, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
        axes.xaxis.set_major_formatter(StrMethodFormatter('{x:,.0f}'))
        axes.set_ylim(bottom=panel.bottom)
        if panel.ticks:
            axes.set_xticks(range(len(panel.ticks)), panel.ticks)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    if note:
        figure.supxlabel(note, fontsize=SMALLEST, x=0.01, ha='left', color='#444444')
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
    """Draw a legend of {label: handle} in as many columns as fit."""
    for count in range(len(handles), 0, -1):
        legend = figure.legend(handles.values(), handles.keys(), loc=loc, ncols=count, **settings)
        if count == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def fit(text: str, inches: float, lines: int = 2) -> str:
    """Wrap a text to a width at the smallest font size, and cut it after ``lines`` lines."""
    letters = max(4, int(inches / (0.54 * SMALLEST / 72)))
    return '\n'.join(textwrap.wrap(text, letters, max_lines=lines, placeholder='…'))


def outputs(out: str | None, command: str) -> list[Path]:
    """Return the file named by ``--out``; without a suffix, a PNG and an SVG file. Raises ValueError otherwise."""
    path = Path(out or Path('work_dirs') / 'pictures' / command)
    if path.is_dir():
        raise ValueError(f'--out {path} is a folder, not a file')
    if path.suffix and path.suffix.lower() not in METADATA:
        raise ValueError(f'--out {path} must end in .png or .svg, or have no suffix')
    return [path] if path.suffix else [path.with_suffix(suffix) for suffix in METADATA]


def save(figure: Figure, paths: Iterable[Path]) -> list[Path]:
    """Write a figure at print resolution."""
    return [write_figure(figure, path, 300) for path in paths]


def write_figure(figure: Figure, path: str | Path, dpi: int = 200) -> Path:
    """Save a figure atomically as PNG or SVG. Raises ValueError for any other suffix."""
    path = Path(path)
    if (suffix := path.suffix.lower()) not in METADATA:
        raise ValueError(f'{path} is neither .png nor .svg')
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, matplotlib.rc_context(STYLE):
        figure.savefig(temporary, format=suffix[1:], dpi=dpi, metadata=METADATA[suffix])
    return path
