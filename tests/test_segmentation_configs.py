"""Segmentation configs: backbones of pre-training, and training and testing of small models."""

import functools
import json
from unittest import mock

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner

from mixpro_mm.datasets.digit_scenes import write_digit_scenes
from mixpro_mm.study.evaluate import test_with_tta
from mixpro_mm.utils.checkpoint import read_checkpoint
from tests.config_rows import CONFIGS, fresh, read, run

LINEAR, SEGMENTER = (
    f'{decoder}_deit-small_mixpro_4xb4-80k_pascal-context-480x480' for decoder in ('linear', 'segmenter')
)
FROZEN = 'linear-frozen_deit-small_mixpro_4xb4-40k_pascal-context-480x480'
WITHOUT_BACKGROUND = 'segmenter_deit-small_mixpro_4xb4-80k_pascal-context-59-480x480'
LONG = [pytest.param(name, marks=pytest.mark.long) for name in (LINEAR, WITHOUT_BACKGROUND)]
PRETRAINING = read(CONFIGS / 'pretrain' / 'deit-small_mixpro_8xb128_in1k.py').model
ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)


def config_of(name):
    return fresh(CONFIGS / 'segmentation' / f'{name}.py')


@pytest.mark.parametrize('name', [LINEAR, SEGMENTER])
def test_backbone_has_the_names_and_shapes_of_pretraining(name):
    linspace = functools.partial(torch.linspace, device='cpu')  # Segmenter calls item()
    with torch.device('meta'), mock.patch.object(torch, 'linspace', linspace):
        with DefaultScope.overwrite_default_scope('mmseg'):
            mine = MODELS.build(config_of(name).model).backbone.state_dict()
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            source = MODELS.build(PRETRAINING.backbone).state_dict()
    shapes, wanted = ({key: tuple(value.shape) for key, value in state.items()} for state in (mine, source))
    assert shapes.pop('pos_embed') == (1, 1 + 30 * 30, 384) and wanted.pop('pos_embed') == (1, 1 + 14 * 14, 384)
    assert shapes == wanted and len(shapes) == 12 * 12 + 5


