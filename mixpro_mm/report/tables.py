"""Result records to one table structure; from it the sentences of the summary, Markdown and HTML."""

import math
import re
from collections.abc import Container
from dataclasses import dataclass, field
from html import escape

import numpy as np

from mixpro_mm.report.labels import canonical, label, lower_is_better, measure
from mixpro_mm.report.statistics import NOT_SUPPORTED, SUPPORTED, PairedDifference, paired_difference

__all__ = [
    'Cell', 'ResultsTable', 'Row', 'html_table', 'label', 'markdown_table', 'markdown_text', 'results_table', 'signed',
    'summary',
]  # fmt: skip

TASKS = ('classification', 'segmentation', 'detection', 'robustness')
PRETRAININGS = ('scratch', 'none', 'official', 'baseline', 'cutmix', 'transmix', 'tokenmix', 'maskmix')  # MixPro last
REFERENCES = ('scratch', 'baseline')  # MixPro is compared with these in columns of their own


@dataclass(frozen=True)
class Cell:
    """Mean and sample deviation (None for a single run) over ``count`` seeds, in percent; ``seeds`` has each."""

    mean: float
    std: float | None
    count: int
    seeds: dict[int, float] = field(default_factory=dict)

    def __str__(self) -> str:
        spread = '' if self.std is None else f' ± {self.std:.1f} (n={self.count})'
        return f'{self.mean:.1f}{spread}'


@dataclass(frozen=True)
class Row:
    """One task, backbone and metric: a cell for each pre-training it was measured with; what others report for them."""

    task: str
    backbone: str
    metric: str
    cells: dict[str, Cell]
    published: dict[str, float] = field(default_factory=dict)

    def difference(self, other: str = 'scratch') -> float | None:
        """Mean with MixPro minus mean with ``other``, in points, before rounding; None where one is missing."""
        if 'mixpro' not in self.cells or other not in self.cells:
            return None
        return self.cells['mixpro'].mean - self.cells[other].mean

    def paired(self, name: str, other: str) -> PairedDifference:
        """Result with ``name`` minus result with ``other`` over the seeds that both were run with.

        Raises ValueError where either is missing, where they share fewer than two seeds, or a run gave no number.
        """
        missing = [key for key in (name, other) if key not in self.cells]
        if missing:
            raise ValueError(f'no result with {label(missing[0])}')
        values, base = self.cells[name].seeds, self.cells[other].seeds
        shared = values.keys() & base.keys()
        return paired_difference({seed: values[seed] for seed in shared}, {seed: base[seed] for seed in shared})

    def published_difference(self, other: str) -> float | None:
        """The same between the published numbers."""
        if 'mixpro' not in self.published or other not in self.published:
            return None
        return self.published['mixpro'] - self.published[other]

    def beside(self, name: str) -> list[str]:
        """The published number for a pre-training, and the measured mean minus it."""
        if name not in self.published:
            return ['-', '-']
        return [f'{self.published[name]:.1f}', signed(self.cells[name].mean - self.published[name])]


