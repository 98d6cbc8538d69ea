"""What the paper claims of MixPro, as comparisons that a study can repeat, and what the study found of each.

The paper's numbers are those of configs/_base_/paper.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mixpro_mm.reporting.labels import label, lower_is_better
from mixpro_mm.reporting.paper import published_tables
from mixpro_mm.reporting.statistics import PairedDifference
from mixpro_mm.reporting.tables import ResultsTable, Row

__all__ = ['Claim', 'Finding', 'claims_of_the_paper', 'findings']

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
        note: Why there is something missing; empty otherwise.
    """

    claim: Claim
    backbone: str
    difference: float | None = None
    pairs: PairedDifference | None = None
    note: str = ''

    @property
    def verdict(self) -> str:
        """Of the rule in ``PairedDifference.verdict``, or why there is none."""
        return self.note if self.pairs is None else self.pairs.verdict(lower_is_better(self.claim.metric))


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
    modes = [f'occlusion_{mode}' for mode in ('random', 'salient', 'non-salient')]
    add('Occlusion', 'robustness', 'Figure 3, DeiT-S', 'DeiT', modes, None)
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


def findings(table: ResultsTable, claims: list[Claim]) -> list[Finding]:
    """What the table has of every claim, in the order of the claims; once for each backbone of the family."""
    return [finding for claim in claims for finding in _findings(table, claim)]


def _findings(table: ResultsTable, claim: Claim) -> Iterator[Finding]:
    rows = [
        row
        for row in table.rows
        if (row.task, row.metric) == (claim.task, claim.metric) and row.backbone.startswith(claim.family)
    ]
    for row in rows:
        yield _finding(row, claim)
    if not rows:
        yield Finding(claim, claim.family, note='not measured')


def _finding(row: Row, claim: Claim) -> Finding:
    if claim.method not in row.cells or claim.other not in row.cells:
        return Finding(claim, row.backbone, note='not measured')
    difference = row.cells[claim.method].mean - row.cells[claim.other].mean
    try:
        pairs = row.paired(claim.method, claim.other)
    except ValueError as error:
        return Finding(claim, row.backbone, difference, note=str(error))
    return Finding(claim, row.backbone, pairs.mean, pairs)


def _number(numbers, place: int) -> float:
    return numbers[place] if isinstance(numbers, tuple) else numbers


def _gain(method: float, other: float) -> float:
    return round(method - other, 1)
