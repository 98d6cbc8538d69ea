"""The report of a study: one HTML file that works offline, and the same as Markdown."""

from pathlib import Path

from mixpro_mm.report.figures.curves import training_curves
from mixpro_mm.report.page import write_pages
from mixpro_mm.report.paper_report import record_blocks, source_blocks, study_blocks
from mixpro_mm.report.records import normalised

__all__ = ['write_report']

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
    head, setup = study_blocks(study)
    examples = [('heading', 'Examples'), *shown] if shown else []
    tables, results, claims, differences = record_blocks(records, figures, named_only=True)
    drawn = [('figure', path, *CURVES[path.stem]) for path in training_curves(study['stages'], figures)]
    blocks = [*head, *examples, *tables, *results, *claims, *differences]
    blocks += [('heading', 'Training'), *drawn] if drawn else []
    return write_pages(Path(out_dir), 'report', [*blocks, *source_blocks(records), *setup])
