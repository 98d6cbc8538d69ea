"""The report of a study: ``report.html``, one file that works offline, and ``report.md`` with the same content."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from mixpro_mm.report.figures.curves import training_curves
from mixpro_mm.report.labels import in_order, label
from mixpro_mm.report.page import write_pages
from mixpro_mm.report.paper_report import record_blocks, source_blocks
from mixpro_mm.report.records import normalised

__all__ = ['write_report']

CURVES = {  # file -> title, caption
    'pre-training': (
        'Pre-training',
        'Losses of methods that mix images have different targets and cannot be compared.',
    ),
    'factor': (
        'Progressive attention labeling',
        'Means over the epoch. The factor weights attention against area; below, the difference of these two weights.',
    ),
    'transfer': ('Transfer', 'Losses with 60 values or more are running means.'),
}


def write_report(out_dir: str | Path, study: dict, records: list[dict], pictures: list[dict] = ()) -> list[Path]:
    """Write ``report.html``, ``report.md`` and ``figures/*.png`` to ``out_dir``; return the paths of the first two.

    Args:
        study: ``title``, ``date``, ``stages`` (dicts ``name, task, backbone, pretraining, work_dir, seconds``; seconds
            may be None), ``versions`` and ``settings`` (str -> str).
        records: See ``report.records``; ``source`` is not needed.
        pictures: ``{path, title, caption}`` of PNG files in ``out_dir/figures``, or ``{note}``, a text.

    Raises:
        ValueError: if there are no records, or two of one cell and seed differ.
    """
    if not records:
        raise ValueError('no results to report: the list of records is empty')
    records, stages, figures = [normalised(record) for record in records], study['stages'], Path(out_dir) / 'figures'
    blocks = [('title', study['title'], str(study['date']))]
    blocks += [('note', _trained(stages, records))] if stages else []
    shown = [
        ('note', each['note']) if 'note' in each else ('figure', Path(each['path']), each['title'], each['caption'])
        for each in pictures
    ]
    blocks += [('heading', 'Examples'), *shown] if shown else []
    blocks += record_blocks(records, figures, named_only=True)
    drawn = [('figure', path, *CURVES[path.stem]) for path in training_curves(stages, figures)]
    blocks += [('heading', 'Training'), *drawn] if drawn else []
    times = {stage['name']: stage['seconds'] for stage in stages if stage['seconds'] is not None}
    times = {name: f'{seconds / 60:.1f}' for name, seconds in (times | {'all': sum(times.values())}).items()}
    blocks += source_blocks(records)
    parts = ('Settings', 'setting', 'value'), ('Versions', 'package', 'version'), ('Time', 'stage', 'minutes')
    for (title, *columns), facts in zip(parts, (study['settings'], study['versions'], times), strict=True):
        blocks += [('subheading', title), ('table', pd.DataFrame(facts.items(), columns=columns).map(str))]
    return write_pages(Path(out_dir), 'report', blocks)


def _trained(stages: list[dict], records: list[dict]) -> str:
    """Return one sentence on what was trained on what."""
    parts = []
    for task in dict.fromkeys(stage['task'] for stage in stages):
        same = [stage for stage in stages if stage['task'] == task]
        backbones = list(dict.fromkeys(stage['backbone'] for stage in same))
        methods = _listed(map(label, in_order(stage['pretraining'] for stage in same)))
        data = _listed(dict.fromkeys(r['data'] for r in records if r['task'] == task and r.get('data')))
        data = f' on {data}' if data else ''
        what = 'pre-trained{} with {}' if task == 'classification' else f'trained for {task}{{}}, starting from {{}}'
        parts.append(f'{_listed(backbones)} {"were" if len(backbones) > 1 else "was"} {what.format(data, methods)}')
    return '; '.join(parts) + '.'


def _listed(names: Iterable[str]) -> str:
    *names, last = [*names] or ['']
    return f'{", ".join(names)} and {last}' if names else last
