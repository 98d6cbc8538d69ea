"""Data sets: ImageNet-1k, -A, -O, the embedded digits. ``digit_scenes`` is a writer and is imported by its own name."""

from mixpro_mm.datasets.digits import Digits, load_digit_images, split_indices
from mixpro_mm.datasets.imagenet import ImageNet1k
from mixpro_mm.datasets.imagenet_subset import ImageNetO, ImageNetSubset

__all__ = ['Digits', 'ImageNet1k', 'ImageNetO', 'ImageNetSubset', 'load_digit_images', 'split_indices']
