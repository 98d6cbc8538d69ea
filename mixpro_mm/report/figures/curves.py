"""The figures of a report, drawn from logs and results: colour-blind safe (Okabe-Ito), the same bytes at every run.

The curve functions take a study's stages, dicts with ``task, backbone, pretraining, work_dir``, and return the paths of
what they wrote: ``path``; further files beside it, ``NAME-2.png`` and so on, where one would be too full to read; none
where the logs hold nothing to draw.
"""

import math
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from mixpro_mm.report.figures.canvas import STYLE, WIDTH, share_legend, write_figure
from mixpro_mm.report.figures.logs import by_epoch, epoch_means, read_scalars, series
from mixpro_mm.reporting.labels import label
from mixpro_mm.reporting.palette import COLORS, MARKERS, cycle, run_colors
from mixpro_mm.reporting.tables import ResultsTable

__all__ = ['factor_curve', 'factor_panels', 'learning_curves', 'results_overview', 'transfer_curves']

ROWS = 4  # of panels in one figure
ABREAST = 4  # small panels
LONG = 12  # rows of the table on one axis
MANY = 30  # validations of one run
# task -> key of the validation lines, metric, factor that makes it a percentage
VALIDATION = {
    'classification': ('accuracy/top1', 'top1', 1),
    'segmentation': ('mIoU', 'mIoU', 1),
    'detection': ('coco/bbox_mAP', 'bbox_mAP', 100),
}


@matplotlib.rc_context(STYLE)
def learning_curves(stages: list[dict], path: str | Path) -> list[Path]:
    """Pre-training: loss over iterations and validation top-1 over epochs, a row per backbone, a colour per method."""
    return _loss_and_validation([stage for stage in stages if stage['task'] == 'classification'], path)


@matplotlib.rc_context(STYLE)
def transfer_curves(stages: list[dict], path: str | Path) -> list[Path]:
    """Segmentation and detection: loss and validation metric from each checkpoint and from scratch."""
    return _loss_and_validation([stage for stage in stages if stage['task'] in ('segmentation', 'detection')], path)


@matplotlib.rc_context(STYLE)
def factor_curve(stages: list[dict], path: str | Path) -> list[Path]:
    """The progressive factor over epochs (the paper's Figure 2a), and the two weights it balances, by backbone.

    Nothing where there are more runs than colours: that is for ``factor_panels``.
    """
    runs = _factor_runs(stages)
    if not 0 < len(runs) <= len(COLORS):
        return []
    keys = ['backbone'] if len({stage['pretraining'] for stage, _ in runs}) == 1 else ['backbone', 'pretraining']
    names = [', '.join(label(stage[key]) for key in keys) for stage, _ in runs]
    colors = cycle(names, COLORS)
    figure = Figure(figsize=(WIDTH, 3.4))
    left, right = figure.subplots(1, 2, sharey=True)
    for name, (_, records) in zip(names, runs, strict=True):
        left.plot(*epoch_means(records, 'factor'), color=colors[name], label=name)
        right.plot(*epoch_means(records, 'lam_attn'), color=colors[name], linewidth=1.2)
        right.plot(*epoch_means(records, 'lam_area'), color=colors[name], linewidth=1.2, linestyle=':')
    unit, y_label = ('epoch', 'mean over the epoch') if by_epoch(runs[0][1]) else ('iteration', None)
    _dress(left, unit, y_label, 'Progressive factor')
    _dress(right, unit, None, 'Weight of the first image')
    left.set_ylim(0, 1)
    ways = [Line2D([], [], color='#555555', linewidth=1.2, linestyle=style) for style in ('-', ':')]
    right.legend(ways, ['by attention', 'by area'], loc='upper right')
    return [write_figure(share_legend(figure), path)]


