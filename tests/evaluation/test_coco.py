"""FasterCocoMetric of the detection configs and CocoMetric of mmdet on the same predictions."""

import json

import numpy as np
import pytest
import torch
from mmdet.evaluation.metrics import CocoMetric, FasterCocoMetric
from pycocotools import mask as coco_mask

from mixpro_mm.datasets.digit_scenes import write_digit_scenes

NAMES = ['mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l']
NAMES += ['AR@100', 'AR@300', 'AR@1000', 'AR_s@1000', 'AR_m@1000', 'AR_l@1000']


def predictions(truth):
    """Shift every object a few times; a tenth gets another class. Scores are rounded, so some are equal."""
    rng = np.random.default_rng(0)
    for image in truth['images']:
        size = image['height'], image['width']
        shapes, boxes, labels = [], [], []
        for own in (own for own in truth['annotations'] if own['image_id'] == image['id']):
            x, y, width, height = own['bbox']
            for dx, dy in rng.integers(-8, 9, (3, 2)):
                left, top = max(x + dx, 0), max(y + dy, 0)
                shape = np.zeros(size, np.uint8, order='F')
                shape[int(top) : int(top + height), int(left) : int(left + width)] = 1
                shapes.append(coco_mask.encode(shape))
                boxes.append([left, top, left + width, top + height])
                labels.append(own['category_id'] if rng.random() < 0.9 else rng.integers(1, 11))
        found = dict(bboxes=torch.tensor(boxes).float(), labels=torch.tensor(np.array(labels) - 1), masks=shapes)
        found['scores'] = torch.tensor(rng.random(len(boxes)).round(1))
        yield dict(img_id=image['id'], ori_shape=size, pred_instances=found)


def test_faster_coco_eval_gives_the_numbers_of_pycocotools(tmp_path):
    file = write_digit_scenes(tmp_path / 'scenes', 8, 20) / 'coco' / 'annotations' / 'instances_val2017.json'
    truth, found = json.loads(file.read_text()), []
    assert [own['id'] for own in truth['categories']] == [*range(1, 11)]
    for kind in (CocoMetric, FasterCocoMetric):
        metric = kind(str(file), metric=['bbox', 'segm'], classwise=True, metric_items=NAMES)
        metric.dataset_meta = dict(classes=tuple('0123456789'))
        metric.process({}, list(predictions(truth)))
        found.append(metric.evaluate(len(truth['images'])))
    assert found[0] == pytest.approx(found[1], rel=0, abs=1e-9, nan_ok=True)
    assert {f'coco/{kind}_{name}' for kind in ('bbox', 'segm') for name in NAMES} < {*found[1]}
    assert all(0.05 < found[1][f'coco/{kind}_mAP_50'] < 0.95 for kind in ('bbox', 'segm'))
