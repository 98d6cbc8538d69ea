"""Overview of the results of a study."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mixpro_mm.report.figures.canvas import PAPER, WIDTHS, fit, line_styles, share_legend, styled, write_figure
from mixpro_mm.report.labels import label

__all__ = ['results_overview']


@styled
def results_overview(table, path: str | Path) -> Path:
    """Draw a ``ResultsTable``: one row per metric and backbone, one dot per pre-training, in percent.

    Error bars are one standard deviation over seeds. Hollow squares are published numbers. Each task has its own axes.
    """
    parts, styles = table.by_task(), line_styles(table.pretrainings)
    sizes = [len(part.rows) for part in parts.values()]
    figure = Figure(figsize=(WIDTHS['column'], 0.6 + 0.5 * len(parts) + 0.42 * sum(sizes)))
    grid = figure.subplots(len(parts), 1, squeeze=False, height_ratios=[0.5 + size for size in sizes])[:, 0]
    for axes, (task, part) in zip(grid, parts.items(), strict=True):
        for place, row in enumerate(part.rows):
            if row.published:
                axes.plot(list(row.published.values()), [place] * len(row.published), zorder=3, **styles[PAPER])
        for number, name in enumerate(part.pretrainings):
            shift = 0.6 * ((number + 0.5) / len(part.pretrainings) - 0.5)
            cells = [(row.cells[name], place + shift) for place, row in enumerate(part.rows) if name in row.cells]
            bars = [np.nan if cell.std is None else cell.std for cell, _ in cells]
            dots = dict(elinewidth=0.8) | styles[name] | dict(linestyle='none')
            axes.errorbar([cell.mean for cell, _ in cells], [place for _, place in cells], xerr=bars, **dots)
        names = [f'{fit(label(row.metric), 1.2)}\n{row.backbone}' for row in part.rows]
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_title(label(task))
        axes.grid(visible=False, axis='y')
        axes.margins(x=0.06)
    grid[-1].set_xlabel('result (%)')
    return write_figure(share_legend(figure), path)
