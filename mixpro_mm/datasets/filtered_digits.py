"""Writes ``filtered_digits.json``: the views that a CNN of the digits 0 to 7 puts into DigitsA and DigitsO.

    python -m mixpro_mm.datasets.filtered_digits CONFIG CHECKPOINT OUT.json

Hendrycks et al., "Natural Adversarial Examples", CVPR 2021, is the model: a network picks what trips it up from many
candidates. The thresholds and limits here are for digits. Takes about a minute.
"""

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import numpy as np

from mixpro_mm.datasets.digit_views import KNOWN, SEED, VIEW_SIZE, all_scans, draw_view
from mixpro_mm.datasets.digits import Digits
from mixpro_mm.files import sha256_of, write_text

__all__ = ['filter_digits', 'main', 'spread', 'write_filtered']

CANDIDATES = 100  # views of each scan
IMPROBABLE = 0.15  # A: the CNN gives the right digit less than this
SURE = 0.7  # O: it gives a wrong one more than this, which is about its median for views of known digits
PER_SCAN, PER_DIGIT = 6, 60  # A: views of one scan, and of one digit, at most
PER_UNKNOWN_SCAN, PER_MISTAKE = 3, 40  # O: views of one scan, and of one digit taken for one other
KNOWN_VIEWS = (0, 1)  # O: of each known test scan, unfiltered
BATCH = 256
COLOURS = 40  # every so many-th view has its mean colour on record


def spread(candidates: Iterable[tuple], per_scan: int, per_group: int) -> list[tuple[int, int]]:
    """Take candidates in rounds, one of each scan in a round, until scan or group is full.

    Args:
        candidates: ``(scan, view, group)``; of a scan, those with low view numbers come first.
        per_scan: Of one scan at most.
        per_group: Of one group at most.

    Returns:
        ``(scan, view)``, ascending.
    """
    of_scan, ranked = Counter(), []
    for scan, view, group in sorted(candidates):
        ranked.append((of_scan[scan], view, scan, group))
        of_scan[scan] += 1
    of_group, taken = Counter(), []
    for rank, view, scan, group in sorted(ranked):
        if rank < per_scan and of_group[group] < per_group:
            of_group[group] += 1
            taken.append((scan, view))
    return sorted(taken)


def filter_digits(probabilities, candidates: int = CANDIDATES) -> dict:
    """What goes into the file, but for where the CNN came from.

    Args:
        probabilities: Function from images (N, 32, 32, 3) uint8, BGR, to probabilities (N, 8) of the digits 0 to 7.
        candidates: Views of each scan to choose from.
    """
    _, digits, is_test = all_scans()
    known, unknown = np.flatnonzero(is_test & (digits < len(KNOWN))), np.flatnonzero(digits >= len(KNOWN))

    scores = _scores(probabilities, known, candidates)
    truth, said = digits[known][:, None], scores.argmax(-1)
    right = np.take_along_axis(scores, truth[..., None], -1)[..., 0]
    hard = (said != truth) & (right < IMPROBABLE)
    a = spread(((known[i], view, truth[i, 0]) for i, view in np.argwhere(hard)), PER_SCAN, PER_DIGIT)

    unknown_scores = _scores(probabilities, unknown, candidates)
    mistaken, sure = unknown_scores.argmax(-1), unknown_scores.max(-1) > SURE
    mistakes = ((unknown[i], view, (digits[unknown[i]], mistaken[i, view])) for i, view in np.argwhere(sure))
    o = spread(mistakes, PER_UNKNOWN_SCAN, PER_MISTAKE)

    parts = dict(adversarial=a, known=[(scan, view) for scan in known for view in KNOWN_VIEWS], unknown=o)
    on_record = (pair for pairs in parts.values() for pair in pairs[::COLOURS])
    clean = Digits(split='test', img_size=VIEW_SIZE, classes=KNOWN)
    clean_scores = probabilities(np.stack([item['img'] for item in clean]))
    return dict(
        origin=dict(
            clean_top1=_percent(clean_scores.argmax(1) == clean.get_gt_labels()),
            view_top1=_percent(said == truth),
            median_confidence=_percent(np.median(scores.max(-1))),
            seed=SEED,
            adversarial=dict(
                candidates=hard.size,
                rule=f'another digit predicted, the right one below {IMPROBABLE}',
                passed=int(hard.sum()),
                per_scan=PER_SCAN,
                per_digit=PER_DIGIT,
                images=len(a),
            ),
            known=dict(rule='not filtered', images=len(parts['known'])),
            unknown=dict(
                candidates=sure.size,
                rule=f'a known digit predicted with more than {SURE}',
                passed=int(sure.sum()),
                per_scan=PER_UNKNOWN_SCAN,
                per_mistake=PER_MISTAKE,
                images=len(o),
            ),
        ),
        colours={f'{s}.{v}': draw_view(s, v).mean((0, 1)).round(1).tolist() for s, v in on_record},
        **{name: _by_scan(pairs) for name, pairs in parts.items()},
    )


