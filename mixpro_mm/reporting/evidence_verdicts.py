"""The findings of a study in words and as a table, with what makes them less sure than they look."""

import math
from collections.abc import Iterator

from mixpro_mm.reporting.evidence_claims import Finding
from mixpro_mm.reporting.labels import label, measure
from mixpro_mm.reporting.statistics import NOT_SUPPORTED, SUPPORTED, UNDECIDED, PairedDifference, bootstrap_coverage

__all__ = ['RULE', 'cautions', 'interval_texts', 'summary', 'verdict_table']

SIMULATED = 6  # pairs up to which the coverage of the bootstrap is simulated for the page
RULE = (
    f"The verdict: '{SUPPORTED}' where both 95 % intervals lie on the better side of zero, '{NOT_SUPPORTED}' where "
    f"both lie on the worse side, else '{UNDECIDED}'. Differences are in points, first method minus second, paired by "
    'seed; n is the number of seeds both were run with, ± the standard deviation of the differences. Could see: half '
    "the width of Student's interval, the smallest mean difference that these seeds would have told from zero. Where "
    "it is larger than the paper's gain, undecided was to be expected and says nothing against the paper."
)
SCOPE = (
    'The intervals are about the seed alone: initial weights, the order of the images, the mixing. Every run is tested '
    'on the same few hundred images, and how far other images would move a difference is not in them.'
)


def summary(found: list[Finding]) -> Iterator[str]:
    """A sentence for each group of claims, and one on what could have been seen at all."""
    groups = {}
    for finding in found:
        groups.setdefault(finding.claim.group, []).append(finding)
    for name, group in groups.items():
        said = []
        for verdict in (SUPPORTED, NOT_SUPPORTED):
            which = [_short(finding) for finding in group if finding.verdict == verdict]
            said += [f'{len(which)} {verdict} ({"; ".join(which)})'] * bool(which)
        undecided = sum(finding.verdict == UNDECIDED for finding in group)
        silent = sum(finding.pairs is None for finding in group)
        said += [f'{undecided} {UNDECIDED}'] * bool(undecided) + [f'{silent} without a verdict'] * bool(silent)
        yield f'{name}: of {len(group)} comparison{"s" * (len(group) > 1)} {", ".join(said)}.'
    open_ones = [finding for finding in found if finding.verdict == UNDECIDED and finding.claim.gain is not None]
    blind = sum(abs(finding.claim.gain) < finding.pairs.visible for finding in open_ones)
    if open_ones:
        yield (
            f'Undecided comparisons for which the paper prints a gain: {len(open_ones)}. In {blind} of them these '
            'seeds could not have seen a gain of that size.'
        )


def _short(finding: Finding) -> str:
    return f'{label(finding.claim.metric)} of {finding.backbone}, {finding.claim.methods}'


def verdict_table(found: list[Finding]) -> tuple:
    """The block of the table: a row for each finding, with the paper's number and ours."""
    header = [
        'measure', 'backbone', 'difference', 'paper', 'here', 'bootstrap 95 %', 't 95 %', 'n', 'could see', 'verdict'
    ]  # fmt: skip
    rows = [
        [
            measure(finding.claim.metric), finding.backbone, finding.claim.methods, finding.claim.published,
            *interval_texts(finding.pairs, finding.difference), *_power(finding), finding.verdict,
        ]
        for finding in found
    ]  # fmt: skip
    return 'table', header, rows, range(4, 9)


def _power(finding: Finding) -> list[str]:
    pairs = finding.pairs
    return ['-', '-'] if pairs is None else [str(pairs.n), f'{pairs.visible:.2f}']


def interval_texts(pairs: PairedDifference | None, difference: float | None) -> list[str]:
    """Mean and deviation of the differences, and their two intervals; without pairs the difference alone."""
    if pairs is None:
        return ['-' if difference is None else _points(difference), '-', '-']
    intervals = [f'{_points(low)} to {_points(high)}' for low, high in (pairs.bootstrap, pairs.student)]
    return [f'{_points(pairs.mean)} ± {pairs.sd:.2f}', *intervals]


def _points(value: float) -> str:
    return f'{value + 0.0:+.2f}' if math.isfinite(value) else 'no number'


def cautions(found: list[Finding]) -> list[str]:
    """What the intervals are worth with so few seeds, what is not in them, and how many verdicts chance would bring."""
    pairs = [finding.pairs for finding in found if finding.pairs is not None]
    if not pairs:
        return ['No comparison has two seeds, so there is no verdict, and nothing can be said about chance.']
    held = [
        f'{100 * bootstrap_coverage(n):.0f} with {n} seeds'
        for n in sorted({pair.n for pair in pairs})
        if n <= SIMULATED
    ]
    narrow = (
        'The bootstrap is too narrow with so few seeds. An interval of 95 % should hold the true mean in 95 of 100 '
        'repetitions of the study'
    )
    if held:
        narrow += f'; in a simulation with normal differences this one holds it in {", ".join(held)}'
    narrow += (
        ". Student's interval holds it in 95 if the differences are normal, which so few cannot show. That is why a "
        'verdict takes both.'
    )
    decided = sum(finding.verdict in (SUPPORTED, NOT_SUPPORTED) for finding in found)
    chance = (
        f'Many comparisons: {len(pairs)} have a verdict, {decided} of them decided. If no method were better than any '
        f'other, about {0.05 * len(pairs):.1f} of {len(pairs)} would still be decided by chance (5 %), half of them as '
        f"'{SUPPORTED}'. They do not fall one by one either, for many share their runs and images: several of one "
        'group can be one accident. A lone decided row among undecided ones is weak evidence.'
    )
    return [narrow, SCOPE, chance]
