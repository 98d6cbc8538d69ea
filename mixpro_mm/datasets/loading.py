"""Transforms that load images and check class maps, with errors that name the file."""

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

DEEP = ('I', 'F')  # prefixes of pillow's modes of more than 8 bits: I;16, I;16B, I, F
MAX_MAPS = 1000  # maps read to find a foreground
DECODE_ERRORS = (AssertionError, OSError, SyntaxError, cv2.error)  # of mmcv, pillow, its PNG plugin, OpenCV


@register(TRANSFORMS)
class LoadWholeImage(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile`` with an error that names a missing, empty, truncated or undecodable file.

    Takes the same arguments and returns the same pixels. OpenCV divides grey images of 16 bits by 256; the transform
    warns once if the result is black.

    Raises:
        ValueError: The file cannot be read (with ``ignore_empty``, the sample is skipped instead), or pillow clips the
            values of a grey image of more than 8 bits. MemoryError and ImportError are raised unchanged.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.skip, self.ignore_empty = self.ignore_empty, False  # mmcv's ignore_empty hides every error
        self.warned = False

    def transform(self, results: dict) -> dict | None:
        path = results['img_path']
        try:
            results = super().transform(results)
        except (ImportError, MemoryError):
            raise
        except Exception as error:  # decoders have no common exception
            if self.skip:
                return None
            raise ValueError(f'Image {path} cannot be read: {self._why(path, error)}.') from error
        if self.color_type != 'unchanged':
            self._check_depth(path, results['img'])
        return results

    def _check_depth(self, path: str, image: np.ndarray) -> None:
        few = image[::8, ::8]
        if few.ndim == 3 and (few[..., 0] != few[..., -1]).any():
            return  # of colour images, the decoders take the high byte
        if (file := _open(path, self.backend_args)) is None:
            return
        with file:
            if not file.mode.startswith(DEEP):
                return
            values = np.asarray(file)
        low, high = values.min(), values.max()
        backend = self.imdecode_backend or mmcv.image.io.imread_backend
        found = f'Image {path} (mode {file.mode}) holds values {low} to {high}, and imdecode_backend {backend!r}'
        advice = 'write the images with 8 bits, scaled to 0 .. 255.'
        if backend == 'pillow' and (low < 0 or high > 255):
            raise ValueError(f'{found} clips them to 0 .. 255: {advice}')
        if file.mode == 'F' and 0 < high <= 1:
            raise ValueError(f'{found} rounds them to integers: {advice}')
        if high > 0 and (image == 0).all() and not self.warned:
            self.warned = True
            print_log(f'{found} makes it black: {advice}', 'current', logging.WARNING)

    def _why(self, path: str, error: Exception) -> str:
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        kind = f'{type(error).__module__}.{type(error).__name__}'.removeprefix('builtins.')
        try:
            data = fileio.get(path, backend_args=self.backend_args)
        except Exception:  # the first error says more
            return f'{kind}: {shown(str(error))}'
        if not data:
            return 'it is empty (0 bytes)'
        size = f'it has {len(data)} bytes and begins with {bytes(data[:12])!r}'
        if isinstance(error, DECODE_ERRORS):
            return f'it is truncated or no image; {size} ({kind})'
        return f'imdecode_backend {self.imdecode_backend!r} ended in {kind}: {shown(str(error))}; {size}'


@register(TRANSFORMS)
class CheckSegmentation(BaseTransform):
    """Check that a class map fits its image and the classes; place it directly after ``LoadAnnotations``.

    mmseg casts class maps to uint8, so that id 257 becomes 1, and accepts other sizes and ids. The transform reads
    mode and channels from the file header, and decodes the file again only if it does not have 8 bits per pixel.

    Args:
        num_classes (int): Ids are 0 to ``num_classes - 1``.
        ignore_index (int): Id of ignored pixels.
        backend_args (dict, optional): File backend arguments of ``LoadAnnotations``.

    Raises:
        ValueError: The size differs from that of the image, the map has several channels, other ids, or ids that mmseg
            alters; or ``num_classes`` is 2 and no foreground trains, because up to 1,000 maps of the folder only have
            values that are loaded as 0 and ``ignore_index``. With more classes the latter is a warning.
    """

    def __init__(self, num_classes: int, ignore_index: int = 255, backend_args: dict | None = None):
        if num_classes < 1:
            raise ValueError(f'num_classes is {num_classes}, not above 0')
        self.num_classes, self.ignore_index, self.backend_args = num_classes, ignore_index, backend_args
        self.foreground = num_classes == 1  # found, or searched for
        self.warned = set()

    def transform(self, results: dict) -> dict:
        ids, image, path = results['gt_seg_map'], results['img'], results.get('seg_map_path')
        names = f'Class map {path} of image {results.get("img_path")}'
        if (file := _open(path, self.backend_args)) is None:
            found = f'{names} cannot be opened by pillow with backend_args={self.backend_args}'
            self._warn('closed', f'{found}: its depth is not checked.')
        else:
            with file:
                self._check_file(names, file, results)
        if ids.ndim != 2:
            raise ValueError(f'{names} has shape {ids.shape}, not height and width.')
        if ids.shape != image.shape[:2]:
            (height, width), (tall, wide) = ids.shape, image.shape[:2]
            raise ValueError(f'{names} is {width} x {height}, the image {wide} x {tall}.')
        wrong = ids[(ids != self.ignore_index) & ((ids < 0) | (ids >= self.num_classes))]
        if wrong.size:
            raise ValueError(
                f'{names} holds ids {_few(wrong)} in {wrong.size} pixels; {self.num_classes} classes have 0 to '
                f'{self.num_classes - 1}, and {self.ignore_index} is ignored.'
            )
        if not self.foreground:
            self._find_foreground(names, results)
        return results

    def _check_file(self, names: str, file: Image.Image, results: dict) -> None:
        ids, mode, channels = results['gt_seg_map'], file.mode, len(file.getbands())
        if channels > 1 and ids.shape != results['img'].shape[:2]:
            raise ValueError(
                f'{names} has {channels} channels (mode {mode}): write the ids as an image of one channel and 8 bits '
                '(mode L or P).'
            )
        if mode == 'P' and ids.ndim == 3:
            raise ValueError(
                f'{names} has a palette (mode P), and OpenCV read its colours instead of its ids: set '
                "imdecode_backend='pillow' in LoadAnnotations."
            )
        if file.format == 'JPEG':
            self._warn('JPEG', f'{names} is a JPEG, whose compression alters ids: write the class maps as PNG.')
        scaled = next((bits for bits in (2, 4) if f'L;{bits}' in str(file.tile[:1])), None)
        if mode == '1':
            if np.array_equal(ids, self._loaded(results, 'cv2')) and not np.array_equal(ids, self._loaded(results)):
                raise ValueError(
                    f'{names} has one bit a pixel (mode 1), and 1 was read as 255: set '
                    "imdecode_backend='pillow' in LoadAnnotations."
                )
        elif scaled or mode.startswith(DEEP):
            real = np.asarray(file).squeeze()  # like mmseg
            if scaled:
                real = real // (255 // (2**scaled - 1))
                altered = real > 0
            else:
                with np.errstate(invalid='ignore'):
                    altered = real != real.astype(np.uint8)
                if self.ignore_index == 255:  # the cast gives 255
                    altered &= (real != -1) & (real != 65535)
            if altered.any() and np.array_equal(ids, self._loaded(results)):
                raise ValueError(
                    f'{names} has {f"{scaled} bits a pixel" if scaled else "more than 8 bits a pixel"} (mode {mode}) '
                    f'and holds ids {_few(real[altered])} in {altered.sum()} pixels, which LoadAnnotations reads as '
                    f'{_few(ids[altered])}: write the ids from 0 to 255 as an image of 8 bits (mode L or P).'
                )

    def _find_foreground(self, names: str, results: dict) -> None:
        if self._trains(results['gt_seg_map']):
            self.foreground = True
        elif (results['gt_seg_map'] == self.ignore_index).any() and os.path.isfile(results.get('seg_map_path') or ''):
            self.foreground = True  # read the folder once
            folder, name = os.path.split(results['seg_map_path'])
            files = sorted(file for file in os.listdir(folder or '.') if file.endswith(os.path.splitext(name)[1]))
            maps, values = 0, set()
            for file in files[:: -(-len(files) // MAX_MAPS)]:
                path = dict(seg_map_path=os.path.join(folder, file))
                try:
                    raw, ids = self._loaded(path), self._loaded(results | path)
                except Exception:  # LoadAnnotations reports it later
                    continue
                if raw.ndim == 2:
                    maps += 1
                    values.update(np.unique(raw).tolist())
                    if len(values) > 2 or self._trains(ids):
                        return
            found = (
                f'{names} is loaded as 0 and {self.ignore_index}, which is ignored, and so are all {maps} maps read '
                f'from its folder, which hold {" and ".join(map(str, sorted(values)))}, so that no foreground trains '
                f'with num_classes={self.num_classes}: write 0 for the background and the id of the class, such as 1, '
                f'for the foreground{", and set reduce_zero_label=False" * bool(results.get("reduce_zero_label"))}.'
            )
            if self.num_classes == 2:
                raise ValueError(found)
            self._warn('foreground', found)

    def _loaded(self, results: dict, backend: str = 'pillow') -> np.ndarray:
        from mmseg.datasets.transforms import LoadAnnotations

        load = LoadAnnotations(imdecode_backend=backend, backend_args=self.backend_args)
        return load.transform(dict(reduce_zero_label=False) | results | dict(seg_fields=[]))['gt_seg_map']

    def _trains(self, ids: np.ndarray) -> bool:
        return bool(((ids != 0) & (ids != self.ignore_index)).any())

    def _warn(self, kind: str, message: str) -> None:
        if kind not in self.warned:
            self.warned.add(kind)
            print_log(message, 'current', logging.WARNING)


def _open(path: str | None, backend_args: dict | None) -> Image.Image | None:
    """Open a file without decoding it; None if pillow cannot."""
    try:
        return Image.open(path if os.path.isfile(path) else io.BytesIO(fileio.get(path, backend_args=backend_args)))
    except Exception:  # file backends have no common exception
        return None


def _few(ids: np.ndarray) -> str:
    return ', '.join(map(str, np.unique(ids)[:5]))
