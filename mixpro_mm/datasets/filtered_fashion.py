"""Script that selects the images of FashionA with a CNN and writes ``filtered_fashion.json``.

    python -m mixpro_mm.datasets.filtered_fashion CONFIG CHECKPOINT OUT.json

The selection follows Hendrycks et al., "Natural Adversarial Examples", CVPR 2021.
"""

import argparse
import json
import re
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from mmpretrain.apis import get_model

from mixpro_mm.datasets.fashion_mnist import CLASSES, SIDE, FashionMNIST
from mixpro_mm.utils.files import sha256_of, write_text

__all__ = ['filter_fashion', 'main']

IMPROBABLE = 0.15  # upper bound of the probability of the right class
PER_CLASS = 60  # maximum number of images, the first of the file
BATCH = 256
PACKAGES = ('numpy', 'Pillow', 'scikit-learn', 'torch', 'onedl-mmpretrain')


def filter_fashion(probabilities, data_root: str = 'data/fashion-mnist') -> dict:
    """Return the content of the file without the origin of the CNN.

    Args:
        probabilities: Function from images (N, 28, 28, 3) uint8 to probabilities (N, 10).
        data_root: See :class:`FashionMNIST`.
    """
    dataset = FashionMNIST(data_root, split='test', img_size=SIDE)
    truth, images = dataset.get_gt_labels(), np.stack([item['img'] for item in dataset])
    scores = np.concatenate([probabilities(images[n : n + BATCH]) for n in range(0, len(images), BATCH)])
    right = scores[range(len(truth)), truth]
    hard = (scores.argmax(1) != truth) & (right < IMPROBABLE)
    of_class = {
        name: np.flatnonzero(hard & (truth == label))[:PER_CLASS].tolist() for label, name in enumerate(CLASSES)
    }
    passed = {name: int(hard[truth == label].sum()) for label, name in enumerate(CLASSES)}
    rule = dict(candidates=len(images), rule=f'another class predicted, the right one below {IMPROBABLE}')
    rule |= dict(
        passed=int(hard.sum()), per_class=PER_CLASS, images=sum(map(len, of_class.values())), passed_of_class=passed
    )
    clean_top1 = round(100 * float((scores.argmax(1) == truth).mean()), 2)
    return dict(origin=dict(clean_top1=clean_top1, adversarial=rule), adversarial=of_class)


def main(argv=None) -> None:
    """Select the images of FashionA."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument('config', help='config of the CNN')
    parser.add_argument('checkpoint')
    parser.add_argument('out')
    args = parser.parse_args(argv)
    model = get_model(args.config, args.checkpoint, device='cpu')

    @torch.no_grad()
    def probabilities(images: np.ndarray) -> np.ndarray:
        inputs = model.data_preprocessor(dict(inputs=torch.from_numpy(images).permute(0, 3, 1, 2)))['inputs']
        return model.head(model.extract_feat(inputs)).double().softmax(1).numpy()

    content = filter_fashion(probabilities)
    content['origin'] = dict(
        command='python -m mixpro_mm.datasets.filtered_fashion CONFIG CHECKPOINT OUT.json',
        config=Path(args.config).name,
        checkpoint_sha256=sha256_of(args.checkpoint),
        versions={package: version(package) for package in PACKAGES},
        **content['origin'],
    )
    text = re.sub(r'\[[^][]*\]', lambda found: ' '.join(found[0].split()), json.dumps(content, indent=1))
    write_text(args.out, text + '\n')  # a line per class
    print(json.dumps(content['origin'], indent=2))


if __name__ == '__main__':
    main()
