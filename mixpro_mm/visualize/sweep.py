"""Top-1 against the scale of the mask and against beta (MixPro, Figure 5), from the runs of the figure5 configs."""

import re
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

import mixpro_mm
from mixpro_mm.files import read_json
from mixpro_mm.reporting.curves import read_scalars, series
from mixpro_mm.visualize.curves import TOP1
from mixpro_mm.visualize.names import run_colors
from mixpro_mm.visualize.paper import legend_above, outputs, panels, save
from mixpro_mm.visualize.runs import config_of, split_name

__all__ = ['Point', 'draw_sweep', 'published_top1', 'read_points']

PANELS = {'a': ('scale', 'side of a mask cell (patches)'), 'b': ('beta', 'β of the mixing ratio')}
NAME = re.compile(r'figure5(?P<panel>[ab])_(?P<model>[^_]+)_(?P<what>scale|beta)-(?P<value>[\d.]+)(_|$)')
MARKERS = 'oDs^vPX'
PAPER = 'in the paper'


class Point(NamedTuple):
    """One run: panel 'a' or 'b', value of scale or beta, name of its line, top-1 in percent, the paper's if known."""

    panel: str
    value: float
    name: str
    top1: float
    published: float | None


def read_points(texts: Sequence[str]) -> list[Point]:
    """The runs of ``[NAME=]PLACE`` each: a work directory, a results.json, or a folder that holds one.

    Which point a run is, the name of its config says: ``figure5a_MODEL_scale-4_...``, ``figure5b_MODEL_beta-1_...``.
    Records of other configs are left out.

    Raises:
        ValueError: if there is nothing of Figure 5 at a place.
    """
    points = []
    for text in texts:
        name, place = split_name(text)
        file = place / 'results.json' if place.is_dir() else place
        found = _from_results(file, name) if file.is_file() else _from_run(place, name)
        if not found:
            raise ValueError(f'{file} has no top-1 of a config named figure5a_MODEL_scale-N or figure5b_MODEL_beta-N')
        points += found
    return points


def _from_results(file: Path, name: str | None) -> list[Point]:
    content = read_json(file)
    records = content.get('records') if isinstance(content, dict) else content
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise ValueError(f'{file} holds no list of result records')
    top1 = [record for record in records if record.get('metric') == 'top1' and 'value' in record]
    found = [_point(str(r.get('config')), name, r['value'], r.get('published')) for r in top1]
    return [point for point in found if point]


def _from_run(folder: Path, name: str | None) -> list[Point]:
    if not folder.is_dir():
        raise ValueError(f'{folder} is neither a folder nor a file')
    scores = series(read_scalars(folder), 'step', TOP1)[1]
    if not scores:
        raise ValueError(f'{folder} holds neither results.json nor a log with top-1')
    point = _point(str(config_of(folder)), name, scores[-1], None)
    return [point] if point else []


def _point(config: str, name: str | None, top1: float, published: float | None) -> Point | None:
    found = NAME.search(Path(config).stem)
    if found is None or PANELS[found['panel']][0] != found['what']:
        return None
    if published is None:
        published = published_top1(Path(config).name)
    return Point(found['panel'], float(found['value']), name or found['model'], float(top1), published)


def published_top1(name: str) -> float | None:
    """The paper's number in the header of a config of this package, if that trains on the same data as the paper."""
    root = Path(mixpro_mm.__file__).parent
    for folder in (root.parent / 'configs', root / '.mim' / 'configs'):
        for path in sorted(folder.glob(f'**/{name}')):
            line = next((x for x in path.read_text(encoding='utf-8').splitlines() if x.startswith('# Paper:')), '')
            found = re.search(r'top-1 (\d+(?:\.\d+)?)', line)
            return float(found[1]) if found and '(ImageNet-1k)' not in line else None
    return None


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
                    _line(axis, values, mine, name, colors[name], MARKERS[number % len(MARKERS)])
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
