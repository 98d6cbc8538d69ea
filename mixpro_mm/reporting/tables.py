"""Result records to one table structure; from it the sentences of the summary, Markdown and HTML."""

import math
import re
from collections.abc import Container
from dataclasses import dataclass
from html import escape

import numpy as np

__all__ = [
    'Cell', 'ResultsTable', 'Row', 'html_table', 'label', 'markdown_table', 'markdown_text', 'results_table', 'signed',
    'summary',
]  # fmt: skip

LABELS = {
    'mixpro': 'MixPro', 'cutmix': 'CutMix', 'transmix': 'TransMix', 'mixup': 'Mixup', 'tokenmix': 'TokenMix',
    'top1': 'top-1', 'bbox_mAP': 'box AP', 'segm_mAP': 'mask AP',
    'classification': 'Classification', 'segmentation': 'Segmentation', 'detection': 'Detection',
}  # fmt: skip
TASKS = ('classification', 'segmentation', 'detection')


def label(name: str) -> str:
    """The word a reader sees for a key of a record: ``'bbox_mAP'`` -> ``'box AP'``; unknown keys as they are."""
    return LABELS.get(name, name)


@dataclass(frozen=True)
class Cell:
    """Mean and sample standard deviation (None for a single run) over ``count`` seeds, in percent."""

    mean: float
    std: float | None
    count: int

    def __str__(self) -> str:
        spread = '' if self.std is None else f' ± {self.std:.1f} (n={self.count})'
        return f'{self.mean:.1f}{spread}'


@dataclass(frozen=True)
class Row:
    """One task, backbone and metric: a cell for each pre-training it was measured with."""

    task: str
    backbone: str
    metric: str
    cells: dict[str, Cell]

    def difference(self, other: str = 'scratch') -> float | None:
        """Mean with MixPro minus mean with ``other``, in points, before rounding; None where one is missing."""
        if 'mixpro' not in self.cells or other not in self.cells:
            return None
        return self.cells['mixpro'].mean - self.cells[other].mean


@dataclass(frozen=True)
class ResultsTable:
    """Rows by task, backbone and metric; ``pretrainings`` names the columns, scratch first and MixPro last."""

    pretrainings: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def seeds_repeated(self) -> bool:
        """Whether any cell is a mean over several seeds."""
        return any(cell.count > 1 for row in self.rows for cell in row.cells.values())

    def grid(self) -> tuple[list[str], list[list[str]]]:
        """Header and body as text, ready for any renderer; the difference column stands where there is one to show."""
        compared = any(row.difference() is not None for row in self.rows)
        header = ['task', 'backbone', 'metric', *map(label, self.pretrainings)] + ['MixPro - scratch'] * compared
        body = []
        for row in self.rows:
            cells = [str(row.cells.get(name, '-')) for name in self.pretrainings]
            body.append(
                [label(row.task), row.backbone, label(row.metric), *cells] + [signed(row.difference())] * compared
            )
        return header, body


def signed(difference: float | None) -> str:
    """A difference in points with its sign and one decimal; ``'-'`` for None, no sign for what rounds to zero."""
    if difference is None:
        return '-'
    return '0.0' if round(difference, 1) == 0 else f'{difference:+.1f}'


def results_table(records: list[dict]) -> ResultsTable:
    """Group records by task, backbone and metric; several seeds of one cell become mean and sample deviation.

    Raises ValueError for an empty list, and for two records that differ in nothing but value or origin.
    """
    if not records:
        raise ValueError('No results to report: the list of records is empty.')
    seeds = {}
    for record in records:
        row = record['task'], record['backbone'], record['metric']
        cell = seeds.setdefault(row, {}).setdefault(record['pretraining'], {})
        if record['seed'] in cell:
            raise ValueError(f'Two results for {" / ".join(row)} / {record["pretraining"]} with seed {record["seed"]}.')
        cell[record['seed']] = float(record['value'])
    rows = [
        Row(*key, {name: _cell(list(values.values())) for name, values in cells.items()})
        for key, cells in seeds.items()
    ]
    backbones = list(dict.fromkeys(row.backbone for row in rows))
    rows.sort(key=lambda row: (_rank(TASKS, row.task), row.task, backbones.index(row.backbone)))
    names = dict.fromkeys(name for row in rows for name in row.cells)
    order = {'scratch': 0, 'mixpro': 2}
    return ResultsTable(tuple(sorted(names, key=lambda name: order.get(name, 1))), tuple(rows))


def _cell(values: list[float]) -> Cell:
    return Cell(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None, len(values))


def _rank(order: tuple, name: str) -> int:
    return order.index(name) if name in order else len(order)


def summary(table: ResultsTable) -> list[str]:
    """The table in plain sentences, one per row; a small or a negative difference is called what it is."""
    return [_sentence(row) for row in table.rows]


def _sentence(row: Row) -> str:
    head = f'{label(row.task)} with {row.backbone}: '
    metric, transfer = label(row.metric), 'scratch' in row.cells
    if 'mixpro' not in row.cells:
        return (
            head
            + ', '.join(f'{cell} {metric} {_origin(name)}' for name, cell in row.cells.items())
            + '; no MixPro result.'
        )
    others = sorted((name for name in row.cells if name != 'mixpro'), key=lambda name: name != 'scratch')
    source = 'from the MixPro checkpoint' if transfer else 'with MixPro'
    text = f'{head}{row.cells["mixpro"]} {metric} {source}'
    for name in others:
        text += f', {row.cells[name]} {_origin(name, transfer)} ({signed(row.difference(name))}{_verdict(row, name)})'
    return text + '.'


def _origin(name: str, transfer: bool = False) -> str:
    return (
        'from scratch'
        if name == 'scratch'
        else f'from the {label(name)} checkpoint'
        if transfer
        else f'with {label(name)}'
    )


def _verdict(row: Row, other: str) -> str:
    """What the difference to ``other`` does and does not show; empty for a plain gain of a point or more."""
    difference, cells = row.difference(other), (row.cells['mixpro'], row.cells[other])
    if not math.isfinite(difference):
        return ': a run gave no number'
    if all(cell.std is not None for cell in cells) and abs(difference) <= max(cell.std for cell in cells):
        return ', within the spread over seeds: no clear difference'
    if abs(round(difference, 1)) < 1:
        return ', less than one point: no clear difference'
    return ', MixPro is worse here' if difference < 0 else ''


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
