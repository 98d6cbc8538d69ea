"""Images with common corruptions, made by imagecorruptions or read from ImageNet-C.

Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", ICLR 2019.
"""

from collections.abc import Sequence
from zlib import crc32

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.fileio import join_path
from mmpretrain.registry import DATASETS as MMPRETRAIN_DATASETS
from torch.utils.data import Dataset

from mixpro_mm.datasets.imagenet_variants import ClassFolders
from mixpro_mm.registry import DATASETS, TRANSFORMS, register
from mixpro_mm.utils.arguments import distinct_labels, one_of, positive_int

__all__ = [
    'ALL_CORRUPTIONS',
    'CORRUPTIONS',
    'EXTRA_CORRUPTIONS',
    'SEVERITIES',
    'Corrupt',
    'CorruptedDataset',
    'ImageNetC',
]

CORRUPTIONS = (
    'gaussian_noise', 'shot_noise', 'impulse_noise', 'defocus_blur', 'glass_blur', 'motion_blur', 'zoom_blur', 'snow',
    'frost', 'fog', 'brightness', 'contrast', 'elastic_transform', 'pixelate', 'jpeg_compression',
)  # fmt: skip
EXTRA_CORRUPTIONS = ('speckle_noise', 'gaussian_blur', 'spatter', 'saturate')
ALL_CORRUPTIONS = CORRUPTIONS + EXTRA_CORRUPTIONS
SEVERITIES = (1, 2, 3, 4, 5)


@register(TRANSFORMS)
class Corrupt(BaseTransform):
    """Corrupt ``img`` (H, W, 3), uint8 BGR, by imagecorruptions; both sides must have at least 32 pixels.

    Random corruptions depend on ``seed``, the kind, the severity and ``sample_idx`` of the image only.

    Args:
        corruption (str, optional): One of the 15 corruptions of ImageNet-C or the four extra ones; default: the key
            ``corruption`` of :class:`CorruptedDataset`.
        severity (int, optional): 1 to 5; default: the key ``severity``.
        seed (int): Seed of the random corruptions.

    Raises:
        ValueError: An argument is invalid.
    """

    def __init__(self, corruption: str | None = None, severity: int | None = None, seed: int = 0):
        self.corruption = corruption if corruption is None else one_of('corruption', corruption, ALL_CORRUPTIONS)
        self.severity = severity if severity is None else positive_int('severity', severity)
        if self.severity not in (None, *SEVERITIES):
            raise ValueError(f'severity must be 1 to 5, got {severity}')
        self.seed = positive_int('seed', seed, least=0)

    def transform(self, results: dict) -> dict:
        from imagecorruptions import corrupt  # compiles on import

        name, severity = self.corruption or results['corruption'], self.severity or results['severity']
        key = np.random.SeedSequence([self.seed, results['sample_idx'], crc32(name.encode()), severity])
        seed, state = int(key.generate_state(1)[0]), np.random.get_state()  # noqa: NPY002
        own = dict(seed=seed) if name in ('impulse_noise', 'glass_blur') else {}  # others draw from numpy's generator
        np.random.seed(seed)  # noqa: NPY002
        try:
            image = corrupt(np.ascontiguousarray(results['img'][..., ::-1]), severity, name, **own)
        finally:
            np.random.set_state(state)  # noqa: NPY002
        return dict(results, img=np.ascontiguousarray(image[..., ::-1]))


