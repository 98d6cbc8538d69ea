"""Heads with another number of classes than the data: one sentence before training, in all three toolkits."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mixpro_mm.datasets.digit_scenes import write_digit_scenes

DIGITS = Path(__file__).parents[2] / 'configs' / 'digits'


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return write_digit_scenes(tmp_path_factory.mktemp('scenes') / 's', num_train=4, num_val=2)


@pytest.fixture
def downstream(scenes, tmp_path):
    def config(name, **changes):
        config = Config.fromfile(DIGITS / name)
        root = f'{scenes}/{"coco" if "rcnn" in name else "VOCdevkit/VOC2010"}/'
        for split in ('train', 'val', 'test'):
            config[f'{split}_dataloader'].dataset.data_root = root
            config[f'{split}_dataloader'].batch_size = 2
        if 'rcnn' in name:
            for evaluator in (config.val_evaluator, config.test_evaluator):
                evaluator.ann_file = f'{root}annotations/instances_val2017.json'
        config.custom_hooks = [dict(type='mixpro_mm.ClassCheckHook')]
        config.work_dir = str(tmp_path / 'work')
        config.log_level = 'ERROR'
        config.merge_from_dict(changes)
        return config

    return config


def stopped(config):
    with pytest.raises(RuntimeError) as error:
        Runner.from_cfg(config).train()
    return str(error.value)


def test_classification(tiny, tmp_path):
    config = tiny(tmp_path, **{'model.head.num_classes': 12})
    assert stopped(config) == (
        'ClassCheckHook: the train set (Digits) has 10 classes, 0 to 9, but head has 12: set num_classes=10 there.'
    )
    config = tiny(tmp_path, **{'data_preprocessor.num_classes': 9, 'model.head.num_classes': 9})
    assert 'but data_preprocessor has 9, head has 9: set' in stopped(config)


@pytest.mark.slow
def test_classes_of_validation_are_compared_too(tiny, tmp_path):
    config = tiny(tmp_path, **{'val_dataloader.dataset.classes': [0, 1, 2]})
    assert stopped(config).startswith(
        'ClassCheckHook: the val set (Digits) has 3 classes, 0 to 2, but data_preprocessor'
    )


def test_segmentation(downstream):
    """59 for 60, in small: the background counted or not."""
    config = downstream('segmenter_deit-micro_scratch_digit-scenes.py', **{'model.decode_head.num_classes': 10})
    config.model.decode_head.loss_decode.class_weight = [1.0] * 10
    said = stopped(config)
    assert said.startswith('ClassCheckHook: the train set (')
    assert said.endswith('has 11 classes, background to 9, but decode_head has 10: set num_classes=11 there.')


def test_detection(downstream):
    """Box and mask head; the head for proposals, which tells object from ground, is none of them."""
    config = downstream('mask-rcnn_pvt-micro_scratch_digit-scenes.py', **{'model.roi_head.bbox_head.num_classes': 80})
    said = stopped(config)
    assert said == (
        'ClassCheckHook: the train set (CocoDataset) has 10 classes, 0 to 9, but roi_head.bbox_head has 80: set '
        'num_classes=10 there.'
    )


@pytest.mark.parametrize(
    'wrap',
    [
        lambda dataset: dict(type='RepeatDataset', times=2, dataset=dataset),
        lambda dataset: dict(type='ConcatDataset', datasets=[dataset, dataset]),
    ],
)
def test_wrapped_data_sets_are_looked_into(tiny, tmp_path, wrap):
    config = tiny(tmp_path, **{'model.head.num_classes': 12})
    config.train_dataloader.dataset = wrap(config.train_dataloader.dataset)
    assert 'the train set (Digits) has 10 classes' in stopped(config)


@pytest.mark.slow
def test_what_is_told_to_be_ignored_is_passed_over(tiny, tmp_path):
    config = tiny(tmp_path, **{'model.head.num_classes': 12, 'train_cfg.max_epochs': 1})
    config.data_preprocessor.num_classes = 12
    config.default_hooks.class_check = dict(type='mixpro_mm.ClassCheckHook', ignore=('head', 'data_preprocessor'))
    config.val_dataloader = config.val_evaluator = config.val_cfg = None
    Runner.from_cfg(config).train()
