"""Top-1 over information loss, a panel for each way to drop patches, a line for each model (MixPro, Figure 3).

``python -m mixpro_mm.reporting.occlusion OUT.png [NAME=]OCCLUSION.json ...`` draws what occlusion tests wrote.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from mixpro_mm.files import read_json
from mixpro_mm.reporting.figures import KNOWN, STYLE, WIDTH, cycle, share_legend, write_figure
from mixpro_mm.reporting.labels import label

__all__ = ['occlusion_curves', 'read_occlusion']

TITLES = {'random': 'Random patches', 'salient': 'Salient patches', 'non-salient': 'Non-salient patches'}
COLORS = ('#D55E00', '#0072B2', '#009E73', '#E69F00', '#CC79A7', '#56B4E9', '#000000')
MARKERS = 'oDs^vP'


def read_occlusion(path: str | Path) -> dict:
    """The record of one occlusion test.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no such record.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'there is no file {path}')
    record = read_json(path)
    whole = isinstance(record, dict) and {'label', 'settings', 'curves'} <= record.keys()
    if not whole or record.get('kind') != 'occlusion':
        raise ValueError(f'{path} is not the result of an occlusion test')
    return record


@matplotlib.rc_context(STYLE)
def occlusion_curves(records: Sequence[dict], path: str | Path) -> Path:
    """Draw the records of any number of models; a bar is the standard deviation over runs.

    Below the panels it says whose attention tells what is salient, for each model where they differ in this, and the
    sizes of the images where these differ.

    Args:
        records: As written by OcclusionTestLoop: ``label``, ``settings`` and ``curves``.
        path: Of the figure, PNG or SVG.

    Raises:
        ValueError: if there are no records, or they differ in protocol or grid and cannot share their axes.
    """
    if not records:
        raise ValueError('there is no occlusion test to draw')
    ways = {(record['settings']['protocol'], record['settings']['grid']) for record in records}
    if len(ways) > 1:
        different = ', '.join(f'{protocol} on {grid}x{grid} patches' for protocol, grid in sorted(ways))
        raise ValueError(f'these occlusion tests dropped patches in different ways and share no axis: {different}')
    names = _names(records)
    colors = _colors(names, records)
    mass = next(iter(ways))[0] == 'naseer'
    notes = [*_notes(names, records, _salient, 'salient by'), *_notes(names, records, _pixels, 'images of')]
    figure = Figure(figsize=(WIDTH, 3.0 + 0.17 * len(notes)))
    for place, (axes, (mode, title)) in enumerate(zip(figure.subplots(1, 3, sharey=True), TITLES.items(), strict=True)):
        for number, (name, record) in enumerate(zip(names, records, strict=True)):
            curve = sorted(record['curves'].get(mode, []), key=lambda point: point['information_loss'])
            x = [100 * point['information_loss'] for point in curve]
            bars = [point['std'] or 0 for point in curve]
            style = dict(color=colors[name], label=name, marker=MARKERS[number % len(MARKERS)], markersize=4, capsize=2)
            if curve:
                axes.errorbar(x, [point['top1'] for point in curve], yerr=bars if any(bars) else None, **style)
        axes.set(title=title, xlabel=f'% of the {"attention" if mass and place else "patches"}', xlim=(-4, 104))
        if not axes.containers:
            axes.text(0.5, 0.5, 'not measured', transform=axes.transAxes, ha='center', color='#777777')
    figure.axes[0].set_ylabel('top-1 (%)')
    figure.axes[0].set_ylim(bottom=0)
    figure.supxlabel('\n'.join(['information loss', *notes]), fontsize=10)
    return write_figure(share_legend(figure), path)


def _names(records: Sequence[dict]) -> list[str]:
    """Labels of the records; where one comes again, with a number."""
    given = [label(str(record['label'])) for record in records]
    return [
        name if name not in given[:place] else f'{name} ({given[: place + 1].count(name)})'
        for place, name in enumerate(given)
    ]


def _colors(names: Sequence[str], records: Sequence[dict]) -> dict[str, str]:
    """Methods have their own colours, as in every figure; the others take those that are left."""
    keys = {name: str(record['label']).lower() for name, record in zip(names, records, strict=True)}
    known = {name: KNOWN[key] for name, key in keys.items() if key in KNOWN and name == label(key)}
    left = [color for color in COLORS if color not in known.values()] or COLORS
    return cycle([name for name in names if name not in known], left) | known


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
    return f'attention of {Path(saliency["checkpoint"]).stem} ({sha256[:8]}), {heads}'


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


def _named_file(text: str) -> tuple[str | None, str]:
    """Name and path of ``[NAME=]FILE``; what is a file has no name, so that ``=`` may be in its path."""
    name, equals, path = text.partition('=')
    return (name, path) if equals and not Path(text).is_file() else (None, text)


def main(argv=None) -> None:
    """Draw the files named on the command line."""
    parser = argparse.ArgumentParser(description='Draw the curves of occlusion tests, a line for each file.')
    parser.add_argument('png', type=Path)
    parser.add_argument('results', nargs='+', metavar='[NAME=]JSON', help='occlusion.json of a work directory')
    args = parser.parse_args(argv)
    try:
        records = []
        for text in args.results:
            name, path = _named_file(text)
            record = read_occlusion(path)
            records.append(dict(record, label=name) if name else record)
        print(occlusion_curves(records, args.png))
    except (FileNotFoundError, ValueError) as error:
        parser.exit(1, f'{error}\n')


if __name__ == '__main__':
    main()
