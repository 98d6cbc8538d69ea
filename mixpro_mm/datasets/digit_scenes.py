"""Scenes of scanned digits in the layouts of Pascal Context and COCO: ``python -m mixpro_mm.datasets.digit_scenes``."""

import functools
from pathlib import Path

import numpy as np

from mixpro_mm.datasets.digits import load_digit_images, split_indices
from mixpro_mm.datasets.paint import opacity, resized
from mixpro_mm.datasets.scenes import draw_scene, run_command, write_scenes

__all__ = ['CLASSES', 'cut_digit', 'write_digit_scenes']

CLASSES = ('background', *'0123456789')
FORMAT = 2  # increase it if the same parameters give other scenes


def cut_digit(scan: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """Return the opacity (side, side) of a scan (8, 8) uint8, ink 255, and its shade 1."""
    return opacity(resized(np.pad(scan, 1), side)), 1.0


def _load(split: str):
    return *load_digit_images(split), split_indices(split)


def write_digit_scenes(
    root, num_train: int = 240, num_val: int = 80, size: int = 96, max_digits: int = 4, seed: int = 0
) -> Path:
    """Write the scenes to ``root`` unless they exist there, in the layouts of :func:`write_scenes`.

    Train scenes show train digits, val scenes held-out ones; ``digit_index`` of a COCO annotation is the position in
    scikit-learn's file.

    Args:
        root: Directory of the set; it must be missing, empty, or the same set.
        num_train, num_val: Number of scenes in each part.
        size: Side of a scene in pixels.
        max_digits: Maximum number of digits in a scene.
        seed: The same seed gives the same bytes with the same versions of numpy and Pillow.

    Raises:
        ValueError: A number is too small, or ``root`` contains something else.
    """
    parameters = dict(num_train=num_train, num_val=num_val, size=size, max_digits=max_digits, seed=seed, format=FORMAT)
    sides = size // 4, size * 7 // 12
    draw = functools.partial(draw_scene, cut=cut_digit, size=size, max_items=max_digits, sides=sides)
    return write_scenes(root, parameters, 'digit', CLASSES, _load, draw)


main = functools.partial(run_command, write_digit_scenes, 'Write digit scenes.')

if __name__ == '__main__':
    main()
