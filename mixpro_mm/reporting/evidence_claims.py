"""What the paper claims of MixPro, as comparisons that a study can repeat, and what the study found of each.

The paper's numbers are those of configs/_base_/paper.py.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mixpro_mm.reporting.labels import label, lower_is_better
from mixpro_mm.reporting.paper import published_tables
from mixpro_mm.reporting.statistics import PairedDifference
from mixpro_mm.reporting.tables import Cell, ResultsTable, Row

__all__ = [
    'MODES', 'NOT_TRAINED', 'SAME', 'TRAINED', 'Claim', 'Finding', 'claims_of_the_paper', 'clean_top1', 'encoder',
    'findings', 'occlusion_curves', 'under_occlusion', 'untrained',
]  # fmt: skip

MODES = ('random', 'salient', 'non-salient')  # of occlusion, as in the metrics occlusion_*
TRAINED = 80.0  # percent of clean test images that a classifier must name with every seed, or it has not trained
NOT_TRAINED = 'not trained'
SAME = 2e-4  # points: a smaller difference of two means is one of rounding, for results have four decimals
BASELINES = {'cutmix': 'baseline', 'transmix': 'transmix'}  # the paper's baselines are trained with Mixup and CutMix


@dataclass(frozen=True)
class Claim:
    """``method`` is better than ``other`` by one metric.

    Args:
        group: What it is about; the claims of a group stand together.
        task: As in the records, like the metric and both methods.
        metric: See ``labels.lower_is_better`` for its direction.
        family: How the name of a backbone starts that the claim is about.
        method: The pre-training that is said to be better.
        other: The pre-training that it is compared with.
        source: Where the paper says so.
        gain: ``method`` - ``other`` in the paper, in points; None where it draws a curve and gives no number.
    """

    group: str
    task: str
    metric: str
    family: str
    method: str
    other: str
    source: str
    gain: float | None

    @property
    def methods(self) -> str:
        """The difference that is measured, in words."""
        return f'{label(self.method)} - {label(self.other)}'

    @property
    def published(self) -> str:
        """What the paper has, in words."""
        return f'better at every loss ({self.source})' if self.gain is None else f'{self.gain:+.1f} ({self.source})'


@dataclass(frozen=True)
class Finding:
    """A claim and what was measured of it.

    Args:
        claim: Of the paper.
        backbone: It was measured on, the family of the claim where it was not.
        difference: Of the means, in points; None where it was not measured.
        pairs: The differences over seeds; None where there are too few.
        note: Why there is no verdict; empty otherwise.
        losses: Of a curve: at how many losses the method is better in the mean over seeds, and of how many; the
            whole image is none of them.
    """

    claim: Claim
    backbone: str
    difference: float | None = None
    pairs: PairedDifference | None = None
    note: str = ''
    losses: tuple[int, int] | None = None

    @property
    def judged(self) -> bool:
        """Whether the pairs speak; there may be some without, where a side has not trained."""
        return self.pairs is not None and not self.note

    @property
    def verdict(self) -> str:
        """Of the rule in ``PairedDifference.verdict``, or why there is none."""
        return self.pairs.verdict(lower_is_better(self.claim.metric)) if self.judged else self.note


def claims_of_the_paper() -> list[Claim]:
    """MixPro against CutMix and TransMix wherever the paper compares them, against TokenMix, and its two parts.

    Raises FileNotFoundError where our configs are not found.
    """
    paper = published_tables()
    claims = []

    def add(group, task, source, family, metrics, row):
        for place, metric in enumerate(metrics):
            for other, column in BASELINES.items():
                gain = _gain(_number(row['mixpro'], place), _number(row[column], place)) if row else None
                claims.append(Claim(group, task, metric, family, 'mixpro', other, source, gain))

    for family in ('DeiT', 'PVT'):
        row = paper['table1'][f'{family.lower()}-small']
        add('Accuracy', 'classification', f'Table 1, {row["name"]}', family, ['top1'], row)
    top1 = paper['table1']['deit-small']['mixpro']
    cited = ('Accuracy', 'classification', 'top1', 'DeiT', 'mixpro', 'tokenmix', 'Table 2, DeiT-S')
    claims.append(Claim(*cited, _gain(top1, paper['table2']['tokenmix']['top1'])))
    modes = [f'occlusion_{mode}' for mode in MODES]
    add('Occlusion, mean top-1 over the curve', 'robustness', 'Figure 3, DeiT-S', 'DeiT', modes, None)
    row, metrics = paper['table5']['deit-small'], ['A_top1', 'A_rms_calibration_error', 'A_aurra', 'O_aupr']
    add('Adversarial set', 'robustness', 'Table 5, DeiT-S', 'DeiT', metrics[:3], row)
    last = {name: numbers[3:] for name, numbers in row.items()}
    add('Out of distribution', 'robustness', 'Table 5, DeiT-S', 'DeiT', metrics[3:], last)
    row = paper['table3']['segmenter_deit-small']
    add('Segmentation', 'segmentation', 'Table 3, DeiT-S', 'DeiT', ['mIoU', 'mIoU (MS)'], row)
    row = {name: (numbers[0], numbers[3]) for name, numbers in paper['table4']['mask-rcnn_pvt-small'].items()}
    add('Detection', 'detection', 'Table 4, PVT-S', 'PVT', ['bbox_mAP', 'segm_mAP'], row)
    parts = 'Parts of MixPro', 'classification', 'top1', 'DeiT'
    masks = {name: row['deit-small'] for name, row in paper['table7'].items()}
    area = _gain(masks['random-4x'], masks['region'])
    claims.append(Claim(*parts, 'maskmix', 'cutmix', 'Table 7, DeiT-S', area))
    rest = _gain(top1, masks['random-4x'])
    claims.append(Claim(*parts, 'mixpro', 'maskmix', 'Tables 1 and 7, DeiT-S', rest))
    return claims


def findings(table: ResultsTable, claims: list[Claim], records: Iterable[dict] = ()) -> list[Finding]:
    """What the table has of every claim, in the order of the claims; once for each backbone of the family.

    Args:
        table: Of the records.
        claims: To look up.
        records: Give the curves, for ``Finding.losses``.
    """
    low, curves = untrained(table), occlusion_curves(records)
    return [finding for claim in claims for finding in _findings(table, claim, low, curves)]


def _findings(table: ResultsTable, claim: Claim, low: dict, curves: dict) -> Iterator[Finding]:
    rows = [
        row
        for row in table.rows
        if (row.task, row.metric) == (claim.task, claim.metric) and row.backbone.startswith(claim.family)
    ]
    for row in rows:
        yield _finding(row, claim, low, curves.get(row.backbone, {}))
    if not rows:
        yield Finding(claim, claim.family, note='not measured')


def _finding(row: Row, claim: Claim, low: dict, curves: dict) -> Finding:
    if claim.method not in row.cells or claim.other not in row.cells:
        return Finding(claim, row.backbone, note='not measured')
    note = NOT_TRAINED if any((encoder(row), name) in low for name in (claim.method, claim.other)) else ''
    mode = claim.metric.removeprefix('occlusion_')
    losses = _better_at(curves.get((mode, claim.method), {}), curves.get((mode, claim.other), {}))
    difference = row.cells[claim.method].mean - row.cells[claim.other].mean
    try:
        pairs = row.paired(claim.method, claim.other)
    except ValueError as error:
        return Finding(claim, row.backbone, difference, note=note or str(error), losses=losses)
    return Finding(claim, row.backbone, pairs.mean, pairs, note, losses)


def clean_top1(table: ResultsTable) -> dict[tuple[str, str], Cell]:
    """Top-1 on clean test images of every backbone and pre-training."""
    rows = [row for row in table.rows if (row.task, row.metric) == ('classification', 'top1')]
    return {(row.backbone, name): cell for row in rows for name, cell in row.cells.items()}


def untrained(table: ResultsTable) -> dict[tuple[str, str], Cell]:
    """Those of ``clean_top1`` with a seed below ``TRAINED``: what differs there is how fast a method trains.

    The one rule for that. It speaks of all that starts from such a classifier too.
    """
    return {key: cell for key, cell in clean_top1(table).items() if any(top1 < TRAINED for top1 in cell.seeds.values())}


def encoder(row: Row) -> str:
    """The backbone that ``clean_top1`` knows: 'DeiT-micro' of 'DeiT-micro + Segmenter'."""
    return row.backbone.partition(' + ')[0]


def occlusion_curves(records: Iterable[dict]) -> dict[str, dict[tuple[str, str], dict[float, dict[int, float]]]]:
    """Backbone -> (mode, pre-training) -> information loss in percent -> seed -> top-1 in percent.

    Of the records of metric ``occlusion_*`` with ``curve``, pairs (information loss in [0, 1], top-1 in percent).
    """
    curves = {}
    for record in records:
        if (mode := _mode(record)) is not None:
            points = curves.setdefault(record['backbone'], {}).setdefault((mode, record['pretraining']), {})
            for loss, top1 in record['curve']:
                points.setdefault(round(100 * loss, 2), {})[record['seed']] = top1
    return curves


def under_occlusion(records: Iterable[dict]) -> list[dict]:
    """The records, the value of each curve being the mean of its points without the one at loss 0.

    That one is the whole image: clean accuracy, which has a row of its own.
    """
    kept = []
    for record in records:
        occluded = [top1 for loss, top1 in record['curve'] if loss > 0] if _mode(record) is not None else []
        kept.append(record | {'value': math.fsum(occluded) / len(occluded)} if occluded else record)
    return kept


def _mode(record: dict) -> str | None:
    head, _, mode = record['metric'].partition('_')
    return mode if head == 'occlusion' and mode in MODES and record.get('curve') else None


def _better_at(points: dict, base: dict) -> tuple[int, int] | None:
    """At how many losses the first has the higher mean over the seeds of both, and of how many; None without any."""
    gaps = []
    for loss in points.keys() & base.keys() - {0.0}:
        shared = points[loss].keys() & base[loss].keys()
        if shared:
            gaps.append(math.fsum(points[loss][seed] - base[loss][seed] for seed in shared) / len(shared))
    return (sum(gap > SAME for gap in gaps), len(gaps)) if gaps else None


def _number(numbers, place: int) -> float:
    return numbers[place] if isinstance(numbers, tuple) else numbers


def _gain(method: float, other: float) -> float:
    return round(method - other, 1)
