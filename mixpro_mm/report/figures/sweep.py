"""Top-1 over the scale of the mask and over beta (MixPro, Figure 5)."""

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from mixpro_mm.report.figures.canvas import PAPER, Panel, line_figure, line_styles, outputs, save, spread
from mixpro_mm.report.figures.logs import split_name
from mixpro_mm.report.records import collect
from mixpro_mm.utils.configs import find_configs

__all__ = ['draw_sweep']

PANELS = {'figure5a': 'side of a mask cell (patches)', 'figure5b': 'beta of the mixing ratio'}


def draw_sweep(places: Sequence[str], out: str | None = None, width: str = 'column') -> list[Path]:
    """Top-1 of the runs of Figure 5 in ``[NAME=]PLACE`` each, mean and deviation over seeds, beside published numbers.

    A record belongs to the ``table`` and ``row`` that it names, or to those of its config in ``cells`` of
    ``configs/_base_/paper.py``. Of several records of a seed one counts; an unfinished run is left out with a message.
    Raises ValueError if a place has no results, or none of Figure 5 that is finished.
    """
    paths, lines, cited = outputs(out, 'sweep'), {}, {}  # table -> name -> value -> seed -> top-1
    paper = runpy.run_path(str(find_configs() / '_base_' / 'paper.py'))
    for name, place in map(split_name, places):
        for record in collect([place]).records:
            cells = _cells(record, paper.get('cells', {}))
            for table, row in cells if cells and _finished(record) else ():
                value, line = float(row.partition('-')[2]), name or record.get('backbone') or 'DeiT-S'
                seeds = lines.setdefault(table, {}).setdefault(line, {}).setdefault(value, {})
                seeds[record['seed']] = record['value']
                cited[table, value] = None if record.get('data') else paper[table][row]['top1']
    if not lines:
        raise ValueError(f'no finished run of a cell of {" or ".join(PANELS)} in {" ".join(places)}')
    panels = []
    for table in sorted(lines):
        ticks = sorted(set().union(*lines[table].values()))
        shown = {PAPER: {value: {0: cited[table, value]} for value in ticks if cited[table, value] is not None}}
        shown = lines[table] | (shown if shown[PAPER] else {})
        places = {name: {ticks.index(v): list(line[v].values()) for v in sorted(line)} for name, line in shown.items()}
        names = [f'{value:g}{"x" * (table == "figure5a")}' for value in ticks]
        shown = {name: spread(line) for name, line in places.items()}
        panels.append(Panel(shown, PANELS[table], 'top-1 (%)', ticks=names))
    styles = line_styles(name for table in sorted(lines) for name in lines[table])
    return save(line_figure(panels, width, styles=styles), paths)


def _cells(record: dict, cells: dict) -> list[tuple[str, str]]:
    """Table and row of a record, or of its config, in Figure 5."""
    if record['metric'] != 'top1':
        return []
    if record.get('table'):
        return [(record['table'], record['row'])] if record['table'] in PANELS else []
    name = Path(record['config']).name
    return [(table, row) for (table, row, _), path in cells.items() if table in PANELS and Path(path).name == name]


def _finished(record: dict) -> bool:
    """Whether the last validation of a log is at the end of its training; a message if not."""
    step = record.get('from', '').partition('validation at step ')[2]
    if not step:
        return True
    from mmengine.config import Config

    loop = Config.fromfile(Path(record['source']).with_name('config.py'), import_custom_modules=False).train_cfg
    length = loop.get('max_epochs') or loop.get('max_iters')
    if length and int(step) >= length:
        return True
    print(f'{record["source"]} is left out: its last top-1 is that of step {step} of {length}', file=sys.stderr)
    return False
