"""The report of a study: ``report.html``, one file that works offline, and ``report.md`` with the same content."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from mixpro_mm.report.blocks import record_blocks, source_blocks
from mixpro_mm.report.figures.curves import training_curves
from mixpro_mm.report.labels import in_order, label
from mixpro_mm.report.page import write_pages
from mixpro_mm.report.records import normalised

__all__ = ['write_report']

CURVES = {  # file -> title, caption
    'pre-training': (
        'Pre-training',
        'Losses of methods that mix images have different targets and cannot be compared.',
    ),
    'factor': (
        'Progressive attention labeling',
        'Mean over the epoch of the factor, which weights attention against area (Figure 2a of the paper), and of the '
        'absolute difference of the two label weights.',
    ),
    'transfer': ('Transfer', 'Losses with more than 60 values are running means.'),
}


def write_report(out_dir: str | Path, study: dict, records: list[dict], pictures: list[dict] = ()) -> list[Path]:
    """Write ``report.html``, ``report.md`` and ``figures/*.png``; return the paths of the first two.

    Args:
        out_dir: Created if missing.
        study: ``title``, ``date``, ``stages`` (dicts ``name, task, backbone, pretraining, work_dir, seconds``; seconds
            may be None), ``versions`` and ``settings`` (str -> str).
        records: ``{task, backbone, pretraining, metric, value, seed, config, checkpoint_sha256}``, value in percent,
            optionally ``published``, ``data`` and ``curve``.
        pictures: ``{path, title, caption}`` of PNG files in ``out_dir/figures``, or ``{note}``, a text.

    Raises:
        ValueError: if there are no records, or two of one cell and seed differ.
    """
    if not records:
        raise ValueError('no results to report: the list of records is empty')
    records, stages, figures = [normalised(record) for record in records], study['stages'], Path(out_dir) / 'figures'
    blocks = [('title', study['title'], str(study['date']))]
    blocks += [('note', _trained(stages, records))] if stages else []
    blocks += record_blocks(records, figures)
    shown = [
        ('note', each['note']) if 'note' in each else ('figure', Path(each['path']), each['title'], each['caption'])
        for each in pictures
    ]
    blocks += [('heading', 'Examples'), *shown] if shown else []
    drawn = training_curves(stages, figures)
    blocks += [('heading', 'Training')] if drawn else []
    blocks += [('figure', path, *CURVES[path.stem]) for path in drawn]
    times = {stage['name']: stage['seconds'] for stage in stages if stage['seconds'] is not None}
    times = {name: f'{seconds / 60:.1f}' for name, seconds in (times | {'all': sum(times.values())}).items()}
    blocks += [*source_blocks(records), *_facts('Settings', 'setting', 'value', study.get('settings'))]
    blocks += [*_facts('Versions', 'package', 'version', study.get('versions'))]
    blocks += [*_facts('Time', 'stage', 'minutes', times)]
    return write_pages(Path(out_dir), 'report', blocks)


def _facts(title: str, key: str, value: str, facts: dict | None) -> list[tuple]:
    frame = pd.DataFrame([map(str, pair) for pair in (facts or {}).items()], columns=[key, value])
    return [('subheading', title), ('table', frame)] if facts else []


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
