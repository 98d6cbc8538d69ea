"""The report of one study: ``report.html``, a single file that works offline, and ``report.md`` with the same content."""

import re
import shutil
import tempfile
from pathlib import Path

import pandas as pd
from PIL import Image

from mixpro_mm.report.labels import in_order, label
from mixpro_mm.report.page import write_pages
from mixpro_mm.report.records import normalised
from mixpro_mm.report.tables import compare, comparison_tables, results_table
from mixpro_mm.reporting.figures import factor_curve, factor_panels, learning_curves, results_overview, transfer_curves

__all__ = ['results_blocks', 'write_report']

COMPARED = (
    "In points, first method minus second, paired by seed: mean ± standard deviation of the differences, Student's 95 % "
    'interval of the mean, number of seeds, and the smallest mean difference that they tell from zero (half the width of '
    'the interval). The intervals cover the seed only, not other test images. Without any true difference, about '
    '{chance:.1f} of these {count} intervals would still exclude zero.'
)
FACTOR = 'Left: how much weight the attention gets (Figure 2a of the paper). Right: |lam_attn - lam_area|.'


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
    results_table(records)  # what is wrong with them is told before anything is written
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out_dir, prefix='.report-') as staging:
        blocks = _blocks(study, [normalised(record) for record in records], pictures, Path(staging))
        return write_pages(out_dir, 'report', blocks, study['title'], Path(staging))


def results_blocks(records: list[dict]) -> list[tuple]:
    """A table of results for each task, then every method against the references, for each task and backbone."""
    table = results_table(records)
    seeds = any(cell.count > 1 for row in table.rows for cell in row.cells.values())
    note = 'In percent' + (': mean ± sample standard deviation over n seeds.' if seeds else '; a single seed.')
    note += " 'paper' is the published number, not measured here." if table.has_published else ''
    blocks = []
    for task, part in table.by_task().items():
        blocks += [('subheading', label(task)), ('table', part.frame())]
    blocks += [('note', note)]
    compared = compare(table)
    if compared:
        blocks += [('heading', 'Differences between methods')]
        blocks += [('note', COMPARED.format(count=len(compared), chance=0.05 * len(compared)))]
        for title, frame in comparison_tables(compared).items():
            blocks += [('subheading', title), ('table', frame)]
    return blocks


def _blocks(study: dict, records: list[dict], pictures: list[dict], figures: Path) -> list[tuple]:
    """The report from top to bottom; the figures are drawn into ``figures``."""
    stages, table = study['stages'], results_table(records)
    overview = 'A row for each task, metric and backbone, a dot for each pre-training.'
    overview += ' Hollow: in the paper.' if table.has_published else ''
    results = results_overview(table, figures / 'results.png')
    curves = [
        *_numbered(learning_curves(stages, figures / 'pre-training.png'), 'Pre-training',
                   'Methods that mix images have different targets: compare accuracies, not losses.'),
        *_numbered([*factor_curve(stages, figures / 'factor.png'), *factor_panels(stages, figures / 'factor.png')],
                   'Progressive attention labeling', FACTOR),
        *_numbered(transfer_curves(stages, figures / 'transfer.png'), 'Transfer',
                   'Faint: as logged; on top the running mean.'),
    ]  # fmt: skip
    shown = [('note', item['note']) if 'note' in item else ('figure', *_copied(item, figures)) for item in pictures]
    return [
        ('title', study['title'], str(study['date'])),
        *(('note', sentence) for sentence in [_trained(stages, records)] if sentence),
        ('heading', 'Results'), *results_blocks(records),
        ('figure', results, 'Results at a glance', overview),
        *([('heading', 'Examples'), *shown] if shown else ()),
        *([('heading', 'Training'), *curves] if curves else ()),
        *_origins(study, records),
    ]  # fmt: skip


def _trained(stages: list[dict], records: list[dict]) -> str:
    """What was trained on what, in one sentence."""
    parts = []
    for task in dict.fromkeys(stage['task'] for stage in stages):
        same = [stage for stage in stages if stage['task'] == task]
        backbones = _listed(dict.fromkeys(stage['backbone'] for stage in same))
        starts = _listed(label(name) for name in in_order(stage['pretraining'] for stage in same))
        verb = 'pre-trained with' if task == 'classification' else f'trained for {task} from'
        parts.append(f'{backbones} {verb} {starts}')
    data = _listed(dict.fromkeys(record['data'] for record in records if record.get('data')))
    return '; '.join(parts) + (f', on {data}' if data else '') + '.' if parts else ''


def _listed(names) -> str:
    *others, last = names = list(names) or ['']
    return f'{", ".join(others)} and {last}' if others else last


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
    """How the numbers were made: a line for each number, then settings, versions and times."""
    lines = [
        [*(label(record[key]) for key in ('task', 'backbone', 'pretraining', 'metric')), f'{record["value"]:.1f}',
         str(record['seed']), str(record['config']), (record.get('checkpoint_sha256') or '-')[:10]]
        for record in records
    ]  # fmt: skip
    header = ['task', 'backbone', 'pre-training', 'metric', 'value', 'seed', 'config', 'checkpoint']
    blocks = [
        ('heading', 'How these numbers were made'), ('table', pd.DataFrame(lines, columns=header)),
        ('note', 'Checkpoint: the first ten digits of the SHA-256 of the tested file.'),
    ]  # fmt: skip
    for name, columns in (('settings', ('setting', 'value')), ('versions', ('package', 'version'))):
        if study.get(name):
            rows = [[str(item), str(value)] for item, value in study[name].items()]
            blocks += [('subheading', name.capitalize()), ('table', pd.DataFrame(rows, columns=list(columns)))]
    times = [[stage['name'], _duration(stage['seconds'])] for stage in study['stages']]
    times.append(['sum over stages', _duration(sum(stage['seconds'] or 0 for stage in study['stages']))])
    return [*blocks, ('subheading', 'Time'), ('table', pd.DataFrame(times, columns=['stage', 'time']))]


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return '-'
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours} h {minutes:02d} min' if hours else f'{minutes} min {rest:02d} s' if minutes else f'{rest} s'
