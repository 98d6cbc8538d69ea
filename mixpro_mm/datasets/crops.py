"""Decoding, cropping and resizing of images in one transform, on uint8."""

import io
from types import SimpleNamespace

import cv2
import mmengine.fileio as fileio
import numpy as np
import torch
from mmpretrain.datasets.transforms import RandomResizedCrop
from PIL import Image
from torch.nn.functional import interpolate

from mixpro_mm.datasets.loading import LoadWholeImage
from mixpro_mm.registry import TRANSFORMS, register
from mixpro_mm.utils.arguments import one_of, positive_int, within

__all__ = ['LoadCenterCrop', 'LoadRandomResizedCrop']

# reduction of both sides -> flag of OpenCV; libjpeg decodes blocks of 8 x 8 pixels as 1 x 1, 2 x 2 or 4 x 4
REDUCED = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}
LEAST = 2  # decoded pixels per pixel of the result and side; also the reducing_gap of Pillow's thumbnails
JPEG = b'\xff\xd8'
LARGE = 1 << 17  # bytes; reading the size of smaller files takes longer than it saves
ORIENTATION = 0x0112  # tag of EXIF


class _LoadResized(LoadWholeImage):
    def __init__(self, interpolation: str, backend_args: dict | None):
        super().__init__(backend_args=backend_args)
        self.interpolation = one_of('interpolation', interpolation, ('bilinear', 'bicubic'))

    def load(self, results: dict, region) -> np.ndarray:
        """Load a part of an image at another size.

        Args:
            results: Sample with ``img_path``, or with an image in ``img``, as mmpretrain's inferencers pass it. Gets
                ``ori_shape``.
            region: Function from height and width of an image to (top, left, height, width) of the part, and the
                (height, width) to which it is resized.

        Returns:
            The part (height, width, 3) uint8 BGR.
        """
        image, data, reduction = results.get('img'), b'', 1
        if image is None:
            data = self._read(results['img_path'])
        shape = _shape(data) if len(data) > LARGE else None
        if shape:
            box, size = region(*shape)
            most = min(box[2] / size[0], box[3] / size[1]) / LEAST
            reduction = next((each for each in REDUCED if each <= most), 1)
        if image is None:
            image = self._decode(results, data, REDUCED.get(reduction, cv2.IMREAD_COLOR))
        if image.ndim == 2:
            image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        if shape is None:
            shape = image.shape[:2]
            box, size = region(*shape)
        results.setdefault('ori_shape', shape)
        top, left, height, width = box
        edges = [round(edge / reduction) for edge in (top, left, top + height, left + width)]
        return _resize(image, edges, size, self.interpolation)

    def _read(self, path: str) -> bytes:
        try:
            return fileio.get(path, backend_args=self.backend_args)
        except Exception:  # LoadWholeImage raises an error that names the file
            return b''

    def _decode(self, results: dict, data: bytes, flag: int) -> np.ndarray:
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flag) if data else None
        except cv2.error:
            image = None
        if image is None:
            return super().transform(dict(results))['img']
        if not data.startswith(JPEG):  # which has 8 bits
            self._check_depth(results['img_path'], image)
        return image


def _shape(data: bytes) -> tuple[int, int] | None:
    """Return height and width of a JPEG without EXIF rotation, otherwise None."""
    try:
        with Image.open(io.BytesIO(data), formats=['JPEG']) as image:
            return None if image.getexif().get(ORIENTATION, 1) != 1 else (image.height, image.width)
    except Exception:  # Pillow's errors have no common base
        return None


def _resize(image: np.ndarray, edges, size: tuple[int, int], interpolation: str) -> np.ndarray:
    """Resize the part between ``edges`` of (H, W, 3) uint8 with antialiasing, without changing the layout."""
    top, left, bottom, right = edges
    # channels last, so that the result is, too
    part = torch.from_numpy(np.ascontiguousarray(image))[None, top:bottom, left:right].permute(0, 3, 1, 2)
    return interpolate(part, size, mode=interpolation, antialias=True)[0].permute(1, 2, 0).contiguous().numpy()


