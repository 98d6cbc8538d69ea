"""Fashion-MNIST (Xiao et al., 2017; MIT licence): product photographs of garments, shoes and bags in 10 classes.

``python -m mixpro_mm.datasets.fashion_mnist [data/fashion-mnist]`` fetches the four files.
"""

import gzip
import hashlib
import zlib
from pathlib import Path

import numpy as np
from mmpretrain.datasets import BaseDataset

from mixpro_mm.registry import DATASETS, register
from mixpro_mm.utils.arguments import distinct_labels, one_of, positive_int

__all__ = ['CLASSES', 'FashionMNIST', 'balanced_subset', 'load_fashion_images', 'read_file']

CLASSES = ('T-shirt/top', 'trouser', 'pullover', 'dress', 'coat', 'sandal', 'shirt', 'sneaker', 'bag', 'ankle boot')
SIDE = 28  # pixels
INSTALLED = 'usr/share/datasets/fashion-mnist'  # by Debian's package
FOLDERS = ('', 'FashionMNIST/raw', INSTALLED)  # the files, a root of torchvision, an unpacked package
SHA256 = {  # of the uncompressed files
    'train-images-idx3-ubyte': 'c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888',
    'train-labels-idx1-ubyte': 'bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9',
    't10k-images-idx3-ubyte': '5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b',
    't10k-labels-idx1-ubyte': '0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34',
}


def read_file(root: Path, name: str) -> tuple[Path, bytes]:
    """Return the path of a file, gzipped or not, and its uncompressed content."""
    places = [root / folder / f'{name}{suffix}' for folder in FOLDERS for suffix in ('', '.gz')]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise FileNotFoundError(f'{root} has no {name} or {name}.gz: python -m {__name__} {root}')
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error):
        content = b''
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise ValueError(f'{path} is damaged, or a file of another data set: its SHA-256 is not that of Fashion-MNIST')
    return path, content


def load_fashion_images(split: str, data_root='data/fashion-mnist') -> tuple[np.ndarray, np.ndarray]:
    """Return the photographs of a split (N, 28, 28) uint8, black background 0, and their labels (N,).

    Args:
        split: 'train' (60,000 images, 6,000 of each class) or 'test' (10,000).
        data_root: Folder with the four idx files, gzipped or not; or root of torchvision's FashionMNIST.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: The split is unknown, or the content of a file is not that of Fashion-MNIST.
    """
    part = dict(train='train', test='t10k')[one_of('split', split, ('train', 'test'))]
    images, labels = (read_file(Path(data_root), f'{part}-{kind}-ubyte')[1] for kind in ('images-idx3', 'labels-idx1'))
    images = np.frombuffer(images, np.uint8, offset=16).reshape(-1, SIDE, SIDE)
    return images, np.frombuffer(labels, np.uint8, offset=8)


def balanced_subset(labels: np.ndarray, count: int, seed: int, last: bool = False) -> np.ndarray:
    """Return ``count`` positions (ascending), equally many per label; of one seed, smaller subsets are inside larger.

    With ``last``, they are taken from the other end of the order: two such subsets are disjoint if both fit.

    Raises:
        ValueError: ``count`` is not a multiple of the number of classes, or a class has too few images.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    classes, available = np.unique(labels, return_counts=True)
    each, rest = divmod(positive_int('num_images', count), len(classes))
    if rest or each > available.min():
        most = available.min() * len(classes)
        raise ValueError(f'num_images must be a multiple of {len(classes)} and at most {most}, got {count}')
    part = slice(-each, None) if last else slice(each)
    return np.sort(np.concatenate([order[labels[order] == label][part] for label in classes]))


@register(DATASETS)
class FashionMNIST(BaseDataset):
    """Fashion-MNIST; ``img`` is BGR uint8 (img_size, img_size, 3) with equal channels.

    Unlike mmpretrain's class of this name it downloads nothing, reads gzipped files, and checks their content.

    Args:
        data_root (str): See :func:`load_fashion_images`.
        split (str): 'train' (60,000 images), 'test' (10,000), or 'val': training images to choose settings with. They
            are not in a subset of 'train' with the same seed and classes, if both fit into the 60,000.
        classes (Sequence[int]): Labels to keep; the new labels are positions in this sequence.
        num_images (int | None): Size of a class-balanced subset; a multiple of the number of classes. Required for
            'val'.
        seed (int): Seed of the subset.
        img_size (int): Side in pixels; the photographs of 28 x 28 are padded with black, not resized.
        pipeline (Sequence): Transforms; no loading step is needed.
        **kwargs: Other arguments of mmpretrain's ``BaseDataset``.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is not that of Fashion-MNIST, or an argument is invalid.
    """

    METAINFO = dict(classes=CLASSES)

    def __init__(
        self,
        data_root: str = 'data/fashion-mnist',
        split: str = 'train',
        classes=tuple(range(10)),
        num_images: int | None = None,
        seed: int = 0,
        img_size: int = 32,
        pipeline=(),
        **kwargs,
    ):
        self.split, self.num_images, self.seed = one_of('split', split, ('train', 'val', 'test')), num_images, seed
        if split == 'val' and num_images is None:
            raise ValueError("num_images must be given for the split 'val'")
        self.labels = distinct_labels('classes', classes, len(CLASSES))
        self.img_size = positive_int('img_size', img_size, least=SIDE)
        names = [CLASSES[label] for label in self.labels]
        super().__init__(ann_file='', data_root=data_root, pipeline=pipeline, classes=names, **kwargs)

    def load_data_list(self) -> list[dict]:
        self.images, self.targets = load_fashion_images('test' if self.split == 'test' else 'train', self.data_root)
        chosen = np.flatnonzero(np.isin(self.targets, self.labels))
        if self.num_images is not None:
            last = self.split == 'val'
            chosen = chosen[balanced_subset(self.targets[chosen], self.num_images, self.seed, last=last)]
        return [dict(position=int(place), gt_label=self.labels.index(self.targets[place])) for place in chosen]

    def get_data_info(self, idx: int) -> dict:
        info = super().get_data_info(idx)
        before = (self.img_size - SIDE) // 2
        grey = np.pad(self.images[info['position']], (before, self.img_size - SIDE - before))
        return info | dict(img=np.repeat(grey[..., None], 3, axis=-1))
