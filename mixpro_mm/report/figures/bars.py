"""Overview of the results of a study."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mixpro_mm.report.figures.canvas import PAPER, WIDTHS, line_styles, share_legend, styled, write_figure
from mixpro_mm.report.labels import label

__all__ = ['results_overview']


@styled
def results_overview(table, path: str | Path) -> Path:
    """Draw a ``ResultsTable``: one row per metric and backbone, one dot per pre-training, in percent.

    Error bars are one standard deviation over seeds. Hollow squares are published numbers. Each task has its own axes.
    """
    parts = list(table.by_task().values())
    sizes, styles = [len(part.rows) for part in parts], line_styles(table.pretrainings)
    figure = Figure(figsize=(WIDTHS['column'], 0.6 + 0.4 * len(parts) + 0.36 * sum(sizes)))
    grid = figure.subplots(len(parts), 1, squeeze=False, height_ratios=[0.5 + size for size in sizes])[:, 0]
    for axes, part in zip(grid, parts, strict=True):
        for place, row in enumerate(part.rows):
            means = [cell.mean for cell in row.cells.values()]
            axes.plot([min(means), max(means)], [place, place], color='#b5b5b5', linewidth=1.5, zorder=1)
            if row.published:
                axes.plot(list(row.published.values()), [place] * len(row.published), zorder=3, **styles[PAPER])
        for name in part.pretrainings:
            cells = [(row.cells[name], place) for place, row in enumerate(part.rows) if name in row.cells]
            bars = [np.nan if cell.std is None else cell.std for cell, _ in cells]
            dots = dict(markersize=5, elinewidth=1.2) | styles[name] | dict(linestyle='none')
            axes.errorbar([cell.mean for cell, _ in cells], [place for _, place in cells], xerr=bars, **dots)
        names = [f'{label(row.task)}, {label(row.metric)}\n{row.backbone}' for row in part.rows]
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.grid(visible=False, axis='y')
        axes.margins(x=0.06)
    grid[-1].set_xlabel('result (%)')
    return write_figure(share_legend(figure), path)
