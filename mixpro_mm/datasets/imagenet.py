"""ImageNet-1k as mmpretrain reads it, with one clear sentence where the folder is not laid out as it should be.

Deng et al., "ImageNet: A Large-Scale Hierarchical Image Database", CVPR 2009; the 1,000 classes of ILSVRC 2012.
"""

import re

from mmengine.fileio import exists, get_file_backend, isdir
from mmpretrain.datasets import ImageNet

from mixpro_mm.registry import DATASETS, register

__all__ = ['ImageNet1k']

WNID = re.compile(r'n\d{8}')


@register(DATASETS)
class ImageNet1k(ImageNet):
    """ImageNet-1k (1,281,167 images to train, 50,000 to validate), in one of two layouts::

        data/imagenet/{train,val}/<wnid>/*.JPEG   1,000 folders each; labels count them in the order of their names
        data/imagenet/meta/{train,val}.txt        one "PATH LABEL" a line, PATH below {train,val}, LABEL 0 to 999

    A list wins over folders. The host reads both, but tells what is wrong late or not at all: a class without images
    and labels beyond 999 pass, a folder that is not there ends in an errno. Here each is an error before training. No
    image is opened and of a list only the first image is looked for, so the check costs nothing beside the reading.

    Args:
        data_root (str): The folder of the layout.
        split (str): 'train', 'val', or 'test' (no labels, hence no folders of classes).
        **kwargs: Other arguments of mmpretrain's ``ImageNet`` (``data_prefix``, ``ann_file``, ``pipeline``, ...).

    Raises:
        FileNotFoundError: The root, the folder of the split, the list or the first image in it is not there.
        ValueError: A folder of the split has not 1,000 folders named by WordNet ID or one of them has no image; a
            list is empty, or a line of it is not a path and a label from 0 to 999.
    """

    def load_data_list(self) -> list[dict]:
        for folder in (self.data_root, self.img_prefix):
            if folder and not isdir(folder):
                raise FileNotFoundError(self._sentence(f'there is no folder {folder}'))
        if self.ann_file:
            return self._read_list()
        if self.with_label:
            self._check_folders()
        return super().load_data_list()

    def _find_samples(self) -> list:
        samples = super()._find_samples()
        if self.with_label:
            empty = sorted(set(self.folder_to_idx) - {path.split('/', 1)[0] for path, _ in samples})
            if empty:
                shown = ', '.join(empty[:3]) + (', ...' if len(empty) > 3 else '')
                raise ValueError(
                    self._sentence(
                        f'{len(empty)} of the {len(self.folder_to_idx)} class folders in {self.img_prefix} hold no '
                        f'image ({shown})'
                    )
                )
        return samples

    def _check_folders(self) -> None:
        """One look into the folder of the split, before the host walks all of it."""
        list_names = get_file_backend(self.img_prefix).list_dir_or_file
        folders = sorted(list_names(self.img_prefix, list_dir=True, list_file=False))
        odd = [name for name in folders if not WNID.fullmatch(name)]
        if odd:
            found = f'{self.img_prefix} has a folder {odd[0]!r}, which is no WordNet ID such as n01440764'
            raise ValueError(self._sentence(found))
        if len(folders) != len(self.CLASSES):
            files = sum(1 for _ in list_names(self.img_prefix, list_dir=False, list_file=True))
            found = f'{self.img_prefix} has {len(folders)} class folders and {files} other files'
            raise ValueError(self._sentence(f'{found}, not {len(self.CLASSES)} class folders'))

    def _read_list(self) -> list[dict]:
        if not exists(self.ann_file):
            raise FileNotFoundError(self._sentence(f'there is no list {self.ann_file}'))
        try:
            images = super().load_data_list()
            fits = not self.with_label or all(0 <= image['gt_label'] < len(self.CLASSES) for image in images)
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(self._sentence(self._first_bad_line()))
        if not images:
            raise ValueError(self._sentence(f'the list {self.ann_file} is empty'))
        if not exists(images[0]['img_path']):
            found = f'{self.ann_file} begins with {images[0]["img_path"]}, which does not exist'
            raise FileNotFoundError(self._sentence(found))
        return images

    def _first_bad_line(self) -> str:
        """Only called where there is one; reads the list again."""
        lines = get_file_backend(self.ann_file).get_text(self.ann_file).splitlines()
        last = len(self.CLASSES) - 1
        split = [line.strip().rpartition(' ') for line in lines]
        bad = (n for n, (path, _, label) in enumerate(split) if not (path and label.isdecimal() and int(label) <= last))
        n = next(bad)
        return f'line {n + 1} of {self.ann_file} is {lines[n]!r}, not a path, a blank and a label from 0 to {last}'

    def _sentence(self, found: str) -> str:
        root = self.data_root or 'data_root'
        return (
            f'ImageNet-1k is not as expected: {found}; expected are {len(self.CLASSES)} folders named by WordNet ID in '
            f'each of {root}/train and {root}/val, or lists {root}/meta/train.txt and {root}/meta/val.txt of the '
            'images below these two'
        )
