"""Loss, validation metric and progressive factor over training (MixPro, Figure 2)."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mixpro_mm.report.figures.canvas import Panel, line_figure, line_styles, outputs, over_runs, save, write_figure
from mixpro_mm.report.figures.logs import by_epoch, epoch_means, named_runs, read_scalars, series
from mixpro_mm.report.labels import label

__all__ = ['draw_curves', 'draw_factor', 'factor_curves', 'learning_curves', 'transfer_curves']

ROWS = 3  # backbones per figure
LINES = 5  # lines of the factor per panel
LONG = 60  # longer losses are smoothed
MANY = 30  # with more validations, the axis leaves out the first quarter of them
GAP = '|lam_attn - lam_area|'
# task -> key of the validation lines, metric, factor to percent
VALIDATION = {
    'classification': ('accuracy/top1', 'top1', 1),
    'segmentation': ('mIoU', 'mIoU', 1),
    'detection': ('coco/bbox_mAP', 'bbox_mAP', 100),
}


def learning_curves(stages: list[dict], path: str | Path) -> list[Path]:
    """Draw loss and validation top-1 of pre-training: one row per backbone, one line per method.

    Args:
        stages: Dicts with ``task, backbone, pretraining, work_dir``. Seeds of one method become mean and band.
        path: First file. Further files are ``NAME-2.png``, ``NAME-3.png``, ...

    Returns:
        The written files; none without logs.
    """
    return _curves([stage for stage in stages if stage['task'] == 'classification'], Path(path))


def transfer_curves(stages: list[dict], path: str | Path) -> list[Path]:
    """Draw loss and validation metric of segmentation and detection; see :func:`learning_curves`."""
    return _curves([stage for stage in stages if stage['task'] in ('segmentation', 'detection')], Path(path))


def _curves(stages: list[dict], path: Path) -> list[Path]:
    groups, styles, written = {}, line_styles(stage['pretraining'] for stage in stages), []
    for stage, records in _logged(stages):
        groups.setdefault((stage['task'], stage['backbone']), []).append((stage['pretraining'], records))
    rows = [_row(runs, task, f'{label(task)}, {backbone}') for (task, backbone), runs in groups.items()]
    rows = list(filter(None, rows))
    for start in range(0, len(rows), ROWS):
        panels = [panel for row in rows[start : start + ROWS] for panel in row]
        name = path.with_stem(f'{path.stem}-{start // ROWS + 1}') if start else path
        written.append(write_figure(line_figure(panels, styles=styles), name))
    return written


def _row(runs: list[tuple[str, list]], task: str, title: str = '', error: bool = False) -> list[Panel]:
    """Return the panels of loss and of metric (100 - metric for ``error``) that have values."""
    (key, metric, scale), unit = VALIDATION[task], _unit(runs)
    losses = over_runs((name, _smooth(epoch_means(records, 'loss'))) for name, records in runs)
    scores = [(name, series(records, 'step', key)) for name, records in runs]
    scores = over_runs((name, {x: 100 - y if error else y * scale for x, y in run.items()}) for name, run in scores)
    later = [y for _, mean, _ in scores.values() if len(mean) > MANY for y in mean[len(mean) // 4 :] if not error]
    bottom, ylabel = min(filter(math.isfinite, later), default=None), f'{label(metric)}{" error" * error} (%)'
    panels = [Panel(losses, unit, 'training loss', title), Panel(scores, unit, f'validation {ylabel}', bottom=bottom)]
    return [panel for panel in panels if panel.lines]


def draw_curves(work_dirs: Sequence[str], out: str | None = None, width: str = 'column') -> list[Path]:
    """Draw training loss and top-1 error of each ``[NAME=]WORK_DIR``. Raises ValueError without a log."""
    paths, runs = outputs(out, 'curves'), [(name, records) for name, _, records in named_runs(work_dirs)]
    if not (panels := _row(runs, 'classification', error=True)):
        raise ValueError(f'the log of {work_dirs[0]} has neither loss nor top-1')
    return save(line_figure(panels, width, styles=line_styles(name for name, _ in runs)), paths)


def factor_curves(stages: list[dict], path: str | Path) -> list[Path]:
    """Draw the factor of each epoch and ``|lam_attn - lam_area|``; more than five lines get a panel per backbone."""
    runs, groups = _logged(stages, 'factor'), {}
    names = {(stage['backbone'], stage['pretraining']) for stage, _ in runs}
    if len(names) > LINES:
        for stage, records in runs:
            groups.setdefault(stage['backbone'], []).append((stage['pretraining'], records))
        panels = [_factor(same)._replace(title=name) for name, same in groups.items()]
        return [write_figure(line_figure(panels, columns=2, height=1.4), path)]
    keys = ['backbone', 'pretraining'] if len({name for _, name in names}) > 1 else ['backbone']
    runs = [(', '.join(label(stage[key]) for key in keys), records) for stage, records in runs]
    gaps = [
        (name, [r | {GAP: abs(r['lam_attn'] - r['lam_area'])} for r in logs if 'lam_attn' in r]) for name, logs in runs
    ]
    panels = [panel for panel in (_factor(runs), _factor(gaps, GAP)) if panel.lines]
    return [write_figure(line_figure(panels), path)] if panels else []


def draw_factor(work_dirs: Sequence[str], num=None, seed=0, out=None, width='column') -> list[Path]:
    """Draw the mean factor of each epoch, and the sorted factors of a mini-batch with the last checkpoint.

    A run without config, checkpoint or data is in the first panel only. Raises ValueError if no log has a factor.
    """
    if num is not None and num < 2:
        raise ValueError(f'--num {num}: mixing needs at least two images')
    from mixpro_mm.report.figures.mixed import factors_of_a_batch  # imports torch, which reports do not need

    paths, runs, batches = outputs(out, 'factor'), named_runs(work_dirs), {}
    if not (panel := _factor([(name, records) for name, _, records in runs])).lines:
        raise ValueError('no log has a factor: none of these runs used attention labels')
    for name, folder, _ in reversed(runs):  # the first repetition overwrites the others
        try:
            batches |= over_runs([(name, dict(enumerate(sorted(factors_of_a_batch(folder, num, seed)), start=1)))])
        except (ValueError, RuntimeError, OSError) as error:
            print(f'{name} is not in the panel of the mini-batch: {error}', file=sys.stderr)
    panels = [panel] + [Panel(batches, 'image of a mini-batch, sorted', 'factor', bottom=0)] * bool(batches)
    return save(line_figure(panels, width, styles=line_styles(name for name, *_ in runs)), paths)


def _factor(runs: list[tuple[str, list]], key: str = 'factor') -> Panel:
    return Panel(over_runs((name, epoch_means(records, key)) for name, records in runs), _unit(runs), key, bottom=0)


def _logged(stages: list[dict], key: str = '') -> list[tuple[dict, list[dict]]]:
    """Return (stage, records) of the stages that logged ``key``; stages that share a work directory count once."""
    unique = {str(stage['work_dir']): stage for stage in reversed(stages)}.values()
    runs = [(stage, read_scalars(stage['work_dir'])) for stage in reversed(unique)]
    return [(stage, records) for stage, records in runs if (epoch_means(records, key) if key else records)]


def _unit(runs: list[tuple[str, list]]) -> str:
    return 'epoch' if any(by_epoch(records) for _, records in runs) else 'iteration'


def _smooth(line: dict) -> dict:
    """Return the running mean of a long line over a thirtieth of its length."""
    if len(line) <= LONG:
        return line
    window, y = np.ones(len(line) // 30), list(line.values())
    return dict(zip(line, np.convolve(y, window, 'same') / np.convolve(np.ones(len(y)), window, 'same'), strict=True))
