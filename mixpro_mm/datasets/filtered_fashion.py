"""Script that selects the images of FashionA with a CNN and writes ``filtered_fashion.json``.

    python -m mixpro_mm.datasets.filtered_fashion CONFIG CHECKPOINT OUT.json

The rule is that of :mod:`mixpro_mm.datasets.filtered_digits`, applied to the test images instead of drawn views.
"""

import numpy as np

from mixpro_mm.datasets.fashion_mnist import CLASSES, SIDE, FashionMNIST
from mixpro_mm.datasets.filtering import BATCH, IMPROBABLE, improbable, percent, write_selection

__all__ = ['filter_fashion', 'main']

PER_CLASS = 60  # maximum number of images, the first of the file


def filter_fashion(probabilities, data_root: str = 'data/fashion-mnist') -> dict:
    """Return the content of the file without the origin of the CNN.

    Args:
        probabilities: Function from images (N, 28, 28, 3) uint8 to probabilities (N, 10).
        data_root: See :class:`FashionMNIST`.
    """
    dataset = FashionMNIST(data_root, split='test', img_size=SIDE)
    truth, images = dataset.get_gt_labels(), np.stack([item['img'] for item in dataset])
    scores = np.concatenate([probabilities(images[n : n + BATCH]) for n in range(0, len(images), BATCH)])
    hard = improbable(scores, truth)
    of_class = {
        name: np.flatnonzero(hard & (truth == label))[:PER_CLASS].tolist() for label, name in enumerate(CLASSES)
    }
    passed = {name: int(hard[truth == label].sum()) for label, name in enumerate(CLASSES)}
    rule = dict(candidates=len(images), rule=f'another class predicted, the right one below {IMPROBABLE}')
    rule |= dict(
        passed=int(hard.sum()), per_class=PER_CLASS, images=sum(map(len, of_class.values())), passed_of_class=passed
    )
    return dict(origin=dict(clean_top1=percent(scores.argmax(1) == truth), adversarial=rule), adversarial=of_class)


def main(argv=None) -> None:
    """Select the images of FashionA."""
    write_selection(filter_fashion, 'mixpro_mm.datasets.filtered_fashion', argv)


if __name__ == '__main__':
    main()
