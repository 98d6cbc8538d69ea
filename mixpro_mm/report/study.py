"""Pages of a study: its report, one HTML file that works offline, and its evidence on the claims of the paper."""

import os
from pathlib import Path

import pandas as pd

from mixpro_mm.report.figures.curves import training_curves
from mixpro_mm.report.page import render_markdown, write_pages
from mixpro_mm.report.paper_report import record_blocks, source_blocks
from mixpro_mm.report.records import collect, normalised
from mixpro_mm.utils.arguments import counted
from mixpro_mm.utils.files import read_json, write_text

__all__ = ['write_evidence', 'write_report']

CURVES = {  # file -> title, caption
    'pre-training': ('Pre-training', 'Losses of methods that mix images have different targets: do not compare them.'),
    'factor': ('Progressive attention labeling', 'The factor weights attention against area; below, their difference.'),
    'transfer': ('Transfer', 'Losses with 60 values or more are running means.'),
}


def write_report(out_dir: str | Path, study: dict, records: list[dict], pictures: list[dict] = ()) -> list[Path]:
    """Write ``report.html``, ``report.md`` and ``figures/*.png`` to ``out_dir``; return the paths of the first two.

    Args:
        study: ``title``, ``date``, ``about`` (optional; its first paragraph is at the top), ``stages`` (dicts ``name,
            task, backbone, pretraining, work_dir, seconds``; seconds may be None), ``versions`` and ``settings`` (str
            -> str).
        records: See ``report.records``; ``source`` is not needed.
        pictures: ``{path, title, caption}`` of PNG files in ``out_dir/figures``, or ``{note}``, a text.

    Raises:
        ValueError: if there are no records, or two of one cell and seed differ.
    """
    if not records:
        raise ValueError('no results to report: the list of records is empty')
    records, figures = [normalised(record) for record in records], Path(out_dir) / 'figures'
    shown = [
        ('note', each['note']) if 'note' in each else ('figure', Path(each['path']), each['title'], each['caption'])
        for each in pictures
    ]
    blocks = _head(study) + ([('heading', 'Examples'), *shown] if shown else [])
    results, claims, differences = record_blocks(records, figures, named_only=True)
    drawn = [('figure', path, *CURVES[path.stem]) for path in training_curves(study['stages'], figures)]
    blocks += [*results, *claims, *differences, *([('heading', 'Training'), *drawn] if drawn else [])]
    return write_pages(Path(out_dir), 'report', [*blocks, *source_blocks(records), *_setup(study)])


def write_evidence(results: Path, page: Path | None = None) -> Path:
    """Render the ``results.json`` of a study as a Markdown page; figures are in the folder with the name of the page.

    The default page is the folder of the file with the suffix ``.md``.

    Raises:
        ValueError: if the file has no results of a study, or no claim of the paper was measured.
    """
    page = page or results.parent.with_suffix('.md')
    content, figures = read_json(results), page.with_suffix('')
    if not isinstance(content, dict) or 'study' not in content:
        raise ValueError(f'{results} is not the results.json of a study')
    study, (found, claims, differences) = content['study'], record_blocks(collect([results]), figures, named_only=True)
    if not claims:
        raise ValueError(f'{results} has no two methods that the paper compares, with the same backbone and seed')
    blocks = [*_head(study), *claims, *found, *_setup(study), *differences]
    link = f'[{results.name}]({os.path.relpath(results, page.parent)})'
    end = f'{link} has every number with its seed, its config and the hash of its checkpoint.'
    end += f' `python tools/report.py --evidence {results}` writes this page from it.'
    write_text(page, f'{render_markdown(blocks, figures.name)}\n{end}\n')
    return page


def _head(study: dict) -> list[tuple]:
    return [('title', study['title'], str(study['date'])), *_about(study)[:1]]


def _about(study: dict) -> list[tuple]:
    return [('note', text) for text in study.get('about', '').split('\n\n') if text]


def _setup(study: dict) -> list[tuple]:
    """Return the later paragraphs of ``about``, seeds, versions, and the time of each task and backbone."""
    frame = pd.DataFrame(study['stages'], columns=['task', 'backbone', 'seconds']).fillna(0)
    times = frame.groupby(['task', 'backbone'], sort=False)['seconds'].agg(stages='size', minutes='sum').reset_index()
    text = f'{counted(len(frame), "stage")}, {frame["seconds"].sum() / 60:.1f} minutes in total; '
    text += '; '.join(f'{name}: {value}' for name, value in study['settings'].items())
    text += f'. {", ".join(f"{name} {version}" for name, version in study["versions"].items())}.'
    times['minutes'] = [f'{seconds / 60:.1f}' for seconds in times['minutes']]
    return [('heading', 'Set-up'), *_about(study)[1:], ('note', text), ('table', times.map(str))]