@dataclass(frozen=True)
class ResultsTable:
    """Rows by task, backbone and metric; ``pretrainings`` names the columns, without mixing first and MixPro last."""

    pretrainings: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def seeds_repeated(self) -> bool:
        """Whether any cell is a mean over several seeds."""
        return any(cell.count > 1 for row in self.rows for cell in row.cells.values())

    @property
    def has_published(self) -> bool:
        """Whether a published number stands beside any cell."""
        return any(row.published for row in self.rows)

    def by_task(self) -> dict[str, 'ResultsTable']:
        """A table for each task, with the pre-trainings that occur there."""
        tasks = dict.fromkeys(row.task for row in self.rows)
        return {task: self._only([row for row in self.rows if row.task == task]) for task in tasks}

    def compared(self) -> list['ResultsTable']:
        """Tables of the rows that share pre-trainings, at least by way of a third; in one they leave cells empty."""
        groups: list[tuple[set, list]] = []
        for row in self.rows:
            joined = [group for group in groups if group[0] & row.cells.keys()]
            names = set(row.cells).union(*(group[0] for group in joined))
            place = groups.index(joined[0]) if joined else len(groups)
            groups = [group for group in groups if group not in joined]
            groups.insert(place, (names, [*(other for _, rows in joined for other in rows), row]))
        return [self._only([row for row in self.rows if row in rows]) for _, rows in groups]

    def _only(self, rows: list[Row]) -> 'ResultsTable':
        return ResultsTable(
            tuple(name for name in self.pretrainings if any(name in r.cells for r in rows)), tuple(rows)
        )

    def grid(self, with_task: bool = True) -> tuple[list[str], list[list[str]]]:
        """Header and body as text, ready for any renderer; columns stand where there is anything to show in them.

        Beside a measured number: the published one and the difference to it. At the end: MixPro compared, as measured
        and as published.

        Args:
            with_task: Name the task in the first column.
        """
        header, columns = ['backbone', 'metric'], [lambda row: [row.backbone, measure(row.metric)]]
        if with_task:
            header, columns = ['task', *header], [lambda row: [label(row.task)], *columns]
        for name in self.pretrainings:
            header.append(label(name))
            columns.append(lambda row, name=name: [str(row.cells.get(name, '-'))])
            if any(name in row.published for row in self.rows):
                header += [f'{label(name)}, paper', f'{label(name)}, here - paper']
                columns.append(lambda row, name=name: row.beside(name))
        for other in REFERENCES:
            if any(row.difference(other) is not None for row in self.rows):
                header.append(f'MixPro - {other}')
                columns.append(lambda row, other=other: [signed(row.difference(other))])
            if any(row.published_difference(other) is not None for row in self.rows):
                header.append(f'MixPro - {other}, paper')
                columns.append(lambda row, other=other: [signed(row.published_difference(other))])
        return header, [[text for column in columns for text in column(row)] for row in self.rows]


def signed(difference: float | None) -> str:
    """A difference in points with its sign and one decimal; ``'-'`` for None, no sign for what rounds to zero."""
    if difference is None:
        return '-'
    return '0.0' if round(difference, 1) == 0 else f'{difference:+.1f}'


def results_table(records: list[dict]) -> ResultsTable:
    """Group records by task, backbone and metric; several seeds of one cell become mean and sample deviation.

    Raises ValueError for an empty list, for two records that differ in nothing but value or origin, and for two
    published numbers in one cell.
    """
    if not records:
        raise ValueError('No results to report: the list of records is empty.')
    seeds, published = {}, {}
    for record in records:
        row, name = (record['task'], record['backbone'], record['metric']), canonical(record['pretraining'])
        cell = seeds.setdefault(row, {}).setdefault(name, {})
        if record['seed'] in cell:
            raise ValueError(f'Two results for {" / ".join(row)} / {name} with seed {record["seed"]}.')
        cell[record['seed']] = float(record['value'])
        if (
            'published' in record
            and published.setdefault(row, {}).setdefault(name, record['published']) != (record['published'])
        ):
            both = f'{published[row][name]} and {record["published"]}'
            raise ValueError(f'Two published numbers for {" / ".join(row)} / {name}: {both}.')
    rows = [
        Row(*key, {name: _cell(values) for name, values in cells.items()}, published.get(key, {}))
        for key, cells in seeds.items()
    ]
    backbones = list(dict.fromkeys(row.backbone for row in rows))
    rows.sort(key=lambda row: (_rank(TASKS, row.task), row.task, backbones.index(row.backbone)))
    names = dict.fromkeys(name for row in rows for name in row.cells)
    names = sorted(names, key=lambda name: (name == 'mixpro', _rank(PRETRAININGS, name)))
    return ResultsTable(tuple(names), tuple(rows))


def _cell(seeds: dict[int, float]) -> Cell:
    values = list(seeds.values())
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Cell(float(np.mean(values)), spread, len(values), seeds)


def _rank(order: tuple, name: str) -> int:
    return order.index(name) if name in order else len(order)


def summary(table: ResultsTable) -> list[str]:
    """The table in plain sentences, one per row; what differences show beside chance is said with them."""
    return [_sentence(row) + _in_the_paper(row) for row in table.rows]


