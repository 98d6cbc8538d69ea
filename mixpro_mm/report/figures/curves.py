"""Loss, validation metric and progressive factor over training (MixPro, Figure 2)."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from mixpro_mm.report.figures.canvas import Panel, line_figure, over_runs, write_figure
from mixpro_mm.report.figures.logs import by_epoch, epoch_means, named_runs, read_scalars, series
from mixpro_mm.report.labels import label

__all__ = ['draw_curves', 'draw_factor', 'training_curves']

GAP = '|lam_attn - lam_area|'
Runs = list[tuple[str, list[dict]]]  # pairs of the name of a run and the records of its log
# task -> key of the validation lines, metric, factor to percent
VALIDATION = {
    'classification': ('accuracy/top1', 'top1', 1),
    'segmentation': ('mIoU', 'mIoU', 1),
    'detection': ('coco/bbox_mAP', 'bbox_mAP', 100),
}


def training_curves(stages: list[dict], folder: Path) -> list[Path]:
    """Draw ``pre-training.png``, ``factor.png`` and ``transfer.png``, as far as there are logs, and return their paths.

    There is a row of panels per backbone and a line per method. ``stages`` are dicts with ``task, backbone,
    pretraining, work_dir``; seeds of one method become mean and band.
    """
    groups, figures = {}, {'pre-training': [], 'factor': [], 'transfer': []}
    for stage in stages:
        run = stage['pretraining'], read_scalars(stage['work_dir'])
        groups.setdefault((stage['task'], stage['backbone']), []).append(run)
    for (task, backbone), runs in groups.items():
        title = f'{label(task)}, {backbone}'
        figures['pre-training' if task == 'classification' else 'transfer'] += _progress(runs, task, title)
        figures['factor'] += _factor(runs, title)
    return [write_figure(line_figure(panels), folder / f'{name}.png') for name, panels in figures.items() if panels]


def _progress(runs: Runs, task: str, title: str = '', error: bool = False) -> list[Panel]:
    """Return the panels of loss and of metric (100 - metric for ``error``) that have values."""
    key, metric, scale = VALIDATION[task]
    losses = [(name, pd.Series(epoch_means(records, 'loss'), dtype=float)) for name, records in runs]
    losses = over_runs((name, y.rolling(1 + len(y) // 60, center=True, min_periods=1).mean()) for name, y in losses)
    scores = [(name, series(records, 'step', key)) for name, records in runs]
    scores = over_runs((name, {x: 100 - y if error else y * scale for x, y in run.items()}) for name, run in scores)
    ylabel = f'validation {label(metric)}{" error" * error} (%)'
    panels = Panel(losses, _unit(runs), 'training loss', title), Panel(scores, _unit(runs), ylabel)
    return [panel for panel in panels if panel.lines]


def _factor(runs: Runs, title: str = '') -> list[Panel]:
    """Return the panels of the factor and of the difference of the label weights, if they were logged."""
    gaps = ([r | {GAP: abs(r['lam_attn'] - r['lam_area'])} for r in log if 'factor' in r] for _, log in runs)
    logged = [(name, log) for (name, _), log in zip(runs, gaps, strict=True)]
    panels = [
        Panel(over_runs((name, epoch_means(records, key)) for name, records in logged), _unit(logged), key, text, 0)
        for key, text in (('factor', title), (GAP, ''))
    ]
    return [panel for panel in panels if panel.lines]


def _unit(runs: Runs) -> str:
    return 'epoch' if any(by_epoch(records) for _, records in runs) else 'iteration'


def draw_curves(work_dirs: Sequence[str], width: str = 'column') -> Figure:
    """Draw training loss and top-1 error of each ``[NAME=]WORK_DIR``. Raises ValueError without a log."""
    runs = [(name, records) for name, _, records in named_runs(work_dirs)]
    if not (panels := _progress(runs, 'classification', error=True)):
        raise ValueError(f'the log of {work_dirs[0]} has neither loss nor top-1')
    return line_figure(panels, width)


def draw_factor(work_dirs: Sequence[str], num=None, seed=0, width='column') -> Figure:
    """Draw the mean factor of each epoch, and the sorted factors of a mini-batch with the last checkpoint.

    A run without config, checkpoint or data is in the first panel only. Raises ValueError if no log has a factor.
    """
    from mixpro_mm.report.figures.mixed import factors_of_a_batch  # imports torch, which reports do not need

    if num is not None and num < 2:
        raise ValueError(f'--num {num}: must be 2 or more')
    runs, batches = named_runs(work_dirs), []
    if not (panels := _factor([(name, records) for name, _, records in runs])[:1]):
        raise ValueError('no log has a factor: none of these runs used attention labels')
    for name, folder, _ in runs:
        try:
            batches.append((name, dict(enumerate(sorted(factors_of_a_batch(folder, num, seed)), start=1))))
        except (ValueError, RuntimeError, OSError) as error:
            print(f'{name} is not in the panel of the mini-batch: {error}', file=sys.stderr)
    panels += [Panel(over_runs(batches), 'image of a mini-batch, sorted', 'factor', bottom=0)] if batches else []
    return line_figure(panels, width)