@register(DATASETS)
class CorruptedDataset(Dataset):
    """Images of a data set with each corruption at each severity: ``len(corruptions) * len(severities)`` sets in turn.

    The metainfo of each data sample has ``corruption`` and ``severity``.

    Args:
        dataset (dict): Data set without corruptions. If its pipeline has no :class:`Corrupt`, the images
            are corrupted before the last transform, which packs them.
        corruptions (Sequence[str]): Some of the 15 of ImageNet-C and the four extra ones.
        severities (Sequence[int]): Some of 1 to 5.
        every (int): Take every n-th image: an equal share of each class if the images are sorted by class.

    Raises:
        ValueError: A corruption or severity is unknown or repeated, or the pipeline has a fixed corruption.
    """

    def __init__(
        self,
        dataset: dict,
        corruptions: Sequence[str] = CORRUPTIONS,
        severities: Sequence[int] = SEVERITIES,
        every: int = 1,
    ):
        self.corruptions = [one_of('corruption', name, ALL_CORRUPTIONS) for name in dict.fromkeys(corruptions)]
        self.severities = [level + 1 for level in distinct_labels('severities', [s - 1 for s in severities], 5)]
        if not self.corruptions or len(self.corruptions) != len(corruptions):
            raise ValueError(f'corruptions must be different names, got {list(corruptions)}')
        self.every = positive_int('every', every)
        self.dataset = self._build(dataset)
        self.metainfo = self.dataset.metainfo

    def _build(self, dataset: dict):
        built = MMPRETRAIN_DATASETS.build(dataset)
        own = [step for step in built.pipeline.transforms if isinstance(step, Corrupt)]
        if any(step.corruption or step.severity for step in own):
            raise ValueError('the pipeline of CorruptedDataset has a Corrupt with a fixed corruption or severity')
        if not own:
            built.pipeline.transforms.insert(-1, Corrupt())
        return built

    @property
    def images(self) -> int:
        """Number of images of each set."""
        return -(-len(self.dataset) // self.every)

    def __len__(self) -> int:
        return len(self.corruptions) * len(self.severities) * self.images

    def __getitem__(self, index: int) -> dict:
        if not 0 <= index < len(self):
            raise IndexError(f'index {index} of {len(self)} images')
        number, image = divmod(index, self.images)
        kind, level = divmod(number, len(self.severities))
        how = dict(corruption=self.corruptions[kind], severity=self.severities[level])
        item = self.dataset.pipeline(self._info(image * self.every, **how))
        item['data_samples'].set_metainfo(how)
        return item

    def _info(self, index: int, **how) -> dict:
        return dict(self.dataset.get_data_info(index), **how)


@register(DATASETS)
class ImageNetC(CorruptedDataset):
    """ImageNet-C: 50,000 images of each corruption and severity, ``<data_root>/<corruption>/<severity>/<wnid>``.

    All folders must have the images of the first one, which is checked without opening them.

    Args:
        data_root (str): Folder of the corruptions.
        corruptions, severities, every: See :class:`CorruptedDataset`.
        num_images (int, optional): Required number of images of each folder; None accepts any number.
        pipeline (Sequence): Transforms. The images have 224 pixels already.

    Raises:
        FileNotFoundError, ValueError: See :class:`ClassFolders` and :class:`CorruptedDataset`; also if two folders
            differ in their images.
    """

    def __init__(
        self,
        data_root: str = 'data/imagenet-c',
        corruptions: Sequence[str] = CORRUPTIONS,
        severities: Sequence[int] = SEVERITIES,
        every: int = 1,
        num_images: int | None = 50_000,
        pipeline=(),
    ):
        self.data_root, self.num_images = data_root, num_images
        super().__init__(dict(pipeline=pipeline), corruptions, severities, every)

    def _build(self, dataset: dict):
        folders = [
            join_path(self.data_root, name, str(level)) for name in self.corruptions for level in self.severities
        ]
        first = ClassFolders(folders[0], self.num_images, **dataset)
        self._start = len(folders[0])
        wanted = {info['img_path'][self._start :] for info in map(first.get_data_info, range(len(first)))}
        for folder in folders[1:]:
            images = ClassFolders(folder, self.num_images, lazy_init=True).images()
            found = {path[len(folder) :] for paths in images.values() for path in paths}
            if odd := found ^ wanted:
                raise ValueError(f'{len(odd)} images are not in both {folders[0]} and {folder}, such as {min(odd)}')
        return first

    def _info(self, index: int, corruption: str, severity: int) -> dict:
        info = super()._info(index, corruption=corruption, severity=severity)
        folder = join_path(self.data_root, corruption, str(severity))
        return dict(info, img_path=folder + info['img_path'][self._start :])
