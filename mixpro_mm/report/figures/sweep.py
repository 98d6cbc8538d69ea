"""Top-1 over mask scale and over beta (MixPro, Figure 5)."""

import sys
from collections.abc import Sequence
from pathlib import Path

from mixpro_mm.report.figures.canvas import PAPER, Panel, line_figure, outputs, save, spread
from mixpro_mm.report.figures.logs import split_name
from mixpro_mm.report.paper import read_paper
from mixpro_mm.report.records import collect
from mixpro_mm.report.runs import logged_settings

__all__ = ['draw_sweep']

PANELS = {'figure5a': 'side of a mask cell (patches)', 'figure5b': 'beta of the mixing ratio'}


def draw_sweep(places: Sequence[str], out: str | None = None, width: str = 'column') -> list[Path]:
    """Draw the records of Figure 5 in each ``[NAME=]PLACE``, mean and deviation over seeds, with published numbers.

    ``Paper.cells`` assigns records to cells. A run without its last epoch is skipped with a message.

    Raises:
        ValueError: if no place has a finished run of Figure 5.
    """
    paths, paper, lines, cited = outputs(out, 'sweep'), read_paper(), {}, {}
    for name, place in map(split_name, places):
        for record in collect([place]).records:
            cells = [cell for cell in paper.cells(record) if cell.table in PANELS]
            for cell in cells if cells and _finished(record) else ():
                value, line = float(cell.row.partition('-')[2]), name or record.get('backbone') or 'DeiT-S'
                seeds = lines.setdefault(cell.table, {}).setdefault(line, {}).setdefault(value, {})
                seeds[record['seed']] = record['value']
                cited[cell.table, value] = None if cell.data else paper.number(cell.table, cell.row, 'top1')
    if not lines:
        raise ValueError(f'no finished run of {" or ".join(PANELS)} in {" ".join(places)}')
    panels = []
    for table, found in sorted(lines.items()):
        ticks = sorted(set().union(*found.values()))
        published = {value: {0: cited[table, value]} for value in ticks if cited[table, value] is not None}
        shown = {
            name: spread({ticks.index(value): list(line[value].values()) for value in sorted(line)})
            for name, line in (found | ({PAPER: published} if published else {})).items()
        }
        names = [f'{value:g}{"x" * (table == "figure5a")}' for value in ticks]
        panels.append(Panel(shown, PANELS[table], 'top-1 (%)', ticks=names))
    return save(line_figure(panels, width), paths)


def _finished(record: dict) -> bool:
    """Return whether a record is of a test, or of the last validation of a finished training; else print a message."""
    step = record.get('from', '').partition('validation at step ')[2]
    if not step:
        return True
    loop = logged_settings(Path(record['source']).with_name('config.py'))['train_cfg']
    length = loop.get('max_epochs') or loop.get('max_iters')
    if length and int(step) >= length:
        return True
    print(f'{record["source"]} is skipped: its last top-1 is from step {step} of {length}', file=sys.stderr)
    return False