@matplotlib.rc_context(STYLE)
def factor_panels(stages: list[dict], path: str | Path) -> list[Path]:
    """The factor of more runs than ``factor_curve`` has colours for: a small panel per backbone, a line per method.

    Where there is one backbone only, a panel per method.
    """
    runs = _factor_runs(stages)
    if len(runs) <= len(COLORS):
        return []
    several = len({stage['backbone'] for stage, _ in runs}) > 1
    key, other = ('backbone', 'pretraining') if several else ('pretraining', 'backbone')
    panels = {}
    for stage, records in runs:
        panels.setdefault(stage[key], []).append((stage[other], records))
    colors = run_colors([name for same in panels.values() for name, _ in same])
    lines = -(-len(panels) // ABREAST)
    figure = Figure(figsize=(WIDTH, 0.9 + 1.55 * lines))
    grid = figure.subplots(lines, ABREAST, sharex=True, sharey=True, squeeze=False)
    for axes, (panel, same) in zip(grid.flat, panels.items(), strict=False):
        for name, records in same:
            axes.plot(*epoch_means(records, 'factor'), color=colors[name], label=label(name))
        axes.set_title(label(panel), fontsize=9)
    for place, axes in enumerate(grid.flat):
        axes.set_visible(place < len(panels))
        axes.xaxis.set_major_locator(MaxNLocator(3, integer=True, steps=[1, 2, 5, 10]))
        axes.tick_params(labelsize=8, labelbottom=len(panels) - ABREAST <= place < len(panels))
    grid[0, 0].set_ylim(0, 1)
    unit = 'epoch' if by_epoch(runs[0][1]) else 'iteration'
    figure.supxlabel(unit, fontsize=10)
    figure.supylabel('factor' if unit == 'iteration' else 'factor, mean over the epoch', fontsize=10)
    return [write_figure(share_legend(figure), path)]


@matplotlib.rc_context(STYLE)
def results_overview(table: ResultsTable, path: str | Path) -> Path:
    """Every row of the table on one axis in percent: a dot per pre-training, a bar for the deviation over seeds.

    What others report is marked by hollow dots. A long table has an axis for each task, as wide as its numbers.
    """
    parts = list(table.by_task().values()) if len(table.rows) > LONG else [table]
    sizes = [len(part.rows) for part in parts]
    figure = Figure(figsize=(WIDTH, 0.6 + 0.7 * len(parts) + 0.42 * sum(sizes)))
    grid = figure.subplots(len(parts), 1, squeeze=False, height_ratios=[0.5 + size for size in sizes])
    for axes, part in zip(grid[:, 0], parts, strict=True):
        _dots(axes, part, run_colors(table.pretrainings))
    grid[-1, 0].set_xlabel('result (%)')
    return write_figure(share_legend(figure, last='in the paper'), path)


def _dots(axes, table: ResultsTable, colors: dict[str, str]) -> None:
    for place, row in enumerate(table.rows):
        means = [cell.mean for cell in row.cells.values()]
        axes.plot([min(means), max(means)], [place, place], color='#b5b5b5', linewidth=2, zorder=1)
    for name in table.pretrainings:
        cells = [(place, row.cells[name]) for place, row in enumerate(table.rows) if name in row.cells]
        stds = [np.nan if cell.std is None else cell.std for _, cell in cells]
        axes.errorbar(
            [cell.mean for _, cell in cells], [place for place, _ in cells], xerr=stds,
            fmt=MARKERS.get(name, 's'), markersize=7, color=colors[name], label=label(name), elinewidth=1.4, capsize=3,
        )  # fmt: skip
        cited = [(place, row.published[name]) for place, row in enumerate(table.rows) if name in row.published]
        if cited:
            axes.plot(
                [value for _, value in cited], [place for place, _ in cited], linestyle='none',
                marker=MARKERS.get(name, 's'), markersize=11, markerfacecolor='none', markeredgecolor=colors[name],
            )  # fmt: skip
    if table.has_published:
        axes.plot([], [], 's', markersize=11, markerfacecolor='none', markeredgecolor='#555555', label='in the paper')
    names = [f'{label(row.task)}, {label(row.metric)}\n{row.backbone}' for row in table.rows]
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis='y')
    axes.margins(x=0.06)


