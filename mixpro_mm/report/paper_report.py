"""Whatever was measured, in the tables of the paper: ``tables.html``, ``tables.md`` and, if wanted, ``tables.tex``."""

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from mixpro_mm.arguments import counted
from mixpro_mm.files import replacing, write_text
from mixpro_mm.report.page import render_html, render_latex, render_markdown
from mixpro_mm.reporting.cells import cells_of
from mixpro_mm.report.records import Collected, collect
from mixpro_mm.reporting.digits_tables import DATA
from mixpro_mm.reporting.evidence_figures import occlusion_bands
from mixpro_mm.reporting.occlusion import occlusion_curves
from mixpro_mm.report.paper import published_tables
from mixpro_mm.report.paper_tables import TITLES, paper_table
from mixpro_mm.reporting.places import DIGITS, IMAGENET, place_of
from mixpro_mm.report.tables import label

__all__ = ['write_paper_report']

TITLE = 'Measured, in the tables of MixPro'


def write_paper_report(
    paths: Iterable[str | Path], out_dir: str | Path, latex: bool = False, warn: Callable[[str], object] | None = None
) -> list[Path]:
    """Collect what lies below ``paths`` and write the report into ``out_dir``, which is created if missing.

    The same results give the same bytes. Everything is prepared first, so that a failure leaves the previous report.

    Args:
        paths: Folders, or JSON files; see ``collect``.
        out_dir: For ``tables.html``, ``tables.md`` and pictures in ``figures``.
        latex: Write ``tables.tex`` too.
        warn: Called with each sentence on what is finished and yet not in the report, which has them too.

    Returns:
        The paths of the written texts.

    Raises:
        ValueError: nothing was found, or two records are of one cell and seed.
    """
    found = collect(list(paths))
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out_dir, prefix='.report-') as staging:
        blocks = _blocks(found, Path(staging))
        texts = {'tables.html': render_html(blocks, TITLE), 'tables.md': render_markdown(blocks)}
        if latex:
            texts['tables.tex'] = render_latex(blocks)
        pictures = sorted(Path(staging).iterdir())
        if pictures:
            (out_dir / 'figures').mkdir(exist_ok=True)
        for picture in pictures:
            with replacing(out_dir / 'figures' / picture.name) as temporary:
                temporary.write_bytes(picture.read_bytes())
        for name, text in texts.items():
            write_text(out_dir / name, text)
    for sentence in _untold(found) if warn else ():
        warn(sentence)
    return [out_dir / name for name in texts]


def _blocks(found: Collected, figures: Path) -> list[tuple]:
    published = published_tables()
    tables, rest = cells_of(found.records, published)
    sources = {record['source'] for record in found.records}
    count = f'{counted(len(found.records), "number")} from {counted(len(sources), "file")}'
    blocks = [('title', TITLE, count), *(('note', sentence) for sentence in _untold(found))]
    blocks.append(('heading', 'ImageNet, Pascal Context and COCO'))
    here = [table for table in TITLES if (IMAGENET, table) in tables]
    if here:
        blocks.append(
            ('note', "'paper' is what was published, not measured here. In percent; ± is the sample standard deviation "
                     'over n seeds, numbers without it come from a single run; a signed number is the gain over the '
                     'row or column that the paper compares with.')
        )  # fmt: skip
    for table in here:
        blocks += paper_table(table, IMAGENET, tables[IMAGENET, table], published)
        if table == 'table2' and found.benchmarks:
            blocks.append(('note', _speed_note(found.benchmarks)))
        if table == 'figure3':
            blocks += _occlusion_figures(found, IMAGENET, published, figures)
    blocks.append(('note', _missing(here)))
    digits = [table for table in TITLES if (DIGITS, table) in tables]
    if digits:
        blocks += [
            ('heading', 'Embedded digits'),
            ('note', 'The same layouts for small models on small data, which the paper knows nothing of: these numbers '
                     'compare with each other, not with those of ImageNet.'),
        ]  # fmt: skip
    for table in digits:
        blocks += paper_table(table, DIGITS, tables[DIGITS, table], published)
        if table == 'figure3':
            blocks += _occlusion_figures(found, DIGITS, published, figures)
    if rest:
        header = ['config', 'pre-training', 'metric', 'seed', 'value']
        rows = [
            [Path(record['config']).stem, label(_trained(record)), label(record['metric']), 
             _seed(record), f'{record["value"]:.1f}']
            for record in rest if record['task'] != 'benchmark'
        ]  # fmt: skip
        if rows:
            blocks += [('heading', 'Measured, in no table of the paper'), ('table', header, rows, (4,))]
    return blocks + _origins(found.records)


