"""ImageNet-1k (Deng et al., CVPR 2009; ILSVRC 2012) with checks of its folder layout."""

import re

from mmengine.fileio import exists, get_file_backend, isdir
from mmpretrain.datasets import ImageNet

from mixpro_mm.registry import DATASETS, register

__all__ = ['ImageNet1k']

WNID = re.compile(r'n\d{8}')


@register(DATASETS)
class ImageNet1k(ImageNet):
    """ImageNet-1k (1,281,167 training and 50,000 validation images) in one of two layouts::

        data/imagenet/{train,val}/<wnid>/*.JPEG   1,000 folders each; labels are their positions in sorted order
        data/imagenet/meta/{train,val}.txt        lines "PATH LABEL", PATH below {train,val}, LABEL 0 to 999

    A list takes precedence over folders. mmpretrain accepts classes without images and labels above 999; here both are
    errors before training. The check opens no image.

    Args:
        data_root (str): Root folder.
        split (str): 'train', 'val', or 'test' (without labels and class folders).
        **kwargs: Other arguments of mmpretrain's ``ImageNet``.

    Raises:
        FileNotFoundError: The root, the folder of the split, the list or its first image does not exist.
        ValueError: The split does not have 1,000 folders named by WordNet ID, a class has no image, the list is empty,
            or a line is not a path and a label from 0 to 999.
    """

    def load_data_list(self) -> list[dict]:
        for folder in (self.data_root, self.img_prefix):
            if folder and not isdir(folder):
                raise FileNotFoundError(self._message(f'there is no folder {folder}'))
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
                found = f'{len(empty)} of the {len(self.folder_to_idx)} class folders in {self.img_prefix}'
                raise ValueError(self._message(f'{found} contain no image ({shown})'))
        return samples

    def _check_folders(self) -> None:
        list_names = get_file_backend(self.img_prefix).list_dir_or_file
        folders = sorted(list_names(self.img_prefix, list_dir=True, list_file=False))
        odd = [name for name in folders if not WNID.fullmatch(name)]
        if odd:
            raise ValueError(self._message(f'{self.img_prefix} has a folder {odd[0]!r}, which is no WordNet ID'))
        if len(folders) != len(self.CLASSES):
            files = sum(1 for _ in list_names(self.img_prefix, list_dir=False, list_file=True))
            found = f'{self.img_prefix} has {len(folders)} class folders and {files} other files'
            raise ValueError(self._message(f'{found}, not {len(self.CLASSES)} class folders'))

    def _read_list(self) -> list[dict]:
        if not exists(self.ann_file):
            raise FileNotFoundError(self._message(f'there is no list {self.ann_file}'))
        try:
            images = super().load_data_list()
            fits = not self.with_label or all(0 <= image['gt_label'] < len(self.CLASSES) for image in images)
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(self._message(self._first_bad_line()))
        if not images:
            raise ValueError(self._message(f'the list {self.ann_file} is empty'))
        if not exists(images[0]['img_path']):
            raise FileNotFoundError(self._message(f'{images[0]["img_path"]} of {self.ann_file} does not exist'))
        return images

    def _first_bad_line(self) -> str:
        lines = get_file_backend(self.ann_file).get_text(self.ann_file).splitlines()
        last = len(self.CLASSES) - 1
        split = [line.strip().rpartition(' ') for line in lines]
        bad = (n for n, (path, _, label) in enumerate(split) if not (path and label.isdecimal() and int(label) <= last))
        n = next(bad)
        return f'line {n + 1} of {self.ann_file} is {lines[n]!r}, not a path and a label from 0 to {last}'

    def _message(self, found: str) -> str:
        root = self.data_root or 'data_root'
        return (
            f'ImageNet-1k is not as expected: {found}; expected are {len(self.CLASSES)} folders named by WordNet ID in '
            f'{root}/train and {root}/val, or the lists {root}/meta/train.txt and {root}/meta/val.txt'
        )
