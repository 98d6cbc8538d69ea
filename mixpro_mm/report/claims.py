"""Verdicts on the claims of the paper, differences between two methods in one metric, and results in sentences."""

from collections import Counter
from typing import NamedTuple

import pandas as pd

from mixpro_mm.report.labels import LOWER_IS_BETTER, in_order, label, measure
from mixpro_mm.report.paper import TITLES, Paper
from mixpro_mm.report.tables import REFERENCES, PairedDifference, Table, paired_difference, signed
from mixpro_mm.utils.arguments import counted

__all__ = ['VERDICTS', 'Claim', 'claims_of', 'claims_table', 'sentence', 'split_claims', 'summary', 'verdict']

VERDICTS = ('supported', 'not supported', 'no difference', 'undecided', 'one seed', 'two seeds')  # their first words
# the main metric of each test; a sentence has the first measured
MAIN = ('top1', 'mIoU', 'bbox_mAP', 'knn_20', 'occlusion_random', 'A_top1', 'O_aupr')


class Claim(NamedTuple):
    """``method`` - ``other`` in a row of a table: published (None: no number) in ``source``, measured, and verdict."""

    row: tuple[str, str, str]
    method: str
    other: str
    source: str
    published: float | None
    found: PairedDifference
    verdict: str


def verdict(metric: str, found: PairedDifference) -> str:
    """Return what the 95 % interval of a difference says about the claim that the first method is better.

    ``no difference larger than x`` needs an interval with zero within ±x, at most 1 point for top-1 accuracies and 2
    for other metrics. Fewer than three seeds decide nothing.
    """
    if found.n < 3:
        return 'one seed' if found.n == 1 else 'two seeds'
    low, high = sorted((-found.low, -found.high) if metric in LOWER_IS_BETTER else (found.low, found.high))
    if low > 0:
        return 'supported'
    if high < 0:
        return 'not supported'
    largest, is_top1 = max(-low, high), 'top1' in metric or metric.startswith(('occlusion', 'knn', 'linear'))
    return f'no difference larger than {largest:.2f}' if largest <= (1 if is_top1 else 2) else 'undecided'


def claims_of(table: Table, paper: Paper) -> list[Claim]:
    """Return the claims measured with a shared seed; the family of a backbone is its name before the first hyphen."""
    found = []
    for row, cells in table.items():
        for (family, metric, method, other), places in paper.claims.items():
            pair = (cells[name].seeds if name in cells else {} for name in (method, other))
            if (row[1].partition('-')[0], row[2]) == (family, metric) and (pair := paired_difference(*pair)):
                source = ' and '.join(dict.fromkeys(TITLES[name].partition('.')[0] for name, *_ in places))
                found.append(Claim(row, method, other, source, paper.gain(row[1], places), pair, verdict(metric, pair)))
    return found


def split_claims(claims: list[Claim]) -> tuple[list[Claim], list[Claim]]:
    """Return the claims on the main metrics of backbones without a note, or else all, and the others."""
    main = [claim for claim in claims if claim.row[2] in MAIN and ',' not in claim.row[1]] or claims
    return main, [claim for claim in claims if claim not in main]


def claims_table(claims: list[Claim]) -> pd.DataFrame:
    """Return a row of text per claim."""
    lines = []
    for (_, backbone, metric), method, other, source, published, found, said in claims:
        paper = f'{"better" if published is None else f"{published:+.1f}"} ({source})'
        claim = f'{measure(metric)}: {label(method)} - {label(other)}'
        lines.append((claim, backbone, paper, f'{found.mean + 0.0:+.2f}', *found.texts(), said))
    columns = ['claim', 'backbone', 'paper', 'here', '95 % interval', 'detectable', 'seeds', 'verdict']
    return pd.DataFrame(lines, columns=columns)


def summary(claims: list[Claim]) -> str:
    """Return one sentence with the number of claims of each verdict."""
    counts = Counter(next(word for word in VERDICTS if claim.verdict.startswith(word)) for claim in claims)
    verdicts = ', '.join(f'{counts[name]} {name}' for name in VERDICTS if counts[name])
    return f'{counted(len(claims), "comparison")} of methods: {verdicts}.'


def sentence(task: str, part: Table) -> str:
    """Return the result of MixPro, or else of the last method, and of its reference, for the first metric of MAIN."""
    clauses = []
    for backbone in dict.fromkeys(backbone for _, backbone, _ in part):
        rows = {metric: cells for (_, name, metric), cells in part.items() if name == backbone}
        metric = next(filter(rows.__contains__, (*MAIN, *rows)))
        *others, name = in_order(rows[metric])
        cells = rows[metric]
        text = f'{backbone} {_started(task, name)}: {label(metric)} {cells[name].mean:.1f}'
        for other in [known for known in REFERENCES if known in others][:1]:
            text += f', {_started(task, other)} {cells[other].mean:.1f}'
            if found := paired_difference(cells[name].seeds, cells[other].seeds):
                spread = f' ± {found.sd:.1f} over {found.n} seeds' if found.n > 1 else ''
                known = f', 95 % interval {found.low:.1f} to {found.high:.1f}: {verdict(metric, found)}'
                text += f' ({signed(found.mean)}{spread}{known if found.n > 2 and found.sd else ""})'
        clauses.append(text)
    return '; '.join(clauses) + '.'


def _started(task: str, name: str) -> str:
    transferred = task in ('segmentation', 'detection')
    other = f'from the {label(name)} checkpoint' if transferred else f'with {label(name)}'
    return {'scratch': 'from scratch', 'none': 'without mixing'}.get(name, other)
