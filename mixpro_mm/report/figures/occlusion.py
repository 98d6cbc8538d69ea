"""Top-1 over information loss, a panel for each way to drop patches, a line for each model (MixPro, Figure 3)."""

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from mixpro_mm.arguments import is_number
from mixpro_mm.files import read_json
from mixpro_mm.report.figures.canvas import STYLE, WIDTH, share_legend, write_figure
from mixpro_mm.reporting.labels import label
from mixpro_mm.reporting.names import short_names, tails
from mixpro_mm.reporting.palette import SHAPES, run_colors

__all__ = ['occlusion_curves', 'read_occlusion']

TITLES = {'random': 'Random patches', 'salient': 'Salient patches', 'non-salient': 'Non-salient patches'}
LINE = 96  # letters of a note that fit the width
SETTINGS = ('protocol', 'grid')  # that decide on the axes


def read_occlusion(path: str | Path) -> dict:
    """The record of one occlusion test.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no such record.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'there is no file {path}')
    record = read_json(path)
    if not isinstance(record, dict) or record.get('kind') != 'occlusion':
        raise ValueError(f'{path} is not the result of an occlusion test')
    if lacks := _lacks(record):
        raise ValueError(f'{path} is not the result of an occlusion test: it lacks {lacks}')
    return record


def _lacks(record: dict) -> str | None:
    """What a figure needs and the record does not hold; None if it is whole."""
    if 'label' not in record:
        return 'a label'
    settings, curves = record.get('settings'), record.get('curves')
    missing = [key for key in SETTINGS if not isinstance(settings, dict) or settings.get(key) is None]
    if missing:
        return f'{" and ".join(missing)} among its settings'
    if not isinstance(curves, dict) or not all(isinstance(curve, list) for curve in curves.values()):
        return 'curves'
    for mode, curve in curves.items():
        for number, point in enumerate(curve):
            point = point if isinstance(point, dict) else {}
            bad = [key for key in ('information_loss', 'top1') if not is_number(point.get(key))]
            bad += ['std'] * (not is_number(point.get('std', '')) and point.get('std', '') is not None)
            if bad:
                return f'{" and ".join(bad)} in point {number} of the curve {mode}'
    return None


@matplotlib.rc_context(STYLE)
def occlusion_curves(records: Sequence[dict], path: str | Path, given: Sequence[str | None] | None = None) -> Path:
    """Draw the records of any number of models; a bar is the standard deviation over runs.

    Below the panels it says whose attention tells what is salient, for each model where they differ in this, and the
    sizes of the images where these differ. A model goes by what its label has that others have not; where labels are
    equal, by the folder of its checkpoint.

    Args:
        records: As written by OcclusionTestLoop: ``label``, ``settings`` and ``curves``.
        path: Of the figure, PNG or SVG.
        given: Names of the models, None where none is given.

    Raises:
        ValueError: if there are no records, or they differ in protocol or grid and cannot share their axes.
    """
    if not records:
        raise ValueError('there is no occlusion test to draw')
    ways = {(record['settings']['protocol'], record['settings']['grid']) for record in records}
    if len(ways) > 1:
        different = ', '.join(f'{protocol} on {grid}x{grid} patches' for protocol, grid in sorted(ways))
        raise ValueError(f'these occlusion tests dropped patches in different ways and share no axis: {different}')
    names = _names(records, given)
    colors = run_colors(names)
    mass = next(iter(ways))[0] == 'naseer'
    notes = [*_notes(names, records, _salient, 'salient by'), *_notes(names, records, _pixels, 'images of')]
    notes = [line for note in notes for line in textwrap.wrap(note, LINE)]
    figure = Figure(figsize=(WIDTH, 3.0 + 0.17 * len(notes)))
    for place, (axes, (mode, title)) in enumerate(zip(figure.subplots(1, 3, sharey=True), TITLES.items(), strict=True)):
        for number, (name, record) in enumerate(zip(names, records, strict=True)):
            curve = sorted(record['curves'].get(mode, []), key=lambda point: point['information_loss'])
            x = [100 * point['information_loss'] for point in curve]
            bars = [point['std'] or 0 for point in curve]
            style = dict(color=colors[name], label=name, marker=SHAPES[number % len(SHAPES)], markersize=4, capsize=2)
            if curve:
                axes.errorbar(x, [point['top1'] for point in curve], yerr=bars if any(bars) else None, **style)
        axes.set(title=title, xlabel=f'% of the {"attention" if mass and place else "patches"}', xlim=(-4, 104))
        if not axes.containers:
            axes.text(0.5, 0.5, 'not measured', transform=axes.transAxes, ha='center', color='#777777')
    figure.axes[0].set_ylabel('top-1 (%)')
    figure.axes[0].set_ylim(bottom=0)
    figure.supxlabel('\n'.join(['information loss', *notes]), fontsize=10)
    return write_figure(share_legend(figure), path)


def _names(records: Sequence[dict], given: Sequence[str | None] | None) -> list[str]:
    """Names of the models; one that comes again has a number."""
    given = given or [None] * len(records)
    labels = [str(record['label']) for record in records]
    free = [place for place, name in enumerate(given) if not name]
    places = [records[place].get('checkpoint') for place in free]
    if len({labels[place] for place in free}) < len(free) and all(places):
        for place, folder in zip(free, tails([Path(name).absolute().parent for name in places]), strict=True):
            labels[place] = folder
    names = iter(short_names([labels[place] for place in free]))
    names = [name or label(next(names)) for name in given]
    return [
        name if name not in names[:place] else f'{name} ({names[: place + 1].count(name)})'
        for place, name in enumerate(names)
    ]


def _salient(record: dict) -> str | None:
    """What drops salient patches goes by, None if it drops none."""
    settings = record['settings']
    saliency, head = settings.get('saliency'), settings.get('saliency_head')
    if not saliency or record['curves'].keys() <= {'random'}:
        return None
    heads = 'mean of heads' if head == 'mean' else f'head {head}'
    if saliency == 'self':
        return f"each model's own attention, {heads}"
    sha256 = settings.get('saliency_sha256') or 'unknown'
    return f'attention of {Path(saliency.get("checkpoint") or "unknown").stem} ({sha256[:8]}), {heads}'


def _pixels(record: dict) -> str | None:
    size = record['settings'].get('size')
    return size and f'{size[0]}x{size[1]} pixels'


def _notes(names: Sequence[str], records: Sequence[dict], of: Callable[[dict], str | None], word: str) -> list[str]:
    """Lines that say in what the records differ; of what is salient also what they share."""
    groups = {}
    for name, record in zip(names, records, strict=True):
        if found := of(record):
            groups.setdefault(found, []).append(name)
    if len(groups) == 1:
        return [f'{word} {found}' for found in groups if of is _salient]
    return [f'{", ".join(same)}: {word} {found}' for found, same in groups.items()]
