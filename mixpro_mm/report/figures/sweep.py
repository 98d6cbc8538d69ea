"""Top-1 over the scale of the mask and over beta (MixPro, Figure 5)."""

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from mixpro_mm.arguments import is_number
from mixpro_mm.files import read_json, sha256_of
from mixpro_mm.report.figures.canvas import PAPER, Panel, line_figure, line_styles, outputs, over_runs, save
from mixpro_mm.report.figures.logs import checkpoint_of, config_of, read_scalars, series, split_name
from mixpro_mm.reporting.paper import find_configs, published_tables

__all__ = ['draw_sweep']

PANELS = {'figure5a': 'side of a mask cell (patches)', 'figure5b': 'beta of the mixing ratio'}
MODEL = 'DeiT-S'  # of the paper's figure


def draw_sweep(places: Sequence[str], out: str | None = None, width: str = 'column') -> list[Path]:
    """Top-1 of the runs of Figure 5, mean and deviation over seeds, beside the published numbers.

    A record belongs to the ``table`` and ``row`` that it names, or to those of its config in ``cells`` of
    ``configs/_base_/paper.py``. A run that is found twice counts once; an unfinished one is left out with a message.

    Args:
        places: ``[NAME=]PLACE`` each: a work directory, a results.json, or a folder with one.
        out, width: Of the figure.

    Raises:
        ValueError: if a place has no result of Figure 5, or nothing is finished.
    """
    paths, runs, cited = outputs(out, 'sweep'), {}, {}  # (table, row, name) -> [(top-1, seed, sha256)]
    for name, place in map(split_name, places):
        for record in _records(place):
            for table, row in _cells(record):
                key = table, float(row.partition('-')[2]), name or record.get('backbone') or MODEL
                run = record['value'], record.get('seed'), record.get('checkpoint_sha256')
                if not any(_same(run, other) for other in runs.setdefault(key, [])):
                    runs[key].append(run)
                number = published_tables()[table].get(row, {}).get('top1')
                if number is not None and not record.get('data'):
                    cited[key] = number
    if not runs:
        raise ValueError('none of these runs is finished: there is nothing to draw')
    panels = []
    for table in sorted({table for table, _, _ in runs}):
        ticks = sorted({value for other, value, _ in runs if other == table})
        lines = {}
        for _, value, name in (key for key in sorted(runs) if key[0] == table):
            x, y, deviation = over_runs([(name, {ticks.index(value): run[0]}) for run in runs[table, value, name]])[
                name
            ]
            lines[name] = [a + [*b] for a, b in zip(lines.get(name, [[], [], []]), (x, y, deviation), strict=True)]
        paper = {ticks.index(value): number for (other, value, _), number in cited.items() if other == table}
        lines |= over_runs([(PAPER, paper)])
        names = [f'{value:g}{"x" * (table == "figure5a")}' for value in ticks]
        panels.append(Panel(lines, PANELS[table], 'top-1 (%)', ticks=names))
    return save(line_figure(panels, width, styles=line_styles(name for _, _, name in runs)), paths)


def _same(run: tuple, other: tuple) -> bool:
    """Whether two runs of a cell are one: by the hashes of their checkpoints where both have one, else by the seed."""
    return run[2] == other[2] if run[2] and other[2] else run[1] == other[1] is not None


def _records(place: Path) -> list[dict]:
    """The records of Figure 5 of a place, [] for an unfinished run. Raises ValueError if it has none."""
    file = place / 'results.json' if place.is_dir() else place
    if not file.is_file():
        return _of_run(place)
    content = read_json(file)
    records = content.get('records') if isinstance(content, dict) else content
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise ValueError(f'{file} holds no list of result records')
    records = [record for record in records if record.get('metric') == 'top1' and _cells(record)]
    if wrong := [record for record in records if not is_number(record.get('value'))]:
        raise ValueError(
            f'{file} has {wrong[0].get("value")!r} as top-1 of {wrong[0].get("config")}, which is no number'
        )
    if not records:
        raise ValueError(f'{file} has no top-1 of a cell of figure5a or figure5b')
    return records


def _of_run(folder: Path) -> list[dict]:
    scores = series(read_scalars(folder), 'step', 'accuracy/top1')
    if not scores:
        raise ValueError(f'{folder} holds neither results.json nor a log with top-1')
    from mmengine.config import Config

    config, last = Config.fromfile(config_of(folder), import_custom_modules=False), max(scores)
    length = config.train_cfg.get('max_epochs') or config.train_cfg.get('max_iters')
    record = dict(config=config.filename, value=scores[last], seed=config.get('randomness', {}).get('seed'))
    if not _cells(record):
        raise ValueError(f'{config.filename} is no config of figure5a or figure5b')
    if not length or last < length:
        print(f'{folder} is left out: its last top-1 is that of step {last} of {length or "unknown"}', file=sys.stderr)
        return []
    checkpoint = checkpoint_of(folder)
    return [record | dict(checkpoint_sha256=checkpoint and sha256_of(checkpoint))]


def _cells(record: dict) -> list[tuple[str, str]]:
    """Table and row of a record, or of its config, in Figure 5."""
    if record.get('table'):
        return [(record['table'], record['row'])] if record['table'] in PANELS else []
    cells = runpy.run_path(str(find_configs() / '_base_' / 'paper.py')).get('cells', {})
    name = Path(str(record.get('config'))).name
    return [(table, row) for (table, row, _), path in cells.items() if table in PANELS and Path(path).name == name]