def _sentence(row: Row) -> str:
    head = f'{label(row.task)} with {row.backbone}: '
    metric, transfer = measure(row.metric), 'scratch' in row.cells or row.task in ('segmentation', 'detection')
    if 'mixpro' not in row.cells:
        found = [f'{cell} {metric} {_origin(name, transfer)}' for name, cell in row.cells.items()]
        return head + ', '.join(found) + '; no MixPro result.'
    others = sorted((name for name in row.cells if name != 'mixpro'), key=lambda name: name not in ('scratch', 'none'))
    text = f'{head}{row.cells["mixpro"]} {metric} {_origin("mixpro", transfer)}'
    for name in others:
        text += f', {row.cells[name]} {_origin(name, transfer)} ({_difference(row, name)})'
    return text + '.'


def _in_the_paper(row: Row) -> str:
    """A second sentence with the published numbers, each with where the measured one lies; empty without any."""
    names = sorted(row.published, key=lambda name: name != 'mixpro')
    numbers = [
        f'{row.published[name]:.1f} for {label(name)} ({_place(row.cells[name].mean - row.published[name])})'
        for name in names
    ]
    return f' In the paper: {", ".join(numbers)}.' if numbers else ''


def _place(difference: float) -> str:
    """Where a measured number lies, seen from the published one."""
    if not math.isfinite(difference):
        return 'no number here'
    if round(difference, 1) == 0:
        return 'the same here'
    return f'{abs(difference):.1f} {"higher" if difference > 0 else "lower"} here'


def _origin(name: str, transfer: bool) -> str:
    if name == 'scratch':
        return 'from scratch'
    if name == 'none':
        return 'from the checkpoint without mixing' if transfer else 'without mixing'
    return f'from the {label(name)} checkpoint' if transfer else f'with {label(name)}'


def _difference(row: Row, other: str) -> str:
    """MixPro minus ``other``, and what it does and does not show."""
    shared = len(row.cells['mixpro'].seeds.keys() & row.cells[other].seeds.keys())
    if not math.isfinite(row.difference(other)):
        return f'{signed(row.difference(other))}: a run gave no number'
    if shared < 2:
        common = 'one seed' if shared else 'no seed in common'
        return f'{signed(row.difference(other))}; {common} says nothing about chance'
    pairs = row.paired('mixpro', other)
    low, high = (signed(end) for end in pairs.student)
    verdict = pairs.verdict(lower_is_better(row.metric))
    says = {SUPPORTED: 'MixPro is better here', NOT_SUPPORTED: 'MixPro is worse here'}.get(verdict, verdict)
    return f'{signed(pairs.mean)}, 95 % interval {low} to {high} over {pairs.n} seeds: {says}'


def html_table(header: list[str], rows: list[list[str]], numeric: Container[int] = ()) -> str:
    """A table of escaped text, columns in ``numeric`` aligned right; long names may break after ``/`` and ``_``."""
    kinds = [' class="number"' if i in numeric else '' for i in range(len(header))]

    def line(tag: str, row: list[str]) -> str:
        texts = [re.sub(r'([/_])', r'\1<wbr>', escape(cell, quote=False)) for cell in row]
        return (
            '<tr>' + ''.join(f'<{tag}{kind}>{text}</{tag}>' for kind, text in zip(kinds, texts, strict=True)) + '</tr>'
        )

    body = '\n'.join(line('td', row) for row in rows)
    return f'<table>\n<thead>{line("th", header)}</thead>\n<tbody>\n{body}\n</tbody>\n</table>'


def markdown_text(text: str) -> str:
    """Escape what Markdown would read as markup; underscores inside words may stay."""
    return re.sub(r'[\\`*\[\]<>&|]|\b_|_\b', r'\\\g<0>', ' '.join(text.split()))


def markdown_table(header: list[str], rows: list[list[str]], numeric: Container[int] = ()) -> str:
    """The same table for Markdown."""
    rule = ['---:' if i in numeric else '---' for i in range(len(header))]
    lines = [[markdown_text(cell) for cell in row] for row in (header, *rows)]
    return '\n'.join(f'| {" | ".join(line)} |' for line in (lines[0], rule, *lines[1:]))
