"""Top-1 against the scale of the mask and against beta (MixPro, Figure 5), from the runs of the figure5 configs."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

from mixpro_mm.reporting.palette import SHAPES, run_colors
from mixpro_mm.visualize.paper import legend_above, outputs, panels, save
from mixpro_mm.visualize.points import PANELS, Point, read_points

__all__ = ['draw_sweep']

PAPER = 'in the paper'


def draw_sweep(places: Sequence[str], out: str | None = None, width: str = 'column') -> list[Path]:
    """Top-1 over the scale (a) and over beta (b), whichever there are runs of; bars are deviations over runs.

    Hollow: what the paper gives in numbers.

    Args:
        places: As of :func:`read_points`.
        out, width: Of the picture.

    Raises:
        ValueError: if there is nothing to draw at a place.
    """
    paths, points = outputs(out, 'sweep'), read_points(places)
    shown = [panel for panel in PANELS if any(point.panel == panel for point in points)]
    names = list(dict.fromkeys(point.name for point in points))
    colors = run_colors(names)

    def draw():
        figure, axes = panels(len(shown), width)
        for axis, panel in zip(axes, shown, strict=True):
            here = [point for point in points if point.panel == panel]
            values = sorted({point.value for point in here})
            for number, name in enumerate(names):
                if mine := [point for point in here if point.name == name]:
                    _line(axis, values, mine, name, colors[name], SHAPES[number % len(SHAPES)])
            what, x_label = PANELS[panel]
            axis.set_xticks(range(len(values)), [f'{value:g}' + 'x' * (what == 'scale') for value in values])
            axis.set(xlabel=x_label, ylabel='top-1 (%)')
            axis.margins(x=0.12, y=0.15)
        if any(point.published is not None for point in points):
            axes[0].plot([], [], 's', markersize=8, markerfacecolor='none', markeredgecolor='#555555', label=PAPER)
        return legend_above(figure, last=PAPER)

    return save(draw, paths)


def _line(axis, values: list[float], points: list[Point], name: str, color: str, marker: str) -> None:
    by_value = {value: [p.top1 for p in points if p.value == value] for value in values}
    by_value = {value: scores for value, scores in by_value.items() if scores}
    axis.errorbar(
        [values.index(value) for value in by_value], [mean(scores) for scores in by_value.values()],
        yerr=[stdev(scores) if len(scores) > 1 else float('nan') for scores in by_value.values()],
        color=color, marker=marker, markersize=4, capsize=2, elinewidth=1, label=name,
    )  # fmt: skip
    cited = {p.value: p.published for p in points if p.published is not None}
    if cited:
        axis.plot(
            [values.index(value) for value in cited], list(cited.values()), linestyle='none', marker=marker,
            markersize=8, markerfacecolor='none', markeredgecolor=color,
        )  # fmt: skip
