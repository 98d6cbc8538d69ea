"""The report of a study: ``report.html``, a single file that works offline, and ``report.md`` with the same content."""

import itertools
import re
import shutil
import tempfile
from pathlib import Path

import pandas as pd
from PIL import Image

from mixpro_mm.report.labels import in_order, label
from mixpro_mm.report.page import write_pages
from mixpro_mm.report.paper import read_paper
from mixpro_mm.report.paper_tables import place, table_blocks
from mixpro_mm.report.records import normalised
from mixpro_mm.report.tables import ResultsTable, comparisons, origins, results_table
from mixpro_mm.reporting.figures import factor_curve, factor_panels, learning_curves, results_overview, transfer_curves

__all__ = ['comparison_blocks', 'results_blocks', 'write_report']

COMPARED = (
    'In points, first method minus second, paired by seed: mean ± standard deviation of the differences, the 95 % '
    'interval of the mean (Student), number of seeds, and the smallest mean difference that they tell from zero, half '
    'the width of the interval. The intervals cover the seed only, not other test images. Without any true difference, '
    'about {chance:.1f} of these {count} intervals would still exclude zero.'
)
FACTOR = (
    'The factor weights attention against area (Figure 2a of the paper); |lam_attn - lam_area| is how far the two '
    'weights of the first image differ.'
)


def write_report(out_dir: str | Path, study: dict, records: list[dict], pictures: list[dict] = ()) -> tuple[Path, Path]:
    """Write ``report.html``, ``report.md`` and ``figures/*.png`` under ``out_dir``; return the paths of the first two.

    Args:
        out_dir: Created if missing. A failure leaves the previous report.
        study: ``title``, ``date``, ``stages`` (dicts ``name, task, backbone, pretraining, work_dir, seconds``; seconds
            may be None), ``versions`` and ``settings`` (str -> str).
        records: ``{task, backbone, pretraining, metric, value, seed, config, checkpoint_sha256}``, value in percent;
            ``published``, the published number, ``data`` and ``curve`` may be there.
        pictures: PNG files to show, ``{path, title, caption}``; or ``{note}``, a sentence in place of one.

    Raises:
        ValueError: no records, or two different ones for one cell and seed.
    """
    if not records:
        raise ValueError('no results to report: the list of records is empty')
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out_dir, prefix='.report-') as staging:
        blocks = _blocks(study, [normalised(record) for record in records], pictures, Path(staging))
        return write_pages(out_dir, 'report', blocks, Path(staging))


def results_blocks(table: ResultsTable) -> list[tuple]:
    """A table of results for each task."""
    seeds = any(cell.count > 1 for row in table.rows for cell in row.cells.values())
    note = 'In percent' + (': mean ± sample standard deviation over n seeds.' if seeds else '; a single seed.')
    note += " 'paper' is the published number, not measured here." if table.has_published else ''
    tables = [(('subheading', label(task)), ('table', part.frame())) for task, part in table.by_task().items()]
    return [*itertools.chain(*tables), ('note', note)]


def comparison_blocks(table: ResultsTable) -> list[tuple]:
    """Differences between methods, for each task and backbone; nothing without at least two shared seeds."""
    found = comparisons(table)
    count = sum(map(len, found.values()))
    note = COMPARED.format(count=count, chance=0.05 * count)
    tables = [(('subheading', title), ('table', frame)) for title, frame in found.items()]
    return [('heading', 'Differences between methods'), ('note', note), *itertools.chain(*tables)] if count else []


