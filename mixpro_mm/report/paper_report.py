"""Reports of any runs: ``tables.html``, ``tables.md`` and optionally ``tables.tex``, and the blocks of all reports."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mixpro_mm.report.claims import claims_of, claims_table, sentence, summary
from mixpro_mm.report.figures.canvas import write_figure
from mixpro_mm.report.figures.forest import forest_figure
from mixpro_mm.report.figures.results import occlusion_figure
from mixpro_mm.report.labels import label
from mixpro_mm.report.page import write_pages
from mixpro_mm.report.paper import Paper, place, read_paper, table_blocks
from mixpro_mm.report.records import collect, unreported
from mixpro_mm.report.tables import Table, comparisons, origins, results_frame, results_table
from mixpro_mm.utils.arguments import counted

__all__ = ['main', 'record_blocks', 'source_blocks', 'write_paper_report']

PUBLISHED = (
    "In percent; 'paper' is the published number. ± is the sample standard deviation over n seeds. "
    'Signed numbers are gains over the row or column that the paper compares with. Speeds were measured on the device '
    'listed under Sources; in the paper on a Tesla V100 with batches of 128.'
)
NOT_IN_PAPER = 'In percent, in the layout of the paper, which has no results on these data.'
COMPARED = (
    'First method minus second in points, paired by seed: mean ± standard deviation, 95 % interval of the mean '
    '(Student), number of seeds.'
)
RULE = (
    'Verdicts are those of the 95 % interval (Student) of differences paired by seed. Supported: without zero, the '
    'first method is better; not supported: without zero, it is worse; no difference larger than x: with zero and '
    'within ±x, at most 1 point for top-1 accuracies and 2 points for other metrics; undecided: any other. Intervals '
    'cover seeds, not test images; one in twenty excludes a true difference of zero.'
)
DRAWN = (
    'Colors are verdicts; squares are the differences that the paper prints for DeiT-S or PVT-S on its data. Metrics '
    'for which lower is better have their sign reversed.'
)


def record_blocks(records: list[dict], figures: Path, named_only: bool = False) -> tuple[list, list, list]:
    """Return the blocks of results and curves, of claims of the paper, and of differences between methods.

    Records with a cell (``named_only``: with ``table``) are in tables of the paper.

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
        blocks += _results(table)
    return blocks + _occlusion(records, figures), _claims(table, paper, figures), _differences(table)


def _results(table: Table) -> list[tuple]:
    """Return a sentence and a table of results for each task, and a note on units and seeds."""
    cells = [cell for row in table.values() for cell in row.values()]
    seeds = any(cell.std is not None for cell in cells)
    note = 'In percent' + (': mean ± sample standard deviation over n seeds.' if seeds else '; a single seed.')
    note += " 'paper' is the published number, not measured here." * any(cell.published is not None for cell in cells)
    blocks = []
    for task in dict.fromkeys(task for task, *_ in table):
        part = {row: cells for row, cells in table.items() if row[0] == task}
        blocks += [('subheading', label(task)), ('note', sentence(task, part)), ('table', results_frame(part))]
    return [*blocks, ('note', note)]


def _claims(table: Table, paper: Paper, figures: Path) -> list[tuple]:
    """Return a summary, a figure, a table and the rule of verdicts for the claims of the paper that were measured."""
    if not (claims := claims_of(table, paper)):
        return []
    path = write_figure(forest_figure(claims), figures / 'claims.png')
    figure = ('figure', path, 'Differences with their 95 % intervals', DRAWN)
    blocks = [('heading', 'Claims of the paper'), ('note', summary(claims)), figure]
    return [*blocks, ('table', claims_table(claims)), ('note', RULE)]


def _differences(table: Table) -> list[tuple]:
    """Return a table of the differences between methods; nothing without two shared seeds."""
    frame = comparisons(table)
    return [('heading', 'Differences between methods'), ('note', COMPARED), ('table', frame)] if len(frame) else []


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
    results, claims, differences = record_blocks(records, out_dir / 'figures')
    blocks = [('title', 'Results in the tables of MixPro', count), *results, *claims, *differences]
    blocks += source_blocks(records)
    if missing := unreported(paths):
        blocks.append(('note', f'Not in results.json; run the study again to include them: {", ".join(missing)}'))
        print(blocks[-1][1], file=sys.stderr)
    return write_pages(out_dir, 'tables', blocks, latex)


def main(arguments: list[str] | None = None) -> int:
    """Write a report of studies and runs in the layout of the paper's tables; return 0, or 1 on failure."""
    parser = argparse.ArgumentParser(prog='report.py', description=main.__doc__.split(';')[0] + '.')
    parser.add_argument('paths', nargs='+', type=Path, metavar='DIR', help='work directories or JSON files')
    parser.add_argument('--out', type=Path, help='output folder (work_dirs/report); with --evidence, page (DIR.md)')
    parser.add_argument('--latex', action='store_true', help='also write tables.tex')
    parser.add_argument('--evidence', action='store_true', help='write one page on the claims of the paper')
    args = parser.parse_args(arguments)
    if args.evidence and len(args.paths) > 1:
        parser.error(f'--evidence takes one results.json, got {len(args.paths)}')
    try:
        if args.evidence:
            from mixpro_mm.report.study import write_evidence  # it imports this module

            print(write_evidence(args.paths[0], args.out))
        else:
            out_dir = args.out or Path('work_dirs/report')
            print(*write_paper_report(args.paths, out_dir, args.latex), sep='\n')
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0
