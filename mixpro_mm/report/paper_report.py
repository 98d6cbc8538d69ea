"""All that was measured, in the tables of the paper: ``tables.html``, ``tables.md`` and perhaps ``tables.tex``."""

import argparse
import functools
import sys
import tempfile
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

TITLE = 'Measured, in the tables of MixPro'
PUBLISHED = (
    "'paper' is the published number, not measured here. In percent; ± is the sample standard deviation over n seeds. "
    'A signed number is the gain over the row or column that the paper compares with.'
)


def write_paper_report(
    paths: Iterable[str | Path], out_dir: str | Path, latex: bool = False, warn: Callable[[str], object] | None = None
) -> list[Path]:
    """Collect what lies below ``paths`` and write the report into ``out_dir``. The same results give the same bytes.

    Args:
        paths: Folders or JSON files, see ``collect``.
        out_dir: Created if missing.
        latex: Write ``tables.tex`` too.
        warn: Called with each sentence on finished stages that are not in the report.

    Returns:
        The paths of the written texts.

    Raises:
        ValueError: nothing was found, or two records of one cell and seed differ.
    """
    found, out_dir = collect(paths), Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out_dir, prefix='.report-') as staging:
        blocks = _blocks(found, read_paper(), Path(staging))
        written = write_pages(out_dir, 'tables', blocks, Path(staging), latex)
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
        blocks += [('note', 'In the layout of the paper, which has no numbers for these data.' if data else PUBLISHED)]
        blocks += table_blocks(data, tables, paper)
        if found.benchmarks and not data and 'table2' in tables:
            blocks += [('note', _speed_note(found.benchmarks))]
    missing = [title.partition('. ')[0] for table, title in TITLES.items() if table not in placed.get('', {})]
    if missing:
        blocks += [('note', f'Nothing was measured for {", ".join(missing)} of the paper.')]
    blocks += _occlusion(found.records, figures)
    blocks += [*_rest(rest), ('heading', 'Where these numbers are from'), ('table', origins(found.records))]
    return [*blocks, ('note', 'Checkpoint: the first ten digits of the SHA-256 of its file, or else its path.')]


def _rest(records: list[dict]) -> list[tuple]:
    """Records of studies by backbone and pre-training; those of runs, which have neither, one by one."""
    studies = [record for record in records if record.get('backbone')]
    runs = [record for record in records if not record.get('backbone')]
    keys = [((Path(r['config']).stem, r.get('name') or '-', r['metric'], str(r['seed'])), r) for r in runs]
    lines = [
        (config, name, label(metric), seed if len(seed) < 6 else '-', f'{cell.mean:.1f}')
        for (config, name, metric, seed), cell in gather(keys).items()
    ]
    blocks = [('heading', 'Measured outside the tables of the paper')] if records else []
    if studies:
        blocks += [*results_blocks(results_table(studies)), *comparison_blocks(results_table(studies))]
    header = ['config', 'run', 'metric', 'seed', 'value']
    return blocks + ([('subheading', 'Single runs'), ('table', pd.DataFrame(lines, columns=header))] if lines else [])


def _unreported(found: Collected) -> list[str]:
    return [
        f'{results} has no record of what is finished in {", ".join(folders)}: these numbers are not in the report; '
        'run the study again to include them.'
        for results, folders in found.unreported.items()
    ]


def _speed_note(benchmarks: list[dict]) -> str:
    machines = dict.fromkeys(
        f'{run["device"]}, {run["threads"]} of {run["cores"]} cores, batches of {run["settings"].get("batch", "-")}, '
        f'{run["date"]}'
        for run in benchmarks
    )
    return f'Speed, measured: {"; ".join(machines)}. In the paper: a Tesla V100, batches of 128.'


def _occlusion(records: list[dict], figures: Path) -> list[tuple]:
    """A figure for each study, and one for the single tests of each protocol and grid: only these share their axes."""
    groups: dict[str, list[dict]] = {}
    for record in records:
        if record.get('curve'):
            named = dict(backbone=Path(record['config']).stem, pretraining=record.get('name'))
            record = named | record | {'metric': record['metric'].partition(' (')[0]}
            groups.setdefault(record.get('protocol') or f'results of {record["source"]}', []).append(record)
    blocks = [('heading', 'Accuracy under occlusion')] if groups else []
    for number, (origin, same) in enumerate(sorted(groups.items()), start=1):
        path = occlusion_bands(same, figures / f'occlusion-{number}.png')
        caption = f'Mean over seeds, with a band of one standard deviation; {origin}. After Figure 3 of the paper.'
        blocks += [('figure', path, 'Top-1 accuracy under occlusion', caption)]
    return blocks


def main(arguments: list[str] | None = None) -> int:
    """Results of any number of studies and runs, in the tables of the paper; returns 0, or 1 on failure."""
    parser = argparse.ArgumentParser(prog='report.py', description=main.__doc__.split(';')[0] + '.')
    parser.add_argument('paths', nargs='+', type=Path, metavar='DIR', help='work directories, or JSON files')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/report'), help='folder to write to (%(default)s)')
    parser.add_argument('--latex', action='store_true', help='write tables.tex too')
    args = parser.parse_args(arguments)
    try:
        print(
            *write_paper_report(args.paths, args.out, args.latex, functools.partial(print, file=sys.stderr)), sep='\n'
        )
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0
