"""The real Fashion-MNIST, where data/fashion-mnist or Debian's package exists."""

from pathlib import Path

import numpy as np
import pytest

from mixpro_mm.datasets import load_fashion_images
from mixpro_mm.datasets.fashion_mnist import INSTALLED
from mixpro_mm.datasets.fashion_scenes import silhouette

FOLDERS = Path(__file__).parents[2] / 'data' / 'fashion-mnist', Path('/', INSTALLED)


@pytest.fixture(scope='module')
def root():
    found = [folder for folder in FOLDERS if folder.is_dir()]
    return found[0] if found else pytest.skip('Fashion-MNIST is not on this machine')


@pytest.mark.parametrize(('split', 'each'), [('train', 6000), ('test', 1000)])
def test_classes_are_balanced(split, each, root):
    images, labels = load_fashion_images(split, root)
    assert images.shape == (10 * each, 28, 28) and np.bincount(labels).tolist() == [each] * 10
    if split == 'train':
        assert (round(images.mean() / 255, 4), round(images.std() / 255, 4)) == (0.2860, 0.3530)


def test_silhouettes_keep_the_garments(root):
    images = [np.pad(image, 1) for image in load_fashion_images('test', root)[0][:1000]]
    masks = [silhouette(image) for image in images]
    assert min(mask.sum() for mask in masks) >= 60
    kept = [image[mask].sum() / image.sum() for image, mask in zip(images, masks, strict=True)]
    assert np.mean(np.array(kept) > 0.98) > 0.98
