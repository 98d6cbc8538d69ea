"""Test sets for classifiers of ImageNet-1k, with one folder of images per class.

ImageNet-A and -O: Hendrycks et al., "Natural Adversarial Examples", CVPR 2021. ImageNet-R: Hendrycks et al., "The Many
Faces of Robustness", ICCV 2021. ImageNet-Sketch: Wang et al., "Learning Robust Global Representations by Penalizing
Local Predictive Power", NeurIPS 2019. ImageNetV2: Recht et al., "Do ImageNet Classifiers Generalize to ImageNet?",
ICML 2019. The data sets are checked without opening images.
"""

import functools
from collections import Counter
from pathlib import Path

from mmengine.fileio import get_file_backend, isdir
from mmpretrain.datasets import BaseDataset, ImageNet

from mixpro_mm.datasets.imagenet import ImageNet1k
from mixpro_mm.registry import DATASETS, register
from mixpro_mm.utils.arguments import counted

__all__ = ['ClassFolders', 'ImageNetA', 'ImageNetO', 'ImageNetR', 'ImageNetSketch', 'ImageNetV2', 'imagenet_wnids']

SHOWN = 5  # names per kind in a message


@functools.cache
def imagenet_wnids() -> tuple[str, ...]:
    """Return the WordNet IDs of the 1,000 classes of ImageNet-1k, in the order of a classifier's outputs."""
    return tuple(Path(__file__).with_name('imagenet_wnids.txt').read_text(encoding='ascii').split())


class ClassFolders(BaseDataset):
    """Images of classes of ImageNet-1k in folders ``<data_root>/<class>``.

    Labels are positions of the folders in the order of the outputs of a classifier. The metainfo has ``wnids``,
    ``indices``, the columns of the classes in these outputs, and ``num_outputs``, their number (1,000). For a
    classifier with other outputs, pass ``indices`` and ``num_outputs`` as ``metainfo``.

    Args:
        data_root (str): Folder of the folders.
        num_images (int, optional): Required number of images; None accepts any number.
        pipeline (Sequence): Transforms.
        **kwargs: Other arguments of mmpretrain's ``BaseDataset``.

    Raises:
        FileNotFoundError: The folder does not exist.
        ValueError: The folders are not the classes, a class has no image, or the number of images differs; the message
            lists all problems.
    """

    count = 1000  # of the folders
    naming = 'named by WordNet IDs of ImageNet-1k'

    def __init__(self, data_root: str, num_images: int | None = None, pipeline=(), **kwargs):
        self.num_images = num_images
        super().__init__(ann_file='', data_root=data_root, pipeline=pipeline, **kwargs)

    def folder_names(self) -> tuple[str, ...]:
        """Return the name of the folder of each of the 1,000 classes."""
        return imagenet_wnids()

    def load_data_list(self) -> list[dict]:
        images, wnids = self.images(), imagenet_wnids()
        position = {name: index for index, name in enumerate(self.folder_names())}
        own = dict(indices=[position[name] for name in images], num_outputs=len(position))
        self._metainfo.update(own | self._metainfo, wnids=[wnids[index] for index in own['indices']])
        if len(self._metainfo['indices']) != self.count:
            found = len(self._metainfo['indices'])
            raise ValueError(f'`indices` in metainfo must be the columns of the {self.count} classes, got {found}')
        return [dict(img_path=path, gt_label=label) for label, paths in enumerate(images.values()) for path in paths]

    def images(self) -> dict[str, list[str]]:
        """Return the paths of the images of each folder, in the order of the classes."""
        suffix = '' if self.num_images is None else f' with {self.num_images} images'
        expected = f'{self.count} folders {self.naming}{suffix}'
        if not isdir(self.data_root):
            raise FileNotFoundError(f'there is no folder {self.data_root}; expected are {expected}')
        backend = get_file_backend(self.data_root)
        folders = {*backend.list_dir_or_file(self.data_root, list_dir=True, list_file=False)}
        images = {}
        for name in (name for name in self.folder_names() if name in folders):
            folder = backend.join_path(self.data_root, name)
            files = sorted(backend.list_dir_or_file(folder, list_dir=False, list_file=True))
            is_image = (file for file in files if file.lower().endswith(ImageNet.IMG_EXTENSIONS))
            images[name] = [backend.join_path(folder, file) for file in is_image]

        found, count = [], sum(map(len, images.values()))
        if unknown := sorted(folders - images.keys()):
            found.append(f'{counted(len(unknown), "folder")} with other names ({_listed(unknown)})')
        if len(images) != self.count:
            found.append(f'{counted(len(images), "folder")} of classes of ImageNet-1k instead of {self.count}')
        if empty := [name for name, paths in images.items() if not paths]:
            found.append(f'{counted(len(empty), "folder")} of classes without an image ({_listed(empty)})')
        if self.num_images not in (None, count):
            found.append(f'{count} images instead of {self.num_images}')
        if found:
            raise ValueError(f'{self.data_root} is not complete: it has {", ".join(found)}; expected are {expected}')
        return images


