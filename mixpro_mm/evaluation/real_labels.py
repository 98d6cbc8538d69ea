"""Accuracy on the reassessed labels of ImageNet-1k's validation images."""

import re
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

from mmengine.evaluator import BaseMetric

from mixpro_mm.evaluation.metrics import field_of
from mixpro_mm.registry import METRICS, register
from mixpro_mm.utils.files import read_json

__all__ = ['RealLabelAccuracy']

IMAGES = 50_000
NAME = re.compile(r'ILSVRC2012_val_(\d{8})\.')


@register(METRICS)
class RealLabelAccuracy(BaseMetric):
    """Accuracy on the ReaL labels (Beyer et al., "Are we done with ImageNet?", 2020).

    A prediction is correct if it is one of the labels of its image. Reports ``top1`` in percent over the images with
    labels, and their number, ``images``. The images are recognized by the names of their files.

    Args:
        ann_file (str): ``real.json`` of https://github.com/google-research/reassessed-imagenet: a list with the labels
            of each of the 50,000 validation images, in the order of their names.
        **kwargs: ``prefix``, ``collect_device``, ``collect_dir`` of mmengine's ``BaseMetric``.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: It is not such a list. While testing: an image is not named as a validation image, or no image
            has labels.
    """

    default_prefix = 'real'

    def __init__(self, ann_file: str = 'data/imagenet/real.json', **kwargs):
        super().__init__(**kwargs)
        if not Path(ann_file).is_file():
            raise FileNotFoundError(f'there is no file {ann_file} with the ReaL labels')
        labels = read_json(ann_file)
        if not isinstance(labels, list) or len(labels) != IMAGES or not all(map(_is_labels, labels)):
            raise ValueError(f'{ann_file} is not a list with the labels of each of {IMAGES} images, as real.json is')
        self.labels = labels

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Collect whether the prediction of each image with labels is correct."""
        for sample in data_samples:
            path, predicted = field_of(sample, 'img_path', self), int(field_of(sample, 'pred_label', self))
            found = NAME.search(str(path))
            if not found or not 1 <= int(found[1]) <= IMAGES:
                raise ValueError(f'{path} is not named as a validation image, such as ILSVRC2012_val_00000001.JPEG')
            labels = self.labels[int(found[1]) - 1]
            self.results.append(predicted in labels if labels else None)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute the accuracy over images with labels."""
        known = [correct for correct in results if correct is not None]
        if not known:
            raise ValueError(f'none of {len(results)} images has ReaL labels')
        return dict(top1=100 * sum(known) / len(known), images=len(known))


def _is_labels(value) -> bool:
    return isinstance(value, list) and all(isinstance(each, Integral) and 0 <= each < 1000 for each in value)
