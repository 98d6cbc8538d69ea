"""The figure of the evidence page: every compared difference with its intervals."""

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mixpro_mm.report.figures.canvas import STYLE, WIDTHS, line_styles, write_figure
from mixpro_mm.reporting.evidence_claims import Finding
from mixpro_mm.reporting.labels import label, lower_is_better, short_label
from mixpro_mm.reporting.statistics import UNDECIDED

__all__ = ['forest_plot']

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
    figure = Figure(figsize=(WIDTHS['text'], 0.9 + 0.42 * len(groups) + 0.24 * sum(sizes)))
    panels = figure.subplots(len(groups), 1, squeeze=False, height_ratios=[0.4 + size for size in sizes])[:, 0]
    styles = line_styles([finding.claim.other for finding in findings])
    colors = {name: style['color'] for name, style in styles.items()}
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
