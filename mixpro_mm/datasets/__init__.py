"""Data sets (ImageNet-1k and its test sets, embedded digits, Fashion-MNIST) and transforms that load and check."""

from mixpro_mm.datasets.corruptions import Corrupt, CorruptedDataset, ImageNetC
from mixpro_mm.datasets.crops import LoadCenterCrop, LoadRandomResizedCrop
from mixpro_mm.datasets.digits import Digits, load_digit_images, split_indices
from mixpro_mm.datasets.fashion_adversarial import FashionA, FashionO
from mixpro_mm.datasets.fashion_mnist import FashionMNIST, load_fashion_images
from mixpro_mm.datasets.imagenet import ImageNet1k
from mixpro_mm.datasets.imagenet_variants import ImageNetA, ImageNetO, ImageNetR, ImageNetSketch, ImageNetV2
from mixpro_mm.datasets.in_memory import InMemoryDataset, keep_batch
from mixpro_mm.datasets.loading import CheckSegmentation, LoadWholeImage
from mixpro_mm.datasets.ood import OODDataset
from mixpro_mm.datasets.rand_augment import RandAugment, RandomErasing

__all__ = ['CheckSegmentation', 'Corrupt', 'CorruptedDataset', 'Digits', 'FashionA', 'FashionMNIST', 'FashionO']
__all__ += ['ImageNet1k', 'ImageNetA', 'ImageNetC', 'ImageNetO', 'ImageNetR', 'ImageNetSketch', 'ImageNetV2']
__all__ += ['InMemoryDataset', 'LoadCenterCrop', 'LoadRandomResizedCrop', 'LoadWholeImage', 'OODDataset', 'RandAugment']
__all__ += ['RandomErasing', 'keep_batch', 'load_digit_images', 'load_fashion_images', 'split_indices']
