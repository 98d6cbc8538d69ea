"""The findings of a study in words and as a table, with what makes them less sure than they look."""

import math
from collections.abc import Iterator

from mixpro_mm.reporting.evidence_claims import NOT_TRAINED, SAME, TRAINED, Finding, clean_top1, encoder, untrained
from mixpro_mm.reporting.labels import label, lower_is_better, measure, short_label
from mixpro_mm.reporting.statistics import NOT_SUPPORTED, SUPPORTED, UNDECIDED, PairedDifference, bootstrap_coverage
from mixpro_mm.reporting.tables import ResultsTable

__all__ = [
    'INTERVALS', 'RULE', 'cautions', 'interval_table', 'interval_texts', 'summary', 'training', 'verdict_table',
    'without_mixing',
]  # fmt: skip

SIMULATED = 6  # pairs up to which the coverage of the bootstrap is simulated for the page
RULE = (
    f"The verdict: '{SUPPORTED}' where both 95 % intervals lie on the better side of zero, '{NOT_SUPPORTED}' where "
    f"both lie on the worse side, else '{UNDECIDED}', also where the differences have no spread. '{NOT_TRAINED}' where "
    f'a seed of either side stays below {TRAINED:.0f} % top-1 on the clean test images. Differences are in points, '
    'first method minus second, paired by seed, ± their standard deviation.'
)
INTERVALS = (
    "n is the number of seeds both methods were run with. Could see: half the width of Student's interval, the "
    'smallest mean difference that these seeds would have told from zero. Where it is larger than the gain in the '
    'paper, undecided was to be expected and says nothing against the paper.'
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
        behind = sum(finding.verdict == NOT_TRAINED for finding in group)
        silent = sum(not finding.judged for finding in group) - behind
        said += [f'{behind} {NOT_TRAINED}'] * bool(behind)
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
    return f'{short_label(finding.claim.metric)} of {finding.backbone}, {finding.claim.methods}'


def training(table: ResultsTable) -> Iterator[str]:
    """Whether every classifier has trained, with the numbers that say so; nothing where no clean top-1 was measured."""
    clean = {
        key: (sum(top1s) / len(top1s), min(top1s))
        for key, cell in clean_top1(table).items()
        if (top1s := [top1 for top1 in cell.seeds.values() if math.isfinite(top1)])
    }
    low = [key for key in untrained(table) if key in clean]
    if low:
        said = [
            f'{label(name)} on {backbone} ({clean[backbone, name][0]:.1f} in the mean, {clean[backbone, name][1]:.1f} '
            f'with the worst seed, where the best method has {_best_mean(clean, backbone):.1f} in the mean)'
            for backbone, name in low
        ]
        yield (
            f'Not trained, by top-1 on the clean test images: {"; ".join(said)}. A seed below {TRAINED:.0f} shows how '
            'fast a method trains, not how good it is, so that comparisons with it have no verdict.'
        )
    elif clean:
        (backbone, name), (_, worst) = min(clean.items(), key=lambda item: item[1][1])
        yield (
            f'All classifiers have trained: the lowest top-1 of a seed on the clean test images is {worst:.1f} '
            f'({label(name)} on {backbone}), and below {TRAINED:.0f} would count as not trained.'
        )


def _best_mean(clean: dict, backbone: str) -> float:
    return max(mean for (other, _), (mean, _) in clean.items() if other == backbone)


def without_mixing(table: ResultsTable) -> Iterator[str]:
    """In how many measures MixPro is ahead of no mixing, and which of all methods is best; nothing without both."""
    low, ahead, best = untrained(table), 0, []
    for row in table.rows:
        turn = -1 if lower_is_better(row.metric) else 1
        means = {
            name: turn * cell.mean
            for name, cell in row.cells.items()
            if (encoder(row), name) not in low and math.isfinite(cell.mean)
        }
        if 'none' in means and 'mixpro' in means:
            ahead += means['mixpro'] > means['none'] + SAME
            first = [name for name, mean in means.items() if mean >= max(means.values()) - SAME]
            best.append(first[0] if len(first) == 1 else 'shared')
    if best:
        another = sum(name not in ('none', 'mixpro', 'shared') for name in best)
        shared = f', shared in {best.count("shared")}' * ('shared' in best)
        yield (
            f'Against no mixing: MixPro has the better mean in {ahead} of {len(best)} measure{"s" * (len(best) > 1)}. '
            f'The best mean of all methods is that of no mixing in {best.count("none")}, of MixPro in '
            f'{best.count("mixpro")}, of another in {another}{shared}. These are counts of means; chance is in them.'
        )


def verdict_table(found: list[Finding]) -> tuple:
    """The block of the table: a row for each finding, with the paper's number and ours."""
    header = ['measure', 'backbone', 'difference', 'paper', 'here', 'verdict']
    rows = [[*_names(finding), finding.claim.published, _here(finding), finding.verdict] for finding in found]
    return 'table', header, rows


def interval_table(found: list[Finding]) -> tuple:
    """The block of a second table, so that neither is too wide: the intervals of every finding that has pairs."""
    header = ['measure', 'backbone', 'difference', 'bootstrap 95 %', 't 95 %', 'n', 'could see']
    rows = [
        [*_names(finding), *interval_texts(finding.pairs, None)[1:], str(finding.pairs.n), _visible(finding.pairs)]
        for finding in found
        if finding.pairs is not None
    ]
    return 'table', header, rows, range(3, 7)


def _names(finding: Finding) -> list[str]:
    return [measure(finding.claim.metric), finding.backbone, finding.claim.methods]


def _here(finding: Finding) -> str:
    text = interval_texts(finding.pairs, finding.difference)[0]
    return text if finding.losses is None else f'{text}; better at {"{} of {}".format(*finding.losses)} losses'


def _visible(pairs: PairedDifference) -> str:
    return f'{pairs.visible:.2f}' if math.isfinite(pairs.visible) else '-'


def interval_texts(pairs: PairedDifference | None, difference: float | None) -> list[str]:
    """Mean and deviation of the differences, and their two intervals; without pairs the difference alone.

    Differences without spread have no intervals.
    """
    if pairs is None:
        return ['-' if difference is None else _points(difference), '-', '-']
    intervals = [f'{_points(low)} to {_points(high)}' for low, high in (pairs.bootstrap, pairs.student)]
    return [f'{_points(pairs.mean)} ± {pairs.sd:.2f}', *(intervals if pairs.sd else ['-', '-'])]


def _points(value: float) -> str:
    return f'{value + 0.0:+.2f}' if math.isfinite(value) else 'no number'


def cautions(found: list[Finding], images: int | None = None) -> list[str]:
    """What the intervals are worth with so few seeds, what is not in them, and how many verdicts chance would bring.

    Args:
        found: The findings.
        images: Number of clean test images, if known.
    """
    pairs = [finding.pairs for finding in found if finding.judged]
    if not pairs:
        return ['No comparison has two seeds of trained models, so there is no verdict; of chance nothing can be said.']
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
    scope = SCOPE
    if images is not None:
        scope += f' Scores come in steps: one clean test image of {images} is {100 / images:.2f} points.'
    return [narrow, scope, chance]