def _untold(found: Collected) -> list[str]:
    """A sentence for each study whose results do not have all its finished stages."""
    return [
        f'{results} has no record of what is finished in {", ".join(folders)}: these numbers are not in the report; '
        'run the study again, and it writes them there.'
        for results, folders in found.untold.items()
    ]


def _missing(here: list[str]) -> str:
    missing = [title.split('. ')[0] for table, title in TITLES.items() if table not in here]
    return f'Nothing was measured for {", ".join(missing)}.' if missing else 'Something was measured for every table.'


def _speed_note(benchmarks: list[dict]) -> str:
    """Speeds hang on the machine, so it is named."""
    machines = dict.fromkeys(
        f'{run["device"]}, {run["threads"]} of {run["cores"]} cores, batches of {run["settings"].get("batch", "-")}, '
        f'{run["date"]}'
        for run in benchmarks
    )
    return f'Speed, here: {"; ".join(machines)}. In the paper: a Tesla V100, batches of 128.'


def _occlusion_figures(found: Collected, section: str, published: dict, figures: Path) -> list[tuple]:
    """A picture for each study, and for the other tests of each protocol and grid: only these share their axes."""
    blocks, studies, groups = [], {}, {}
    contents = {content['source']: content for content in found.occlusions}
    for record in filter(lambda record: record.get('curve'), found.records):
        test = contents.get(record['source'])
        if ('digit' in Path(record['config']).stem) != (section == DIGITS):
            continue
        if test is None:
            studies.setdefault(record['source'], []).append(record)
        else:
            way = test['settings']['protocol'], test['settings']['grid']
            groups.setdefault(way, []).append(_with_row(record, published))
    bands = 'Mean over seeds, where there are several in a band of one standard deviation'
    for number, (source, records) in enumerate(studies.items(), 1):
        path = occlusion_bands(records, figures / f'occlusion-{section}-study-{number}.png')
        if path is not None:
            blocks.append(('figure', path, 'Occlusion', f'{bands}; from {source}. After Figure 3 of the paper.'))
    for (protocol, grid), records in sorted(groups.items()):
        caption = f'Patches of a {grid} x {grid} grid are dropped; protocol {protocol}. After Figure 3 of the paper.'
        path = figures / f'occlusion-{section}-{protocol}-{grid}.png'
        seeds = {(record['backbone'], record['pretraining'], record['seed']) for record in records}
        if len({row[:2] for row in seeds}) < len(seeds):
            occlusion_bands(records, path)
            caption = f'{bands}. {caption}'
        else:
            several = len({record['backbone'] for record in records}) > 1
            names = {
                record['source']: f'{record["backbone"]}, {label(record["pretraining"])}' * several
                or record['pretraining']
                for record in records
            }
            occlusion_curves([dict(contents[source], label=name) for source, name in names.items()], path)
        blocks.append(('figure', path, 'Occlusion', caption))
    return blocks


def _with_row(record: dict, published: dict) -> dict:
    """The record of an occlusion test with the backbone and the pre-training of its row, whatever its protocol."""
    metric = record['metric'].partition(' (')[0]
    place = place_of(dict(record, metric=metric), published)
    row = place.row if place else record['name'] or Path(record['checkpoint'] or record['source']).parent.name
    backbone, data, method = ('DeiT-S', '', row) if isinstance(row, str) else row
    data = DATA.get(data, data)
    return dict(record, metric=metric, backbone=f'{backbone}, {data}' if data else backbone, pretraining=method)


def _seed(record: dict) -> str:
    """A run without a seed has its path in place of one."""
    return str(record['seed']) if isinstance(record.get('seed'), int) else '-'


def _trained(record: dict) -> str:
    """The pre-training of a record, or the file that its backbone began with, or else the file that was tested."""
    return next(filter(None, map(record.get, ('pretraining', 'name', 'start', 'checkpoint'))), '-')


def _origins(records: list[dict]) -> list[tuple]:
    """A row for each model that was tested in a file, with all its numbers."""
    groups = {}
    for record in records:
        checkpoint = (record.get('checkpoint_sha256') or '')[:10] or record.get('checkpoint') or '-'
        origin = (
            record['source'],
            record['config'],
            checkpoint,
            _seed(record),
            record.get('from', 'test'),
        )
        number = f'{label(record["metric"])} {record["value"]:.4g}'
        if record['task'] == 'benchmark':
            number = f'{record["pretraining"]} {number}'
        groups.setdefault(origin, []).append(number)
    rows = [[*origin, ', '.join(numbers)] for origin, numbers in groups.items()]
    header = ['file', 'config', 'checkpoint', 'seed', 'from', 'numbers']
    note = 'Checkpoint: the first ten digits of the SHA-256 of its file, or else its path.'
    return [('heading', 'Where these numbers are from'), ('table', header, rows), ('note', note)]
