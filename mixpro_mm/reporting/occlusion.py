"""Top-1 over information loss, a panel for each way to drop patches, a line for each model (MixPro, Figure 3).

``python -m mixpro_mm.reporting.occlusion OUT.png [NAME=]OCCLUSION.json ...`` draws what occlusion tests wrote.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from mixpro_mm.files import read_json
from mixpro_mm.reporting.figures import STYLE, WIDTH, _cycle, _share_legend, _write
from mixpro_mm.reporting.tables import label

__all__ = ['occlusion_curves', 'read_occlusion']

TITLES = {'random': 'Random patches', 'salient': 'Salient patches', 'non-salient': 'Non-salient patches'}
COLORS = ('#D55E00', '#0072B2', '#009E73', '#E69F00', '#CC79A7', '#56B4E9', '#000000')
MARKERS = 'oDs^vP'


def read_occlusion(path: str | Path) -> dict:
    """The record of one occlusion test.

    Raises:
        ValueError: if the file is not there, or is no such record.
    """
    record = read_json(path)
    if not isinstance(record, dict) or record.get('kind') != 'occlusion':
        raise ValueError(f'{path} is not the result of an occlusion test')
    return record


@matplotlib.rc_context(STYLE)
def occlusion_curves(records: Sequence[dict], path: str | Path) -> Path:
    """Draw the records of any number of models; a bar is the standard deviation over runs.

    Args:
        records: As written by OcclusionTestLoop: ``label``, ``settings`` and ``curves``.
        path: Of the PNG.

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
    colors = _cycle(names, COLORS)
    mass = next(iter(ways))[0] == 'naseer'
    figure = Figure(figsize=(WIDTH, 3.0))
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
    figure.supxlabel('information loss', fontsize=10)
    return _write(_share_legend(figure), path)


def _names(records: Sequence[dict]) -> list[str]:
    """Labels of the records; where one comes again, with a number."""
    given = [label(str(record['label'])) for record in records]
    return [
        name if name not in given[:place] else f'{name} ({given[: place + 1].count(name)})'
        for place, name in enumerate(given)
    ]


def main(argv=None) -> None:
    """Draw the files named on the command line."""
    parser = argparse.ArgumentParser(description='Draw the curves of occlusion tests, a line for each file.')
    parser.add_argument('png', type=Path)
    parser.add_argument('results', nargs='+', metavar='[NAME=]JSON', help='occlusion.json of a work directory')
    args = parser.parse_args(argv)
    try:
        records = []
        for text in args.results:
            name, _, path = text.rpartition('=')
            record = read_occlusion(path)
            records.append(dict(record, label=name) if name else record)
        print(occlusion_curves(records, args.png))
    except ValueError as error:
        parser.exit(1, f'{error}\n')


if __name__ == '__main__':
    main()
