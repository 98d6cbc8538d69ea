"""Command line of reports: tables of any runs, or the evidence of a study; and the blocks of all reports."""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import pandas as pd

from mixpro_mm.report.claims import Claim, claims_of, claims_table, sentence, split_claims, summary
from mixpro_mm.report.figures.canvas import write_figure
from mixpro_mm.report.figures.forest import forest_figure
from mixpro_mm.report.figures.results import occlusion_figure
from mixpro_mm.report.labels import label
from mixpro_mm.report.page import render_markdown, write_pages
from mixpro_mm.report.paper import is_method, place, read_paper, table_blocks
from mixpro_mm.report.records import collect, unreported
from mixpro_mm.report.tables import Table, comparisons, origins, results_frame, results_table
from mixpro_mm.utils.arguments import counted
from mixpro_mm.utils.files import read_json, write_text

__all__ = ['main', 'record_blocks', 'source_blocks', 'study_blocks', 'write_evidence', 'write_paper_report']

SPREAD = (
    '± is the sample standard deviation over n seeds; a measured accuracy without it has one seed, which cannot rank '
    'rows. Signed numbers are differences to the row or column without any, over shared seeds if there are any.'
)
PUBLISHED = (
    f"In percent; 'paper' is the published number. {SPREAD} Speeds were measured on the device listed under Sources; "
    'in the paper on a Tesla V100 with batches of 128.'
)
NOT_IN_PAPER = f'In percent, in the layout of the paper, which has no results on these data. {SPREAD}'
COMPARED = (
    'First method minus second in points, paired by seed: mean ± standard deviation, 95 % interval of the mean '
    '(Student), half its width (detectable: the smallest mean that it would separate from zero), number of seeds.'
)
RULE = (
    'Verdicts are those of the 95 % interval (Student) of differences paired by seed. Supported: without zero, the '
    'first method is better; not supported: without zero, it is worse; no difference larger than x: with zero and '
    'within ±x, at most 1 point for top-1 accuracies and 2 points for other metrics; undecided: any other. '
    'Detectable is half the width of the interval, the smallest mean that it would separate from zero. Intervals cover '
    'seeds, not test images; one in twenty excludes a true difference of zero.'
)
FURTHER = 'Further claims of the paper'
DRAWN = (
    'Colors are verdicts; squares are the differences that the paper prints on its data, for the same backbone if '
    'its table has it, else for DeiT-S or PVT-S. Metrics for which lower is better have their sign reversed.'
)


def record_blocks(records: list[dict], figures: Path, named_only: bool = False) -> tuple[list, list, list, list]:
    """Return the blocks of tables of the paper, results and curves, main claims of the paper, and all differences.

    Records with a cell (``named_only``: with ``cells``) are in tables of the paper.

    Raises:
        ValueError: if two records of one cell and seed differ.
    """
    paper = read_paper()
    (placed, rest), blocks, results = place(records, paper, named_only), [], []
    for data, tables in sorted(placed.items()):
        blocks.append(('heading', f'Tables of the paper on {data}' if data else 'ImageNet, Pascal Context and COCO'))
        blocks += [('note', NOT_IN_PAPER if data else PUBLISHED), *table_blocks(data, tables, paper)]
    if table := results_table([record for record in rest if record.get('backbone')]):
        results = [('heading', 'Results of pre-trainings' if placed else 'Results'), *_results(table)]
    claims, further = _claims(claims_of(table, paper), figures)
    return blocks, results + _occlusion(records, figures), claims, further + _differences(table)


def _results(table: Table) -> list[tuple]:
    """Return a sentence and a table of results for each task, and a note on units and seeds."""
    cells = [cell for row in table.values() for cell in row.values()]
    seeds = any(cell.std is not None for cell in cells)
    spread = ': mean ± sample standard deviation over n seeds'
    spread += '; a number without it has one seed' * any(cell.std is None and cell.seeds for cell in cells)
    note = f'In percent{spread if seeds else "; a single seed"}.' + ' Differences are over shared seeds.' * seeds
    note += " 'paper' is the published number, not measured here." * any(cell.published is not None for cell in cells)
    blocks = []
    for task in dict.fromkeys(task for task, *_ in table):
        part = {row: cells for row, cells in table.items() if row[0] == task}
        blocks += [('subheading', label(task)), ('note', sentence(task, part)), ('table', results_frame(part))]
    return [('note', note), *blocks]


def _claims(claims: list[Claim], figures: Path) -> tuple[list[tuple], list[tuple]]:
    """Return a summary, a figure, a table and the rule of verdicts for the main claims, and a table of the others."""
    if not claims:
        return [], []
    main, others = split_claims(claims)
    path = write_figure(forest_figure(main), figures / 'claims.png')
    figure = ('figure', path, 'Differences with their 95 % intervals', DRAWN)
    text = summary(main) + f' Other metrics and models are under {FURTHER}.' * bool(others)
    blocks = [('heading', 'Claims of the paper'), ('note', text), figure, ('table', claims_table(main)), ('note', RULE)]
    further = [('heading', FURTHER), ('note', summary(others)), ('table', claims_table(others))] if others else []
    return blocks, further


