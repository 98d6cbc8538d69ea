"""One study, one report: ``report.html`` (a single file that works offline) and ``report.md``, from the same blocks.

The text is a list of blocks (``reporting/blocks.py``), so both files say the same.
"""

import os
import re
import shutil
import tempfile
from pathlib import Path

from PIL import Image

from mixpro_mm.report.page import render_html, render_markdown
from mixpro_mm.reporting.figures import factor_curve, factor_panels, learning_curves, results_overview, transfer_curves
from mixpro_mm.report.tables import ResultsTable, label, results_table, summary

__all__ = ['write_report']


def write_report(out_dir: str | Path, study: dict, records: list[dict], pictures: list[dict] = ()) -> tuple[Path, Path]:
    """Write ``report.html``, ``report.md`` and ``figures/*.png`` under ``out_dir``; return the paths of the first two.

    Args:
        out_dir: created if missing. Everything is prepared beside its final place and moved there at the end, so that
            a failure leaves the previous report whole.
        study: ``title``, ``date``, ``stages`` (dicts ``name, task, backbone, pretraining, work_dir, seconds``; seconds
            may be None), ``versions`` and ``settings`` (str -> str).
        records: ``{task, backbone, pretraining, metric, value, seed, config, checkpoint_sha256}``, value in percent;
            those beside which a published number is to stand have it as ``published``.
        pictures: PNG files to show, ``{path, title, caption}``; or ``{note}``, a sentence in place of one.

    Raises:
        ValueError: no records, or two records for one cell and seed.
    """
    table = results_table(records)
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out_dir, prefix='.report-') as staging:
        staging = Path(staging)
        blocks = _blocks(study, records, table, pictures, staging / 'figures')
        (staging / 'report.md').write_text(render_markdown(blocks), encoding='utf-8')
        (staging / 'report.html').write_text(render_html(blocks, study['title']), encoding='utf-8')
        (out_dir / 'figures').mkdir(exist_ok=True)
        for file in sorted((staging / 'figures').iterdir()):
            os.replace(file, out_dir / 'figures' / file.name)
        for name in ('report.md', 'report.html'):
            os.replace(staging / name, out_dir / name)
    return out_dir / 'report.html', out_dir / 'report.md'


def _blocks(study: dict, records: list[dict], table: ResultsTable, pictures: list[dict], figures: Path) -> list[tuple]:
    """The whole report, top to bottom; draws the figures on the way."""
    stages = study['stages']
    overview = results_overview(table, figures / 'results.png')
    starts = 'the checkpoints and from scratch' if 'scratch' in table.pretrainings else 'each pre-training'
    factor = 'Progressive attention labeling'
    curves = [
        *_numbered(
            learning_curves(stages, figures / 'pre-training.png'), 'Pre-training',
            'Methods that mix images train on different targets, so their losses do not compare; the accuracies do.',
        ),
        *_numbered(
            factor_curve(stages, figures / 'factor.png'), factor,
            "Left: how far the attention weight is trusted (the paper's Figure 2a). Right: the weight of the first "
            'image by attention and by area, before the factor combines them.',
        ),
        *_numbered(
            factor_panels(stages, figures / 'factor.png'), factor,
            "How far the attention weight is trusted (the paper's Figure 2a).",
        ),
        *_numbered(transfer_curves(stages, figures / 'transfer.png'), 'Transfer', f'From {starts}.'),
    ]  # fmt: skip
    curves = [('figure', *curve) for curve in curves]
    pictures = [
        ('note', item['note'])
        if 'note' in item
        else ('figure', _adopt(Path(item['path']), figures), item['title'], item['caption'])
        for item in pictures
    ]
    seeds = 'Each number comes from a single seed; how far another seed would move it was not measured.'
    if table.seeds_repeated:
        seeds = '± is the sample standard deviation over n seeds; numbers without it come from a single seed.'
    note = 'In percent. Differences are taken before rounding.'
    caption = 'A row per task, metric and backbone, a dot per pre-training.'
    if table.has_published:
        note += " 'Paper' is what was published, not measured here; 'here - paper' is measured - published."
        caption += ' Hollow: in the paper.'
    blocks = [
        ('title', study['title'], str(study['date'])),
        ('heading', 'Summary'), ('list', summary(table)), ('note', seeds),
        ('heading', 'Results'), *_results(table), ('note', note),
        ('figure', overview, 'Results at a glance', caption),
    ]  # fmt: skip
    if pictures:
        blocks += [('heading', 'What it looks like'), *pictures]
    if curves:
        faint = 'From the training logs. Long curves are drawn faint as logged, with their running mean on top.'
        blocks += [('heading', 'Training'), ('note', faint), *curves]
    return blocks + _origins(study, records)


def _results(table: ResultsTable) -> list[tuple]:
    """One table; where published numbers make it wide, one for each task, apart what has no pre-training in common."""
    if not table.has_published:
        header, body = table.grid()
        return [('table', header, body, range(3, len(header)))]
    blocks = []
    for task, part in table.by_task().items():
        blocks.append(('subheading', label(task)))
        for compared in part.compared():
            header, body = compared.grid(with_task=False)
            blocks.append(('table', header, body, range(2, len(header))))
    return blocks


def _numbered(paths: list[Path], title: str, caption: str) -> list[tuple[Path, str, str]]:
    """The figures of one kind; several are counted in their titles."""
    if len(paths) == 1:
        return [(paths[0], title, caption)]
    return [(path, f'{title}, {i} of {len(paths)}', caption) for i, path in enumerate(paths, start=1)]


def _origins(study: dict, records: list[dict]) -> list[tuple]:
    """How the numbers were made: a line per number, then settings, versions and times."""
    header = ['task', 'backbone', 'pre-training', 'metric', 'value', 'seed', 'config', 'checkpoint']
    numbers = [
        [*(label(record[key]) for key in ('task', 'backbone', 'pretraining', 'metric')), f'{record["value"]:.1f}',
         str(record['seed']), str(record['config']), (record.get('checkpoint_sha256') or '-')[:10]]
        for record in records
    ]  # fmt: skip
    blocks = [
        ('heading', 'How these numbers were made'),
        ('table', header, numbers, (4, 5)),
        ('note', 'Checkpoint: the first ten digits of the SHA-256 of the file that was evaluated.'),
    ]
    for name, key in (('settings', 'setting'), ('versions', 'package')):
        if study.get(name):
            rows = [[str(item), str(value)] for item, value in study[name].items()]
            blocks += [
                ('subheading', name.capitalize()),
                ('table', [key, 'version' if name == 'versions' else 'value'], rows),
            ]
    times = [[stage['name'], _duration(stage['seconds'])] for stage in study['stages']]
    times.append(['sum over stages', _duration(sum(stage['seconds'] or 0 for stage in study['stages']))])
    return [*blocks, ('subheading', 'Time'), ('table', ['stage', 'time'], times, (1,))]


def _adopt(picture: Path, figures: Path) -> Path:
    """Copy a picture among the figures, under a name that is free and needs no quoting."""
    with Image.open(picture) as image:
        if image.format != 'PNG':
            raise ValueError(f'{picture} is {image.format}, the report shows PNG files.')
    name = re.sub(r'[^A-Za-z0-9._-]', '-', picture.name)
    while (figures / name).exists():
        name = f'other-{name}'
    return Path(shutil.copyfile(picture, figures / name))


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return '-'
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours} h {minutes:02d} min' if hours else f'{minutes} min {rest:02d} s' if minutes else f'{rest} s'
