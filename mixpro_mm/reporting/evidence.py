"""A page from the results of a study with several seeds: what they say of each claim of the paper, and how surely.

``python -m mixpro_mm.reporting.evidence RESULTS.json OUT.md`` writes OUT.md and its figures in a folder of that name.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from mixpro_mm.files import read_json, write_text
from mixpro_mm.report.page import render_markdown
from mixpro_mm.reporting.evidence_claims import Finding, claims_of_the_paper, findings, under_occlusion
from mixpro_mm.reporting.evidence_figures import forest_plot, occlusion_bands
from mixpro_mm.reporting.evidence_verdicts import (
    INTERVALS,
    RULE,
    cautions,
    interval_table,
    interval_texts,
    summary,
    training,
    verdict_table,
    without_mixing,
)
from mixpro_mm.reporting.labels import canonical, label, measure
from mixpro_mm.reporting.tables import ResultsTable, Row, results_table

__all__ = ['read_results', 'write_evidence']

REFERENCES = ('cutmix', 'transmix')
DIGITS_8 = 285  # test images of configs/_base_/digits_8.py
KEYS = ('task', 'backbone', 'pretraining', 'metric', 'value', 'seed')

ABOUT = (
    'MixPro and the methods it competes with, pre-trained on the scanned digits 0 to 7 that ship inside scikit-learn '
    'with micro models, several times each with another seed, then tested the way the paper tests. The numbers of the '
    'paper come from ImageNet-1k, Pascal Context and COCO and from models far larger. So this page says how the '
    'methods compare on these data at this size; it can neither confirm nor refute what the paper reports at the size '
    'of ImageNet. What helps there may not show here, and the other way round.'
)
METHODS = (
    "CutMix stands for the paper's baselines, which use Mixup and CutMix by turns. All methods have the same loss, "
    'cross entropy, and take turns with Mixup in the same way; only no mixing does without. MaskMix has labels by '
    'area, so that MixPro - MaskMix is what progressive attention labeling adds. TokenMix alone has a teacher: its '
    "labels come from the activation of the moving average of the model's own weights, and that average is also what "
    'is tested. All other methods are plain: no teacher, and tested with the weights of the last step.'
)
OCCLUSION = (
    'Figure 3 of the paper prints no numbers; here the mean top-1 over the points of each curve stands for it, without '
    'the point at loss 0, which is clean accuracy. Which patches are salient is decided by one fixed model for all '
    'methods, a DeiT-micro trained without mixing, so that salient means the same for each. The adversarial set and '
    'the out-of-distribution set are digits, collected the way ImageNet-A and ImageNet-O were; they are not those sets.'
)
AGAIN = (
    "'make study' measures all of it again, and goes on where it was stopped; 'python -m mixpro_mm.reporting.evidence "
    "RESULTS.json docs/evidence.md' renders this page anew from the results.json of a study."
)


def read_results(path: str | Path) -> tuple[dict, list[dict]]:
    """What a study wrote: its description (``{}`` in the old form, a plain list of records), and the records.

    Raises ValueError for a file that is not there, holds neither form, or has a record without one of its keys.
    """
    content = read_json(path)
    study, records = ({}, content) if isinstance(content, list) else (None, None)
    if isinstance(content, dict):
        study, records = content.get('study', {}), content.get('records')
    if not isinstance(records, list) or not isinstance(study, dict):
        raise ValueError(f'{path} is not the results.json of a study')
    for number, record in enumerate(records, start=1):
        missing = [key for key in KEYS if not isinstance(record, dict) or key not in record]
        if missing:
            raise ValueError(f'record {number} of {path} has no {", ".join(missing)}')
    return study, [dict(record, pretraining=canonical(record['pretraining'])) for record in records]


def write_evidence(results: str | Path, out: str | Path) -> Path:
    """Render ``out`` (Markdown) from the results of a study, its figures as PNG in a folder of the same name beside it.

    The same results give the same bytes. Raises ValueError for results that cannot be read, or are not one number for
    each cell and seed.
    """
    study, records = read_results(results)
    records = [{key: value for key, value in record.items() if key != 'published'} for record in records]
    records = under_occlusion(records)
    table, out = results_table(records), Path(out)
    folder = out.with_suffix('')
    found = findings(table, claims_of_the_paper(), records)
    blocks = [
        ('title', study.get('title', 'Evidence'), str(study.get('date', 'without a date'))),
        ('note', ABOUT), ('note', METHODS), ('note', OCCLUSION),
        ('heading', 'What the paper claims, and what shows here'),
        ('list', [*training(table), *summary(found), *without_mixing(table)]), verdict_table(found), ('note', RULE),
        *(('note', text) for text in cautions(found, _clean_images(records))),
        *_figures(found, records, folder), *_intervals(found),
        ('heading', 'All results'),
        ('note', 'In percent: mean ± sample standard deviation over n seeds; without ± a single seed.'),
        *_results(table),
        ('heading', 'All differences to CutMix and TransMix'),
        ('note', 'Mean ± standard deviation of the differences, paired by seed, and their bootstrap interval; that of '
                 'Student follows from mean, deviation and n. No verdicts: so many comparisons find something by '
                 'chance.'),
        *_differences(table),
        ('heading', 'How it was measured'), ('note', AGAIN), *_origins(study),
    ]  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, render_markdown(blocks, folder.name))
    return out


def _clean_images(records: list[dict]) -> int | None:
    """How many clean images every classifier was tested on, where their configs tell."""
    configs = [str(record.get('config', '')) for record in records if record['task'] == 'classification']
    return DIGITS_8 if configs and all(Path(config).stem.endswith('_digits-8') for config in configs) else None


def _intervals(found: list[Finding]) -> list[tuple]:
    block = interval_table(found)
    return [('subheading', 'The intervals of these comparisons'), block, ('note', INTERVALS)] if block[2] else []


def _figures(found: list[Finding], records: list[dict], folder: Path) -> list[tuple]:
    forest = forest_plot(found, folder / 'differences.png')
    occlusion = occlusion_bands(records, folder / 'occlusion.png')
    captions = [
        (forest, 'Differences with their intervals',
         'A row for each comparison that has a verdict, each panel on its own scale. Right of zero the first method '
         'is better, also where lower numbers are. Thick: bootstrap; thin: Student; hollow: undecided.'),
        (occlusion, 'Accuracy under occlusion',
         "The paper's Figure 3: mean over seeds, in a band of one standard deviation. Below: the same minus CutMix, "
         'paired by seed.'),
    ]  # fmt: skip
    return [('figure', *figure) for figure in captions if figure[0] is not None]


def _results(table: ResultsTable) -> list[tuple]:
    """Every method and metric, a table for each task and backbone."""
    blocks = []
    for name, part in _parts(table):
        header, body = part.grid(with_task=False)
        blocks += [
            ('subheading', name), ('table', header[1:], [row[1:] for row in body], range(1, len(header) - 1)),
        ]  # fmt: skip
    return blocks


def _differences(table: ResultsTable) -> list[tuple]:
    """Every method against CutMix and TransMix, a table for each task and backbone."""
    blocks = []
    for title, part in _parts(table):
        others = [name for name in REFERENCES if name in part.pretrainings]
        names = [name for name in part.pretrainings if name not in others[:1]]
        rows = [
            [measure(row.metric), label(name), *(text for other in others for text in _pair(row, name, other))]
            for row in part.rows
            for name in names
            if name in row.cells
        ]
        if others and rows:
            header = ['metric', 'method']
            for other in others:
                header += [f'- {label(other)}', 'bootstrap 95 %']
            blocks += [('subheading', title), ('table', header, rows, range(2, len(header)))]
    return blocks or [('note', 'Neither was measured.')]


def _parts(table: ResultsTable) -> Iterator[tuple[str, ResultsTable]]:
    """A title and a table for each task and backbone; together in one they would be wider than a page."""
    for task, part in table.by_task().items():
        for backbone in dict.fromkeys(row.backbone for row in part.rows):
            rows = tuple(row for row in part.rows if row.backbone == backbone)
            names = tuple(name for name in part.pretrainings if any(name in row.cells for row in rows))
            yield f'{label(task)}, {backbone}', ResultsTable(names, rows)


def _pair(row: Row, name: str, other: str) -> list[str]:
    if name == other or other not in row.cells:
        return ['-'] * 2
    try:
        return interval_texts(row.paired(name, other), None)[:2]
    except ValueError:
        return interval_texts(None, row.cells[name].mean - row.cells[other].mean)[:2]


def _origins(study: dict) -> list[tuple]:
    """Settings, versions and times, as far as the study wrote them down."""
    blocks = []
    for name, header in (('settings', ['setting', 'value']), ('versions', ['package', 'version'])):
        if study.get(name):
            rows = [[str(item), str(value)] for item, value in study[name].items()]
            blocks += [('subheading', name.capitalize()), ('table', header, rows)]
    times = {}
    for stage in study.get('stages', []):
        if stage.get('seconds') is not None:
            key = label(stage['task']), stage['backbone'], label(stage['pretraining'])
            times.setdefault(key, []).append(stage['seconds'])
    if times:
        rows = [[*key, str(len(same)), f'{sum(same) / 60:.1f}'] for key, same in times.items()]
        every = [seconds for same in times.values() for seconds in same]
        rows.append(['all', '', '', str(len(every)), f'{sum(every) / 60:.1f}'])
        header = ['task', 'backbone', 'pre-training', 'stages', 'minutes, their sum']
        blocks += [('subheading', 'Time'), ('table', header, rows, (3, 4))]
    return blocks or [('note', 'The study wrote down neither settings nor versions nor times.')]


def main(argv=None) -> int:
    """Render the page of evidence from the results of a study."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument('results', type=Path, metavar='RESULTS.json')
    parser.add_argument('out', type=Path, metavar='OUT.md')
    args = parser.parse_args(argv)
    try:
        print(write_evidence(args.results, args.out))
    except (ValueError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
