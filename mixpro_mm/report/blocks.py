"""Blocks of a report from records: tables of the paper, results by task, differences, occlusion and sources."""

import itertools
from pathlib import Path

import pandas as pd

from mixpro_mm.report.figures.canvas import write_figure
from mixpro_mm.report.figures.occlusion import occlusion_figure
from mixpro_mm.report.labels import label
from mixpro_mm.report.paper import place, read_paper, table_blocks
from mixpro_mm.report.tables import (
    Table,
    by_task,
    comparisons,
    gather,
    has_published,
    origins,
    results_frame,
    results_table,
)

__all__ = ['comparison_blocks', 'record_blocks', 'results_blocks', 'source_blocks']

PUBLISHED = (
    "In percent; 'paper' is the published number. ± is the sample standard deviation over n seeds. "
    'Signed numbers are gains over the row or column that the paper compares with.'
)
NOT_IN_PAPER = 'In percent, in the layout of the paper, which has no results on these data.'
COMPARED = (
    'First method minus second in points, paired by seed: mean ± standard deviation, 95 % interval of the mean '
    '(Student), number of seeds, and the smallest detectable mean difference (half the width of the interval). The '
    'intervals cover the variation between seeds, not between test images. If no method differed from another, about '
    '{chance:.1f} of these {count} intervals would exclude zero.'
)


def record_blocks(records: list[dict], figures: Path) -> list[tuple]:
    """Return tables of the paper for records with a cell, tables by task and of single runs for others, and curves.

    Raises:
        ValueError: if two records of one cell and seed differ.
    """
    paper = read_paper()
    (placed, rest), blocks = place(records, paper), []
    for data, tables in sorted(placed.items()):
        blocks.append(('heading', data or 'ImageNet, Pascal Context and COCO'))
        blocks += [('note', NOT_IN_PAPER if data else PUBLISHED), *table_blocks(data, tables, paper)]
    blocks += [('heading', 'Results outside the tables of the paper' if placed else 'Results')] if rest else []
    if studies := [record for record in rest if record.get('backbone')]:
        table = results_table(studies)
        blocks += [*results_blocks(table), *comparison_blocks(table)]
    keys = [((Path(r['config']).stem, r.get('name') or '-', r['metric'], str(r['seed'])), r) for r in rest]
    lines = [
        (config, name, label(metric), seed if len(seed) < 6 else '-', f'{cell.mean:.1f}')
        for (config, name, metric, seed), cell in gather(pair for pair in keys if not pair[1].get('backbone')).items()
    ]
    if lines:
        header = ['config', 'run', 'metric', 'seed', 'value']
        blocks += [('subheading', 'Single runs'), ('table', pd.DataFrame(lines, columns=header))]
    return blocks + _occlusion(records, figures)


def results_blocks(table: Table) -> list[tuple]:
    """Return a table of results for each task, and a note on units and seeds."""
    seeds = any(len(cell.seeds) > 1 for cells in table.values() for cell in cells.values())
    note = 'In percent' + (': mean ± sample standard deviation over n seeds.' if seeds else '; a single seed.')
    note += " 'paper' is the published number, not measured here." if has_published(table) else ''
    tables = [(('subheading', label(task)), ('table', results_frame(part))) for task, part in by_task(table).items()]
    return [*itertools.chain(*tables), ('note', note)]


def comparison_blocks(table: Table) -> list[tuple]:
    """Return the differences between methods for each task and backbone; nothing without two shared seeds."""
    found = comparisons(table)
    count = sum(map(len, found.values()))
    note = COMPARED.format(count=count, chance=0.05 * count)
    tables = [(('subheading', title), ('table', frame)) for title, frame in found.items()]
    return [('heading', 'Differences between methods'), ('note', note), *itertools.chain(*tables)] if count else []


def source_blocks(records: list[dict]) -> list[tuple]:
    """Return a table of the checkpoints, configs and files of records."""
    note = 'Checkpoint: the first ten digits of its SHA-256, or its path.'
    return [('heading', 'Sources'), ('table', origins(records)), ('note', note)]


def _occlusion(records: list[dict], figures: Path) -> list[tuple]:
    """Draw a figure per study, and one per protocol and grid for single tests."""
    groups: dict[str, list[dict]] = {}
    for record in records:
        if record.get('curve'):
            named = dict(backbone=Path(record['config']).stem, pretraining=record.get('name'))
            origin = record.get('protocol') or f'results of {record.get("source", "this study")}'
            groups.setdefault(origin, []).append(named | record)
    blocks = [('heading', 'Accuracy under occlusion')] if groups else []
    for number, (origin, same) in enumerate(sorted(groups.items()), start=1):
        path = write_figure(occlusion_figure(same), figures / f'occlusion-{number}.png')
        caption = f'Mean ± one standard deviation over seeds; {origin}. Compare Figure 3 of the paper.'
        blocks += [('figure', path, 'Top-1 accuracy under occlusion', caption)]
    return blocks
