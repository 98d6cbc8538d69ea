"""The multiply-adds that the study of the paper estimates its cost by, counted anew from the configs it runs."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch.utils.flop_counter import FlopCounterMode

CONFIGS = Path(__file__).parents[2] / 'configs'
STAGES = {stage.name: stage for stage in Config.fromfile(CONFIGS / 'study' / 'paper.py').stages}


def built(stage):
    """A model on the meta device, without the weights it would download."""
    config = Config.fromfile(CONFIGS / 'study' / STAGES[stage].config)
    model = dict(config.model)
    if 'pretrained' in model:
        model['pretrained'] = None
    model['backbone'] = dict(model['backbone'], init_cfg=None)
    with DefaultScope.overwrite_default_scope(config.default_scope):
        return MODELS.build(model).to('meta').eval()


def gmacs(run, *args):
    with FlopCounterMode(display=False) as counter:
        run(*args)
    return counter.get_total_flops() / 2e9


def empty(*shape):
    return torch.empty(shape, device='meta')


@pytest.mark.parametrize('stage', ['linear_deit-small_mixpro', 'segmenter_deit-small_mixpro', 'deeplabv3plus_r101'])
def test_segmentation_counts_a_window_of_480_px_with_every_head_that_trains(stage):
    model = built(stage)

    def train(images):
        maps = model.extract_feat(images)
        model.decode_head(maps)
        if model.with_auxiliary_head:
            model.auxiliary_head(maps)

    assert gmacs(train, empty(1, 3, 480, 480)) == pytest.approx(STAGES[stage].gmacs, rel=0.01)


@pytest.mark.parametrize('stage', ['mask-rcnn_pvt-small_mixpro', 'mask-rcnn_r50', 'mask-rcnn_r101'])
def test_detection_counts_the_largest_image_with_all_its_boxes_and_masks(stage):
    model = built(stage)

    def train(images, boxes, masks):
        model.rpn_head(model.extract_feat(images))
        model.roi_head.bbox_head(boxes)
        model.roi_head.mask_head(masks)

    sampler = model.train_cfg.rcnn.sampler
    masks = int(sampler.num * sampler.pos_fraction)
    assert (sampler.num, masks) == (512, 128)
    counted = gmacs(train, empty(1, 3, 800, 1344), empty(sampler.num, 256, 7, 7), empty(masks, 256, 14, 14))
    assert counted == pytest.approx(STAGES[stage].gmacs, rel=0.01)
