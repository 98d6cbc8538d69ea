"""The real Fashion-MNIST, where data/fashion-mnist or Debian's package exists."""

from pathlib import Path

import numpy as np
import pytest

from mixpro_mm.datasets import FashionA, FashionMNIST, FashionO, load_fashion_images
from mixpro_mm.datasets.fashion_adversarial import read_filtered_fashion
from mixpro_mm.datasets.fashion_mnist import INSTALLED
from mixpro_mm.datasets.fashion_scenes import silhouette
from tests.config_rows import CONFIGS, header

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


def test_a_has_mistakes_of_every_class(root):
    dataset, origin = FashionA(str(root)), read_filtered_fashion()['origin']['adversarial']
    counts = np.bincount(dataset.get_gt_labels())
    assert counts.tolist() == [58, 15, 60, 60, 57, 33, 60, 12, 25, 28]
    assert counts.tolist() == [min(count, 60) for count in origin['passed_of_class'].values()]
    assert (origin['candidates'], origin['passed'], origin['images']) == (10000, 528, 408)
    labels = load_fashion_images('test', root)[1]
    for label, places in enumerate(read_filtered_fashion()['adversarial'].values()):
        assert (labels[places] == label).all() and places == sorted(set(places))
    assert [item['position'] for item in dataset][:5] == [17, 23, 25, 42, 68]


@pytest.mark.parametrize(
    ('unknown', 'classes', 'config', 'count', 'total'),
    [('digits', range(10), 'o', 1797, 11797), ('classes', [0, 1, 2, 4, 5, 6, 8, 9], 'o-near', 2000, 10000)],
)
def test_headers_have_the_chance_level_of_aupr(unknown, classes, config, count, total, root):
    ood = np.array([item['ood'] for item in FashionO(str(root), unknown=unknown, classes=classes).load_data_list()])
    said = f'{count} of the {total} images are unknown, aupr is {100 * count / total:.1f} by chance'
    assert (ood.sum(), len(ood)) == (count, total) and not ood[: total - count].any()
    assert said in ' '.join(header(CONFIGS / 'robustness' / f'deit-micro_fashion-{config}.py'))


def test_the_images_of_the_curves_are_balanced(root):
    dataset = FashionMNIST(str(root), 'test', num_images=1000)
    assert np.bincount(dataset.get_gt_labels()).tolist() == [100] * 10
    assert [item['position'] for item in dataset][:5] == [1, 27, 36, 38, 40]
