"""Small data sets in memory, with random shifts and flips of whole batches."""

import torch
from mmpretrain.registry import DATASETS as MMPRETRAIN_DATASETS
from mmpretrain.structures import DataSample
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import Dataset

from mixpro_mm.registry import DATASETS, FUNCTIONS, register
from mixpro_mm.utils.arguments import positive_int, within

__all__ = ['InMemoryDataset', 'keep_batch']


@register(FUNCTIONS)
def keep_batch(batch: dict) -> dict:
    """Return a batch of ``InMemoryDataset`` unchanged: the ``collate_fn`` of its data loader.

    Raises:
        TypeError: If the data set returned samples one by one, as a wrapper around ``InMemoryDataset`` does.
    """
    if not isinstance(batch, dict):
        raise TypeError('keep_batch needs the batches of InMemoryDataset, which cannot be wrapped by another data set')
    return batch


@register(DATASETS)
class InMemoryDataset(Dataset):
    """Load a classification data set once and serve batches of it as one tensor.

    The data loader requests all images of a batch at once and needs ``collate_fn=dict(type='mixpro_mm.keep_batch')``.
    Each image is padded with black, cropped at random to its size, and flipped at random: the distribution of
    ``RandomCrop(padding=...)`` and ``RandomFlip``, drawn from torch's generator. Memory: one byte a value, 150 MB for
    CIFAR's 50,000 images.

    Args:
        dataset (dict): Data set with one label per image, whose pipeline is not random and ends with ``PackInputs``.
        padding (int): Largest shift in pixels, in each direction.
        flip_prob (float): Probability of a horizontal flip.

    Raises:
        ValueError: An argument is invalid, the images are not uint8 of one size, or an image has not one label.
    """

    def __init__(self, dataset: dict, padding: int = 0, flip_prob: float = 0.0):
        self.padding = positive_int('padding', padding, least=0)
        self.flip_prob = within('flip_prob', flip_prob, 0, 1)
        source = MMPRETRAIN_DATASETS.build(dataset)
        self.metainfo = source.metainfo
        samples = [source[index] for index in range(len(source))]
        sizes = {(sample['inputs'].dtype, tuple(sample['inputs'].shape)) for sample in samples}
        if len(sizes) != 1 or samples[0]['inputs'].dtype != torch.uint8:
            found = ', '.join(sorted(f'{dtype} {size}' for dtype, size in sizes)[:3])
            raise ValueError(f'InMemoryDataset needs uint8 images of one size, got {found or "no images"}')
        self.images = torch.stack([sample['inputs'] for sample in samples])
        labels = [sample['data_samples'].get('gt_label', ()) for sample in samples]
        if {len(label) for label in labels} != {1}:
            raise ValueError('InMemoryDataset needs one label per image')
        self.labels = torch.cat(labels)

    def __len__(self) -> int:
        return len(self.labels)

    def get_gt_labels(self):
        """Return the labels (N,), as mmpretrain's data sets do."""
        return self.labels.numpy()

    def __getitem__(self, index: int) -> dict:
        batch = self.__getitems__([index])
        return {name: values[0] for name, values in batch.items()}

    def __getitems__(self, indices: list[int]) -> dict:
        """Return ``inputs`` (B, C, H, W) uint8 and ``data_samples``, a list of B samples with labels."""
        samples = [DataSample().set_gt_label(label) for label in self.labels[indices].tolist()]
        return dict(inputs=self._augment(self.images[indices]), data_samples=samples)

    def _augment(self, images: Tensor) -> Tensor:
        count, (height, width) = len(images), images.shape[2:]
        if self.padding:
            corners = torch.randint(2 * self.padding + 1, (count, 2)).tolist()
            padded = zip(pad(images, [self.padding] * 4), corners, strict=True)
            images = torch.stack([image[:, y : y + height, x : x + width] for image, (y, x) in padded])
        if self.flip_prob:
            flip = torch.rand(count, 1, 1, 1) < self.flip_prob
            images = torch.where(flip, images.flip(-1), images)
        return images