@register(TRANSFORMS)
class LoadRandomResizedCrop(_LoadResized):
    """``LoadImageFromFile``, ``RandomResizedCrop`` with Pillow, and a horizontal ``RandomFlip`` in one transform.

    The crop is drawn by mmpretrain's ``RandomResizedCrop``. OpenCV decodes as in ``LoadImageFromFile``, so that pixels
    are the same for every format and EXIF orientation. PyTorch resizes the decoded layout: on photographs 99.9 % of the
    values are within one grey level of Pillow's. A JPEG above 128 KiB without EXIF rotation is decoded at 1/2, 1/4 or
    1/8 of its size if the decoded crop is at least twice as high and as wide as the result. ``img`` is (height, width,
    3) uint8 BGR.

    Args:
        scale (int | Sequence[int]): Size of the result, height and width.
        crop_ratio_range (tuple[float, float]): Range of the area of the crop as a fraction of the image.
        aspect_ratio_range (tuple[float, float]): Range of width / height of the crop.
        max_attempts (int): Draws before the central crop is taken.
        interpolation (str): 'bicubic' or 'bilinear'.
        flip_prob (float): Probability of the horizontal flip.
        backend_args (dict, optional): File backend of mmengine.

    Raises:
        ValueError: An argument is invalid, or the file cannot be read.
    """

    def __init__(
        self,
        scale,
        crop_ratio_range=(0.08, 1.0),
        aspect_ratio_range=(3 / 4, 4 / 3),
        max_attempts: int = 10,
        interpolation: str = 'bicubic',
        flip_prob: float = 0.5,
        backend_args: dict | None = None,
    ):
        super().__init__(interpolation, backend_args)
        self.crop = RandomResizedCrop(scale, crop_ratio_range, aspect_ratio_range, max_attempts)
        self.flip_prob = within('flip_prob', flip_prob, 0, 1)

    def transform(self, results: dict) -> dict:
        image = self.load(results, self._region)
        flip = bool(np.random.rand() < self.flip_prob)  # noqa: NPY002  as mmpretrain
        image = cv2.flip(image, 1) if flip else image
        results.update(img=image, img_shape=image.shape[:2])
        results.update(flip=flip, flip_direction='horizontal' if flip else None)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.crop}, {self.interpolation}, flip_prob={self.flip_prob})'

    def _region(self, height: int, width: int) -> tuple[tuple, tuple]:
        return self.crop.rand_crop_params(SimpleNamespace(shape=(height, width))), tuple(self.crop.scale)


@register(TRANSFORMS)
class LoadCenterCrop(_LoadResized):
    """``LoadImageFromFile``, ``ResizeEdge`` of the short side with Pillow, and ``CenterCrop`` in one transform.

    Pixels are those of :class:`LoadRandomResizedCrop`.

    Args:
        scale (int): Short side of the resized image in pixels.
        crop_size (int): Side of the crop in pixels, at most ``scale``.
        interpolation, backend_args: See :class:`LoadRandomResizedCrop`.

    Raises:
        ValueError: An argument is invalid, or the file cannot be read.
    """

    def __init__(self, scale: int, crop_size: int, interpolation: str = 'bicubic', backend_args: dict | None = None):
        super().__init__(interpolation, backend_args)
        self.scale, self.crop_size = positive_int('scale', scale), positive_int('crop_size', crop_size)
        if crop_size > scale:
            raise ValueError(f'crop_size {crop_size} is larger than scale {scale}, the short side')

    def transform(self, results: dict) -> dict:
        image = self.load(results, self._region)
        top, left = (round((side - self.crop_size) / 2) for side in image.shape[:2])
        image = np.ascontiguousarray(image[top : top + self.crop_size, left : left + self.crop_size])
        results.update(img=image, img_shape=image.shape[:2])
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(scale={self.scale}, crop_size={self.crop_size}, {self.interpolation})'

    def _region(self, height: int, width: int) -> tuple[tuple, tuple]:
        short = min(height, width)
        return (0, 0, height, width), (int(self.scale * height / short), int(self.scale * width / short))
