"""Top-1 over information loss under occlusion (MixPro, Figure 3), and over mask scale and beta (Figure 5)."""

import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from mixpro_mm.report.figures.canvas import PAPER, Panel, line_figure, over_runs
from mixpro_mm.report.figures.logs import display_names, split_name
from mixpro_mm.report.labels import label
from mixpro_mm.report.paper import read_paper
from mixpro_mm.report.records import collect, logged_settings

__all__ = ['draw_occlusion', 'draw_sweep', 'occlusion_figure']

REFERENCE, XLABEL = 'cutmix', 'information loss (%)'
PANELS = {'figure5a': 'side of a mask cell (patches)', 'figure5b': 'beta of the mixing ratio'}


def draw_occlusion(files: Sequence[str], width: str = 'column') -> Figure:
    """Draw the files ``[NAME=]JSON`` of occlusion tests; see :func:`occlusion_figure`.

    Raises:
        ValueError: if a file has no occlusion test, or they differ in protocol or grid.
    """
    given, files = zip(*map(split_name, files), strict=True)
    tests = [[record for record in collect([file]) if record.get('protocol')] for file in files]
    if not all(tests):
        raise ValueError(f'{files[tests.index([])]} is not the result of an occlusion test')
    protocols = sorted({record['protocol'] for records in tests for record in records})
    if len(protocols) > 1:
        raise ValueError(f'these occlusion tests differ and share no axis: {"; ".join(protocols)}')
    names = display_names(given, [Path(records[0]['place']) for records in tests])
    named = [r | dict(backbone='', pretraining=name) for name, same in zip(names, tests, strict=True) for r in same]
    return occlusion_figure(named, width)


def occlusion_figure(records: list[dict], width: str = 'column') -> Figure:
    """Draw the ``curve`` of records, a panel per backbone and mode, a line per pre-training with a band over seeds.

    Differences to CutMix, paired by seed, are beside them. Raises ValueError if two curves of one line and seed differ.
    """
    runs, panels = {}, []  # (backbone, mode) -> (pre-training, seed) -> {information loss: top-1}
    for record in records:
        if record.get('curve'):
            mode = record['metric'].removeprefix('occlusion_').partition(' ')[0]
            line = {round(100 * loss, 2): top1 for loss, top1 in record['curve']}
            lines, key = runs.setdefault((record['backbone'], mode), {}), (record['pretraining'], record['seed'])
            if lines.setdefault(key, line) != line:
                raise ValueError(f'two curves of {key[0]} with seed {key[1]} differ: give them different names')
    paired = any({name for name, _ in lines} > {REFERENCE} for lines in runs.values())
    for (backbone, mode), lines in runs.items():
        mean = over_runs((name, line) for (name, _), line in lines.items())
        title = f'{mode.capitalize()} patches' + (f', {backbone}' if backbone else '')
        panels.append(Panel(mean, XLABEL, 'top-1 (%)', title))
        minus = [
            (name, {x: y - lines[REFERENCE, seed][x] for x, y in line.items() if x in lines[REFERENCE, seed]})
            for (name, seed), line in lines.items() if (REFERENCE, seed) in lines
        ]  # fmt: skip
        panels += [Panel(over_runs(minus), XLABEL, f'minus {label(REFERENCE)}')] if paired else []
    return line_figure(panels, width, columns=2 if paired else None)


def draw_sweep(places: Sequence[str], width: str = 'column') -> Figure:
    """Draw the records of Figure 5 in each ``[NAME=]PLACE``, mean and deviation over seeds, with published numbers.

    ``Paper.cells`` assigns records to cells. A run without its last epoch is skipped with a message.

    Raises:
        ValueError: if no place has a finished run of Figure 5.
    """
    paper, found, panels = read_paper(), {}, []
    for name, place in map(split_name, places):
        for record in collect([place]):
            cells = [cell for cell in paper.cells(record) if cell[1] in PANELS]
            step = record.get('from', '').partition('validation at step ')[2] if cells else ''
            loop = logged_settings(Path(record['source']).with_name('config.py'))['train_cfg'] if step else {}
            if step and int(step) < (length := loop.get('max_epochs') or loop.get('max_iters')):
                print(f'{record["source"]} is skipped: its last top-1 is from step {step} of {length}', file=sys.stderr)
                continue
            for data, table, row, _ in cells:
                value, line = float(row.partition('-')[2]), name or record.get('backbone') or 'DeiT-S'
                lines = found.setdefault(table, {})
                lines.setdefault((line, record['seed']), {})[value] = record['value']
                if not data and (number := paper.number(table, row, 'top1')) is not None:
                    lines.setdefault((PAPER, 0), {})[value] = number
    if not found:
        raise ValueError(f'no finished run of {" or ".join(PANELS)} in {" ".join(places)}')
    for table, lines in sorted(found.items()):
        ticks = sorted(set().union(*lines.values()))
        shown = over_runs((name, {ticks.index(x): y for x, y in line.items()}) for (name, _), line in lines.items())
        names = [f'{value:g}{"x" * (table == "figure5a")}' for value in ticks]
        panels.append(Panel(shown, PANELS[table], 'top-1 (%)', ticks=names))
    return line_figure(panels, width)
