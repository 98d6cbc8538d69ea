"""A report in the layout of the paper's tables: ``tables.html``, ``tables.md`` and optionally ``tables.tex``."""

import argparse
import functools
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd

from mixpro_mm.report.figures import occlusion_bands
from mixpro_mm.report.labels import label
from mixpro_mm.report.page import write_pages
from mixpro_mm.report.paper import Paper, read_paper
from mixpro_mm.report.paper_tables import TITLES, place, table_blocks
from mixpro_mm.report.records import Collected, collect
from mixpro_mm.report.study import comparison_blocks, results_blocks
from mixpro_mm.report.tables import gather, origins, results_table
from mixpro_mm.utils.arguments import counted

__all__ = ['main', 'write_paper_report']

TITLE = 'Results in the tables of MixPro'
PUBLISHED = (
    "In percent; 'paper' is the published number. ± is the sample standard deviation over n seeds. "
    'Signed numbers are gains over the row or column that the paper compares with.'
)
NOT_IN_PAPER = 'In percent, in the layout of the paper, which has no results on these data.'
SPEED = 'Speed was measured on the device listed under Sources; in the paper on a Tesla V100 with batches of 128.'


def write_paper_report(
    paths: Iterable[str | Path], out_dir: str | Path, latex: bool = False, warn: Callable[[str], object] | None = None
) -> list[Path]:
    """Collect the results below ``paths`` and write a report to ``out_dir``.

    Args:
        paths: Folders or JSON files, see ``collect``.
        out_dir: Created if missing.
        latex: Also write ``tables.tex``.
        warn: Called with a message for each study whose report is not complete.

    Returns:
        The written HTML, Markdown and LaTeX files.

    Raises:
        ValueError: if nothing is found, or two records of one cell and seed differ.
    """
    found = collect(paths)
    written = write_pages(Path(out_dir), 'tables', functools.partial(_blocks, found, read_paper()), latex)
    for sentence in _unreported(found) if warn else ():
        warn(sentence)
    return list(written)


def _blocks(found: Collected, paper: Paper, figures: Path) -> list[tuple]:
    placed, rest = place(found.records, paper)
    sources = {record['source'] for record in found.records}
    count = f'{counted(len(found.records), "number")} from {counted(len(sources), "file")}'
    blocks = [('title', TITLE, count), *(('note', sentence) for sentence in _unreported(found))]
    for data, tables in sorted(placed.items()):
        blocks += [('heading', data or 'ImageNet, Pascal Context and COCO')]
        blocks += [
            (
                'note',
                NOT_IN_PAPER if data else PUBLISHED,
            )
        ]
        blocks += table_blocks(data, tables, paper)
        if any(column == 'speed' for _, column in tables.get('table2', ())):
            blocks += [('note', SPEED)]
    missing = [title.partition('. ')[0] for table, title in TITLES.items() if table not in placed.get('', {})]
    if placed and missing:
        blocks += [('note', f'Not measured: {", ".join(missing)}.')]
    blocks += _occlusion(found.records, figures)
    blocks += [*_rest(rest), ('heading', 'Sources'), ('table', origins(found.records))]
    return [*blocks, ('note', 'Checkpoint: the first ten digits of its SHA-256, or its path.')]


def _rest(records: list[dict]) -> list[tuple]:
    """Return tables of records without a cell: studies by backbone and pre-training, single runs one by one."""
    studies = [record for record in records if record.get('backbone')]
    runs = [record for record in records if not record.get('backbone')]
    keys = [((Path(r['config']).stem, r.get('name') or '-', r['metric'], str(r['seed'])), r) for r in runs]
    lines = [
        (config, name, label(metric), seed if len(seed) < 6 else '-', f'{cell.mean:.1f}')
        for (config, name, metric, seed), cell in gather(keys).items()
    ]
    blocks = [('heading', 'Results outside the tables of the paper')] if records else []
    if studies:
        blocks += [*results_blocks(results_table(studies)), *comparison_blocks(results_table(studies))]
    header = ['config', 'run', 'metric', 'seed', 'value']
    return blocks + ([('subheading', 'Single runs'), ('table', pd.DataFrame(lines, columns=header))] if lines else [])


def _unreported(found: Collected) -> list[str]:
    return [
        f'{results} has no record of these finished stages: {", ".join(folders)}. Run the study again to include them.'
        for results, folders in found.unreported.items()
    ]


def _occlusion(records: list[dict], figures: Path) -> list[tuple]:
    """Draw a figure per study, and one per protocol and grid for single tests."""
    groups: dict[str, list[dict]] = {}
    for record in records:
        if record.get('curve'):
            named = dict(backbone=Path(record['config']).stem, pretraining=record.get('name'))
            record = named | record | {'metric': record['metric'].partition(' (')[0]}
            groups.setdefault(record.get('protocol') or f'results of {record["source"]}', []).append(record)
    blocks = [('heading', 'Accuracy under occlusion')] if groups else []
    for number, (origin, same) in enumerate(sorted(groups.items()), start=1):
        path = occlusion_bands(same, figures / f'occlusion-{number}.png')
        caption = f'Mean ± one standard deviation over seeds; {origin}. Compare Figure 3 of the paper.'
        blocks += [('figure', path, 'Top-1 accuracy under occlusion', caption)]
    return blocks


def main(arguments: list[str] | None = None) -> int:
    """Write a report of studies and runs in the layout of the paper's tables; return 0, or 1 on failure."""
    parser = argparse.ArgumentParser(prog='report.py', description=main.__doc__.split(';')[0] + '.')
    parser.add_argument('paths', nargs='+', type=Path, metavar='DIR', help='work directories or JSON files')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/report'), help='output folder (%(default)s)')
    parser.add_argument('--latex', action='store_true', help='also write tables.tex')
    args = parser.parse_args(arguments)
    try:
        warn = functools.partial(print, file=sys.stderr)
        print(*write_paper_report(args.paths, args.out, args.latex, warn), sep='\n')
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0
