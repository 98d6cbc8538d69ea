"""Tables of results: means over seeds, and differences between methods paired by seed with Student's 95 % interval."""

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from mixpro_mm.report.labels import canonical, in_order, label, measure

__all__ = [
    'Cell', 'PairedDifference', 'Table', 'comparisons', 'gather', 'markdown_table', 'markdown_text',
    'numeric_columns', 'origins', 'paired_difference', 'results_frame', 'results_table', 'signed',
]  # fmt: skip

TASKS = ('classification', 'probe', 'segmentation', 'detection', 'robustness')
REFERENCES = ('scratch', 'baseline', 'random', 'cutmix', 'none')  # methods are compared with the first of these


class Cell(NamedTuple):
    """Mean and sample standard deviation (None for one seed) over ``seeds``, a dict seed -> value, in percent."""

    mean: float
    std: float | None
    seeds: dict
    published: float | None = None

    def text(self, gain: float | None = None) -> str:
        """Return the cell as text, such as ``81.3``, ``81.3 ± 0.1 (n=3)`` or ``81.3 ± 0.1 (n=3, +0.5)``."""
        text = f'{self.mean:.1f}' if self.std is None else f'{self.mean:.1f} ± {self.std:.1f}'
        notes = [] if self.std is None else [f'n={len(self.seeds)}']
        notes += [] if gain is None else [signed(gain)]
        return f'{text} ({", ".join(notes)})' if notes else text

    def gain(self, other: 'Cell') -> float:
        """Return the mean difference to another cell over the seeds of both, or the difference of the means."""
        found = paired_difference(self.seeds, other.seeds)
        return found.mean if found else self.mean - other.mean


class PairedDifference(NamedTuple):
    """Mean and sample standard deviation of ``n`` differences, and Student's 95 % interval ``low`` to ``high``.

    One difference has no deviation and no interval (nan). ``sd`` is 0 if the differences are equal up to rounding; the
    interval is then unknown.
    """

    n: int
    mean: float
    sd: float = math.nan
    low: float = math.nan
    high: float = math.nan

    def texts(self) -> tuple[str, str, str]:
        """Return the interval, half its width (the smallest mean that it would separate from zero), and n as text."""
        if math.isnan(self.low):
            return '-', '-', str(self.n)
        return f'{self.low:+.2f} to {self.high:+.2f}', f'{(self.high - self.low) / 2:.2f}', str(self.n)


# (task, backbone, metric) -> pre-training -> cell
Table = dict[tuple[str, str, str], dict[str, Cell]]


def gather(records: Iterable[tuple[tuple, dict]]) -> dict[tuple, Cell]:
    """Group (key, record) pairs into cells. Equal records count once.

    Raises:
        ValueError: if two records with the same key and seed differ.
    """
    found: dict[tuple, dict] = {}
    for key, record in records:
        other = found.setdefault(key, {}).setdefault(record.get('seed'), record)
        values = other['value'], record['value']
        if not np.isclose(*values, rtol=1e-6, atol=0, equal_nan=True):
            files = dict.fromkeys(each['source'] for each in (other, record) if 'source' in each)
            raise ValueError(
                f'two results for {record["metric"]} of {record.get("config")} ({", ".join(filter(None, key))}) with '
                f'seed {record.get("seed")}, {values[0]:g} and {values[1]:g}; give only one of '
                f'{" and ".join(files) or "them"}'
            )
    cells = {}
    for key, same in found.items():
        seeds = {seed: float(record['value']) for seed, record in same.items()}
        values = list(seeds.values())
        std = float(np.std(values, ddof=1)) if len(values) > 1 else None
        published = [record['published'] for record in same.values() if 'published' in record]
        cells[key] = Cell(math.fsum(values) / len(values), std, seeds, *published[-1:])
    return cells


def results_table(records: list[dict]) -> Table:
    """Compute means over seeds by task, backbone, metric and pre-training.

    Raises:
        ValueError: if two records of one cell and seed differ.
    """
    table: Table = {}
    keys = [(r['task'], r['backbone'], r['metric'], canonical(r['pretraining'])) for r in records]
    for (*row, name), cell in gather(zip(keys, records, strict=True)).items():
        table.setdefault(tuple(row), {})[name] = cell
    return {row: table[row] for row in sorted(table, key=lambda row: (*TASKS, row[0]).index(row[0]))}