def tenth(node):
    """Divide all sizes in pixels by 10, except patches."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if key in ('scale', 'crop_size', 'stride', 'size', 'img_size'):
            node[key] = value // 10 if isinstance(value, int) else tuple(side // 10 for side in value)
        elif value == 'SyncBN':
            node[key] = 'BN'  # one process on CPU
        elif isinstance(value, dict | list):
            tenth(value)


def miniature(name, data, checkpoint=None):
    """Change sizes, paths and the number of steps of a config."""
    config = config_of(name)
    config.model.backbone.init_cfg.checkpoint = str(checkpoint)
    for part in ('train', 'val', 'test'):
        config[f'{part}_dataloader'].dataset.data_root = str(data)
    return shrink(config)


def shrink(config):
    """Change the sizes and the number of steps of a config."""
    config = config.to_dict()
    tenth(config)
    backbone, head = config['model']['backbone'], config['model']['decode_head']
    backbone['arch'] = dict(ARCH)
    if 'frozen_stages' in backbone:
        backbone['frozen_stages'] = ARCH['num_layers']
    narrow = dict(in_channels=24, channels=24, embed_dims=24, num_heads=2)
    head.update({key: value for key, value in narrow.items() if key in head})
    for part in ('train', 'val', 'test'):
        loader = config[f'{part}_dataloader']
        loader.update(num_workers=0, persistent_workers=False)
        loader['dataset'].update(serialize_data=False)
    config['train_dataloader']['batch_size'] = 2
    config['train_cfg'].update(max_iters=2, val_interval=2)
    config['default_hooks']['logger']['interval'] = 1
    config['default_hooks']['checkpoint']['interval'] = 2
    return Config(dict(config, log_level='WARNING'))


@pytest.fixture(scope='module')
def voc(tmp_path_factory):
    return write_digit_scenes(tmp_path_factory.mktemp('scenes') / 'set', 4, 3) / 'VOCdevkit' / 'VOC2010'


def write_checkpoint(path):
    """Write a checkpoint of pre-training of a narrow DeiT with random tensors."""
    config = PRETRAINING.to_dict()
    config['backbone']['arch'], config['head']['in_channels'] = dict(ARCH), 24
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(dict(config, init_cfg=None, train_cfg=None))
    torch.manual_seed(0)
    state = {key: value + 0.1 * torch.randn_like(value) for key, value in model.state_dict().items()}
    state['backbone.patch_embed.projection.weight'] *= 4  # so that predictions differ between patches
    torch.save(dict(meta=dict(epoch=300), state_dict=state), path)
    return path


@pytest.mark.parametrize('name', [SEGMENTER, *LONG])
def test_small_models_train_and_are_tested_at_one_and_several_scales(name, voc, tmp_path):
    config = miniature(name, voc, write_checkpoint(tmp_path / 'epoch_300.pth'))
    _, watch, _ = run(config, tmp_path / 'run')
    losses = np.array([losses['loss'] for losses in watch.losses])
    assert len(losses) == 2 and np.isfinite(losses).all() and (losses > 0).all()
    report = json.loads((tmp_path / 'run' / 'transfer.json').read_text())
    assert report['complete'] and report['ratio'] == 1 and report['dropped'] == ['head.*']
    (resized,) = report['resized']
    assert (resized['name'], resized['file'][1], resized['module'][1]) == ('pos_embed', 1 + 14 * 14, 1 + 3 * 3)
    config.load_from = str(tmp_path / 'run' / 'iter_2.pth')
    _, _, one = run(config, tmp_path / 'one', Runner.test)
    config.work_dir = str(tmp_path / 'several')
    several = test_with_tta(config, config.load_from)
    assert one['mIoU'] == pytest.approx(watch.metrics['mIoU'], abs=0.006)
    assert several.keys() == {f'{metric} (MS)' for metric in one}


def test_a_frozen_backbone_keeps_the_tensors_of_the_checkpoint(voc, tmp_path):
    assert config_of(FROZEN).model.backbone.frozen_stages == 12  # blocks of DeiT-S
    config = miniature(FROZEN, voc, write_checkpoint(tmp_path / 'epoch_300.pth'))
    runner, watch, _ = run(config, tmp_path / 'run')
    trained = {name for name, parameter in runner.model.named_parameters() if parameter.requires_grad}
    assert trained == {'decode_head.conv_seg.weight', 'decode_head.conv_seg.bias'} and watch.losses
    given, final = (read_checkpoint(tmp_path / name).tensors for name in ('epoch_300.pth', 'run/iter_2.pth'))
    for name, tensor in given.items():
        if name.startswith('backbone.') and 'pos_embed' not in name:
            assert torch.equal(final[name], tensor), name


@pytest.mark.parametrize('decoder', ['segmenter', 'linear'])
def test_ade20k_is_read_trained_and_tested(decoder, voc, tmp_path):
    """Its annotations count classes from 1; 0 is not labeled."""
    for part in ('training', 'validation'):
        for source, target in (('JPEGImages', 'images'), ('SegmentationClassContext', 'annotations')):
            (tmp_path / 'ade' / target).mkdir(parents=True, exist_ok=True)
            (tmp_path / 'ade' / target / part).symlink_to(voc / source)
    name = f'{decoder}_deit-small_mixpro_8xb1-160k_ade20k-512x512'
    config = miniature(name, tmp_path / 'ade', write_checkpoint(tmp_path / 'epoch_300.pth'))
    runner, watch, _ = run(config, tmp_path / 'run')
    assert len(watch.losses) == 2 and np.isfinite([losses['loss'] for losses in watch.losses]).all()
    assert json.loads((tmp_path / 'run' / 'transfer.json').read_text())['complete']
    assert 0 <= watch.metrics['mIoU'] <= 100 and runner.model.decode_head.num_classes == 150
    labels = {
        int(label)
        for n in range(3)
        for label in runner.val_dataloader.dataset[n]['data_samples'].gt_sem_seg.data.unique()
    }
    assert 255 in labels and labels - {255} <= set(range(10))  # the digit 9 is 10 in the file
    config.work_dir = str(tmp_path / 'several')
    several = test_with_tta(config, str(tmp_path / 'run' / 'iter_2.pth'))
    assert 0 <= several['mIoU (MS)'] <= 100
