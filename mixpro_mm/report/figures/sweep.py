"""Top-1 over mask scale and over beta (MixPro, Figure 5)."""

import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from mixpro_mm.report.figures.canvas import PAPER, Panel, line_figure, over_runs
from mixpro_mm.report.figures.logs import split_name
from mixpro_mm.report.paper import read_paper
from mixpro_mm.report.records import collect
from mixpro_mm.report.runs import logged_settings

__all__ = ['draw_sweep']

PANELS = {'figure5a': 'side of a mask cell (patches)', 'figure5b': 'beta of the mixing ratio'}


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
