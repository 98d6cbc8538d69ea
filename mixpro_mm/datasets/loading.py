"""Loading that names what it cannot read, and a look at class maps before they train anything.

What the hosts do with a bad file (mmcv 2.3, mmseg 1.4): an empty one ends in an error of OpenCV that does not name it,
a class map of another size or with ids beyond the classes is cut or resized along, until a loss fails on an index.
"""

import cv2
import mmengine.fileio as fileio
import numpy as np
from mmcv.transforms import BaseTransform, LoadImageFromFile

from mixpro_mm.arguments import shown
from mixpro_mm.registry import TRANSFORMS, register

__all__ = ['CheckSegmentation', 'LoadWholeImage']

OF_THE_FILE = (AssertionError, OSError, SyntaxError, cv2.error)  # as mmcv, pillow, its PNG plugin and OpenCV raise them


@register(TRANSFORMS)
class LoadWholeImage(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile``, with one sentence for a file that is missing, empty, truncated or no image.

    Takes its arguments and gives the same pixels. That a file is cut short is OpenCV's finding (4.12 refuses to decode
    it); bytes altered in the middle pass, as they do everywhere. A lack of memory, or of a package, is no fault of the
    file: MemoryError and ImportError pass as they are, with ``ignore_empty`` too.

    Raises:
        ValueError: The file cannot be read; the sentence names it, and the decoder's own error is its cause. With
            ``ignore_empty`` the sample is skipped instead, and the data set takes another one at random.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        # mmcv, told to ignore, would swallow every error
        self.skip, self.ignore_empty = self.ignore_empty, False

    def transform(self, results: dict) -> dict | None:
        path = results['img_path']
        try:
            return super().transform(results)
        except (ImportError, MemoryError):
            raise
        except Exception as error:  # what the decoders raise have no class in common
            if self.skip:
                return None
            raise ValueError(f'Image {path} cannot be read: {self._why(path, error)}.') from error

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

    Args:
        num_classes (int): Ids go from 0 to ``num_classes - 1``.
        ignore_index (int): The id of pixels that do not count.

    Raises:
        ValueError: The map has another size than the image, or holds other ids; the sentence names both files.
    """

    def __init__(self, num_classes: int, ignore_index: int = 255):
        if num_classes < 1:
            raise ValueError(f'num_classes is {num_classes}, not above 0')
        self.num_classes, self.ignore_index = num_classes, ignore_index

    def transform(self, results: dict) -> dict:
        ids, image = results['gt_seg_map'], results['img']
        names = f'Class map {results.get("seg_map_path")} of image {results.get("img_path")}'
        if ids.shape != image.shape[:2]:
            raise ValueError(f'{names} is {_size(ids)}, the image {_size(image)}.')
        wrong = ids[(ids != self.ignore_index) & ((ids < 0) | (ids >= self.num_classes))]
        if wrong.size:
            shown = ', '.join(map(str, np.unique(wrong)[:5]))
            raise ValueError(
                f'{names} holds ids {shown} in {wrong.size} pixels; {self.num_classes} classes have 0 to '
                f'{self.num_classes - 1}, and {self.ignore_index} is ignored.'
            )
        return results


def _size(array: np.ndarray) -> str:
    return f'{array.shape[1]} x {array.shape[0]}'