@register(DATASETS)
class ImageNetA(ClassFolders):
    """ImageNet-A: 7,500 images of 200 classes that classifiers misclassify, in 200 folders ``<data_root>/<wnid>``.

    Arguments and errors are those of :class:`ClassFolders`.
    """

    count = 200

    def __init__(self, data_root: str, num_images: int | None = 7_500, pipeline=(), **kwargs):
        super().__init__(data_root, num_images, pipeline, **kwargs)


@register(DATASETS)
class ImageNetR(ClassFolders):
    """ImageNet-R: 30,000 art works, toys and other renditions of 200 classes, in 200 folders ``<data_root>/<wnid>``.

    Arguments and errors are those of :class:`ClassFolders`.
    """

    count = 200

    def __init__(self, data_root: str, num_images: int | None = 30_000, pipeline=(), **kwargs):
        super().__init__(data_root, num_images, pipeline, **kwargs)


@register(DATASETS)
class ImageNetSketch(ClassFolders):
    """ImageNet-Sketch: 50,889 black-and-white sketches of the 1,000 classes, in folders ``<data_root>/<wnid>``.

    Arguments and errors are those of :class:`ClassFolders`.
    """

    def __init__(self, data_root: str, num_images: int | None = 50_889, pipeline=(), **kwargs):
        super().__init__(data_root, num_images, pipeline, **kwargs)


@register(DATASETS)
class ImageNetV2(ClassFolders):
    """ImageNetV2: 10,000 new test images of the 1,000 classes, in folders ``<data_root>/<label>`` from 0 to 999.

    A data set that sorts the folders by name would permute the labels.

    Arguments and errors are those of :class:`ClassFolders`.
    """

    naming = 'named 0 to 999'

    def __init__(self, data_root: str, num_images: int | None = 10_000, pipeline=(), **kwargs):
        super().__init__(data_root, num_images, pipeline, **kwargs)

    def folder_names(self) -> tuple[str, ...]:
        """Return '0' to '999'."""
        return tuple(map(str, range(len(imagenet_wnids()))))


@register(DATASETS)
class ImageNetO(ImageNetA):
    """Validation images of 200 classes of ImageNet-1k, followed by the 2,000 images of ImageNet-O of no known class.

    A folder of ImageNet-O is named by the class its images are confused with; these are the 200 classes. Each image has
    ``ood``, 1 for ImageNet-O and 0 else; ``PackInputs(algorithm_keys=['ood'])`` copies it to the data sample. No image
    has a label, because mmpretrain's preprocessor requires labels for all images of a batch or for none.

    Args:
        data_root (str): Folder of ImageNet-O, with the layout of ImageNet-A.
        imagenet_root (str): Root of ImageNet-1k, in either layout of :class:`ImageNet1k`.
        num_images (int, optional): Required number of images of ImageNet-O; None accepts any number.
        num_val_images (int, optional): Required number of validation images; None accepts any number.
        **kwargs: Other arguments of :class:`ImageNetA`.

    Raises:
        FileNotFoundError, ValueError: See :class:`ClassFolders` and :class:`ImageNet1k`; also if one of the 200 classes
            has no validation image or their number differs.
    """

    def __init__(self, data_root, imagenet_root, num_images=2_000, num_val_images=10_000, pipeline=(), **kwargs):
        self.imagenet_root, self.num_val_images = imagenet_root, num_val_images
        super().__init__(data_root=data_root, num_images=num_images, pipeline=pipeline, **kwargs)

    def load_data_list(self) -> list[dict]:
        outside = [item['img_path'] for item in super().load_data_list()]
        return [dict(img_path=path, ood=ood) for ood, paths in enumerate((self._known(), outside)) for path in paths]

    def _known(self) -> list[str]:
        val = ImageNet1k(data_root=self.imagenet_root, split='val', lazy_init=True)
        wnids = imagenet_wnids()
        indices = {wnids.index(wnid) for wnid in self._metainfo['wnids']}
        images = [image for image in val.load_data_list() if image['gt_label'] in indices]
        of_class = Counter(image['gt_label'] for image in images)

        found = []
        if unknown := sorted(set(getattr(val, 'folder_to_idx', ())) - set(wnids)):  # only with folders
            found.append(f'{counted(len(unknown), "folder")} with other names ({_listed(unknown)})')
        if empty := [wnids[index] for index in sorted(indices) if not of_class[index]]:
            found.append(f'no image of {len(empty)} of the {self.count} classes of {self.data_root} ({_listed(empty)})')
        if self.num_val_images not in (None, len(images)):
            each = self.num_val_images // self.count
            odd = [f'{wnids[index]}: {of_class[index]}' for index in sorted(indices) if of_class[index] != each]
            found.append(f'{len(images)} images of these classes instead of {self.num_val_images} ({_listed(odd)})')
        if found:
            raise ValueError(f'the validation images of {self.imagenet_root} are not complete: {", ".join(found)}')
        return [image['img_path'] for image in images]


def _listed(names: list[str]) -> str:
    return ', '.join(names[:SHOWN]) + (', ...' if len(names) > SHOWN else '')