def results_frame(table: Table) -> pd.DataFrame:
    """Return the rows of a table as text, with published numbers beside measured ones."""
    columns, lines = ['backbone', 'metric'], []
    for name in in_order(name for cells in table.values() for name in cells):
        columns += [label(name), f'{label(name)}, paper']
    for (_, backbone, metric), cells in table.items():
        line = dict(backbone=backbone, metric=measure(metric))
        for name, cell in cells.items():
            line[label(name)] = cell.text()
            line |= {} if cell.published is None else {f'{label(name)}, paper': f'{cell.published:.1f}'}
        for other in REFERENCES[:3]:
            if {'mixpro', other} <= cells.keys():
                line[f'MixPro - {label(other)}'] = signed(cells['mixpro'].gain(cells[other]))
        lines.append(line)
    columns += [f'MixPro - {label(other)}' for other in REFERENCES[:3]]
    frame = pd.DataFrame(lines)
    return frame[[column for column in columns if column in frame]].fillna('-')


def paired_difference(values: dict, base: dict) -> PairedDifference | None:
    """Compute ``values`` - ``base`` over the seeds that both have; None without such a seed.

    Args:
        values, base: Seed (None if unknown) -> result.
    """
    if not (seeds := sorted(values.keys() & base.keys(), key=str)):
        return None
    a, b = (np.array([side[seed] for seed in seeds], dtype=float) for side in (values, base))
    mean = float((a - b).mean())
    if len(seeds) == 1 or not np.isfinite(mean):
        return PairedDifference(len(seeds), mean)
    sd = float((a - b).std(ddof=1))
    if sd <= 1e-5 * np.abs([a, b]).max():  # results have four decimals, so equal differences may differ by 2e-4
        return PairedDifference(len(seeds), mean, 0.0)
    return PairedDifference(len(seeds), mean, sd, *map(float, stats.ttest_rel(a, b).confidence_interval(0.95)))


def comparisons(table: Table) -> pd.DataFrame:
    """Return a row for each difference of a method to the reference and of MixPro to a method, in points.

    Pairs of methods with fewer than two shared seeds are left out.
    """
    lines = []
    for (_, backbone, metric), cells in table.items():
        names, reference = in_order(cells), [name for name in REFERENCES if name in cells][:1]
        compared = [(name, other) for other in reference for name in names]
        compared += [('mixpro', name) for name in names if 'mixpro' in cells]
        for name, other in dict.fromkeys(pair for pair in compared if pair[0] != pair[1]):
            found = paired_difference(cells[name].seeds, cells[other].seeds)
            if found and found.n > 1:
                text = f'{label(name)} - {label(other)}', f'{found.mean + 0.0:+.2f} ± {found.sd:.2f}', *found.texts()
                lines.append((measure(metric), backbone, *text))
    columns = ['metric', 'backbone', 'difference', 'mean ± sd', '95 % interval', 'detectable', 'n']
    return pd.DataFrame(lines, columns=columns)


def origins(records: list[dict]) -> pd.DataFrame:
    """Return a row per tested checkpoint with its config, seed and numbers."""
    lines = []
    for record in records:
        number = f'{label(record["metric"])} {record["value"]:.4g}'
        lines.append({
            'file': record.get('source', '-'), 'config': str(record['config']),
            'checkpoint': (record.get('checkpoint_sha256') or '')[:10] or record.get('checkpoint') or '-',
            'seed': str(record['seed']) if isinstance(record.get('seed'), int) else '-',
            'from': record.get('from', 'test'),
            'numbers': f'{record["pretraining"]} {number}' if record['task'] == 'benchmark' else number,
        })  # fmt: skip
    frame = pd.DataFrame(lines)
    frame = frame.groupby([*frame.columns[:-1]], sort=False, as_index=False).agg(', '.join)
    return frame if any('source' in record for record in records) else frame.drop(columns=['file', 'from'])


def signed(difference: float) -> str:
    """Format a difference in points with sign and one decimal; ``'0.0'`` without sign."""
    return '0.0' if round(difference, 1) == 0 else f'{difference:+.1f}'


def numeric_columns(frame: pd.DataFrame) -> set[int]:
    """Return the indices of columns to align right: numbers, also with notes, and '-'."""
    number = re.compile(r'-|nan\b.*|[+-]?\d+(\.\d+)?( .*)?')
    return {i for i in range(frame.shape[1]) if all(map(number.fullmatch, frame.iloc[:, i]))}


def markdown_text(text: str) -> str:
    """Escape Markdown markup; underscores inside words are not markup."""
    return re.sub(r'[\\`*\[\]<>&|]|\b_|_\b', r'\\\g<0>', ' '.join(text.split()))


def markdown_table(frame: pd.DataFrame) -> str:
    """Return a Markdown table of escaped text, with numbers aligned right."""
    lines = [[markdown_text(cell) for cell in row] for row in (frame.columns, *frame.values)]
    numeric = numeric_columns(frame)
    rule = ['---:' if i in numeric else '---' for i in range(len(lines[0]))]
    return '\n'.join(f'| {" | ".join(line)} |' for line in (lines[0], rule, *lines[1:]))
