"""The examples for masks and instances of one's own train at a smaller size, from data in their layouts."""

import json
import math
import shutil

import pytest
from mmengine.config import Config

from mixpro_mm.datasets.digit_scenes import write_digit_scenes
from tests import test_detection_configs as detection
from tests import test_segmentation_configs as segmentation
from tests.config_rows import run
from tests.docs.pages import DOCS

CLASSES = ('background', *'0123456789')


def example(name, tmp_path, checkpoint):
    """Read an example with its first values set."""
    text = (DOCS / 'examples' / f'{name}.py').read_text(encoding='utf-8')
    classes = CLASSES if name == 'own_masks' else CLASSES[1:]
    lines = dict(data_root=f'{tmp_path}/data/', classes=classes, checkpoint=str(checkpoint))
    lines |= dict(palette=[[n, n, n] for n in range(11)])
    for key, value in lines.items():
        before = next((line for line in text.splitlines() if line.startswith(f'{key} = ')), None)
        text = text.replace(before, f'{key} = {value!r}') if before else text
    text = text.replace("'../../configs", f"'{DOCS.parent}/configs")
    (tmp_path / f'{name}.py').write_text(text, encoding='utf-8')
    return Config.fromfile(tmp_path / f'{name}.py')


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return write_digit_scenes(tmp_path_factory.mktemp('scenes') / 'set', 8, 3)


def test_masks_in_the_layout_of_voc_are_learned(scenes, tmp_path):
    voc, data = scenes / 'VOCdevkit' / 'VOC2010', tmp_path / 'data'
    shutil.copytree(voc / 'JPEGImages', data / 'JPEGImages')
    shutil.copytree(voc / 'SegmentationClassContext', data / 'SegmentationClass')
    shutil.copytree(voc / 'ImageSets' / 'SegmentationContext', data / 'ImageSets' / 'Segmentation')
    config = example('own_masks', tmp_path, segmentation.write_checkpoint(tmp_path / 'epoch_300.pth'))
    assert (config.train_dataloader.batch_size, config.param_scheduler[0].end) == (16, config.train_cfg.max_iters)
    config = segmentation.shrink(config)
    runner, watch, _ = run(config, tmp_path / 'run')
    assert runner.model.decode_head.num_classes == len(CLASSES) and len(runner.train_dataloader.dataset) == 8
    assert len(watch.losses) == 2 and all(0 < losses['loss'] < math.inf for losses in watch.losses)
    assert 0 <= watch.metrics['mIoU'] <= 100
    assert json.loads((tmp_path / 'run' / 'transfer.json').read_text())['complete']


def test_instances_in_the_layout_of_coco_are_learned(scenes, tmp_path):
    data = tmp_path / 'data'
    for split in ('train', 'val'):
        shutil.copytree(scenes / 'coco' / f'{split}2017', data / split)
        (data / 'annotations').mkdir(exist_ok=True)
        shutil.copy(
            scenes / 'coco' / 'annotations' / f'instances_{split}2017.json', data / 'annotations' / f'{split}.json'
        )
    detection.write_checkpoint(tmp_path / 'weights' / 'epoch_300.pth')
    config = example('own_instances', tmp_path, tmp_path / 'weights' / 'epoch_300.pth')
    assert config.model.roi_head.bbox_head.num_classes == config.model.roi_head.mask_head.num_classes == 10
    config = detection.shrink(config)
    runner, watch, _ = run(config, tmp_path / 'run')
    assert runner.optim_wrapper.optimizer.param_groups[0]['initial_lr'] == pytest.approx(2e-4 * 2 / 16)
    assert len(watch.losses) == 2 and all(0 < losses['loss'] < math.inf for losses in watch.losses)
    assert 0 <= watch.metrics['coco/bbox_mAP'] <= 1
    assert json.loads((tmp_path / 'run' / 'transfer.json').read_text())['complete']
    assert runner.val_dataloader.dataset.metainfo['classes'] == CLASSES[1:]
