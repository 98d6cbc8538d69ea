"""Claims of the paper, differences between two methods in one metric, and what a study says about each."""

from collections import Counter
from typing import NamedTuple

import pandas as pd

from mixpro_mm.report.labels import LOWER_IS_BETTER, label, measure
from mixpro_mm.report.paper import METRICS, TITLES, Paper
from mixpro_mm.report.tables import PairedDifference, Table, paired_difference

__all__ = ['VERDICTS', 'Claim', 'claims_of', 'claims_table', 'summary', 'verdict']

# (backbone, metric) -> table, row and column of DeiT-S or PVT-S in the paper, where {} is the method
CELLS = {
    ('DeiT', 'top1'): ('table1', 'deit-small', '{}'),
    ('PVT', 'top1'): ('table1', 'pvt-small', '{}'),
    **{('DeiT', metric): (table, '{}', metric) for table in ('figure3', 'table5') for metric in METRICS[table][:4]},
    **{('DeiT', metric): ('table3', 'segmenter_deit-small/{}', metric) for metric in METRICS['table3']},
    **{('PVT', metric): ('table4', 'mask-rcnn_pvt-small/{}', metric) for metric in ('bbox_mAP', 'segm_mAP')},
}
BASELINES = {'cutmix': 'baseline', 'transmix': 'transmix'}  # MixPro is compared with -> name in these tables
# further claims on the top-1 of DeiT: (method, other) -> their cells
PARTS = {
    ('mixpro', 'tokenmix'): (('table2', 'mixpro', 'top1'), ('table2', 'tokenmix', 'top1')),
    ('maskmix', 'cutmix'): (('table7', 'random-4x', 'deit-small'), ('table7', 'region', 'deit-small')),
    ('mixpro', 'maskmix'): (('table1', 'deit-small', 'mixpro'), ('table7', 'random-4x', 'deit-small')),
}
VERDICTS = ('supported', 'not supported', 'no difference', 'undecided', 'one seed', 'two seeds')  # their first words
MARGINS = {True: 1.0, False: 2.0}  # is the metric a top-1 accuracy -> largest difference called none, in points


class Claim(NamedTuple):
    """``method`` - ``other`` in a row of a table: published (None: only drawn) in ``source``, and measured."""

    row: tuple[str, str, str]
    method: str
    other: str
    source: str
    published: float | None
    found: PairedDifference

    @property
    def verdict(self) -> str:
        """Verdict on the claim that ``method`` is better."""
        return verdict(self.row[-1], self.found)


def verdict(metric: str, found: PairedDifference) -> str:
    """Return what the 95 % interval of a difference says about the claim that the first method is better.

    ``supported`` and ``not supported`` need an interval without zero, ``no difference larger than x`` one that has zero
    and lies within ±x, at most 1 point for top-1 accuracies and 2 for other metrics. Fewer than three seeds decide
    nothing.
    """
    if found.n < 3:
        return VERDICTS[3 + found.n]
    low, high = sorted((-found.low, -found.high) if metric in LOWER_IS_BETTER else (found.low, found.high))
    if low > 0 or high < 0:
        return VERDICTS[low <= 0]
    largest = max(-low, high)
    is_none = largest <= MARGINS['top1' in metric or metric.startswith('occlusion')]
    return f'no difference larger than {largest:.2f}' if is_none else 'undecided'


def claims_of(table: Table, paper: Paper) -> list[Claim]:
    """Return the claims whose methods were measured with at least one shared seed, for backbones of CELLS."""
    found = []
    for row, cells in table.items():
        _, backbone, metric = row
        family = backbone.removesuffix('-micro')
        pairs = {}
        if place := CELLS.get((family, metric)):
            for other, name in BASELINES.items():
                pairs['mixpro', other] = [tuple(part.format(n) for part in place) for n in ('mixpro', name)]
        pairs |= PARTS if (family, metric) == ('DeiT', 'top1') else {}
        for (method, other), places in pairs.items():
            if {method, other} <= cells.keys() and cells[method].seeds.keys() & cells[other].seeds.keys():
                numbers = [paper.number(*place) for place in places]
                gain = None if None in numbers else round(numbers[0] - numbers[1], 1)
                source = ' and '.join(dict.fromkeys(TITLES[name].partition('.')[0] for name, *_ in places))
                pair = paired_difference(cells[method].seeds, cells[other].seeds)
                found.append(Claim(row, method, other, source, gain, pair))
    return found


def claims_table(claims: list[Claim]) -> pd.DataFrame:
    """Return a row of text per claim."""
    return pd.DataFrame([
        {
            'claim': f'{measure(claim.row[-1])}: {label(claim.method)} - {label(claim.other)}',
            'backbone': claim.row[1],
            'paper': f'{"better" if claim.published is None else f"{claim.published:+.1f}"} ({claim.source})',
            'here': f'{claim.found.mean + 0.0:+.2f}',
            '95 % interval': claim.found.interval,
            'seeds': str(claim.found.n),
            'verdict': claim.verdict,
        }
        for claim in claims
    ])  # fmt: skip


def summary(claims: list[Claim]) -> str:
    """Return one sentence with the number of claims of each verdict."""
    counts = Counter(next(word for word in VERDICTS if claim.verdict.startswith(word)) for claim in claims)
    return f'{len(claims)} claims of the paper: {", ".join(f"{counts[w]} {w}" for w in VERDICTS if counts[w])}.'
