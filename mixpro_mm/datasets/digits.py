"""The 1,797 scanned handwritten digits that ship inside scikit-learn, as an mmpretrain dataset: nothing to download.

https://scikit-learn.org/stable/modules/generated/sklearn.datasets.load_digits.html

The split is fixed and draws nothing: within each class, in file order, every fifth scan is a test scan.

====== ===== ============================================== (0, 1, ... 9)
train  1,442 143, 146, 142, 147, 145, 146, 145, 144, 140, 144
test     355  35,  36,  35,  36,  36,  36,  36,  35,  34,  36
====== ===== ==============================================

The file does not say who wrote what, so the same hands may be in both parts.
"""

import numpy as np
from mmpretrain.datasets import BaseDataset

from mixpro_mm.registry import DATASETS, register

__all__ = ['Digits', 'load_digit_images', 'split_indices']

SPLITS = ('train', 'test')


def split_indices(split: str) -> np.ndarray:
    """Positions (N,) of the scans of one part in scikit-learn's file, ascending.

    Raises:
        ValueError: ``split`` is neither 'train' nor 'test'.
    """
    from sklearn.datasets import load_digits

    if split not in SPLITS:
        raise ValueError(f'there is no split {split!r} of the digits, only {" and ".join(map(repr, SPLITS))}')
    labels = load_digits().target
    is_test = np.zeros(len(labels), dtype=bool)
    for label in range(10):
        is_test[np.flatnonzero(labels == label)[4::5]] = True
    return np.flatnonzero(is_test == (split == 'test'))


def load_digit_images(split: str) -> tuple[np.ndarray, np.ndarray]:
    """The scans of one part: images (N, 8, 8) uint8 with ink 255 on paper 0, and labels (N,)."""
    from sklearn.datasets import load_digits

    digits, index = load_digits(), split_indices(split)
    images = np.rint(digits.images[index] * (255 / 16)).astype(np.uint8)  # the file counts ink from 0 to 16
    return images, digits.target[index]


@register(DATASETS)
class Digits(BaseDataset):
    """Scanned handwritten digits; ``img`` is BGR uint8 (img_size, img_size, 3), as from any image loader of the host.

    Args:
        split (str): 'train' (1,442 images) or 'test' (355).
        img_size (int): Side in pixels to which the 8 x 8 scans are brought once, at load, by bicubic interpolation.
        classes (Sequence[int]): Digits to keep, all if omitted; labels count them in this order.
        pipeline (Sequence): Transforms; no loading step is needed.
        **kwargs: Other arguments of mmpretrain's ``BaseDataset``.

    Raises:
        ValueError: The split is unknown, or ``classes`` are not distinct digits.
    """

    METAINFO = dict(classes=tuple('0123456789'))

    def __init__(self, split: str = 'train', img_size: int = 32, classes=tuple(range(10)), pipeline=(), **kwargs):
        self.split = split
        self.img_size = img_size
        self.digits = list(classes)
        if not self.digits or len(set(self.digits)) < len(self.digits) or not set(self.digits) <= set(range(10)):
            raise ValueError(f'classes must be distinct digits from 0 to 9, got {self.digits}')
        super().__init__(ann_file='', pipeline=pipeline, classes=[str(digit) for digit in self.digits], **kwargs)

    def load_data_list(self) -> list[dict]:
        from PIL import Image

        images, labels = load_digit_images(self.split)
        size = (self.img_size, self.img_size)
        grey = (np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)) for image in images)
        return [
            dict(img=np.repeat(img[..., None], 3, axis=-1), gt_label=self.digits.index(label))
            for img, label in zip(grey, labels, strict=True)
            if label in self.digits
        ]

    def extra_repr(self) -> list[str]:
        return [f'Split: \t{self.split}', f'Image size: \t{self.img_size}']
