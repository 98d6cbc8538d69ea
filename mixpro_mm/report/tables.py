"""Tables of results: means over seeds, and differences between methods paired by seed."""

import math
import re
import statistics
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import pandas as pd

from mixpro_mm.report.labels import canonical, in_order, label, measure
from mixpro_mm.report.statistics import paired_difference

__all__ = [
    'Cell', 'ResultsTable', 'Row', 'comparisons', 'gather', 'markdown_table', 'markdown_text', 'numeric_columns',
    'origins', 'results_table', 'signed',
]  # fmt: skip

TASKS = ('classification', 'segmentation', 'detection', 'robustness')
REFERENCES = ('scratch', 'baseline', 'cutmix', 'none')  # methods are compared with the first that was measured


class Cell(NamedTuple):
    """Mean and sample standard deviation (None for a single seed) over ``count`` seeds; seed -> value in ``seeds``."""

    mean: float
    std: float | None
    count: int
    seeds: dict

    def text(self, gain: float | None = None) -> str:
        """Return the cell as text, such as ``81.3``, ``81.3 ± 0.1 (n=3)`` or ``81.3 ± 0.1 (n=3, +0.5)``."""
        notes = [f'n={self.count}'] * (self.count > 1) + [signed(gain)] * (gain is not None)
        return (
            f'{self.mean:.1f}' + f' ± {self.std or 0:.1f}' * (self.count > 1) + f' ({", ".join(notes)})' * bool(notes)
        )


@dataclass(frozen=True)
class Row:
    """Results of one task, backbone and metric: pre-training -> cell, pre-training -> published number."""

    task: str
    backbone: str
    metric: str
    cells: dict[str, Cell]
    published: dict[str, float] = field(default_factory=dict)

    def difference(self, other: str) -> float | None:
        """Return the mean of MixPro minus that of ``other`` in points, or None if one is missing."""
        return self.cells['mixpro'].mean - self.cells[other].mean if {'mixpro', other} <= self.cells.keys() else None


@dataclass(frozen=True)
class ResultsTable:
    """Rows by task, backbone and metric."""

    rows: tuple[Row, ...]

    @property
    def pretrainings(self) -> tuple[str, ...]:
        """The columns, MixPro last."""
        return tuple(in_order(name for row in self.rows for name in row.cells))

    @property
    def has_published(self) -> bool:
        """Whether any row has a published number."""
        return any(row.published for row in self.rows)

    def by_task(self) -> dict[str, 'ResultsTable']:
        """Return a table for each task."""
        tasks = dict.fromkeys(row.task for row in self.rows)
        return {task: ResultsTable(tuple(row for row in self.rows if row.task == task)) for task in tasks}

    def frame(self) -> pd.DataFrame:
        """Return the table as text, with published numbers next to measured ones."""
        lines = []
        for row in self.rows:
            line = {'backbone': row.backbone, 'metric': measure(row.metric)}
            for name in self.pretrainings:
                line[label(name)] = row.cells[name].text() if name in row.cells else '-'
                if any(name in other.published for other in self.rows):
                    line[f'{label(name)}, paper'] = f'{row.published[name]:.1f}' if name in row.published else '-'
            for other in REFERENCES[:2]:
                if any(each.difference(other) is not None for each in self.rows):
                    line[f'MixPro - {other}'] = signed(row.difference(other))
            lines.append(line)
        return pd.DataFrame(lines)


def gather(records: Iterable[tuple[tuple, dict]]) -> dict[tuple, Cell]:
    """Group (key, record) pairs into cells. Equal records count once; a value that is not finite makes the cell nan.

    Raises:
        ValueError: if two records with the same key and seed differ.
    """
    found: dict[tuple, dict] = {}
    for key, record in records:
        other = found.setdefault(key, {}).setdefault(record.get('seed'), record)
        values = other['value'], record['value']
        if not (math.isclose(*values, rel_tol=1e-6) or all(map(math.isnan, values))):
            files = dict.fromkeys(each['source'] for each in (other, record) if 'source' in each)
            raise ValueError(
                f'two results for {record["metric"]} of {record.get("config")} ({", ".join(filter(None, key))}) with '
                f'seed {record.get("seed")}, {values[0]:g} and {values[1]:g}; give only one of '
                f'{" and ".join(files) or "them"}'
            )
    cells = {}
    for key, same in found.items():
        seeds = {seed: float(record['value']) for seed, record in same.items()}
        values = list(seeds.values()) if all(map(math.isfinite, seeds.values())) else [math.nan] * len(seeds)
        std = statistics.stdev(values) if len(values) > 1 and math.isfinite(values[0]) else None
        cells[key] = Cell(
            statistics.fmean(values), math.nan if len(values) > 1 and std is None else std, len(seeds), seeds
        )
    return cells


