"""RandAugment and random erasing of mmpretrain with the same distribution, faster on uint8."""

import cv2
import mmpretrain.datasets.transforms as host
import numpy as np
import torch
from mmpretrain.datasets.transforms import auto_augment as ops
from torch.nn.functional import conv1d

from mixpro_mm.registry import TRANSFORMS, register

__all__ = ['RandAugment', 'RandomErasing']

RAMP = np.arange(256, dtype=np.uint8)[None]  # a pixel of each value
POINTWISE = (ops.Invert, ops.Posterize, ops.Solarize, ops.SolarizeAdd, ops.Brightness)


@register(TRANSFORMS)
class RandAugment(host.RandAugment):
    """mmpretrain's ``RandAugment`` with the same arguments and draws, faster on uint8 images of three channels.

    Pixels are equal, except that Shear and Translate with bicubic interpolation differ by at most one grey level, in
    0.2 % of the values. Operations on single pixels are computed for the 256 values and looked up; AutoContrast,
    Equalize and Contrast use histograms of OpenCV; Shear and Translate interpolate along one axis. Other operations
    are mmpretrain's.
    """

    def transform(self, results: dict) -> dict:
        if results['img'].dtype != np.uint8 or results['img'].shape[2:] != (3,):
            return super().transform(results)
        for index in self.random_policy_indices():
            op = self.transforms[index]
            if type(op) in POINTWISE:
                table = op.transform(dict(img=RAMP))['img']
                results['img'] = results['img'] if table is RAMP else cv2.LUT(results['img'], table)
            elif type(op) in FAST and getattr(op, 'interpolation', 'bicubic') == 'bicubic':
                results['img'] = results['img'] if op.random_disable() else FAST[type(op)](op, results['img'])
            else:
                results = op.transform(results)
        return results


def _magnitude(op) -> float:
    return op.random_negative(op.random_magnitude() if op.magnitude is None else op.magnitude)


def _auto_contrast(op, image: np.ndarray) -> np.ndarray:
    """Stretch each channel to 0 .. 255, as ``mmcv.auto_contrast``."""
    table = np.repeat(RAMP[..., None], 3, axis=2)
    for channel in range(3):
        found = np.flatnonzero(_histogram(image, channel))
        low, high = found[0], found[-1]
        if low < high:
            scale = 255.0 / (high - low)
            table[0, :, channel] = np.clip(RAMP[0] * scale - low * scale, 0, 255)
    return cv2.LUT(image, table)


def _equalize(op, image: np.ndarray) -> np.ndarray:
    """Equalize the histogram of each channel, as ``mmcv.imequalize``."""
    table = np.repeat(RAMP[..., None], 3, axis=2)
    for channel in range(3):
        counts = _histogram(image, channel)
        step = (counts.sum() - counts[np.flatnonzero(counts)[-1]]) // 255
        if step:
            below = np.concatenate([[0], np.cumsum(counts)[:-1]])
            table[0, :, channel] = np.minimum((below + step // 2) // step, 255)
    return cv2.LUT(image, table)


def _contrast(op, image: np.ndarray) -> np.ndarray:
    """Blend with the mean grey value, as ``mmcv.adjust_contrast``."""
    magnitude = _magnitude(op)
    mean = np.full_like(RAMP, round(cv2.mean(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))[0]))
    blended = cv2.addWeighted(RAMP.astype(np.float32), 1 + magnitude, mean.astype(np.float32), -magnitude, 0)
    return cv2.LUT(image, np.clip(blended, 0, 255).astype(np.uint8))


def _shear(op, image: np.ndarray) -> np.ndarray:
    """Shift rows or columns in proportion to their number, as ``mmcv.imshear``."""
    magnitude, lines = np.float32(_magnitude(op)), image.shape[op.direction != 'horizontal']
    return _shift(image, -magnitude * np.arange(lines), op)


def _translate(op, image: np.ndarray) -> np.ndarray:
    """Shift all rows or columns, as ``mmcv.imtranslate``."""
    height, width = image.shape[:2]
    side, lines = (width, height) if op.direction == 'horizontal' else (height, width)
    return _shift(image, np.full(lines, -np.float32(_magnitude(op) * side)), op)


def _shift(image: np.ndarray, shifts: np.ndarray, op) -> np.ndarray:
    """Sample each row at x + shift, or each column at y + shift, with the bicubic kernel of OpenCV, on 1/32 pixel.

    Args:
        image: (H, W, 3) uint8.
        shifts: Shift of each row (H,) or column (W,) in pixels.
        op: Shear or Translate, with ``direction`` and ``pad_val``.
    """
    rows = image if op.direction == 'horizontal' else cv2.transpose(image)
    height, width = rows.shape[:2]
    steps = (np.rint(shifts.astype(np.float64) * 1024).astype(np.int64) + 16) >> 5  # as warpAffine rounds
    first = (steps >> 5) - 1
    reach = int(np.abs(first).max()) + 3
    value = op.pad_val if isinstance(op.pad_val, tuple) else (op.pad_val,) * 3
    padded = cv2.copyMakeBorder(rows, 0, 0, reach, reach, cv2.BORDER_CONSTANT, value=value)
    starts = 3 * (np.arange(height) * padded.shape[1] + first + reach)
    taps = np.lib.stride_tricks.sliding_window_view(padded.reshape(-1), 3 * (width + 3))[starts]
    weight = KERNEL[steps & 31]
    mixed = conv1d(torch.from_numpy(taps)[None].float(), weight, groups=height, dilation=3)[0]
    rows = cv2.convertScaleAbs(mixed.clamp_(min=0).numpy()).reshape(height, width, 3)
    return rows if op.direction == 'horizontal' else cv2.transpose(rows)


def _histogram(image: np.ndarray, channel: int) -> np.ndarray:
    return cv2.calcHist([image], [channel], None, [256], [0, 256])[:, 0].astype(np.int64)


def _bicubic() -> torch.Tensor:
    """Return the weights (32, 1, 4) of four pixels for steps of 1/32 pixel; a is -0.75 in OpenCV."""
    a, x = -0.75, torch.arange(32, dtype=torch.float64) / 32
    near = [(a + 2) * t**3 - (a + 3) * t**2 + 1 for t in (x, 1 - x)]
    far = [a * (t**3 - 5 * t**2 + 8 * t - 4) for t in (x + 1, 2 - x)]
    return torch.stack([far[0], *near, far[1]], dim=1).float()[:, None]


KERNEL = _bicubic()
FAST = {ops.AutoContrast: _auto_contrast, ops.Equalize: _equalize, ops.Contrast: _contrast}
FAST |= {ops.Shear: _shear, ops.Translate: _translate}


@register(TRANSFORMS)
class RandomErasing(host.RandomErasing):
    """mmpretrain's ``RandomErasing`` with the same arguments and distribution; OpenCV draws random pixels faster.

    NumPy draws the boxes, as in mmpretrain, and the seed of the pixels.
    """

    def _fill_pixels(self, img: np.ndarray, top: int, left: int, h: int, w: int) -> np.ndarray:
        if self.mode == 'const':
            return super()._fill_pixels(img, top, left, h, w)
        cv2.setRNGSeed(np.random.randint(1 << 31))  # noqa: NPY002  as mmpretrain
        patch = np.empty((h, w, 3), np.uint8)
        if self.fill_std is None:
            cv2.randu(patch, (0, 0, 0), (256, 256, 256))
        else:  # OpenCV rounds, mmpretrain rounds down
            cv2.randn(patch, tuple(mean - 0.5 for mean in self.fill_color), tuple(self.fill_std))
        img[top : top + h, left : left + w] = patch
        return img
