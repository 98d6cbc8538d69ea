"""ImageNet-A and ImageNet-O (Hendrycks et al., CVPR 2021, https://github.com/hendrycks/natural-adv-examples)."""

import functools
from collections import Counter
from pathlib import Path

from mmengine.fileio import get_file_backend, isdir
from mmpretrain.datasets import BaseDataset, ImageNet

from mixpro_mm.datasets.imagenet import ImageNet1k
from mixpro_mm.registry import DATASETS, register
from mixpro_mm.utils.arguments import counted

__all__ = ['ImageNetA', 'ImageNetO', 'imagenet_wnids']

CLASSES = 200
SHOWN = 5  # names per kind in a message


@functools.cache
def imagenet_wnids() -> tuple[str, ...]:
    """Return the WordNet IDs of the 1,000 classes of ImageNet-1k, in the order of a classifier's outputs."""
    return tuple(Path(__file__).with_name('imagenet_wnids.txt').read_text(encoding='ascii').split())


@register(DATASETS)
class ImageNetA(BaseDataset):
    """ImageNet-A: images of 200 of the 1,000 classes of ImageNet-1k, in 200 folders ``<data_root>/<wnid>/*.jpg``.

    Labels are 0 to 199 in the order of the WordNet IDs. The metainfo has ``wnids``, ``indices``, the columns of the
    200 classes in the outputs of a classifier, and ``num_outputs``, the number of outputs (1,000). For a classifier
    with other outputs, pass ``indices`` and ``num_outputs`` as ``metainfo``. No image is opened.

    Args:
        data_root (str): Folder of the 200 folders.
        num_images (int, optional): Required number of images; None accepts any number.
        pipeline (Sequence): Transforms.
        **kwargs: Other arguments of mmpretrain's ``BaseDataset``.

    Raises:
        FileNotFoundError: The folder does not exist.
        ValueError: The folders are not 200 classes of ImageNet-1k, a class has no image, or the number of images
            differs; the message lists all problems.
    """

    def __init__(self, data_root: str, num_images: int | None = 7_500, pipeline=(), **kwargs):
        self.num_images = num_images
        super().__init__(ann_file='', data_root=data_root, pipeline=pipeline, **kwargs)

    def load_data_list(self) -> list[dict]:
        images = self._images()
        position = {wnid: index for index, wnid in enumerate(imagenet_wnids())}
        own = dict(indices=[position[wnid] for wnid in images], num_outputs=len(position))
        self._metainfo.update(own | self._metainfo, wnids=list(images))
        if len(self._metainfo['indices']) != CLASSES:
            count = len(self._metainfo['indices'])
            raise ValueError(f'`indices` in metainfo must be the columns of the {CLASSES} classes, got {count}')
        return [dict(img_path=path, gt_label=label) for label, paths in enumerate(images.values()) for path in paths]

    def _images(self) -> dict[str, list[str]]:
        suffix = '' if self.num_images is None else f' with {self.num_images} images'
        expected = f'{CLASSES} folders named by WordNet IDs of ImageNet-1k{suffix}'
        if not isdir(self.data_root):
            raise FileNotFoundError(f'there is no folder {self.data_root}; expected are {expected}')
        backend = get_file_backend(self.data_root)
        folders = sorted(backend.list_dir_or_file(self.data_root, list_dir=True, list_file=False))
        images, known = {}, set(imagenet_wnids())
        for wnid in folders:
            if wnid in known:
                folder = backend.join_path(self.data_root, wnid)
                names = sorted(backend.list_dir_or_file(folder, list_dir=False, list_file=True))
                is_image = (name for name in names if name.lower().endswith(ImageNet.IMG_EXTENSIONS))
                images[wnid] = [backend.join_path(folder, name) for name in is_image]

        found, count = [], sum(map(len, images.values()))
        if unknown := [name for name in folders if name not in known]:
            found.append(f'{counted(len(unknown), "folder")} with other names ({_listed(unknown)})')
        if len(images) != CLASSES:
            found.append(f'{counted(len(images), "folder")} of classes of ImageNet-1k instead of {CLASSES}')
        if empty := [wnid for wnid, paths in images.items() if not paths]:
            found.append(f'{counted(len(empty), "folder")} of classes without an image ({_listed(empty)})')
        if self.num_images not in (None, count):
            found.append(f'{count} images instead of {self.num_images}')
        if found:
            raise ValueError(f'{self.data_root} is not complete: it has {", ".join(found)}; expected are {expected}')
        return images


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
        FileNotFoundError, ValueError: See :class:`ImageNetA` and :class:`ImageNet1k`; also if one of the 200 classes
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
            found.append(f'no image of {len(empty)} of the {CLASSES} classes of {self.data_root} ({_listed(empty)})')
        if self.num_val_images not in (None, len(images)):
            each = self.num_val_images // CLASSES
            odd = [f'{wnids[index]}: {of_class[index]}' for index in sorted(indices) if of_class[index] != each]
            found.append(f'{len(images)} images of these classes instead of {self.num_val_images} ({_listed(odd)})')
        if found:
            raise ValueError(f'the validation images of {self.imagenet_root} are not complete: {", ".join(found)}')
        return [image['img_path'] for image in images]


def _listed(names: list[str]) -> str:
    return ', '.join(names[:SHOWN]) + (', ...' if len(names) > SHOWN else '')
