"""Script that selects the views of DigitsA and DigitsO with a CNN and writes ``filtered_digits.json``.

    python -m mixpro_mm.datasets.filtered_digits CONFIG CHECKPOINT OUT.json

The selection follows Hendrycks et al., "Natural Adversarial Examples", CVPR 2021, with thresholds for digits.
"""

from collections import Counter

import numpy as np

from mixpro_mm.datasets.digit_views import KNOWN, SEED, VIEW_SIZE, all_scans, draw_view
from mixpro_mm.datasets.digits import Digits
from mixpro_mm.datasets.filtering import BATCH, IMPROBABLE, improbable, percent, write_selection

__all__ = ['filter_digits', 'main', 'spread']

CANDIDATES = 100  # views per scan
SURE = 0.7  # O: lower bound of the confidence, about its median for views of known digits
PER_SCAN, PER_DIGIT = 6, 60  # A: maximum number of views
PER_UNKNOWN_SCAN, PER_MISTAKE = 3, 40  # O: maximum number of views; a mistake is a pair (digit, prediction)
KNOWN_VIEWS = (0, 1)  # O: views of each known test scan, unfiltered
COLOURS = 40  # every 40th view has its mean colour recorded


def spread(candidates, per_scan: int, per_group: int) -> list[tuple[int, int]]:
    """Select pairs ``(scan, view)`` of candidates ``(scan, view, group)``.

    Each round takes one view of every scan, in ascending order, up to ``per_scan`` and ``per_group`` views.
    """
    of_scan, ranked = Counter(), []
    for scan, view, group in sorted(candidates):
        ranked.append((of_scan[scan], view, scan, group))
        of_scan[scan] += 1
    of_group, chosen = Counter(), []
    for rank, view, scan, group in sorted(ranked):
        if rank < per_scan and of_group[group] < per_group:
            of_group[group] += 1
            chosen.append((scan, view))
    return sorted(chosen)


def filter_digits(probabilities, candidates: int = CANDIDATES) -> dict:
    """Return the content of the file without the origin of the CNN.

    Args:
        probabilities: Function from images (N, 32, 32, 3) uint8 BGR to probabilities (N, 8) of the digits 0 to 7.
        candidates: Number of views per scan.
    """
    _, digits, is_test = all_scans()
    known, unknown = np.flatnonzero(is_test & (digits < len(KNOWN))), np.flatnonzero(digits >= len(KNOWN))

    def scores_of(scans: np.ndarray) -> np.ndarray:  # (S, candidates, 8)
        pairs = [(scan, view) for scan in scans for view in range(candidates)]
        batches = (pairs[start : start + BATCH] for start in range(0, len(pairs), BATCH))
        scores = [probabilities(np.stack([draw_view(*pair) for pair in batch])) for batch in batches]
        return np.concatenate(scores).reshape(len(scans), candidates, len(KNOWN))

    scores, truth = scores_of(known), digits[known][:, None]
    predicted, hard = scores.argmax(-1), improbable(scores, truth)
    a = spread(((known[i], view, truth[i, 0]) for i, view in np.argwhere(hard)), PER_SCAN, PER_DIGIT)
    unknown_scores = scores_of(unknown)
    mistaken, sure = unknown_scores.argmax(-1), unknown_scores.max(-1) > SURE
    mistakes = ((unknown[i], view, (digits[unknown[i]], mistaken[i, view])) for i, view in np.argwhere(sure))
    o = spread(mistakes, PER_UNKNOWN_SCAN, PER_MISTAKE)

    parts = dict(adversarial=a, known=[(scan, view) for scan in known for view in KNOWN_VIEWS], unknown=o)
    colours = (pair for pairs in parts.values() for pair in pairs[::COLOURS])
    clean = Digits(split='test', img_size=VIEW_SIZE, classes=KNOWN)
    clean_predicted = probabilities(np.stack([item['img'] for item in clean])).argmax(1)
    a_rule = dict(candidates=hard.size, rule=f'another digit predicted, the right one below {IMPROBABLE}')
    a_rule |= dict(passed=int(hard.sum()), per_scan=PER_SCAN, per_digit=PER_DIGIT, images=len(a))
    o_rule = dict(candidates=sure.size, rule=f'a known digit predicted with more than {SURE}', passed=int(sure.sum()))
    o_rule |= dict(per_scan=PER_UNKNOWN_SCAN, per_mistake=PER_MISTAKE, images=len(o))
    origin = dict(
        clean_top1=percent(clean_predicted == clean.get_gt_labels()),
        view_top1=percent(predicted == truth),
        median_confidence=percent(np.median(scores.max(-1))),
        seed=SEED,
        adversarial=a_rule,
        known=dict(rule='not filtered', images=len(parts['known'])),
        unknown=o_rule,
    )
    return dict(
        origin=origin,
        colours={f'{s}.{v}': draw_view(s, v).mean((0, 1)).round(1).tolist() for s, v in colours},
        **{part: {str(s): [int(v) for t, v in pairs if t == s] for s, _ in pairs} for part, pairs in parts.items()},
    )


def main(argv=None) -> None:
    """Select the views of DigitsA and DigitsO."""
    write_selection(filter_digits, 'mixpro_mm.datasets.filtered_digits', argv)


if __name__ == '__main__':
    main()