def write_filtered(config: str | Path, checkpoint: str | Path, out: str | Path, candidates: int = CANDIDATES) -> dict:
    """Filter with a trained classifier of mmpretrain, write ``out`` whole or not at all, and return what is in it.

    Raises:
        FileNotFoundError: There is no folder for ``out``.
        ValueError: The classifier has another number of classes than 8.
    """
    if not Path(out).absolute().parent.is_dir():
        raise FileNotFoundError(f'there is no folder {Path(out).absolute().parent} to write {Path(out).name} to')
    content = filter_digits(_classifier(config, checkpoint), candidates)
    packages = ('numpy', 'Pillow', 'scikit-learn', 'torch', 'onedl-mmpretrain')
    content['origin'] = dict(
        command='python -m mixpro_mm.datasets.filtered_digits CONFIG CHECKPOINT OUT.json',
        config=Path(config).name,
        checkpoint_sha256=sha256_of(checkpoint),
        versions={name: version(name) for name in packages},
        **content['origin'],
    )
    text = json.dumps(content, indent=1)
    write_text(out, re.sub(r'\[[^][]*\]', lambda found: ' '.join(found[0].split()), text) + '\n')  # a scan a line
    return content


def _classifier(config: str | Path, checkpoint: str | Path):
    """The function from images to probabilities of a config and its weights, on the CPU."""
    import torch
    from mmpretrain.apis import get_model

    model = get_model(str(config), str(checkpoint), device='cpu')

    @torch.no_grad()
    def probabilities(images: np.ndarray) -> np.ndarray:
        inputs = model.data_preprocessor(dict(inputs=torch.from_numpy(images).permute(0, 3, 1, 2)))['inputs']
        logits = model.head(model.extract_feat(inputs))
        if logits.shape[1] != len(KNOWN):
            raise ValueError(f'{config} has {logits.shape[1]} classes instead of {len(KNOWN)}, the digits 0 to 7')
        return logits.double().softmax(1).numpy()

    return probabilities


def _scores(probabilities, scans: np.ndarray, views: int) -> np.ndarray:
    """Probabilities (S, views, 8) of all views of S scans."""
    pairs = [(scan, view) for scan in scans for view in range(views)]
    batches = (pairs[start : start + BATCH] for start in range(0, len(pairs), BATCH))
    scores = [probabilities(np.stack([draw_view(*pair) for pair in batch])) for batch in batches]
    return np.concatenate(scores).reshape(len(scans), views, len(KNOWN))


def _by_scan(pairs: list[tuple[int, int]]) -> dict[str, list[int]]:
    views = {}
    for scan, view in pairs:
        views.setdefault(str(scan), []).append(int(view))
    return views


def _percent(share) -> float:
    return round(100 * float(np.mean(share)), 2)


def main(argv=None):
    parser = argparse.ArgumentParser(description='Filter views of the digits with a CNN: the data of DigitsA, DigitsO.')
    parser.add_argument('config', help='of the CNN: configs/digits/evidence/filter_resnet-micro_digits-8.py')
    parser.add_argument('checkpoint')
    parser.add_argument('out')
    args = parser.parse_args(argv)
    origin = write_filtered(args.config, args.checkpoint, args.out)['origin']
    print(json.dumps(origin, indent=2))


if __name__ == '__main__':
    main()
