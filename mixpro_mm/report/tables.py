"""Records -> tables: means over seeds by task, backbone and metric, comparisons paired by seed, Markdown."""

import math
import re
import statistics
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import pandas as pd

from mixpro_mm.report.labels import canonical, in_order, label, measure
from mixpro_mm.report.statistics import PairedDifference, paired_difference

__all__ = [
    'Cell', 'Comparison', 'ResultsTable', 'Row', 'compare', 'comparison_tables', 'gather', 'label', 'markdown_table',
    'markdown_text', 'numeric_columns', 'results_table', 'signed',
]  # fmt: skip

TASKS = ('classification', 'segmentation', 'detection', 'robustness')
REFERENCES = ('scratch', 'baseline', 'cutmix', 'transmix')  # methods are compared with these, where they were measured


@dataclass(frozen=True)
class Cell:
    """Results of one cell: seed -> value, in percent."""

    seeds: dict[int | str, float]

    @property
    def mean(self) -> float:
        """Mean over seeds; nan where a run gave no finite number."""
        return statistics.fmean(self.seeds.values()) if self._finite else math.nan

    @property
    def std(self) -> float | None:
        """Sample standard deviation over seeds; None for a single seed."""
        if self.count < 2:
            return None
        return statistics.stdev(self.seeds.values()) if self._finite else math.nan

    @property
    def count(self) -> int:
        """Number of seeds."""
        return len(self.seeds)

    @property
    def _finite(self) -> bool:
        return all(map(math.isfinite, self.seeds.values()))

    def text(self, gain: float | None = None) -> str:
        """``81.3``, ``81.3 ± 0.1 (n=3)``, with a gain ``81.3 ± 0.1 (n=3, +0.5)``."""
        brackets = [f'n={self.count}'] * (self.count > 1) + ([] if gain is None else [signed(gain)])
        spread = f' ± {self.std:.1f}' if self.count > 1 else ''
        return f'{self.mean:.1f}{spread}' + (f' ({", ".join(brackets)})' if brackets else '')

    __str__ = text


@dataclass(frozen=True)
class Row:
    """One task, backbone and metric: pre-training -> cell, and pre-training -> published number where there is one."""

    task: str
    backbone: str
    metric: str
    cells: dict[str, Cell]
    published: dict[str, float] = field(default_factory=dict)

    def difference(self, other: str) -> float | None:
        """Mean with MixPro minus mean with ``other``, in points; None where one is missing."""
        if 'mixpro' not in self.cells or other not in self.cells:
            return None
        return self.cells['mixpro'].mean - self.cells[other].mean


@dataclass(frozen=True)
class ResultsTable:
    """Rows by task, backbone and metric; ``pretrainings`` names the columns, MixPro last."""

    pretrainings: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def has_published(self) -> bool:
        """Whether any row has a published number."""
        return any(row.published for row in self.rows)

    def by_task(self) -> dict[str, 'ResultsTable']:
        """A table for each task, with the pre-trainings measured there."""
        parts = {task: [row for row in self.rows if row.task == task] for task in dict.fromkeys(r.task for r in self.rows)}
        return {task: ResultsTable(_names(rows), tuple(rows)) for task, rows in parts.items()}

    def frame(self) -> pd.DataFrame:
        """The table as text; a published number stands beside its measured one."""
        lines = []
        for row in self.rows:
            line = {'backbone': row.backbone, 'metric': measure(row.metric)}
            for name in self.pretrainings:
                line[label(name)] = str(row.cells.get(name, '-'))
                if any(name in other.published for other in self.rows):
                    line[f'{label(name)}, paper'] = f'{row.published[name]:.1f}' if name in row.published else '-'
            for other in REFERENCES[:2]:
                if any(r.difference(other) is not None for r in self.rows):
                    line[f'MixPro - {other}'] = signed(row.difference(other))
            lines.append(line)
        return pd.DataFrame(lines)


class Comparison(NamedTuple):
    """``method`` minus ``reference``, paired over the seeds of both."""

    task: str
    backbone: str
    metric: str
    method: str
    reference: str
    pairs: PairedDifference


def gather(records: Iterable[tuple[tuple, dict]]) -> dict[tuple, Cell]:
    """Cells from (key, record) pairs. A test that was read twice counts once.

    Raises:
        ValueError: two records with one key and seed and different values.
    """
    found: dict[tuple, dict] = {}
    for key, record in records:
        other = found.setdefault(key, {}).setdefault(record.get('seed'), record)
        values = other['value'], record['value']
        if not (math.isclose(*values, rel_tol=1e-6) or all(map(math.isnan, values))):
            files = dict.fromkeys(each['source'] for each in (other, record) if 'source' in each)
            raise ValueError(
                f'{" and ".join(files)}{": " * bool(files)}two results for {record["metric"]} of {record.get("config")} '
                f'({", ".join(filter(None, map(str, key)))}) with seed {record.get("seed")}, {values[0]:g} and '
                f'{values[1]:g}; give only one of them'
            )
    return {key: Cell({seed: float(r['value']) for seed, r in seeds.items()}) for key, seeds in found.items()}


