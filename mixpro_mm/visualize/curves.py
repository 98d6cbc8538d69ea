"""Loss and top-1 error over the training of any number of runs (MixPro, Figures 2c and 2d)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.ticker import MaxNLocator

from mixpro_mm.report.figures.logs import by_epoch, epoch_means, series
from mixpro_mm.reporting.palette import run_colors
from mixpro_mm.visualize.paper import legend_above, outputs, panels, save
from mixpro_mm.visualize.runs import Run, read_runs

__all__ = ['draw_curves', 'plot_means', 'styles', 'unit_of']

DASHES = ('-', '--', '-.', ':', (0, (4, 1, 1, 1, 1, 1)), (0, (2, 3)), (0, (9, 3)))  # seven that differ in grey
TOP1 = 'accuracy/top1'


def styles(runs: Sequence[Run]) -> dict[str, dict]:
    """Colour, dashes and label of every name, so that lines can be told apart in grey, too."""
    colors = run_colors([run.name for run in runs])
    return {
        name: dict(color=color, linestyle=DASHES[place % len(DASHES)], label=name)
        for place, (name, color) in enumerate(colors.items())
    }


def unit_of(runs: Sequence[Run]) -> str:
    """'epoch' or 'iteration', as the runs count.

    Raises:
        ValueError: if some count this and some that.
    """
    units = {by_epoch(run.records) for run in runs}
    if len(units) > 1:
        raise ValueError('some of these runs count epochs and some iterations; they share no axis')
    return 'epoch' if units.pop() else 'iteration'


def plot_means(axis, lines: Sequence[tuple[Run, tuple[list, list]]], looks: dict[str, dict]) -> None:
    """A line for each name: the mean over its runs where all of them have a value, in a band from least to most."""
    for name in dict.fromkeys(run.name for run, _ in lines):
        runs = [dict(zip(x, y, strict=True)) for run, (x, y) in lines if run.name == name]
        x = sorted(set(runs[0]).intersection(*runs[1:]))
        values = np.array([[run[place] for place in x] for run in runs])
        axis.plot(x, values.mean(0), marker='o' if len(x) < 3 else None, markersize=3, **looks[name])
        if len(runs) > 1:
            axis.fill_between(x, values.min(0), values.max(0), color=looks[name]['color'], alpha=0.18, linewidth=0)


def draw_curves(work_dirs: Sequence[str], out: str | None = None, width: str = 'column') -> list[Path]:
    """Training loss, the mean of each epoch, and top-1 error of every validation, a line for each name.

    Args:
        work_dirs: ``[NAME=]WORK_DIR`` each.
        out, width: Of the picture.

    Raises:
        ValueError: if a folder holds no log, or the logs no loss.
    """
    paths, runs = outputs(out, 'curves'), read_runs(work_dirs)
    unit, looks = unit_of(runs), styles(runs)
    losses = [(run, epoch_means(run.records, 'loss')) for run in runs]
    errors = [(run, series(run.records, 'step', TOP1)) for run in runs]
    errors = [(run, (steps, [100 - score for score in scores])) for run, (steps, scores) in errors if steps]
    if not any(steps for _, (steps, _) in losses):
        raise ValueError(f'there is no loss in the log of {runs[0].folder}')
    drawn = [('training loss', losses), ('validation top-1 error (%)', errors)][: 1 + bool(errors)]

    def draw():
        figure, axes = panels(len(drawn), width)
        for axis, (y_label, lines) in zip(axes, drawn, strict=True):
            plot_means(axis, lines, looks)
            axis.set(xlabel=unit, ylabel=y_label)
            axis.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
        return legend_above(figure)

    return save(draw, paths)
