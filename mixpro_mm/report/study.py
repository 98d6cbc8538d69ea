"""The report of a study: ``report.html``, one file that works offline, and ``report.md`` with the same content."""

import functools
import itertools
import shutil
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from mixpro_mm.report.figures import factor_curves, learning_curves, results_overview, transfer_curves
from mixpro_mm.report.labels import in_order, label
from mixpro_mm.report.page import write_pages
from mixpro_mm.report.paper import read_paper
from mixpro_mm.report.paper_tables import place, table_blocks
from mixpro_mm.report.records import normalised
from mixpro_mm.report.tables import ResultsTable, comparisons, origins, results_table

__all__ = ['comparison_blocks', 'results_blocks', 'write_report']

COMPARED = (
    'First method minus second in points, paired by seed: mean ± standard deviation, 95 % interval of the mean '
    '(Student), number of seeds, and the smallest detectable mean difference (half the width of the interval). The '
    'intervals cover the variation between seeds, not between test images. If no method differed from another, about '
    '{chance:.1f} of these {count} intervals would exclude zero.'
)
FACTOR = (
    'Mean over the epoch of the factor, which weights attention against area (Figure 2a of the paper), and of the '
    'absolute difference of the two label weights.'
)


def write_report(out_dir: str | Path, study: dict, records: list[dict], pictures: list[dict] = ()) -> tuple[Path, Path]:
    """Write ``report.html``, ``report.md`` and ``figures/*.png``; return the paths of the first two.

    Args:
        out_dir: Created if missing. A failure keeps the previous report.
        study: ``title``, ``date``, ``stages`` (dicts ``name, task, backbone, pretraining, work_dir, seconds``; seconds
            may be None), ``versions`` and ``settings`` (str -> str).
        records: ``{task, backbone, pretraining, metric, value, seed, config, checkpoint_sha256}``, value in percent,
            optionally ``published``, ``data`` and ``curve``.
        pictures: ``{path, title, caption}`` of PNG files, or ``{note}``, a text.

    Raises:
        ValueError: if there are no records, or two of one cell and seed differ.
    """
    if not records:
        raise ValueError('no results to report: the list of records is empty')
    records = [normalised(record) for record in records]
    return write_pages(Path(out_dir), 'report', functools.partial(_blocks, study, records, pictures))


def results_blocks(table: ResultsTable) -> list[tuple]:
    """Return a table of results for each task, and a note on units and seeds."""
    seeds = any(cell.count > 1 for row in table.rows for cell in row.cells.values())
    note = 'In percent' + (': mean ± sample standard deviation over n seeds.' if seeds else '; a single seed.')
    note += " 'paper' is the published number, not measured here." if table.has_published else ''
    tables = [(('subheading', label(task)), ('table', part.frame())) for task, part in table.by_task().items()]
    return [*itertools.chain(*tables), ('note', note)]


def comparison_blocks(table: ResultsTable) -> list[tuple]:
    """Return the differences between methods for each task and backbone; nothing without two shared seeds."""
    found = comparisons(table)
    count = sum(map(len, found.values()))
    note = COMPARED.format(count=count, chance=0.05 * count)
    tables = [(('subheading', title), ('table', frame)) for title, frame in found.items()]
    return [('heading', 'Differences between methods'), ('note', note), *itertools.chain(*tables)] if count else []


