from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS
from sklearn.datasets import load_digits

from mixpro_mm.datasets import Digits, load_digit_images, split_indices

CONFIG = Path(__file__).parents[2] / 'configs' / '_base_' / 'digits.py'


def test_split_is_stratified_disjoint_and_complete():
    train, test = split_indices('train'), split_indices('test')
    assert (len(train), len(test)) == (1442, 355)
    assert np.array_equal(np.sort(np.concatenate([train, test])), np.arange(1797))
    target = load_digits().target
    assert np.bincount(target[train]).tolist() == [143, 146, 142, 147, 145, 146, 145, 144, 140, 144]
    assert np.bincount(target[test]).tolist() == [35, 36, 35, 36, 36, 36, 36, 35, 34, 36]
    zeros = np.flatnonzero(target == 0)
    assert np.flatnonzero(np.isin(zeros, test)).tolist() == list(range(4, 178, 5))  # every fifth, in file order


def test_items_are_bgr_arrays_and_not_shared():
    dataset = DATASETS.build(dict(type='mixpro_mm.Digits', split='test', img_size=24))
    assert isinstance(dataset, Digits) and len(dataset) == 355
    assert dataset.metainfo['classes'] == tuple('0123456789')
    assert np.array_equal(dataset.get_gt_labels(), load_digit_images('test')[1])
    item = dataset[7]
    assert item['img'].dtype == np.uint8 and item['img'].shape == (24, 24, 3)
    assert (item['img'] == item['img'][..., :1]).all()
    small = item['img'][..., 0].reshape(8, 3, 8, 3).mean((1, 3))
    assert np.corrcoef(small.ravel(), load_digit_images('test')[0][7].ravel())[0, 1] > 0.98
    item['img'][:] = 0
    assert dataset[7]['img'].any()


def test_config_gives_normalised_batches_without_flips():
    cfg = Config.fromfile(CONFIG)
    assert not any('Flip' in step.type for step in cfg.train_pipeline)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        loaders = [Runner.build_dataloader(cfg[f'{name}_dataloader'], seed=0) for name in ('train', 'test')]
        preprocessor = MODELS.build(dict(type='ClsDataPreprocessor', **cfg.data_preprocessor))
    train, test = (preprocessor(next(iter(loader)))['inputs'] for loader in loaders)
    assert (train.shape, test.shape) == ((64, 3, 32, 32), (128, 3, 32, 32))
    paper = (0 - torch.tensor(cfg.data_preprocessor.mean)) / torch.tensor(cfg.data_preprocessor.std)
    assert torch.allclose(test.amin((0, 2, 3)), paper)  # not augmented, RGB order


def test_classes_select_digits_and_define_labels():
    images, labels = load_digit_images('test')
    dataset = Digits(split='test', img_size=8, classes=[7, 0, 3])
    assert dataset.metainfo['classes'] == ('7', '0', '3')
    kept = np.isin(labels, [7, 0, 3])
    assert len(dataset) == kept.sum() == 106
    assert dataset.get_gt_labels().tolist() == [[7, 0, 3].index(label) for label in labels[kept]]
    assert np.array_equal(np.stack([item['img'][..., 0] for item in dataset]), images[kept])


@pytest.mark.parametrize('kwargs', [dict(classes=[]), dict(classes=[1, 1]), dict(classes=[7, 10]), dict(split='val')])
def test_invalid_arguments_raise(kwargs):
    with pytest.raises(ValueError, match=r"no split 'val'|classes must be distinct labels from 0 to 9"):
        Digits(**kwargs)
