"""Data sets: ImageNet-1k, -A, -O, the embedded digits and what is made of them.

``digit_scenes`` and ``filtered_digits`` are writers and are imported by their own names.
"""

from mixpro_mm.datasets.digit_views import DigitsA, DigitsO
from mixpro_mm.datasets.digits import Digits, load_digit_images, split_indices
from mixpro_mm.datasets.imagenet import ImageNet1k
from mixpro_mm.datasets.natural_adversarial import ImageNetA, ImageNetO

__all__ = [
    'Digits',
    'DigitsA',
    'DigitsO',
    'ImageNet1k',
    'ImageNetA',
    'ImageNetO',
    'load_digit_images',
    'split_indices',
]
