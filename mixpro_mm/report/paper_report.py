"""Reports of any runs: ``tables.html``, ``tables.md`` and optionally ``tables.tex``, and the blocks of all reports."""

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

from mixpro_mm.report.figures.canvas import write_figure
from mixpro_mm.report.figures.results import occlusion_figure
from mixpro_mm.report.labels import label
from mixpro_mm.report.page import write_pages
from mixpro_mm.report.paper import place, read_paper, table_blocks
from mixpro_mm.report.records import collect, unreported
from mixpro_mm.report.tables import Table, comparisons, origins, results_frame, results_table
from mixpro_mm.utils.arguments import counted

__all__ = ['comparison_blocks', 'main', 'record_blocks', 'results_blocks', 'source_blocks', 'write_paper_report']

PUBLISHED = (
    "In percent; 'paper' is the published number. ± is the sample standard deviation over n seeds. "
    'Signed numbers are gains over the row or column that the paper compares with. Speeds were measured on the device '
    'listed under Sources; in the paper on a Tesla V100 with batches of 128.'
)
NOT_IN_PAPER = 'In percent, in the layout of the paper, which has no results on these data.'
COMPARED = (
    'First method minus second in points, paired by seed: mean ± standard deviation, 95 % interval of the mean '
    '(Student), number of seeds, and the smallest detectable mean difference (half the width of the interval). The '
    'intervals cover the variation between seeds, not between test images. If no method differed from another, about '
    '{chance:.1f} of these {count} intervals would exclude zero.'
)


def record_blocks(records: list[dict], figures: Path, named_only: bool = False) -> list[tuple]:
    """Return tables of the paper for records with a cell (``named_only``: with ``table``), of others, and of curves.

    Raises:
        ValueError: if two records of one cell and seed differ.
    """
    paper = read_paper()
    (placed, rest), blocks = place(records, paper, named_only), []
    for data, tables in sorted(placed.items()):
        blocks.append(('heading', data or 'ImageNet, Pascal Context and COCO'))
        blocks += [('note', NOT_IN_PAPER if data else PUBLISHED), *table_blocks(data, tables, paper)]
    if table := results_table([record for record in rest if record.get('backbone')]):
        blocks.append(('heading', 'Results outside the tables of the paper' if placed else 'Results'))
        blocks += [*results_blocks(table), *comparison_blocks(table)]
    return blocks + _occlusion(records, figures)


def results_blocks(table: Table) -> list[tuple]:
    """Return a table of results for each task, and a note on units and seeds."""
    cells = [cell for row in table.values() for cell in row.values()]
    seeds = any(cell.std is not None for cell in cells)
    note = 'In percent' + (': mean ± sample standard deviation over n seeds.' if seeds else '; a single seed.')
    note += " 'paper' is the published number, not measured here." * any(cell.published is not None for cell in cells)
    blocks = []
    for task in dict.fromkeys(task for task, *_ in table):
        part = {row: cells for row, cells in table.items() if row[0] == task}
        blocks += [('subheading', label(task)), ('table', results_frame(part))]
    return [*blocks, ('note', note)]


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


def write_paper_report(paths: Sequence[str | Path], out_dir: str | Path, latex: bool = False) -> list[Path]:
    """Collect the results below ``paths`` and write a report to ``out_dir``; return the paths of the texts.

    Raises:
        ValueError: if nothing is found, or two records of one cell and seed differ.
    """
    records, out_dir = collect(paths), Path(out_dir)
    count = f'{counted(len(records), "number")} from {counted(len({r["source"] for r in records}), "file")}'
    blocks = [('title', 'Results in the tables of MixPro', count), *record_blocks(records, out_dir / 'figures')]
    blocks += source_blocks(records)
    if missing := unreported(paths):
        blocks.append(('note', f'Not in results.json; run the study again to include them: {", ".join(missing)}'))
        print(blocks[-1][1], file=sys.stderr)
    return write_pages(out_dir, 'tables', blocks, latex)


def main(arguments: list[str] | None = None) -> int:
    """Write a report of studies and runs in the layout of the paper's tables; return 0, or 1 on failure."""
    parser = argparse.ArgumentParser(prog='report.py', description=main.__doc__.split(';')[0] + '.')
    parser.add_argument('paths', nargs='+', type=Path, metavar='DIR', help='work directories or JSON files')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/report'), help='output folder (%(default)s)')
    parser.add_argument('--latex', action='store_true', help='also write tables.tex')
    args = parser.parse_args(arguments)
    try:
        print(*write_paper_report(args.paths, args.out, args.latex), sep='\n')
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0