def _blocks(study: dict, records: list[dict], pictures: list[dict], figures: Path) -> list[tuple]:
    """Return the blocks of the report, and draw its figures to ``figures``."""
    stages, named = study['stages'], [record for record in records if record.get('table')]
    placed, rest = place(named, read_paper()) if named else ({}, [])
    results = [block for data, tables in placed.items() for block in table_blocks(data, tables, read_paper())]
    if rest := [*rest, *(record for record in records if not record.get('table'))]:
        table = results_table(rest)
        caption = 'One row per task, metric and backbone, one dot per pre-training.'
        caption += ' Hollow squares: in the paper.' if table.has_published else ''
        overview = results_overview(table, figures / 'results.png')
        results += [*results_blocks(table), ('figure', overview, 'Results at a glance', caption)]
        results += comparison_blocks(table)
    curves = [
        *_numbered(learning_curves(stages, figures / 'pre-training.png'), 'Pre-training',
                   'Losses of methods that mix images have different targets and cannot be compared.'),
        *_numbered(factor_curves(stages, figures / 'factor.png'), 'Progressive attention labeling', FACTOR),
        *_numbered(transfer_curves(stages, figures / 'transfer.png'), 'Transfer',
                   'Losses with more than 60 values are running means.'),
    ]  # fmt: skip
    shown = [('note', item['note']) if 'note' in item else ('figure', *_copied(item, figures)) for item in pictures]
    return [
        ('title', study['title'], str(study['date'])),
        *([('note', _trained(stages, records))] if stages else ()),
        ('heading', 'Results'), *results,
        *([('heading', 'Examples'), *shown] if shown else ()),
        *([('heading', 'Training'), *curves] if curves else ()),
        *_origins(study, records),
    ]  # fmt: skip


def _trained(stages: list[dict], records: list[dict]) -> str:
    """Return one sentence on what was trained on what."""
    parts = []
    for task in dict.fromkeys(stage['task'] for stage in stages):
        same = [stage for stage in stages if stage['task'] == task]
        backbones = list(dict.fromkeys(stage['backbone'] for stage in same))
        starts = in_order(stage['pretraining'] for stage in same)
        methods = _listed([label(name) for name in starts if name != 'scratch'])
        data = _listed(dict.fromkeys(r['data'] for r in records if r['task'] == task and r.get('data')))
        data = f' on {data}' if data else ''
        what = f'pre-trained{data} with {methods}'
        if task != 'classification':
            ways = ['from scratch'] * ('scratch' in starts)
            ways += [f'from checkpoints pre-trained with {methods}'] if methods else []
            what = f'trained for {task}{data} {_listed(ways)}'
        parts.append(f'{_listed(backbones)} {"were" if len(backbones) > 1 else "was"} {what}')
    return '; '.join(parts) + '.'


def _listed(names: Iterable[str]) -> str:
    return ' and '.join(filter(None, [', '.join([*names][:-1]), *[*names][-1:]]))


def _numbered(paths: list[Path], title: str, caption: str) -> list[tuple]:
    """Return figures as blocks with numbered titles."""
    count = len(paths)
    return [
        ('figure', path, title if count == 1 else f'{title}, {i} of {count}', caption)
        for i, path in enumerate(paths, start=1)
    ]


def _copied(picture: dict, figures: Path) -> tuple[Path, str, str]:
    path = Path(picture['path'])
    return Path(shutil.copyfile(path, figures / path.name)), picture['title'], picture['caption']


def _origins(study: dict, records: list[dict]) -> list[tuple]:
    """Return tables of checkpoints and configs, settings, versions and times."""
    blocks = [
        ('heading', 'Sources'), ('table', origins(records)),
        ('note', 'Checkpoint: the first ten digits of its SHA-256.'),
    ]  # fmt: skip
    times = {stage['name']: stage['seconds'] for stage in study['stages'] if stage['seconds'] is not None}
    times = {name: f'{seconds / 60:.1f}' for name, seconds in (times | {'all': sum(times.values())}).items()}
    parts = ('Settings', 'setting', 'value'), ('Versions', 'package', 'version'), ('Time', 'stage', 'minutes')
    for (title, *columns), found in zip(parts, (study.get('settings'), study.get('versions'), times), strict=True):
        if found:
            rows = [[str(key), str(value)] for key, value in found.items()]
            blocks += [('subheading', title), ('table', pd.DataFrame(rows, columns=columns))]
    return blocks
