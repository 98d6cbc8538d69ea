"""The 1,797 handwritten digits of scikit-learn (``sklearn.datasets.load_digits``) as an mmpretrain dataset.

Within each class, in file order, every fifth scan is a test scan (1,442 train, 355 test). The file does not name the
writers, so a writer may be in both splits.
"""

import numpy as np
from mmpretrain.datasets import BaseDataset

from mixpro_mm.registry import DATASETS, register
from mixpro_mm.utils.arguments import distinct_labels

__all__ = ['Digits', 'load_digit_images', 'resize_scans', 'split_indices']


def split_indices(split: str) -> np.ndarray:
    """Return the positions (N,) of the scans of a split in scikit-learn's file, ascending.

    Raises:
        ValueError: ``split`` is neither 'train' nor 'test'.
    """
    from sklearn.datasets import load_digits

    if split not in ('train', 'test'):
        raise ValueError(f"there is no split {split!r} of the digits, only 'train' and 'test'")
    labels = load_digits().target
    is_test = np.zeros(len(labels), dtype=bool)
    for label in range(10):
        is_test[np.flatnonzero(labels == label)[4::5]] = True
    return np.flatnonzero(is_test == (split == 'test'))


def load_digit_images(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the scans of a split (N, 8, 8) uint8, ink 255 on paper 0, and their labels (N,)."""
    from sklearn.datasets import load_digits

    digits, index = load_digits(), split_indices(split)
    images = np.rint(digits.images[index] * (255 / 16)).astype(np.uint8)  # ink is 0 to 16 in the file
    return images, digits.target[index]


def resize_scans(scans: np.ndarray, size: int) -> np.ndarray:
    """Resize scans (N, 8, 8) uint8 to (N, size, size), bicubic."""
    from PIL import Image

    return np.stack([Image.fromarray(scan).resize((size, size), Image.Resampling.BICUBIC) for scan in scans])


@register(DATASETS)
class Digits(BaseDataset):
    """Scanned handwritten digits; ``img`` is BGR uint8 (img_size, img_size, 3), as ``LoadImageFromFile`` returns it.

    Args:
        split (str): 'train' (1,442 images) or 'test' (355).
        img_size (int): Side in pixels of the images; the 8 x 8 scans are resized at load (bicubic).
        classes (Sequence[int]): Digits to keep; labels are positions in this sequence.
        pipeline (Sequence): Transforms; no loading step is needed.
        **kwargs: Other arguments of mmpretrain's ``BaseDataset``.

    Raises:
        ValueError: The split is unknown, or ``classes`` are not distinct digits.
    """

    METAINFO = dict(classes=tuple('0123456789'))

    def __init__(self, split: str = 'train', img_size: int = 32, classes=tuple(range(10)), pipeline=(), **kwargs):
        self.split, self.img_size, self.digits = split, img_size, distinct_labels('classes', classes, 10)
        super().__init__(ann_file='', pipeline=pipeline, classes=[str(digit) for digit in self.digits], **kwargs)

    def load_data_list(self) -> list[dict]:
        images, labels = load_digit_images(self.split)
        return [
            dict(img=np.repeat(img[..., None], 3, axis=-1), gt_label=self.digits.index(label))
            for img, label in zip(resize_scans(images, self.img_size), labels, strict=True)
            if label in self.digits
        ]