def _blocks(study: dict, records: list[dict], pictures: list[dict], figures: Path) -> list[tuple]:
    """The report from top to bottom; the figures are drawn into ``figures``."""
    stages, named = study['stages'], [record for record in records if record.get('table')]
    placed, rest = place(named, read_paper()) if named else ({}, [])
    results = [block for data, tables in placed.items() for block in table_blocks(data, tables, read_paper())]
    if placed:
        results.append(('note', 'In percent, in the layout of the paper; numbers without ± come from a single seed.'))
    if rest := [*rest, *(record for record in records if not record.get('table'))]:
        table = results_table(rest)
        caption = 'A row for each task, metric and backbone, a dot for each pre-training.'
        caption += ' Hollow: in the paper.' if table.has_published else ''
        overview = results_overview(table, figures / 'results.png')
        results += [*results_blocks(table), ('figure', overview, 'Results at a glance', caption)]
        results += comparison_blocks(table)
    curves = [
        *_numbered(learning_curves(stages, figures / 'pre-training.png'), 'Pre-training',
                   'Methods that mix images have different targets: compare accuracies, not losses.'),
        *_numbered([*factor_curve(stages, figures / 'factor.png'), *factor_panels(stages, figures / 'factor.png')],
                   'Progressive attention labeling', FACTOR),
        *_numbered(transfer_curves(stages, figures / 'transfer.png'), 'Transfer',
                   'Long losses are running means.'),
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
    """What was trained on what, in one sentence."""
    parts = []
    for task in dict.fromkeys(stage['task'] for stage in stages):
        same = [stage for stage in stages if stage['task'] == task]
        backbones = list(dict.fromkeys(stage['backbone'] for stage in same))
        starts = [label(name) for name in in_order(stage['pretraining'] for stage in same)]
        what = f'pre-trained with {_listed(starts)}'
        if task != 'classification':
            what = f'trained for {task} {_listed([f"from {name}" for name in starts])}'
        parts.append(f'{_listed(backbones)} {"were" if len(backbones) > 1 else "was"} {what}')
    data = list(dict.fromkeys(record['data'] for record in records if record.get('data')))
    return '; '.join(parts) + (f', on {_listed(data)}' if data else '') + '.'


def _listed(names: list[str]) -> str:
    names = names if len(names) < 13 else [*names[:10], f'{len(names) - 10} more']
    return ' and '.join([', '.join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def _numbered(paths: list[Path], title: str, caption: str) -> list[tuple]:
    """The figures of one kind as blocks; several are counted in their titles."""
    count = len(paths)
    return [
        ('figure', path, title if count == 1 else f'{title}, {i} of {count}', caption)
        for i, path in enumerate(paths, start=1)
    ]


def _copied(picture: dict, figures: Path) -> tuple[Path, str, str]:
    """Copy a picture among the figures, under a free name that needs no quoting."""
    path = Path(picture['path'])
    with Image.open(path) as image:
        if image.format != 'PNG':
            raise ValueError(f'{path} is {image.format}, the report shows PNG files')
    name = re.sub(r'[^A-Za-z0-9._-]', '-', path.name)
    while (figures / name).exists():
        name = f'other-{name}'
    return Path(shutil.copyfile(path, figures / name)), picture['title'], picture['caption']


def _origins(study: dict, records: list[dict]) -> list[tuple]:
    """How the numbers were made: checkpoints and configs, then settings, versions and times."""
    blocks = [
        ('heading', 'How these numbers were made'), ('table', origins(records)),
        ('note', 'Checkpoint: the first ten digits of the SHA-256 of the tested file.'),
    ]  # fmt: skip
    times = {stage['name']: stage['seconds'] for stage in study['stages'] if stage['seconds'] is not None}
    times = {name: f'{seconds / 60:.1f}' for name, seconds in (times | {'all': sum(times.values())}).items()}
    parts = ('Settings', 'setting', 'value'), ('Versions', 'package', 'version'), ('Time', 'stage', 'minutes')
    for (title, *columns), found in zip(parts, (study.get('settings'), study.get('versions'), times), strict=True):
        if found:
            rows = [[str(key), str(value)] for key, value in found.items()]
            blocks += [('subheading', title), ('table', pd.DataFrame(rows, columns=columns))]
    return blocks
