"""The rows of Table 3 on Pascal Context: backbones equal those of pre-training; small models train and are tested."""

import functools
import json
import runpy
import sys
from pathlib import Path
from unittest import mock

import cv2
import mmseg
import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmengine.runner import Runner
from PIL import Image
from torch import nn

from tests import config_rows
from tests.config_rows import CONFIGS, SERIAL

HOST = Path(mmseg.__file__).parent / '.mim'
LINEAR, SEGMENTER = (
    f'{decoder}_deit-small_mixpro_4xb4-80k_pascal-context-480x480' for decoder in ('linear', 'segmenter')
)
WITHOUT_GROUND = 'segmenter_deit-small_mixpro_4xb4-80k_pascal-context-59-480x480'
CNN = 'deeplabv3plus_r101_4xb4-40k_pascal-context-480x480'
ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)


def config_of(name):
    return config_rows.read(CONFIGS / 'segmentation' / f'{name}.py')


def pretraining():
    return config_rows.read(CONFIGS / 'pretrain' / 'deit-small_mixpro_8xb128_in1k.py')


@pytest.mark.parametrize('name', [LINEAR, SEGMENTER])
def test_every_name_and_shape_of_the_backbone_is_that_of_pretraining(name):
    linspace = functools.partial(torch.linspace, device='cpu')  # Segmenter takes single numbers out of it
    with torch.device('meta'), mock.patch.object(torch, 'linspace', linspace):
        with DefaultScope.overwrite_default_scope('mmseg'):
            mine = MODELS.build(config_of(name).model.to_dict()).backbone.state_dict()
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            source = MODELS.build(pretraining().model.backbone).state_dict()
    shapes, wanted = ({key: tuple(value.shape) for key, value in state.items()} for state in (mine, source))
    assert shapes.pop('pos_embed') == (1, 1 + 30 * 30, 384) and wanted.pop('pos_embed') == (1, 1 + 14 * 14, 384)
    assert shapes == wanted and len(shapes) == 12 * 12 + 5


# miniatures: every length in pixels a tenth, patches as they are, narrow models


def tenth(node):
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if key in ('scale', 'crop_size', 'stride', 'size', 'img_size'):
            assert all(side % 10 == 0 for side in np.ravel(value))
            node[key] = value // 10 if isinstance(value, int) else tuple(side // 10 for side in value)
        elif isinstance(value, dict | list):
            tenth(value)


def without_sync(node):
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if value == 'SyncBN':
            node[key] = 'BN'  # there is one process, and no GPU
        elif isinstance(value, dict | list):
            without_sync(value)


@pytest.fixture(autouse=True)
def no_time_for_looks(monkeypatch):
    """Most of a short run is the layout of its config in logs, and the search for compilers."""
    monkeypatch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda code, **_: (code, True))
    monkeypatch.setattr(Runner, '_log_env', lambda *_: None)


def miniature(name, data, work_dir, checkpoint=None):
    """A config of which nothing is changed but sizes, paths and the number of steps."""
    config = config_of(name).to_dict()
    tenth(config)
    model, head = config['model'], config['model']['decode_head']
    if name == CNN:
        without_sync(config)
        model['pretrained'] = None  # mmseg would download it
        model['backbone'].update(depth=50, stem_channels=8, base_channels=8)
        head.update(in_channels=256, channels=16, c1_in_channels=32, c1_channels=8)
        model['auxiliary_head'].update(in_channels=128, channels=16)
    else:
        model['backbone']['arch'] = dict(ARCH)
        head.update({key: 24 for key in ('in_channels', 'channels', 'embed_dims') if key in head})
        head.update({key: 2 for key in ('num_heads',) if key in head})
        model['backbone']['init_cfg']['checkpoint'] = str(checkpoint)
    for part in ('train', 'val', 'test'):
        loader = config[f'{part}_dataloader']
        loader.update(num_workers=0, persistent_workers=False)
        loader['dataset'].update(data_root=str(data), serialize_data=False)
    config['train_dataloader']['batch_size'] = 2
    config['train_cfg'].update(max_iters=2, val_interval=2)
    config['default_hooks']['logger']['interval'] = 1
    config['default_hooks']['checkpoint']['interval'] = 2
    config.update(work_dir=str(work_dir), log_level='WARNING', experiment_name=f'segmentation-{next(SERIAL)}')
    return Config(config)


SIDES = [(37, 50), (50, 37), (41, 50)]  # height and width of VOC images, a tenth