def results_table(records: list[dict]) -> ResultsTable:
    """Compute means over seeds by task, backbone, metric and pre-training.

    Raises:
        ValueError: if there are no records, or two of one cell and seed differ.
    """
    if not records:
        raise ValueError('no results to report: the list of records is empty')
    keys = [(r['task'], r['backbone'], r['metric'], canonical(r['pretraining'])) for r in records]
    published = {key: record['published'] for key, record in zip(keys, records, strict=True) if 'published' in record}
    rows: dict[tuple, Row] = {}
    for (*row, name), cell in gather(zip(keys, records, strict=True)).items():
        found = rows.setdefault(tuple(row), Row(*row, {}, {}))
        found.cells[name] = cell
        found.published.update({name: published[*row, name]} if (*row, name) in published else {})
    order = [*TASKS, *dict.fromkeys(row.task for row in rows.values())]
    return ResultsTable(tuple(sorted(rows.values(), key=lambda row: order.index(row.task))))


def comparisons(table: ResultsTable) -> dict[str, pd.DataFrame]:
    """Return 'Task, backbone' -> differences of all methods to the reference and of MixPro to all methods, in points.

    Pairs of methods with fewer than two shared finite seeds are left out.
    """
    parts: dict[str, list[dict]] = {}
    for row in table.rows:
        names = in_order(row.cells)
        reference = next((name for name in REFERENCES if name in names), None)
        compared = [(name, reference) for name in names if reference] + [('mixpro', name) for name in names]
        for name, other in dict.fromkeys(compared):
            try:
                pairs = paired_difference(row.cells[name].seeds, row.cells[other].seeds)
            except (ValueError, KeyError):
                continue
            line = {
                'metric': measure(row.metric),
                'difference': f'{label(name)} - {label(other)}',
                'mean ± sd': f'{pairs.mean + 0.0:+.2f} ± {pairs.sd:.2f}',
                '95 % interval': '{:+.2f} to {:+.2f}'.format(*pairs.interval) if pairs.sd else '-',
                'n': str(pairs.n),
                'detectable': f'{pairs.min_detectable_difference:.2f}' if pairs.sd else '-',
            }
            if name != other:
                parts.setdefault(f'{label(row.task)}, {row.backbone}', []).append(line)
    return {title: pd.DataFrame(lines) for title, lines in parts.items()}


def origins(records: list[dict]) -> pd.DataFrame:
    """Return a row per tested checkpoint with its config, seed and numbers."""
    groups: dict[tuple, list[str]] = {}
    for record in records:
        checkpoint = (record.get('checkpoint_sha256') or '')[:10] or record.get('checkpoint') or '-'
        seed = str(record['seed']) if isinstance(record.get('seed'), int) else '-'
        number = f'{label(record["metric"])} {record["value"]:.4g}'
        number = f'{record["pretraining"]} {number}' if record['task'] == 'benchmark' else number
        key = record.get('source', '-'), str(record['config']), checkpoint, seed, record.get('from', 'test')
        groups.setdefault(key, []).append(number)
    header = ['file', 'config', 'checkpoint', 'seed', 'from', 'numbers']
    frame = pd.DataFrame([[*key, ', '.join(numbers)] for key, numbers in groups.items()], columns=header)
    return frame if any('source' in record for record in records) else frame.drop(columns=['file', 'from'])


def signed(difference: float | None) -> str:
    """Format a difference in points with sign and one decimal; ``'-'`` for None, ``'0.0'`` without sign."""
    if difference is None:
        return '-'
    return '0.0' if round(difference, 1) == 0 else f'{difference:+.1f}'


def numeric_columns(frame: pd.DataFrame) -> set[int]:
    """Return the indices of columns to align right: numbers, also with notes, and '-'."""
    number = re.compile(r'-|nan\b.*|[+-]?\d+(\.\d+)?( .*)?')
    return {i for i in range(frame.shape[1]) if all(map(number.fullmatch, frame.iloc[:, i]))}


def markdown_text(text: str) -> str:
    """Escape Markdown markup; underscores inside words are not markup."""
    return re.sub(r'[\\`*\[\]<>&|]|\b_|_\b', r'\\\g<0>', ' '.join(text.split()))


def markdown_table(header: Iterable[str], rows: Iterable[Iterable[str]], numeric: Container[int] = ()) -> str:
    """Return a Markdown table of escaped text, with the columns in ``numeric`` aligned right."""
    lines = [[markdown_text(cell) for cell in row] for row in (header, *rows)]
    rule = ['---:' if i in numeric else '---' for i in range(len(lines[0]))]
    return '\n'.join(f'| {" | ".join(line)} |' for line in (lines[0], rule, *lines[1:]))
