"""Loading that names what it cannot read, and a look at class maps before they train anything.

What the hosts do with a bad file (mmcv 2.3, mmseg 1.4): an empty one ends in an error of OpenCV that does not name it,
a class map of another size or with ids beyond the classes is cut or resized along, until a loss fails on an index.
A class map is cast to uint8, whatever its depth: id 257 becomes 1, and id 256 becomes 0. An image of 16 bits is clipped
at 255 by pillow and divided by 256 by OpenCV.
"""

import io
import logging
import os

import cv2
import mmcv
import mmengine.fileio as fileio
import numpy as np
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmengine.logging import print_log
from PIL import Image

from mixpro_mm.registry import TRANSFORMS, register
from mixpro_mm.utils.arguments import shown

__all__ = ['CheckSegmentation', 'LoadWholeImage']

DEEP = ('I', 'F')  # how the modes of pillow for more than 8 bits begin: I;16, I;16B, I, F
MAPS_OF_A_FOLDER = 1000  # read at most, before a folder is said to hold no foreground
OF_THE_FILE = (AssertionError, OSError, SyntaxError, cv2.error)  # as mmcv, pillow, its PNG plugin and OpenCV raise them


@register(TRANSFORMS)
class LoadWholeImage(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile``, with one sentence for a file that is missing, empty, truncated or no image.

    Takes its arguments and gives the same pixels. That a file is cut short is OpenCV's finding (4.12 refuses to decode
    it); bytes altered in the middle pass, as they do everywhere. A lack of memory, or of a package, is no fault of the
    file: MemoryError and ImportError pass as they are, with ``ignore_empty`` too. OpenCV divides a grey image of 16
    bits by 256; a warning is given, once, if it comes out black.

    Raises:
        ValueError: The file cannot be read; the sentence names it, and the decoder's own error is its cause. With
            ``ignore_empty`` the sample is skipped instead, and the data set takes another one at random. Or it
            is a grey image of more than 8 bits whose values pillow clips, with ``ignore_empty`` too.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        # mmcv, told to ignore, would swallow every error
        self.skip, self.ignore_empty = self.ignore_empty, False
        self.warned = False

    def transform(self, results: dict) -> dict | None:
        path = results['img_path']
        try:
            results = super().transform(results)
        except (ImportError, MemoryError):
            raise
        except Exception as error:  # what the decoders raise have no class in common
            if self.skip:
                return None
            raise ValueError(f'Image {path} cannot be read: {self._why(path, error)}.') from error
        if self.color_type != 'unchanged':
            self._check_depth(path, results['img'])
        return results

    def _check_depth(self, path: str, image: np.ndarray) -> None:
        few = image[::8, ::8]
        if few.ndim == 3 and (few[..., 0] != few[..., -1]).any():
            return  # in colour: the hosts' decoders take the high byte
        file = _opened(path, self.backend_args)
        if file is None:
            return
        with file:
            if not file.mode.startswith(DEEP):
                return
            values = np.asarray(file)
        low, high = values.min(), values.max()
        backend = self.imdecode_backend or mmcv.image.io.imread_backend
        said = f'Image {path} (mode {file.mode}) holds values {low} to {high}, and imdecode_backend {backend!r}'
        advice = 'write the images with 8 bits, scaled to 0 .. 255.'
        if backend == 'pillow' and (low < 0 or high > 255):
            raise ValueError(f'{said} clips them to 0 .. 255: {advice}')
        if file.mode == 'F' and 0 < high <= 1:
            raise ValueError(f'{said} makes whole numbers of them: {advice}')
        if high > 0 and (image == 0).all() and not self.warned:
            self.warned = True  # once: a dark image among others of 16 bits is sound
            print_log(f'{said} makes it black: {advice}', 'current', logging.WARNING)

    def _why(self, path: str, error: Exception) -> str:
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        kind = f'{type(error).__module__}.{type(error).__name__}'.removeprefix('builtins.')
        try:
            data = fileio.get(path, backend_args=self.backend_args)
        except Exception:  # again, from wherever it comes; the first error tells more
            return f'{kind}: {shown(str(error))}'
        if not data:
            return 'it is empty (0 bytes)'
        size = f'it has {len(data)} bytes and begins with {bytes(data[:12])!r}'
        if isinstance(error, OF_THE_FILE):
            return f'it is truncated or no image; {size} ({kind})'
        return f'imdecode_backend {self.imdecode_backend!r} ended in {kind}: {shown(str(error))}; {size}'

    def __repr__(self) -> str:
        return super().__repr__().replace('ignore_empty=False', f'ignore_empty={self.skip}')


