"""FashionA and FashionO: sets for the tests of ImageNet-A and ImageNet-O with Fashion-MNIST (not the originals).

:mod:`mixpro_mm.datasets.filtered_fashion` selected the images of FashionA with a small CNN and wrote their positions to
``filtered_fashion.json``. The images of FashionO are not filtered. No published number exists for either set.
"""

import functools
import json
from pathlib import Path

import numpy as np

from mixpro_mm.datasets.digits import load_digit_images, resize_scans
from mixpro_mm.datasets.fashion_mnist import SIDE, FashionMNIST
from mixpro_mm.registry import DATASETS, register
from mixpro_mm.utils.arguments import one_of

__all__ = ['FashionA', 'FashionO', 'read_filtered_fashion']


@functools.cache
def read_filtered_fashion() -> dict:
    """Return the content of ``filtered_fashion.json``.

    ``adversarial`` maps names of classes to positions in the file of the test images; ``origin`` describes the
    selection.
    """
    return json.loads(Path(__file__).with_name('filtered_fashion.json').read_text(encoding='utf-8'))


class _TestImages(FashionMNIST):
    def __init__(self, data_root: str = 'data/fashion-mnist', split: str = 'test', **kwargs):
        super().__init__(data_root, one_of('split', split, ('test',)), **kwargs)


@register(DATASETS)
class FashionA(_TestImages):
    """Test images of Fashion-MNIST that a small CNN misclassifies, selected like ImageNet-A; it is not ImageNet-A.

    The CNN predicts another class and gives the right one less than 15 %. The set has at most 60 images per class.
    Unlike in ImageNet-A, no person removed images with ambiguous labels. There are many of shirts, T-shirts, pullovers
    and coats, and of sneakers and ankle boots. The filter selects them, so the best possible top-1 is below 100.

    Args:
        split (str): 'test'.
        data_root, classes, img_size, pipeline, **kwargs: See :class:`FashionMNIST`.

    Raises:
        FileNotFoundError, ValueError: See :class:`FashionMNIST`.
    """

    def load_data_list(self) -> list[dict]:
        chosen = {place for places in read_filtered_fashion()['adversarial'].values() for place in places}
        return [item for item in super().load_data_list() if item['position'] in chosen]


@register(DATASETS)
class FashionO(_TestImages):
    """Test images of Fashion-MNIST, followed by images of unknown classes; neither is filtered, unlike in ImageNet-O.

    Each image has ``ood``, 1 for unknown classes, else 0; ``PackInputs(algorithm_keys=['ood'])`` copies it to the data
    sample. No image has a label, because mmpretrain's preprocessor requires labels for all images of a batch or for
    none.

    Args:
        data_root, classes, img_size, pipeline, **kwargs: See :class:`FashionMNIST`; ``classes`` are the known ones.
        split (str): 'test'.
        unknown (str): 'digits' for the 1,797 scans of scikit-learn, resized to 28 x 28 (bicubic), light on black as the
            photographs; 'classes' for the test images of all labels but ``classes``.

    Raises:
        FileNotFoundError, ValueError: See :class:`FashionMNIST`; also if ``unknown`` is neither of the two.
    """

    def __init__(self, *args, unknown: str = 'digits', **kwargs):
        self.unknown = one_of('unknown', unknown, ('digits', 'classes'))
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        known = [item['position'] for item in super().load_data_list()]
        if self.unknown == 'digits':
            scans = np.concatenate([load_digit_images(split)[0] for split in ('train', 'test')])
            unknown = range(len(self.images), len(self.images) + len(scans))
            self.images = np.concatenate([self.images, resize_scans(scans, SIDE)])
        else:
            unknown = np.flatnonzero(~np.isin(self.targets, self.labels)).tolist()
        return [dict(position=place, ood=ood) for ood, places in enumerate((known, unknown)) for place in places]
