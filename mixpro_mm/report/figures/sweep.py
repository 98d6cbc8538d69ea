"""Top-1 over the scale of the mask and over beta (MixPro, Figure 5)."""

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from mixpro_mm.report.figures.canvas import PAPER, Panel, line_figure, line_styles, outputs, save, spread
from mixpro_mm.report.figures.logs import split_name
from mixpro_mm.report.paper import published_tables
from mixpro_mm.report.records import collect
from mixpro_mm.utils.configs import find_configs

__all__ = ['draw_sweep']

PANELS = {'figure5a': 'side of a mask cell (patches)', 'figure5b': 'beta of the mixing ratio'}


def draw_sweep(places: Sequence[str], out: str | None = None, width: str = 'column') -> list[Path]:
    """Top-1 of the runs of Figure 5, mean and deviation over seeds, beside the published numbers.

    A record belongs to the ``table`` and ``row`` that it names, or to those of its config in ``cells`` of
    ``configs/_base_/paper.py``. Of several records of a seed one counts; an unfinished run is left out with a message.

    Args:
        places: ``[NAME=]PLACE`` each: a work directory, a results.json, or a folder with them.
        out, width: Of the figure.

    Raises:
        ValueError: if a place has no results, or none of Figure 5 that is finished.
    """
    paths, runs, cited = outputs(out, 'sweep'), {}, {}
    for name, place in map(split_name, places):
        for record in collect([place]).records:
            for table, row in _cells(record):
                value, name = float(row.partition('-')[2]), name or record.get('backbone') or 'DeiT-S'
                if _finished(record):
                    runs.setdefault((table, name), {}).setdefault(value, {})[record['seed']] = record['value']
                    cited[table, value] = None if record.get('data') else published_tables()[table][row]['top1']
    if not runs:
        raise ValueError(f'no finished run of a cell of {" or ".join(PANELS)} in {" ".join(places)}')
    panels = []
    for table in sorted({table for table, _ in runs}):
        ticks = sorted({value for (other, _), line in runs.items() if other == table for value in line})
        lines = {
            name: spread({ticks.index(value): list(seeds.values()) for value, seeds in sorted(line.items())})
            for (other, name), line in runs.items()
            if other == table
        }
        paper = {i: [cited[table, value]] for i, value in enumerate(ticks) if cited[table, value] is not None}
        lines |= {PAPER: spread(paper)} if paper else {}
        names = [f'{value:g}{"x" * (table == "figure5a")}' for value in ticks]
        panels.append(Panel(lines, PANELS[table], 'top-1 (%)', ticks=names))
    return save(line_figure(panels, width, styles=line_styles(name for _, name in runs)), paths)


def _cells(record: dict) -> list[tuple[str, str]]:
    """Table and row of a record, or of its config, in Figure 5."""
    if record['metric'] != 'top1':
        return []
    if record.get('table'):
        return [(record['table'], record['row'])] if record['table'] in PANELS else []
    cells = runpy.run_path(str(find_configs() / '_base_' / 'paper.py')).get('cells', {})
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
