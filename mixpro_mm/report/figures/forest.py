"""Forest plot of the claims of the paper."""

from matplotlib.figure import Figure

from mixpro_mm.report.claims import VERDICTS, Claim
from mixpro_mm.report.figures.canvas import HOLLOW, PAPER, WIDTHS, add_legend, styled
from mixpro_mm.report.labels import LOWER_IS_BETTER, label

__all__ = ['forest_figure']

COLORS = dict(zip(VERDICTS, ('#009E73', '#D55E00', '#0072B2', '#7F7F7F', '#7F7F7F', '#7F7F7F'), strict=True))
MARKERS = dict(zip(VERDICTS, 'o^DXXX', strict=True))
ROW, HEAD = 0.17, 0.38  # inches


@styled
def forest_figure(claims: list[Claim]) -> Figure:
    """Draw the measured difference of each claim with its 95 % interval, and the published one; right is better.

    There is a panel per task and backbone.
    """
    panels, handles = {}, {}
    for claim in claims:
        panels.setdefault(claim.row[:2], []).append(claim)
    heights = [HEAD + ROW * len(rows) for rows in panels.values()]
    figure = Figure(figsize=(WIDTHS['text'], sum(heights) + 0.6))
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)
    for axes, ((task, backbone), rows) in zip(grid.flat, panels.items(), strict=True):
        axes.axvline(0, color='black', linewidth=0.8)
        for y, claim in enumerate(rows):
            sign = -1 if claim.row[-1] in LOWER_IS_BETTER else 1
            kind, found = next(word for word in VERDICTS if claim.verdict.startswith(word)), claim.found
            axes.plot([sign * found.low, sign * found.high], [y, y], color=COLORS[kind], linewidth=1.8)
            style = dict(color=COLORS[kind], marker=MARKERS[kind], markersize=6, linestyle='none')
            (handles[kind],) = axes.plot(sign * found.mean, y, **style)
            if claim.published is not None:
                (handles[PAPER],) = axes.plot(sign * claim.published, y, **HOLLOW)
        names = [f'{label(c.row[-1])}: {label(c.method)} - {label(c.other)}' for c in rows]
        axes.set_yticks(range(len(rows)), [name.replace('mean top-1: ', '') for name in names])
        axes.set(ylim=(len(rows) - 0.4, -0.6), title=f'{label(task)}, {backbone}')
        axes.tick_params(left=False)
        axes.spines['left'].set_visible(False)
        axes.grid(axis='y', visible=False)
    grid[-1, 0].set_xlabel('difference in points; right of zero, the first method is better')
    order = [*(kind for kind in VERDICTS if kind in handles), *({PAPER} & handles.keys())]
    add_legend(figure, {name: handles[name] for name in order}, 'outside upper center')
    return figure