def draw(rng, sides, ids):
    """An image and its class ids on a grid of 4 x 5 cells, each class in its own colour."""
    cells = ids.reshape(4, 5).astype(np.uint8)
    colours = np.stack([cells * 4, 255 - cells * 4, cells * 37], -1)
    image, labels = (cv2.resize(m, sides[::-1], interpolation=cv2.INTER_NEAREST) for m in (colours, cells))
    return cv2.add(image, rng.integers(0, 9, image.shape, dtype=np.uint8)), labels


@pytest.fixture(scope='module')
def voc(tmp_path_factory):
    """Three images to train and three to test, all ids 0..59 in each three, in the layout of VOC 2010."""
    root, rng = tmp_path_factory.mktemp('VOCdevkit') / 'VOC2010', np.random.default_rng(0)
    for folder in ('JPEGImages', 'SegmentationClassContext', 'ImageSets/SegmentationContext'):
        (root / folder).mkdir(parents=True)
    for split in ('train', 'val'):
        names = [f'2008_{split}{n}' for n in range(3)]
        for name, sides, ids in zip(names, SIDES, rng.permutation(60).reshape(3, 20), strict=True):
            image, labels = draw(rng, sides, ids)
            cv2.imwrite(str(root / 'JPEGImages' / f'{name}.jpg'), image)
            Image.fromarray(labels).save(root / 'SegmentationClassContext' / f'{name}.png')
        (root / 'ImageSets' / 'SegmentationContext' / f'{split}.txt').write_text('\n'.join(names) + '\n')
    return root


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """What pre-training with MixPro leaves behind, of a narrow DeiT; no tensor is what a fresh one would be."""
    config = pretraining().model.to_dict()
    config['backbone']['arch'], config['head']['in_channels'] = dict(ARCH), 24
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(dict(config, init_cfg=None, train_cfg=None))
    torch.manual_seed(0)
    state = {key: value + 0.1 * torch.randn_like(value) for key, value in model.state_dict().items()}
    state['backbone.patch_embed.projection.weight'] *= 4  # so that patches differ in what is predicted
    path = tmp_path_factory.mktemp('pretrained') / 'epoch_300.pth'
    torch.save(dict(meta=dict(epoch=300), state_dict=state), path)
    return path


def run_test_script(config, weights, out, *flags):
    """What `mim test` runs; returns the metrics it logs, predictions lie in ``out``."""
    config.dump(out.with_suffix('.py'))
    command = ['test.py', out.with_suffix('.py'), weights, '--work-dir', out.with_suffix('.log'), '--out', out, *flags]
    with mock.patch.object(sys, 'argv', [str(word) for word in command]):
        runpy.run_path(str(HOST / 'tools' / 'test.py'), run_name='__main__')
    (log,) = out.with_suffix('.log').glob('*/*.json')
    return json.loads(log.read_text())


@pytest.mark.parametrize('name', [LINEAR, SEGMENTER, WITHOUT_GROUND, CNN])
def test_miniatures_train_and_are_scored_at_one_scale_and_at_several(name, voc, checkpoint, tmp_path):
    config = miniature(name, voc, tmp_path / 'run', checkpoint)
    runner = Runner.from_cfg(config)
    runner.train()
    scalars = runner.message_hub.log_scalars
    losses = scalars['train/loss'].data[0]
    assert runner.iter == 2 and len(losses) == 2 and np.isfinite(losses).all() and (losses > 0).all()
    if name != CNN:
        report = json.loads((tmp_path / 'run' / 'transfer.json').read_text())
        assert report['complete'] and report['ratio'] == 1 and report['dropped'] == ['head.*']
        assert [(each['name'], each['file'][1], each['module'][1]) for each in report['resized']] == [
            ('pos_embed', 1 + 14 * 14, 1 + 3 * 3)
        ]
    weights, maps = tmp_path / 'run' / 'iter_2.pth', {}
    for out, flags in (('one', ()), ('several', ('--tta',))):
        metrics = run_test_script(config, weights, tmp_path / out, *flags)
        maps[out] = np.stack([cv2.imread(str(tmp_path / out / f'2008_val{n}.png'), 0).ravel()[:1400] for n in range(3)])
        assert 0 <= metrics['mIoU'] <= 100
        if out == 'one':
            assert metrics['mIoU'] == pytest.approx(float(scalars['val/mIoU'].data[0][-1]), abs=0.006)
    assert (maps['one'] != maps['several']).any()


