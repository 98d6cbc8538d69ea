"""Data sets (ImageNet-1k, -A, -O, embedded digits, Fashion-MNIST) and transforms that load and check."""

from mixpro_mm.datasets.digit_views import DigitsA, DigitsO
from mixpro_mm.datasets.digits import Digits, load_digit_images, split_indices
from mixpro_mm.datasets.fashion_mnist import FashionMNIST, load_fashion_images
from mixpro_mm.datasets.imagenet import ImageNet1k
from mixpro_mm.datasets.in_memory import InMemoryDataset, keep_batch
from mixpro_mm.datasets.loading import CheckSegmentation, LoadWholeImage
from mixpro_mm.datasets.natural_adversarial import ImageNetA, ImageNetO

__all__ = ['CheckSegmentation', 'Digits', 'DigitsA', 'DigitsO', 'FashionMNIST', 'ImageNet1k', 'ImageNetA', 'ImageNetO']
__all__ += ['InMemoryDataset', 'LoadWholeImage', 'keep_batch', 'load_digit_images', 'load_fashion_images']
__all__ += ['split_indices']
