"""The two figures of the evidence page: every compared difference with its intervals, and accuracy under occlusion."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mixpro_mm.report.figures.canvas import STYLE, WIDTH, share_legend, write_figure
from mixpro_mm.reporting.evidence_claims import Finding, occlusion_curves
from mixpro_mm.reporting.labels import label, lower_is_better, short_label
from mixpro_mm.reporting.palette import MARKERS, run_colors
from mixpro_mm.reporting.statistics import UNDECIDED

__all__ = ['forest_plot', 'occlusion_bands']

MODES = {'random': 'Random patches', 'salient': 'Salient patches', 'non-salient': 'Non-salient patches'}
REFERENCE = 'cutmix'
INK = '#444444'
ENDS = {'solid_capstyle': 'butt'}  # a bar ends where its interval does


@matplotlib.rc_context(STYLE | {'axes.grid.axis': 'x'})
def forest_plot(findings: list[Finding], path: str | Path) -> Path | None:
    """A dot for each difference, a thick bar for its bootstrap interval, a thin one for Student's; right is better.

    A panel for each group of claims and backbone, as wide as its own intervals; hollow dots are undecided. Findings
    without a verdict are left out; None, and no file, where that is all of them.
    """
    groups = {}
    for finding in findings:
        if finding.judged:
            groups.setdefault((finding.claim.group, finding.backbone), []).append(finding)
    if not groups:
        return None
    sizes = [len(group) for group in groups.values()]
    figure = Figure(figsize=(WIDTH, 0.9 + 0.42 * len(groups) + 0.24 * sum(sizes)))
    panels = figure.subplots(len(groups), 1, squeeze=False, height_ratios=[0.4 + size for size in sizes])[:, 0]
    colors = run_colors([finding.claim.other for finding in findings])
    for axes, (title, group) in zip(panels, groups.items(), strict=True):
        for place, finding in enumerate(group):
            _bars(axes, place, finding, colors[finding.claim.other])
        axes.axvline(0, color=INK, linewidth=1, zorder=1)
        axes.set_yticks(range(len(group)), [_words(finding) for finding in group], fontsize=8)
        axes.set_ylim(len(group) - 0.4, -0.6)
        axes.tick_params(axis='x', labelsize=8)
        axes.set_title(', '.join(title), fontsize=9)
    panels[-1].set_xlabel('points; right of zero: the first method is better')
    keys = {
        **{f'- {label(name)}': dict(color=colors[name], marker='o', linewidth=3.5) for name in _others(groups)},
        'undecided': dict(color=INK, marker='o', markerfacecolor='white', linestyle='none'),
        'bootstrap 95 %': dict(color=INK, linewidth=3.5),
        't 95 %': dict(color=INK, linewidth=1),
    }
    handles = [Line2D([], [], label=name, **style) for name, style in keys.items()]
    figure.legend(handles=handles, loc='outside upper center', ncols=4)
    return write_figure(figure, path)


def _bars(axes, place: int, finding: Finding, color: str) -> None:
    turn = -1 if lower_is_better(finding.claim.metric) else 1
    pairs = finding.pairs
    axes.plot([turn * end for end in pairs.student], [place, place], color=color, linewidth=1, zorder=2, **ENDS)
    axes.plot([turn * end for end in pairs.bootstrap], [place, place], color=color, linewidth=3.5, zorder=3, **ENDS)
    face = 'white' if finding.verdict == UNDECIDED else color
    axes.plot(turn * pairs.mean, place, 'o', color=color, markerfacecolor=face, markersize=6, zorder=4)


def _words(finding: Finding) -> str:
    metric = short_label(finding.claim.metric)  # what stands before is the group
    if lower_is_better(finding.claim.metric):
        metric += ' (sign turned)'
    return f'{metric}, {finding.claim.methods}'


def _others(groups: dict[tuple, list[Finding]]) -> list[str]:
    return list(dict.fromkeys(finding.claim.other for group in groups.values() for finding in group))


@matplotlib.rc_context(STYLE)
def occlusion_bands(records: list[dict], path: str | Path) -> Path | None:
    """Top-1 over information loss (the paper's Figure 3): mean over seeds, in a band of one standard deviation.

    Two rows for each backbone, a panel for each way to drop patches, a line for each pre-training; the second row has
    the differences to CutMix, paired by seed, where it was measured. None, and no file, where there are no curves.
    """
    rows = []
    for backbone, lines in occlusion_curves(records).items():
        rows.append((f'{backbone}: top-1 (%)', lines))
        if len({name for _, name in lines}) > 1 and any(name == REFERENCE for _, name in lines):
            rows.append((f'minus {label(REFERENCE)} (points)', _minus_reference(lines)))
    if not rows:
        return None
    figure = Figure(figsize=(WIDTH, 0.6 + 2.3 * len(rows)))
    grid = figure.subplots(len(rows), len(MODES), sharex=True, sharey='row', squeeze=False)
    colors = run_colors([name for _, lines in rows for _, name in lines])
    for panels, (words, lines) in zip(grid, rows, strict=True):
        for axes, (mode, title) in zip(panels, MODES.items(), strict=True):
            for (which, name), points in lines.items():
                if which == mode:
                    _band(axes, points, colors[name], name)
            axes.set_title(title, fontsize=9)
            axes.set_xlim(-4, 104)
        panels[0].set_ylabel(words, fontsize=9)
    figure.supxlabel('information loss (%)', fontsize=10)
    return write_figure(share_legend(figure, columns=3), path)


def _minus_reference(lines: dict) -> dict:
    """The same curves minus the reference's at each point, seed by seed."""
    return {
        (mode, name): {
            loss: {
                seed: top1 - lines[mode, REFERENCE][loss][seed]
                for seed, top1 in runs.items()
                if seed in lines[mode, REFERENCE].get(loss, {})
            }
            for loss, runs in points.items()
        }
        for (mode, name), points in lines.items()
        if (mode, REFERENCE) in lines
    }


def _band(axes, points: dict[float, dict], color: str, name: str) -> None:
    losses = sorted(loss for loss, runs in points.items() if runs)
    runs = [list(points[loss].values()) for loss in losses]
    mean = np.array([np.mean(values) for values in runs])
    sd = np.array([np.std(values, ddof=1) if len(values) > 1 else 0 for values in runs])
    axes.plot(losses, mean, color=color, marker=MARKERS.get(name, 's'), markersize=4, linewidth=1.4, label=label(name))
    if sd.any():
        axes.fill_between(losses, mean - sd, mean + sd, color=color, alpha=0.13, linewidth=0)