@pytest.mark.parametrize('name', [SEGMENTER, WITHOUT_GROUND])
def test_labels_reach_the_loss_as_they_are_meant(name, voc, tmp_path):
    config = miniature(name, voc, tmp_path)
    with DefaultScope.overwrite_default_scope('mmseg'):
        dataset = DATASETS.build(config.val_dataloader.dataset)
    classes = ['background', 'aeroplane', 'bag'] if name != WITHOUT_GROUND else ['aeroplane', 'bag', 'bed']
    assert list(dataset.metainfo['classes'][:3]) == classes
    assert len(dataset.metainfo['classes']) == config.model.decode_head.num_classes
    for item in dataset:
        sample = item['data_samples']
        raw = np.asarray(Image.open(sample.seg_map_path)).astype(int)
        expected = raw if name != WITHOUT_GROUND else np.where(raw == 0, 255, raw - 1)
        assert np.array_equal(sample.gt_sem_seg.data[0], expected)
        assert min(item['inputs'].shape[1:]) == 52  # the short side


# several scales at full size: what is padded is cut off again


class Patches(nn.Module):
    """Mean of each 16 x 16 patch, padded as the patch embedding of a ViT pads."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def forward(self, x):
        self.sizes.append(tuple(x.shape[2:]))
        return (F.avg_pool2d(F.pad(x, (0, -x.shape[3] % 16, 0, -x.shape[2] % 16)), 16),)


@pytest.fixture
def cross(tmp_path):
    """One image of a true size, bright from row 338 and column 450 on, dark elsewhere."""
    image = np.full((375, 500, 3), (44, 56, 64), dtype=np.uint8)  # as far below the mean of ImageNet
    image[338:] = image[:, 450:] = (164, 176, 184)  # as above
    for folder in ('JPEGImages', 'SegmentationClassContext', 'ImageSets/SegmentationContext'):
        (tmp_path / folder).mkdir(parents=True)
    cv2.imwrite(str(tmp_path / 'JPEGImages' / '2008_000002.jpg'), image)
    Image.fromarray(np.zeros((375, 500), dtype=np.uint8)).save(tmp_path / 'SegmentationClassContext/2008_000002.png')
    (tmp_path / 'ImageSets' / 'SegmentationContext' / 'val.txt').write_text('2008_000002\n')
    return tmp_path


def edges(cross, tta_model, which=slice(None)):
    """The row and column from which on a model of patch means sees bright, at each of the 12 sizes and mirrors."""
    config = Config(config_of(LINEAR).to_dict())
    config.model.backbone = dict(type='mmpretrain.VisionTransformer', arch=dict(ARCH), out_type='featmap')
    config.model.decode_head.update(in_channels=3, channels=3, num_classes=3)
    source = dict(config.test_dataloader.dataset, data_root=str(cross), pipeline=config.tta_pipeline)
    with DefaultScope.overwrite_default_scope('mmseg'):
        tester, (data,) = MODELS.build(dict(tta_model, module=config.model)), DATASETS.build(source)
    model = tester.module.eval()
    model.backbone, layer = Patches(), model.decode_head.conv_seg
    layer.weight.data.copy_(torch.tensor([-1.0, 1.0, 0.0]).view(3, 1, 1, 1).expand(3, 3, 1, 1))  # dark, bright, neither
    layer.bias.data.zero_()
    found = []
    for inputs, sample in zip(data['inputs'][which], data['data_samples'][which], strict=True):
        (result,) = model.test_step(dict(inputs=[inputs], data_samples=[sample]))
        dark = result.pred_sem_seg.data[0] == 0
        assert dark.shape == (375, 500)
        found.append((dark[:, 100].sum().item(), dark[100].sum().item()))
    return np.array(found), model.backbone.sizes


def test_what_is_padded_at_small_scales_is_cut_off_again(cross):
    config = config_of(LINEAR)
    found, windows = edges(cross, config.tta_model)
    assert len(found) == 12 and np.abs(found - (338, 450)).max() <= 5
    assert {side % 16 for window in windows for side in window} == {0}
    assert (272, 352) in windows and (400, 480) in windows and max(windows) == (480, 480)
    ((row, _),), windows = edges(cross, dict(type='SegTTAModel'), slice(1))  # the reason for it
    assert row - 338 < -10 and windows == [(260, 347)]