def _loss_and_validation(stages: list[dict], path: str | Path) -> list[Path]:
    """A row of panels per task and backbone, a line per stage; the right column only where a curve was validated."""
    rows = {}
    for stage, records in _runs(stages):
        losses = series(records, 'iter', 'loss')
        scores = series(records, 'step', VALIDATION[stage['task']][0])
        if losses[0] or scores[0]:
            rows.setdefault((stage['task'], stage['backbone']), []).append((stage, records, losses, scores))
    columns = 2 if any(len(scores[0]) > 1 for runs in rows.values() for *_, scores in runs) else 1
    colors = run_colors([stage['pretraining'] for stage in stages])
    rows, count = list(rows.items()), -(-len(rows) // ROWS)
    parts = [rows[len(rows) * i // count : len(rows) * (i + 1) // count] for i in range(count)]
    return [
        write_figure(share_legend(_panel_rows(part, columns, colors)), _numbered(path, number))
        for number, part in enumerate(parts, start=1)
    ]


def _panel_rows(rows: list[tuple], columns: int, colors: dict[str, str]) -> Figure:
    figure = Figure(figsize=(WIDTH, 0.4 + 2.4 * len(rows)))
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for (loss_axes, *score_axes), ((task, backbone), runs) in zip(grid, rows, strict=True):
        _, metric, scale = VALIDATION[task]
        for stage, _, losses, (steps, scores) in runs:
            style = {'color': colors[stage['pretraining']], 'label': label(stage['pretraining'])}
            _line(loss_axes, *losses, style)
            for axes in score_axes:
                dots = dict(linewidth=1.2) if len(scores) > MANY else dict(marker='o', markersize=3)
                axes.plot(steps, [score * scale for score in scores], **dots, **style)
        later = [score for *_, (_, scores) in runs if len(scores) > MANY for score in scores[len(scores) // 4 :]]
        later = [score * scale for score in later if math.isfinite(score)]
        for axes in score_axes if later else ():  # the steep start would leave no room for what comes of it
            axes.set_ylim(bottom=min(later))
        _dress(loss_axes, 'iteration', 'training loss', f'{label(task)}, {backbone}')
        for axes in score_axes:
            unit = 'epoch' if by_epoch(runs[0][1]) else 'iteration'
            _dress(axes, unit, f'validation {label(metric)} (%)')
    return figure


def _numbered(path: str | Path, number: int) -> Path:
    path = Path(path)
    return path if number == 1 else path.with_name(f'{path.stem}-{number}{path.suffix}')


def _runs(stages: list[dict]) -> list[tuple[dict, list]]:
    """The stages that left a log, with its records; stages that share a work directory count once."""
    unique = {str(stage['work_dir']): stage for stage in reversed(stages)}.values()
    return [(stage, records) for stage in reversed(unique) if (records := read_scalars(stage['work_dir']))]


def _factor_runs(stages: list[dict]) -> list[tuple[dict, list]]:
    return [run for run in _runs(stages) if series(run[1], 'iter', 'factor')[0]]


def _line(axes, x: list, y: list, style: dict) -> None:
    """A line as logged; a long one is drawn faint under its running mean over a thirtieth of its length."""
    if len(x) <= 60:
        axes.plot(x, y, marker='.' if len(x) < 3 else None, **style)
        return
    axes.plot(x, y, color=style['color'], alpha=0.25, linewidth=0.8)
    window = np.ones(len(y) // 30)
    axes.plot(x, np.convolve(y, window, 'same') / np.convolve(np.ones(len(y)), window, 'same'), **style)


def _dress(axes, x_label: str, y_label: str | None, title: str | None = None) -> None:
    axes.set(xlabel=x_label, ylabel=y_label, title=title)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(StrMethodFormatter('{x:,.0f}'))
