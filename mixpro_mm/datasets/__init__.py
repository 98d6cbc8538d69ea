"""Data sets (ImageNet-1k, -A, -O, embedded digits, Fashion-MNIST) and transforms that load and check."""

from mixpro_mm.datasets.crops import LoadCenterCrop, LoadRandomResizedCrop
from mixpro_mm.datasets.digits import Digits, load_digit_images, split_indices
from mixpro_mm.datasets.fashion_adversarial import FashionA, FashionO
from mixpro_mm.datasets.fashion_mnist import FashionMNIST, load_fashion_images
from mixpro_mm.datasets.imagenet import ImageNet1k
from mixpro_mm.datasets.in_memory import InMemoryDataset, keep_batch
from mixpro_mm.datasets.loading import CheckSegmentation, LoadWholeImage
from mixpro_mm.datasets.natural_adversarial import ImageNetA, ImageNetO
from mixpro_mm.datasets.rand_augment import RandAugment, RandomErasing

__all__ = ['CheckSegmentation', 'Digits', 'FashionA', 'FashionMNIST', 'FashionO', 'ImageNet1k']
__all__ += ['ImageNetA', 'ImageNetO', 'InMemoryDataset', 'LoadCenterCrop', 'LoadRandomResizedCrop', 'LoadWholeImage']
__all__ += ['RandAugment', 'RandomErasing', 'keep_batch', 'load_digit_images', 'load_fashion_images', 'split_indices']
