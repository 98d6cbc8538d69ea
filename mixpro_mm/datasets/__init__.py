"""Data sets: the embedded digits. ``digit_scenes`` is a writer with a command line and is imported by its own name."""

from mixpro_mm.datasets.digits import Digits, load_digit_images, split_indices

__all__ = ['Digits', 'load_digit_images', 'split_indices']