@register(TRANSFORMS)
class CheckSegmentation(BaseTransform):
    """Stops at a class map that does not belong to its image; to stand right after ``LoadAnnotations``.

    It reads mode and channels from the header of the file, as mmseg casts what it loads to uint8. The file is decoded a
    second time only if it has not 8 bits a pixel. What another transform than mmseg's loaded from such a file passes.

    Args:
        num_classes (int): Ids go from 0 to ``num_classes - 1``.
        ignore_index (int): The id of pixels that do not count.
        backend_args (dict, optional): Those of ``LoadAnnotations``, to open a map that is no local file.

    Raises:
        ValueError: The map has another size than the image or several channels, holds other ids, or ids that mmseg
            alters (more or less than 8 bits a pixel); the sentence names both files. Or ``num_classes`` is 2, and no
            foreground trains: the maps in the folder (1000 local files at most, of the same suffix) hold two values
            together, which are loaded as 0 and ``ignore_index``. With more classes this is a warning, given once.
    """

    def __init__(self, num_classes: int, ignore_index: int = 255, backend_args: dict | None = None):
        if num_classes < 1:
            raise ValueError(f'num_classes is {num_classes}, not above 0')
        self.num_classes, self.ignore_index, self.backend_args = num_classes, ignore_index, backend_args
        self.foreground = num_classes == 1  # whether it has been seen, or looked for
        self.warned = set()

    def transform(self, results: dict) -> dict:
        ids, image, path = results['gt_seg_map'], results['img'], results.get('seg_map_path')
        names = f'Class map {path} of image {results.get("img_path")}'
        file = _opened(path, self.backend_args)
        if file is None:
            self._warn(
                'closed',
                f'{names} cannot be opened by pillow with backend_args={self.backend_args}: its depth is not checked.',
            )
        else:
            with file:
                self._check_file(names, file, results)
        if ids.ndim != 2:
            raise ValueError(f'{names} has shape {ids.shape}, not height and width.')
        if ids.shape != image.shape[:2]:
            raise ValueError(f'{names} is {_size(ids)}, the image {_size(image)}.')
        wrong = ids[(ids != self.ignore_index) & ((ids < 0) | (ids >= self.num_classes))]
        if wrong.size:
            raise ValueError(
                f'{names} holds ids {_few(wrong)} in {wrong.size} pixels; {self.num_classes} classes have 0 to '
                f'{self.num_classes - 1}, and {self.ignore_index} is ignored.'
            )
        if not self.foreground:
            self._look_for_foreground(names, results)
        return results

    def _check_file(self, names: str, file: Image.Image, results: dict) -> None:
        ids, mode, channels = results['gt_seg_map'], file.mode, len(file.getbands())
        if channels > 1 and ids.shape != results['img'].shape[:2]:
            raise ValueError(
                f'{names} has {channels} channels (mode {mode}), and a map of ids has one: write the ids as an image '
                'of one channel and 8 bits (mode L or P).'
            )
        if mode == 'P' and ids.ndim == 3:
            raise ValueError(
                f'{names} has a palette (mode P), and its colours were read instead of its ids: set '
                "imdecode_backend='pillow' in LoadAnnotations."
            )
        if file.format == 'JPEG':
            self._warn('JPEG', f'{names} is a JPEG, whose compression alters ids: write the class maps as PNG.')
        scaled = next((bits for bits in (2, 4) if f'L;{bits}' in str(file.tile[:1])), None)  # by every backend
        if mode == '1':
            if np.array_equal(ids, self._loaded(results, 'cv2')) and not np.array_equal(ids, self._loaded(results)):
                raise ValueError(
                    f'{names} has one bit a pixel (mode 1), and 1 was read as 255: set '
                    "imdecode_backend='pillow' in LoadAnnotations."
                )
        elif scaled or mode.startswith(DEEP):
            real = np.asarray(file).squeeze()  # as mmseg does
            if scaled:
                real = real // (255 // (2**scaled - 1))
                altered = real > 0
            else:
                with np.errstate(invalid='ignore'):
                    altered = real != real.astype(np.uint8)
                if self.ignore_index == 255:  # they become 255
                    altered &= (real != -1) & (real != 65535)
            if altered.any() and np.array_equal(ids, self._loaded(results)):
                raise ValueError(
                    f'{names} has {f"{scaled} bits a pixel" if scaled else "more than 8 bits a pixel"} (mode {mode}) '
                    f'and holds ids {_few(real[altered])} in {altered.sum()} pixels, which LoadAnnotations reads as '
                    f'{_few(ids[altered])}: write the ids from 0 to 255 as an image of 8 bits (mode L or P).'
                )

    def _look_for_foreground(self, names: str, results: dict) -> None:
        if self._trains(results['gt_seg_map']):
            self.foreground = True
        elif (results['gt_seg_map'] == self.ignore_index).any() and os.path.isfile(results.get('seg_map_path') or ''):
            self.foreground = True  # the folder is read once
            folder, name = os.path.split(results['seg_map_path'])
            files = sorted(file for file in os.listdir(folder or '.') if file.endswith(os.path.splitext(name)[1]))
            maps, values = 0, set()
            for file in files[:: -(-len(files) // MAPS_OF_A_FOLDER)]:
                path = dict(seg_map_path=os.path.join(folder, file))
                try:
                    raw, ids = self._loaded(path), self._loaded(results | path)
                except Exception:  # no map; one that is broken is named when it is loaded
                    continue
                if raw.ndim == 2:
                    maps += 1
                    values.update(np.unique(raw).tolist())
                    if len(values) > 2 or self._trains(ids):
                        return
            said = (
                f'{names} is loaded as 0 and {self.ignore_index}, which is ignored, and so are all {maps} maps read '
                f'from its folder, which hold {" and ".join(map(str, sorted(values)))}, so that no foreground trains '
                f'with num_classes={self.num_classes}: write 0 for the background and the id of the class, such as 1, '
                f'for the foreground{", and set reduce_zero_label=False" * bool(results.get("reduce_zero_label"))}.'
            )
            if self.num_classes == 2:
                raise ValueError(said)
            self._warn('foreground', said)

    def _loaded(self, results: dict, backend: str = 'pillow') -> np.ndarray:
        """The class map as mmseg's ``LoadAnnotations`` reads it."""
        from mmseg.datasets.transforms import LoadAnnotations

        load = LoadAnnotations(imdecode_backend=backend, backend_args=self.backend_args)
        return load.transform(dict(reduce_zero_label=False) | results | dict(seg_fields=[]))['gt_seg_map']

    def _trains(self, ids: np.ndarray) -> bool:
        return bool(((ids != 0) & (ids != self.ignore_index)).any())

    def _warn(self, kind: str, sentence: str) -> None:
        if kind not in self.warned:
            self.warned.add(kind)
            print_log(sentence, 'current', logging.WARNING)


def _opened(path: str | None, backend_args: dict | None) -> Image.Image | None:
    """The file, with its header read and nothing decoded; None if pillow cannot open it."""
    try:
        return Image.open(path if os.path.isfile(path) else io.BytesIO(fileio.get(path, backend_args=backend_args)))
    except Exception:  # the file backends' errors have no class in common
        return None


def _few(ids: np.ndarray) -> str:
    return ', '.join(map(str, np.unique(ids)[:5]))


def _size(array: np.ndarray) -> str:
    return f'{array.shape[1]} x {array.shape[0]}'
