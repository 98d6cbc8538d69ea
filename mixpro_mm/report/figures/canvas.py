"""What every figure shares: its style and width, one legend, and a file that is the same bytes at every run."""

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from mixpro_mm.files import replacing

__all__ = ['STYLE', 'WIDTH', 'share_legend', 'write_figure']

STYLE = {
    'font.family': 'DejaVu Sans', 'font.size': 10, 'axes.titlesize': 10.5, 'axes.titleweight': 'bold',
    'axes.titlelocation': 'left', 'axes.spines.top': False, 'axes.spines.right': False, 'axes.grid': True,
    'axes.axisbelow': True, 'grid.color': '#e3e3e3', 'grid.linewidth': 0.6, 'lines.linewidth': 1.7,
    'legend.frameon': False, 'figure.facecolor': 'white', 'figure.constrained_layout.use': True,
    'figure.constrained_layout.wspace': 0.06, 'figure.constrained_layout.hspace': 0.06,
}  # fmt: skip
WIDTH = 7.2  # inches; 1080 pixels
SILENT = {'png': {'Software': None}, 'svg': {'Date': None, 'Creator': None}}  # what changes by the day or the version


def share_legend(figure: Figure, last: str | None = None, columns: int = 5) -> Figure:
    """One legend above all panels, every label once, ``last`` at the end, so many in a line or as many as fit."""
    handles = {}
    for axes in figure.axes:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(name, handle)
    handles = dict(sorted(handles.items(), key=lambda item: item[0] == last))
    for count in range(max(1, min(columns, len(handles))), 0, -1):
        legend = figure.legend(handles.values(), handles.keys(), loc='outside upper center', ncols=count)
        if count == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return figure
        legend.remove()


def write_figure(figure: Figure, path: str | Path, dpi: int = 150) -> Path:
    """Save as PNG or SVG, by the suffix, whole or not at all, the same bytes at every run.

    Args:
        path: Its folder is made if it is not there.
        dpi: Of a PNG, and of the images inside an SVG.

    Raises:
        ValueError: if the suffix is another.
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix('.')
    if kind not in SILENT:
        raise ValueError(f'{path} is neither .png nor .svg')
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, matplotlib.rc_context({'svg.hashsalt': 'mixpro_mm'}):
        figure.savefig(temporary, format=kind, dpi=dpi, metadata=SILENT[kind])
    return path