def _differences(table: Table) -> list[tuple]:
    """Return a table of the differences between methods; nothing without two shared seeds."""
    frame = comparisons(table)
    return [('heading', 'Differences between methods'), ('note', COMPARED), ('table', frame)] if len(frame) else []


def study_blocks(study: dict) -> tuple[list, list]:
    """Return the blocks above and below the results of a study.

    Title, date and first paragraph of ``about``; its others, seeds, versions, and time of each task and backbone.
    """
    about = [('note', text) for text in study.get('about', '').split('\n\n') if text]
    frame = pd.DataFrame(study['stages'], columns=['task', 'backbone', 'seconds']).fillna(0)
    times = frame.groupby(['task', 'backbone'], sort=False)['seconds'].agg(stages='size', minutes='sum').reset_index()
    text = f'{counted(len(frame), "stage")}, {frame["seconds"].sum() / 60:.1f} minutes in total; '
    text += '; '.join(f'{name}: {value}' for name, value in study['settings'].items())
    text += f'. {", ".join(f"{name} {version}" for name, version in study["versions"].items())}.'
    times['minutes'] = [f'{seconds / 60:.1f}' for seconds in times['minutes']]
    setup = [('heading', 'Set-up'), *about[1:], ('note', text), ('table', times.map(str))]
    head = [('title', study['title'], str(study['date'])), *about[:1]]
    if unfinished := study['settings'].get('unfinished stages'):
        head.append(('note', f'{unfinished} stages of the study are not finished: methods or seeds are missing below.'))
    return head, setup


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
    blocks = [('title', 'Results in the tables of MixPro', count)]
    blocks += [*chain(*record_blocks(records, out_dir / 'figures')), *source_blocks(records)]
    if missing := unreported(paths):
        blocks.append(('note', f'Not in results.json; run the study again to include them: {", ".join(missing)}'))
        print(blocks[-1][1], file=sys.stderr)
    return write_pages(out_dir, 'tables', blocks, latex)


def write_evidence(files: Sequence[Path], page: Path | None = None) -> Path:
    """Render results of studies as a Markdown page; figures are in the folder with the name of the page.

    Args:
        files: ``results.json`` of studies; title and introduction of the page are those of the first.
        page: Path of the page. Default: the folder of the first file with the suffix ``.md``.

    Raises:
        ValueError: if a file has no results of a study, or no claim of the paper was measured.
    """
    here, studies = [os.path.relpath(file) for file in files], []
    command = ['python', 'tools/report.py', '--evidence', *here] + (['--out', os.path.relpath(page)] if page else [])
    page = page or files[0].parent.with_suffix('.md')
    for file in files:
        content = read_json(file)
        if not isinstance(content, dict) or 'study' not in content:
            raise ValueError(f'{file} is not the results.json of a study')
        studies.append(study_blocks(content['study']))
    (head, setup), *others = studies
    for (title, *about), (_, *rest) in others:
        setup += [('subheading', title[1]), *about, *rest]
    records = collect(here)
    tables, found, claims, differences = record_blocks(records, page.with_suffix(''), named_only=True)
    if not claims:
        raise ValueError(f'{here[0]} has no two methods that the paper compares, with the same backbone and seed')
    if all(is_method(record) for record in records if record.get('cells')):
        tables = []  # they repeat the results
    text = render_markdown([*head, *claims, *found, *tables, *setup, *differences], page.stem)
    links = ' and '.join('[{0}]({0})'.format(os.path.relpath(file, page.parent)) for file in files)
    text += f'\nEvery number is in {links}, with its seed, its config and the hash of its checkpoint. '
    text += f'`{shlex.join(command)}` writes this page.\n'
    write_text(page, text)
    return page


def main(arguments: list[str] | None = None) -> int:
    """Write a report of studies and runs in the layout of the paper's tables; return 0, or 1 on failure."""
    parser = argparse.ArgumentParser(prog='report.py', description=main.__doc__.split(';')[0] + '.')
    meaning = 'work directories or JSON files; with --evidence, results.json of studies'
    parser.add_argument('paths', nargs='+', type=Path, metavar='PATH', help=meaning)
    parser.add_argument('--out', type=Path, help='output folder (work_dirs/report); with --evidence, page (FOLDER.md)')
    parser.add_argument('--latex', action='store_true', help='also write tables.tex')
    parser.add_argument('--evidence', action='store_true', help='write one page on the claims of the paper')
    args = parser.parse_args(arguments)
    if args.evidence and args.latex:
        parser.error('--evidence writes a Markdown page, without --latex')
    try:
        if args.evidence:
            print(write_evidence(args.paths, args.out))
        else:
            print(*write_paper_report(args.paths, args.out or Path('work_dirs/report'), args.latex), sep='\n')
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0
