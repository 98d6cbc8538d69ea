"""DigitsA and DigitsO: views of the embedded digits, built the way ImageNet-A and ImageNet-O were built, but not these.

Hendrycks et al., "Natural Adversarial Examples", CVPR 2021, selected photos with a ResNet-50: for A, photos of known
classes whose class it finds improbable; for O, photos of no known class that it classifies with confidence. Here the
photos are views of scanned digits, and the ResNet-50 is a small CNN trained on the train scans of 0 to 7. Its selection
is in ``filtered_digits.json``, which :mod:`mixpro_mm.datasets.filtered_digits` writes: no CNN is needed to use the
sets, and every run sees the same images. No published number exists for either.
"""

import functools
import json
from pathlib import Path

import numpy as np
from mmpretrain.datasets import BaseDataset
from PIL import Image

from mixpro_mm.datasets.digits import load_digit_images, split_indices
from mixpro_mm.datasets.paint import INK_LUMINANCE, ground, opacity, tints
from mixpro_mm.registry import DATASETS, register
from mixpro_mm.utils.arguments import positive_int

__all__ = ['KNOWN', 'VIEW_SIZE', 'DigitsA', 'DigitsO', 'all_scans', 'draw_view', 'read_filtered']

KNOWN = tuple(range(8))  # digits that a model is trained on; 8 and 9 are not
VIEW_SIZE = 32
SEED = 0
SCALE = (0.75, 0.95)  # side of a scan as a share of the view's
TURN = 15  # degrees at most, to either side
BRIGHTNESS = (0.1, 0.5)  # of a ground, as a share of that of digit scenes
TOLERANCE = 1.0  # grey levels: by how much the mean colour of a view may differ between machines


@functools.cache
def all_scans() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All scans in the order of scikit-learn's file: (1797, 8, 8) uint8; their digits; which are test scans (bool)."""
    parts = [(split_indices(split), *load_digit_images(split)) for split in ('train', 'test')]
    index, scans, digits = (np.concatenate(each) for each in zip(*parts, strict=True))
    order = np.argsort(index)
    return scans[order], digits[order], np.isin(np.arange(len(index)), parts[1][0])


def draw_view(scan: int, view: int) -> np.ndarray:
    """One look at a scan: moved, scaled, turned by up to 15 degrees, in a light ink on a dark textured ground.

    The digit is all in sight and always lighter than its ground. The two numbers say everything that is drawn.

    Args:
        scan: Position in scikit-learn's file.
        view: Which of its views, from 0 on.

    Returns:
        (32, 32, 3) uint8, BGR.
    """
    rng = np.random.default_rng([SEED, scan, view])
    scale, turn, brightness = rng.uniform(*zip(SCALE, (-TURN, TURN), BRIGHTNESS, strict=True))
    centre = VIEW_SIZE / 2 * (1 + (1 - scale) * rng.uniform(-1, 1, 2))
    image = brightness * ground(rng, VIEW_SIZE)
    ink = tints(rng.uniform(size=1), rng.uniform(*INK_LUMINANCE, size=1))[0]

    paper = np.pad(all_scans()[0][scan], 1).astype(np.float32)  # a ring of paper, for the filter at the border
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
    """The content of ``filtered_digits.json``.

    ``adversarial``, ``known`` and ``unknown`` have the numbers of the views of each scan; ``origin`` says how they were
    found; ``colours`` has the mean BGR of some views, ``SCAN.VIEW``, by which others can tell that theirs are the same.
    """
    return json.loads(Path(__file__).with_name('filtered_digits.json').read_text(encoding='utf-8'))


class _DigitViews(BaseDataset):
    """Base of both sets: views of one size, checked to be those that were filtered."""

    METAINFO = dict(classes=tuple(map(str, KNOWN)))

    def __init__(self, img_size: int = VIEW_SIZE, pipeline=(), **kwargs):
        self.img_size = positive_int('img_size', img_size)
        super().__init__(ann_file='', pipeline=pipeline, **kwargs)

    def _views(self, part: str) -> list[dict]:
        """One dict per view with ``img``, ``digit``, ``scan`` and ``view``, by scan and view."""
        filtered = read_filtered()
        items = []
        for scan, views in filtered[part].items():
            for view in views:
                image = draw_view(int(scan), view)
                _check(image, filtered['colours'].get(f'{scan}.{view}'), f'view {view} of scan {scan}')
                if self.img_size != VIEW_SIZE:
                    size = (self.img_size, self.img_size)
                    image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
                items.append(dict(img=image, digit=int(all_scans()[1][int(scan)]), scan=int(scan), view=view))
        return items

    def extra_repr(self) -> list[str]:
        return [f'Image size: \t{self.img_size}']


@register(DATASETS)
class DigitsA(_DigitViews):
    """Views of test scans of 0 to 7 that a small CNN gets wrong, built the way ImageNet-A was; it is not ImageNet-A.

    The CNN takes each for another digit and gives the right one less than 15 %. A scan has at most 6, a digit at
    most 60. ``img`` is BGR uint8 (img_size, img_size, 3), labels are the digits.

    Args:
        img_size (int): Side in pixels to which the views of 32 px, as the CNN saw them, are brought once, at load.
        pipeline (Sequence): Transforms; no loading step is needed.
        **kwargs: Other arguments of mmpretrain's ``BaseDataset``.

    Raises:
        ValueError: ``img_size`` is no positive whole number, or these versions of numpy and Pillow draw other views.
    """

    def load_data_list(self) -> list[dict]:
        return [dict(item, gt_label=item['digit']) for item in self._views('adversarial')]


@register(DATASETS)
class DigitsO(_DigitViews):
    """Views of 8 and 9 that a small CNN of 0 to 7 is sure of, behind views of test scans of 0 to 7: one test set.

    Built the way ImageNet-O was; it is not ImageNet-O. The two kinds are drawn alike, so that only the digit tells them
    apart, and the known ones are not filtered. Each image has ``ood``, 1 for 8 and 9 and 0 for the others; it reaches
    the data sample if the pipeline ends with ``PackInputs(algorithm_keys=['ood'])``, and so does ``digit``, 0 to 9.
    None has a label: 8 and 9 could not, and the host's preprocessor asks for those of all images of a batch or of none.

    Args:
        img_size, pipeline, **kwargs: As of :class:`DigitsA`.

    Raises:
        ValueError: As :class:`DigitsA`.
    """

    def load_data_list(self) -> list[dict]:
        return [dict(item, ood=ood) for ood, part in enumerate(('known', 'unknown')) for item in self._views(part)]


def _check(image: np.ndarray, colour: list[float] | None, name: str) -> None:
    if colour is None or np.abs(image.mean((0, 1)) - colour).max() <= TOLERANCE:
        return
    import PIL

    versions, here = read_filtered()['origin']['versions'], image.mean((0, 1)).round(1).tolist()
    raise ValueError(
        f'{name} is not the one that was filtered, its mean colour is {here} instead of {colour}: numpy '
        f'{np.__version__} and Pillow {PIL.__version__} draw other views than {versions["numpy"]} and '
        f'{versions["Pillow"]} did; rebuild filtered_digits.json or take these versions'
    )