def results_table(records: list[dict]) -> ResultsTable:
    """Means over seeds by task, backbone, metric and pre-training.

    Raises:
        ValueError: no records, or two for one cell and seed that differ.
    """
    if not records:
        raise ValueError('no results to report: the list of records is empty')
    records = [record | {'pretraining': canonical(record['pretraining'])} for record in records]
    key = lambda record: tuple(record[name] for name in ('task', 'backbone', 'metric', 'pretraining'))  # noqa: E731
    published = {key(record): record['published'] for record in records if 'published' in record}
    rows: dict[tuple, dict] = {}
    for (*row, name), cell in gather((key(record), record) for record in records).items():
        rows.setdefault(tuple(row), {})[name] = cell
    table = [
        Row(*row, cells, {name: published[*row, name] for name in cells if (*row, name) in published})
        for row, cells in rows.items()
    ]
    table.sort(key=lambda row: TASKS.index(row.task) if row.task in TASKS else len(TASKS))
    return ResultsTable(_names(table), tuple(table))


def _names(rows: Iterable[Row]) -> tuple[str, ...]:
    return tuple(in_order(name for row in rows for name in row.cells))


def compare(table: ResultsTable) -> list[Comparison]:
    """Every method against each of ``REFERENCES``, wherever both have at least two finite seeds in common."""
    found = []
    for row in table.rows:
        references = [name for name in REFERENCES if name in row.cells]
        for place, reference in enumerate(references):
            for name in in_order(row.cells):
                if name in references[: place + 1]:
                    continue
                try:
                    pairs = paired_difference(row.cells[name].seeds, row.cells[reference].seeds)
                except ValueError:  # too few seeds, or a run without a number: the table of results shows it
                    continue
                found.append(Comparison(row.task, row.backbone, row.metric, name, reference, pairs))
    return found


def comparison_tables(comparisons: list[Comparison]) -> dict[str, pd.DataFrame]:
    """'Task, backbone' -> its comparisons as text, in points."""
    parts: dict[str, list[dict]] = {}
    for task, backbone, metric, method, reference, pairs in comparisons:
        spread = pairs.sd > 0
        line = {
            'metric': measure(metric),
            'difference': f'{label(method)} - {label(reference)}',
            'mean ± sd': f'{pairs.mean + 0.0:+.2f} ± {pairs.sd:.2f}',
            '95 % interval': f'{pairs.interval[0]:+.2f} to {pairs.interval[1]:+.2f}' if spread else '-',
            'n': str(pairs.n),
            'detectable': f'{pairs.min_detectable_difference:.2f}' if spread else '-',
        }
        parts.setdefault(f'{label(task)}, {backbone}', []).append(line)
    return {title: pd.DataFrame(lines) for title, lines in parts.items()}


def signed(difference: float | None) -> str:
    """A difference in points with its sign and one decimal; ``'-'`` for None, no sign for what rounds to zero."""
    if difference is None:
        return '-'
    return '0.0' if round(difference, 1) == 0 else f'{difference:+.1f}'


def numeric_columns(frame: pd.DataFrame) -> set[int]:
    """Positions of the columns to align right: all their cells are numbers or '-', one at least a number."""
    number = re.compile(r'-|nan\b|[+-]?\d+(\.\d+)?[MG]?( .*)?')
    columns = [frame.iloc[:, i] for i in range(frame.shape[1])]
    return {i for i, cells in enumerate(columns) if all(map(number.fullmatch, cells)) and any(c != '-' for c in cells)}


def markdown_text(text: str) -> str:
    """Escape what Markdown would read as markup; underscores inside words may stay."""
    return re.sub(r'[\\`*\[\]<>&|]|\b_|_\b', r'\\\g<0>', ' '.join(text.split()))


def markdown_table(header: Iterable[str], rows: Iterable[Iterable[str]], numeric: Container[int] = ()) -> str:
    """A Markdown table of escaped text, columns in ``numeric`` aligned right."""
    lines = [[markdown_text(cell) for cell in row] for row in (header, *rows)]
    rule = ['---:' if i in numeric else '---' for i in range(len(lines[0]))]
    return '\n'.join(f'| {" | ".join(line)} |' for line in (lines[0], rule, *lines[1:]))
