"""Scenes of garments of Fashion-MNIST in the layouts of Pascal Context and COCO.

``python -m mixpro_mm.datasets.fashion_scenes data/fashion_scenes`` writes them.
"""

import functools
from pathlib import Path

import numpy as np
from scipy import ndimage

from mixpro_mm.datasets.fashion_mnist import CLASSES as GARMENTS
from mixpro_mm.datasets.fashion_mnist import balanced_subset, load_fashion_images
from mixpro_mm.datasets.paint import resized
from mixpro_mm.datasets.scenes import draw_scene, run_command, write_scenes
from mixpro_mm.utils.arguments import fraction, positive_int

__all__ = ['CLASSES', 'cut_garment', 'silhouette', 'write_fashion_scenes']

CLASSES = ('background', *GARMENTS)
FORMAT = 1  # increase it if the same parameters give other scenes
BACKGROUND = 10  # highest gray value around a garment
LARGEST_HOLE = 12  # pixels; larger holes are inside handles and between straps
DARKEST = 0.3  # shade of black clothes


def silhouette(image: np.ndarray) -> np.ndarray:
    """Return the pixels (h, w) bool of the garment on an image (h, w) uint8 with a black border.

    Pixels above a threshold; small holes, which are dark parts, are filled, and only the largest component is kept.
    """
    mask = image > BACKGROUND
    holes, _ = ndimage.label(~mask)
    mask |= (np.bincount(holes.ravel()) <= LARGEST_HOLE)[holes]
    parts, _ = ndimage.label(mask, np.ones((3, 3)))
    return parts == np.bincount(parts[mask]).argmax()


def cut_garment(image: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return opacity and shade (side, side) in 0..1 of a photograph (28, 28) uint8.

    The opacity is that of the silhouette, so dark clothes are opaque; the shade is the gray value.
    """
    image = np.pad(image, 1)
    mask = silhouette(image)
    opacity = np.clip(4 * (resized(mask, side) - 0.5) + 0.5, 0, 1)
    return opacity, DARKEST + (1 - DARKEST) * np.clip(resized(image, side) / 255, 0, 1)


def write_fashion_scenes(
    root,
    data_root: str = 'data/fashion-mnist',
    num_train: int = 240,
    num_val: int = 400,
    size: int = 96,
    max_items: int = 4,
    min_side: float = 0.25,
    max_side: float = 0.6,
    min_visible: float = 0.7,
    held_out: int = 0,
    seed: int = 0,
) -> Path:
    """Write the scenes to ``root`` unless they exist there, in the layouts of :func:`write_scenes`.

    Train scenes show training images of Fashion-MNIST, val scenes test images; ``garment_index`` of a COCO annotation
    is the position in the file of that part.

    Args:
        root: Directory of the set; it must be missing, empty, or the same set.
        data_root: Folder of Fashion-MNIST, see :func:`load_fashion_images`.
        num_train, num_val: Number of scenes in each part.
        size: Side of a scene in pixels.
        max_items: Maximum number of garments in a scene.
        min_side, max_side: Minimum and maximum side of a garment, relative to that of the scene.
        min_visible: Share of each garment that later garments leave visible.
        held_out: Number of training images for val scenes, instead of test images, to choose settings with: those
            of ``FashionMNIST(split='val', num_images=held_out)``. Train scenes do not show them.
        seed: The same seed gives the same bytes with the same versions of numpy, SciPy and Pillow.

    Raises:
        FileNotFoundError: Fashion-MNIST is missing.
        ValueError: A number is out of range, ``root`` contains something else, or Fashion-MNIST is damaged.
    """
    parameters = dict(num_train=num_train, num_val=num_val, size=size, max_items=max_items)
    shares = dict(min_side=min_side, max_side=max_side, min_visible=min_visible)
    parameters |= {key: fraction(key, value) for key, value in shares.items()} | dict(seed=seed, format=FORMAT)
    sides = round(size * min_side), round(size * max_side)
    if not 8 <= sides[0] <= sides[1]:
        raise ValueError(f'garments must be at least 8 px, from small to large, not {sides[0]} to {sides[1]}')

    if positive_int('held_out', held_out, least=0):
        parameters['held_out'] = held_out

    def load(split):
        images, labels = load_fashion_images('train' if held_out else split, data_root)
        positions = np.arange(len(labels))
        if held_out:
            val = balanced_subset(labels, held_out, seed=0, last=True)
            positions = val if split == 'test' else np.setdiff1d(positions, val)
        return images[positions], labels[positions], positions

    limits = dict(size=size, max_items=max_items, sides=sides, min_visible=min_visible)
    draw = functools.partial(draw_scene, cut=cut_garment, **limits)
    return write_scenes(root, parameters, 'garment', CLASSES, load, draw)


main = functools.partial(run_command, write_fashion_scenes, 'Write fashion scenes.')

if __name__ == '__main__':
    main()
