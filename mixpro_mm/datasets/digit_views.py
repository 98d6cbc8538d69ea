"""DigitsA and DigitsO: views of the embedded digits, selected like ImageNet-A and ImageNet-O (not the originals).

Hendrycks et al., "Natural Adversarial Examples", CVPR 2021, selected photos with a ResNet-50. Here a small CNN trained
on the digits 0 to 7 selects views of scans; :mod:`mixpro_mm.datasets.filtered_digits` wrote its selection to
``filtered_digits.json``. No published number exists for either set.
"""

import functools
import json
from pathlib import Path

import numpy as np
import PIL
from mmpretrain.datasets import BaseDataset
from PIL import Image

from mixpro_mm.datasets.digits import load_digit_images, split_indices
from mixpro_mm.datasets.paint import INK_LUMINANCE, ground, opacity, tints
from mixpro_mm.registry import DATASETS, register
from mixpro_mm.utils.arguments import positive_int

__all__ = ['KNOWN', 'VIEW_SIZE', 'DigitsA', 'DigitsO', 'all_scans', 'draw_view', 'read_filtered']

KNOWN = tuple(range(8))  # digits of the training set; 8 and 9 are unknown
VIEW_SIZE = 32
SEED = 0
SCALE = (0.75, 0.95)  # side of a scan relative to that of the view
TURN = 15  # maximum rotation in degrees
BRIGHTNESS = (0.1, 0.5)  # of the background, relative to digit scenes
TOLERANCE = 1.0  # grey levels; mean colours of a view differ between machines


@functools.cache
def all_scans() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return all scans in file order (1797, 8, 8) uint8, their digits, and a mask of the test scans."""
    parts = [(split_indices(split), *load_digit_images(split)) for split in ('train', 'test')]
    index, scans, digits = (np.concatenate(each) for each in zip(*parts, strict=True))
    order = np.argsort(index)
    return scans[order], digits[order], np.isin(np.arange(len(index)), parts[1][0])


def draw_view(scan: int, view: int) -> np.ndarray:
    """Draw a scan moved, scaled and rotated, in light ink on a dark textured background.

    The whole digit is visible and lighter than the background. The two numbers determine the image.

    Args:
        scan: Position in scikit-learn's file.
        view: Number of the view.

    Returns:
        (32, 32, 3) uint8, BGR.
    """
    rng = np.random.default_rng([SEED, scan, view])
    scale, turn, brightness = rng.uniform(*zip(SCALE, (-TURN, TURN), BRIGHTNESS, strict=True))
    centre = VIEW_SIZE / 2 * (1 + (1 - scale) * rng.uniform(-1, 1, 2))
    image = brightness * ground(rng, VIEW_SIZE)
    ink = tints(rng.uniform(size=1), rng.uniform(*INK_LUMINANCE, size=1))[0]

    paper = np.pad(all_scans()[0][scan], 1).astype(np.float32)  # padding for the filter at the border
    step, angle = 8 / (scale * VIEW_SIZE), np.deg2rad(turn)
    back = step * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])  # from view to paper
    rows = np.column_stack([back, len(paper) / 2 - back @ centre]).ravel().tolist()
    size = (VIEW_SIZE, VIEW_SIZE)
    stroke = Image.fromarray(paper).transform(size, Image.Transform.AFFINE, rows, Image.Resampling.BICUBIC)
    alpha = opacity(np.asarray(stroke))[..., None]
    image = image * (1 - alpha) + ink * alpha
    return np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)[..., ::-1].copy()


@functools.cache
def read_filtered() -> dict:
    """Return the content of ``filtered_digits.json``.

    ``adversarial``, ``known`` and ``unknown`` map scans to view numbers, ``origin`` describes the selection, and
    ``colours`` maps some views ``SCAN.VIEW`` to their mean BGR, to detect a different rendering.
    """
    return json.loads(Path(__file__).with_name('filtered_digits.json').read_text(encoding='utf-8'))


class _DigitViews(BaseDataset):
    METAINFO = dict(classes=tuple(map(str, KNOWN)))

    def __init__(self, img_size: int = VIEW_SIZE, pipeline=(), **kwargs):
        self.img_size = positive_int('img_size', img_size)
        super().__init__(ann_file='', pipeline=pipeline, **kwargs)

    def _views(self, part: str) -> list[dict]:
        filtered = read_filtered()
        items = []
        for scan, views in filtered[part].items():
            for view in views:
                image = draw_view(int(scan), view)
                found, colour = image.mean((0, 1)), filtered['colours'].get(f'{scan}.{view}')
                if colour and np.abs(found - colour).max() > TOLERANCE:
                    raise ValueError(
                        f'view {view} of scan {scan} has the mean colour {found.round(1).tolist()} instead of '
                        f'{colour}: numpy {np.__version__} and Pillow {PIL.__version__} draw other views than '
                        f'{filtered["origin"]["versions"]}; rebuild filtered_digits.json or install these versions'
                    )
                if self.img_size != VIEW_SIZE:
                    size = (self.img_size, self.img_size)
                    image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
                items.append(dict(img=image, digit=int(all_scans()[1][int(scan)]), scan=int(scan), view=view))
        return items


@register(DATASETS)
class DigitsA(_DigitViews):
    """Views of test scans of 0 to 7 that a small CNN misclassifies, selected like ImageNet-A; it is not ImageNet-A.

    The CNN predicts another digit and gives the right one less than 15 %. The set has at most 6 views per scan and 60
    per digit. ``img`` is BGR uint8 (img_size, img_size, 3), labels are the digits.

    Args:
        img_size (int): Side in pixels to which the views of 32 pixels are resized at load.
        pipeline (Sequence): Transforms; no loading step is needed.
        **kwargs: Other arguments of mmpretrain's ``BaseDataset``.

    Raises:
        ValueError: ``img_size`` is not a positive integer, or the installed numpy and Pillow draw other views.
    """

    def load_data_list(self) -> list[dict]:
        return [dict(item, gt_label=item['digit']) for item in self._views('adversarial')]


@register(DATASETS)
class DigitsO(_DigitViews):
    """Test scans of 0 to 7, unfiltered, followed by views of 8 and 9 that a small CNN classifies with confidence.

    Selected like ImageNet-O; it is not ImageNet-O. Both kinds are drawn in the same way. Each image has ``ood``, 1 for
    8 and 9, else 0, and ``digit``, 0 to 9; ``PackInputs(algorithm_keys=['ood'])`` copies ``ood`` to the data sample. No
    image has a label, because mmpretrain's preprocessor requires labels for all images of a batch or for none.

    Args:
        img_size, pipeline, **kwargs: See :class:`DigitsA`.

    Raises:
        ValueError: See :class:`DigitsA`.
    """

    def load_data_list(self) -> list[dict]:
        return [dict(item, ood=ood) for ood, part in enumerate(('known', 'unknown')) for item in self._views(part)]
