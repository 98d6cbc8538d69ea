"""Loss, validation metric and progressive factor over the training of runs (MixPro, Figure 2).

Functions of a report take the stages of a study, dicts with ``task, backbone, pretraining, work_dir``, and return the
files they wrote: ``path``, then ``NAME-2.png`` and so on where one would be too long; none without logged values.
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mixpro_mm.report.figures.canvas import Panel, line_figure, line_styles, outputs, over_runs, save, write_figure
from mixpro_mm.report.figures.logs import by_epoch, epoch_means, named_runs, read_scalars, series
from mixpro_mm.report.labels import label

__all__ = ['draw_curves', 'draw_factor', 'factor_curve', 'factor_panels', 'learning_curves', 'transfer_curves']

ROWS = 3  # backbones in one figure
LINES = 5  # of the factor in one panel
LONG, MANY = 60, 30  # values of a loss that is smoothed; validations, from which on the steep start is cut off
GAP = '|lam_attn - lam_area|'
# task -> key of the validation lines, metric, factor that makes it a percentage
VALIDATION = {
    'classification': ('accuracy/top1', 'top1', 1),
    'segmentation': ('mIoU', 'mIoU', 1),
    'detection': ('coco/bbox_mAP', 'bbox_mAP', 100),
}


def learning_curves(stages: list[dict], path: str | Path) -> list[Path]:
    """Pre-training: loss and validation top-1 of every backbone, a line for each method, a band over its seeds."""
    return _curves([stage for stage in stages if stage['task'] == 'classification'], path)


def transfer_curves(stages: list[dict], path: str | Path) -> list[Path]:
    """Segmentation and detection: loss and validation metric, a line for each pre-training."""
    return _curves([stage for stage in stages if stage['task'] in ('segmentation', 'detection')], path)


def _curves(stages: list[dict], path: str | Path) -> list[Path]:
    groups, path = {}, Path(path)
    for stage, records in _logged(stages):
        groups.setdefault((stage['task'], stage['backbone']), []).append((stage['pretraining'], records))
    rows = [_row(runs, task, f'{label(task)}, {backbone}') for (task, backbone), runs in groups.items()]
    rows, styles = list(filter(None, rows)), line_styles(stage['pretraining'] for stage in stages)
    written = []
    for number, start in enumerate(range(0, len(rows), ROWS), start=1):
        name = path if number == 1 else path.with_name(f'{path.stem}-{number}{path.suffix}')
        panels = [panel for row in rows[start : start + ROWS] for panel in row]
        written.append(write_figure(line_figure(panels, styles=styles), name))
    return written


def _row(runs: list[tuple[str, list]], task: str, title: str = '', error: bool = False) -> list[Panel]:
    """The panels of loss and of metric, or of 100 minus metric, that have values."""
    (key, metric, scale), unit = VALIDATION[task], _unit(runs)
    losses = over_runs((name, _smooth(epoch_means(records, 'loss'))) for name, records in runs)
    scores = [(name, series(records, 'step', key)) for name, records in runs]
    scores = [(name, {x: 100 - y if error else y * scale for x, y in run.items()}) for name, run in scores]
    scores = over_runs(scores)
    later = [y for _, mean, _ in scores.values() if len(mean) > MANY for y in mean[len(mean) // 4 :] if not error]
    bottom, ylabel = min(filter(math.isfinite, later), default=None), f'{label(metric)}{" error" * error} (%)'
    panels = [Panel(losses, unit, 'training loss', title), Panel(scores, unit, f'validation {ylabel}', bottom=bottom)]
    return [panel for panel in panels if panel.lines]


def draw_curves(work_dirs: Sequence[str], out: str | None = None, width: str = 'column') -> list[Path]:
    """Training loss and top-1 error of ``[NAME=]WORK_DIR`` each. Raises ValueError without a log."""
    paths, runs = outputs(out, 'curves'), [(name, records) for name, _, records in named_runs(work_dirs)]
    if not (panels := _row(runs, 'classification', error=True)):
        raise ValueError(f'there is neither loss nor top-1 in the log of {work_dirs[0]}')
    return save(line_figure(panels, width, styles=line_styles(name for name, _ in runs)), paths)


def factor_curve(stages: list[dict], path: str | Path) -> list[Path]:
    """The factor of each epoch, and how far the two weights that it balances differ; for up to five lines."""
    runs = _logged(stages, 'factor')
    keys = ['backbone', 'pretraining'] if len({stage['pretraining'] for stage, _ in runs}) > 1 else ['backbone']
    runs = [(', '.join(label(stage[key]) for key in keys), records) for stage, records in runs]
    if not 0 < len(dict(runs)) <= LINES:
        return []
    gaps = [
        (name, [r | {GAP: abs(r['lam_attn'] - r['lam_area'])} for r in logs if 'lam_attn' in r]) for name, logs in runs
    ]
    panels = [_factor(runs), _factor(gaps, GAP)]
    return [write_figure(line_figure([panel for panel in panels if panel.lines]), path)]


def factor_panels(stages: list[dict], path: str | Path) -> list[Path]:
    """The factor of more lines than :func:`factor_curve` shows: a small panel for each backbone."""
    runs, groups = _logged(stages, 'factor'), {}
    if len({(stage['backbone'], stage['pretraining']) for stage, _ in runs}) <= LINES:
        return []
    for stage, records in runs:
        groups.setdefault(stage['backbone'], []).append((stage['pretraining'], records))
    panels = [_factor(same)._replace(title=name) for name, same in groups.items()]
    return [write_figure(line_figure(panels, columns=2, height=1.4), path)]


def draw_factor(work_dirs: Sequence[str], num=None, seed=0, out=None, width='column') -> list[Path]:
    """The mean factor of each epoch, and the sorted factors of one mini-batch by the last checkpoint.

    A run without what the mini-batch needs is in the first panel only, with a message on standard error. Raises
    ValueError if no log has a factor.
    """
    if num is not None and num < 2:
        raise ValueError(f'--num {num}: at least two images are needed to mix')
    from mixpro_mm.report.figures.mixed import factors_of_a_batch  # reports are drawn without torch

    paths, runs, batches = outputs(out, 'factor'), named_runs(work_dirs), {}
    if not (panel := _factor([(name, records) for name, _, records in runs])).lines:
        raise ValueError('no log of these has a factor: none of the runs used attention labels')
    for name, folder, _ in reversed(runs):  # of repetitions the first remains
        try:
            batches |= over_runs([(name, dict(enumerate(sorted(factors_of_a_batch(folder, num, seed)), start=1)))])
        except (ValueError, RuntimeError, OSError) as error:
            print(f'{name} is not in the panel of the mini-batch: {error}', file=sys.stderr)
    panels = [panel] + [Panel(batches, 'image of a mini-batch, sorted', 'factor', bottom=0)] * bool(batches)
    return save(line_figure(panels, width, styles=line_styles(name for name, *_ in runs)), paths)


def _factor(runs: list[tuple[str, list]], key: str = 'factor') -> Panel:
    return Panel(over_runs((name, epoch_means(records, key)) for name, records in runs), _unit(runs), key, bottom=0)


def _logged(stages: list[dict], key: str = '') -> list[tuple[dict, list[dict]]]:
    """The stages that logged ``key``, or anything, with their records; those of one work directory count once."""
    unique = {str(stage['work_dir']): stage for stage in reversed(stages)}.values()
    runs = [(stage, read_scalars(stage['work_dir'])) for stage in reversed(unique)]
    return [(stage, records) for stage, records in runs if (epoch_means(records, key) if key else records)]


def _unit(runs: list[tuple[str, list]]) -> str:
    return 'epoch' if any(by_epoch(records) for _, records in runs) else 'iteration'


def _smooth(line: dict) -> dict:
    """A long line as its running mean over a thirtieth of its length."""
    if len(line) <= LONG:
        return line
    window, y = np.ones(len(line) // 30), list(line.values())
    return dict(zip(line, np.convolve(y, window, 'same') / np.convolve(np.ones(len(y)), window, 'same'), strict=True))
