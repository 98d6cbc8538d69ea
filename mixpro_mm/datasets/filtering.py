"""Select images that a CNN misclassifies, for test sets like ImageNet-A.

Hendrycks et al., "Natural Adversarial Examples", CVPR 2021.
"""

import argparse
import json
import re
from importlib.metadata import version
from pathlib import Path

import numpy as np

from mixpro_mm.utils.files import sha256_of, write_text

__all__ = ['BATCH', 'IMPROBABLE', 'improbable', 'percent', 'write_selection']

IMPROBABLE = 0.15  # upper bound of the probability of the right class
BATCH = 256
PACKAGES = ('numpy', 'Pillow', 'scikit-learn', 'torch', 'onedl-mmpretrain')


def improbable(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return where (...) another class than ``truth`` (...) is predicted and the right one is below ``IMPROBABLE``.

    Args:
        scores: Probabilities (..., C).
        truth: Labels, broadcast to the leading dimensions of ``scores``.
    """
    right = np.take_along_axis(scores, truth[..., None], -1)[..., 0]
    return (scores.argmax(-1) != truth) & (right < IMPROBABLE)


def percent(share) -> float:
    """Return the mean of shares in percent with two decimals."""
    return round(100 * float(np.mean(share)), 2)


def write_selection(select, name: str, argv=None) -> None:
    """Run the command ``python -m NAME CONFIG CHECKPOINT OUT.json``, which writes a selection with its origin.

    Args:
        select: Function from ``probabilities``, a function from images (N, H, W, 3) uint8 BGR to (N, C), to the
            content of the file.
        name: Name of the module.
        argv: Arguments of the command.
    """
    import torch
    from mmpretrain.apis import get_model

    parser = argparse.ArgumentParser(description='Select images with a CNN.')
    parser.add_argument('config', help='config of the CNN')
    parser.add_argument('checkpoint')
    parser.add_argument('out')
    args = parser.parse_args(argv)
    model = get_model(args.config, args.checkpoint, device='cpu')

    @torch.no_grad()
    def probabilities(images: np.ndarray) -> np.ndarray:
        inputs = model.data_preprocessor(dict(inputs=torch.from_numpy(images).permute(0, 3, 1, 2)))['inputs']
        return model.head(model.extract_feat(inputs)).double().softmax(1).numpy()

    content = select(probabilities)
    content['origin'] = dict(
        command=f'python -m {name} CONFIG CHECKPOINT OUT.json',
        config=Path(args.config).name,
        checkpoint_sha256=sha256_of(args.checkpoint),
        versions={package: version(package) for package in PACKAGES},
        **content['origin'],
    )
    text = re.sub(r'\[[^][]*\]', lambda found: ' '.join(found[0].split()), json.dumps(content, indent=1))
    write_text(args.out, text + '\n')  # a line per scan or class
    print(json.dumps(content['origin'], indent=2))
