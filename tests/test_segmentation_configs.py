"""The rows of Table 3 on Pascal Context: that each is there, says which row it is, holds the settings it claims, and
trains, is scored and is scored at several scales with the scripts that `mim` runs, in miniature.

About half a minute: the miniatures run the real data sets, pipelines, models and scripts on lengths ten times smaller.
"""

import functools
import itertools
import json
import multiprocessing
import re
import runpy
import signal
import subprocess
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
from mmengine.optim import PolyLR
from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmengine.runner import Runner, load_checkpoint
from PIL import Image
from torch import nn

from tests import config_rows

CONFIGS = Path(__file__).parents[1] / 'configs'
FOLDER = CONFIGS / 'segmentation'
HOST = Path(mmseg.__file__).parent / '.mim'

MINE = 'work_dirs/deit-small_{}_8xb128_in1k/epoch_300.pth'
STARTS = dict(
    mixpro=MINE.format('mixpro'),
    baseline=MINE.format('mixup-cutmix'),
    transmix=MINE.format('transmix'),
    smmix='checkpoints/deit-small_smmix.pth',
    official='checkpoints/deit-small_official.pth',
)
METHODS = dict(baseline='', transmix=' + TransMix', mixpro=' + MixPro')
DECODERS = dict(linear='Linear', segmenter='Segmenter')
DEIT = {
    f'{decoder}_deit-small_{start}_4xb4-80k_pascal-context-480x480': (decoder, start)
    for decoder in DECODERS
    for start in STARTS
}
PARENTS = {decoder: f'{decoder}_deit-small_mixpro_4xb4-80k_pascal-context-480x480' for decoder in DECODERS}
WITHOUT_GROUND = 'segmenter_deit-small_mixpro_4xb4-80k_pascal-context-59-480x480'
CNN = 'deeplabv3plus_r101_4xb4-40k_pascal-context-480x480'
ALL = [*DEIT, WITHOUT_GROUND, CNN]
LIMIT = 300  # seconds for one test, which needs about 2
RATIOS = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)


def read(path):
    """A config as it resolves; only to be looked at."""
    return config_rows.read(CONFIGS / path)


def config_of(name):
    return read(f'segmentation/{name}.py')


def pretraining(start):
    return read(f'pretrain/{Path(STARTS[start]).parent.name}.py')


def header(name):
    return config_rows.header(FOLDER / f'{name}.py')


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """One thread, no child process, and an end: a busy machine makes these tests slower, but they do not hang."""

    def no_child(*args, **_):
        raise AssertionError(f'a child process was started: {args}')

    def too_long(*_):
        raise TimeoutError(f'a test took over {LIMIT} s')

    monkeypatch.setattr('mmengine.utils.version_utils._minimal_ext_cmd', lambda _: b'unknown')  # the runner asks git
    monkeypatch.setattr(subprocess, 'Popen', no_child)
    monkeypatch.setattr(multiprocessing.process.BaseProcess, 'start', no_child)
    threads, handler = torch.get_num_threads(), signal.signal(signal.SIGALRM, too_long)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    signal.alarm(LIMIT)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, handler)
    torch.set_num_threads(threads)


@functools.cache
def built(name):
    """The model of a config in full size, without memory and without downloads; only to be looked at."""
    settings = config_of(name).model.to_dict()
    if name == CNN:
        settings['pretrained'] = None
    linspace = functools.partial(torch.linspace, device='cpu')  # Segmenter takes single numbers out of it
    with (
        DefaultScope.overwrite_default_scope('mmseg'),
        torch.device('meta'),
        mock.patch.object(torch, 'linspace', linspace),
    ):
        return MODELS.build(settings)


def test_there_is_a_file_for_every_row_and_a_row_for_every_file():
    assert sorted(path.stem for path in FOLDER.rglob('*.py')) == sorted(ALL)
    assert len(ALL) == 12


def papers_line(name):
    """What the header must say, from the one place where the paper's numbers stand."""
    table3 = read('_base_/paper.py').table3
    if name == CNN:
        row, numbers = 'DeeplabV3+ R101', table3['deeplabv3plus_r101'].baseline
    elif name == WITHOUT_GROUND or DEIT[name][1] not in METHODS:
        return None
    else:
        decoder, start = DEIT[name]
        row, numbers = f'DeiT-S-{DECODERS[decoder]}{METHODS[start]}', table3[f'{decoder}_deit-small'][start]
    return f'# Paper:    Table 3, {row}: mIoU {numbers[0]}, (MS) {numbers[1]}; not run here'


@pytest.mark.parametrize('name', ALL)
def test_the_header_names_the_row_its_numbers_the_needs_and_the_commands(name):
    lines, expected = header(name), papers_line(name)
    (paper,) = (line for line in lines if line.startswith('# Paper:'))
    if expected:
        assert paper == expected
    else:
        assert re.fullmatch(r'# Paper:    no row of Table 3(, which counts 60 classes)?; not run here', paper)
    file, last = f'configs/segmentation/{name}.py', config_of(name).train_cfg.max_iters
    weights = f'work_dirs/{name}/iter_{last}.pth'
    assert f'# Run:      mim train onedl-mmsegmentation {file} --gpus 4 --launcher pytorch' in lines
    assert f'# Test:     mim test onedl-mmsegmentation {file} --checkpoint {weights}' in lines
    assert '# Test, MS: the same with --tta' in lines
    assert '# Data:     data/VOCdevkit/VOC2010, see docs/pascal_context.md' in lines
    needs = [line for line in lines if line.startswith('# Needs:')]
    if name == CNN:
        assert not needs
    else:
        checkpoint = config_of(name).model.backbone.init_cfg.checkpoint
        assert len(needs) == 1 and needs[0].startswith(f'# Needs:    {checkpoint}')
        assert ('epoch_300' not in checkpoint) or f'configs/pretrain/{Path(checkpoint).parent.name}.py' in needs[0]
    assert len(lines[0]) > 30 and not re.match(r'# (Paper|Needs|Data|Run|Test)', lines[0])  # its story comes first


def test_every_number_of_table_3_has_its_file():
    cells = {pair for row in read('_base_/paper.py').table3.values() for pair in row.values()}
    found = {re.search(r'mIoU ([\d.]+), \(MS\) ([\d.]+);', ' '.join(header(name))) for name in ALL} - {None}
    assert {(float(match[1]), float(match[2])) for match in found} == cells and len(cells) == 7


# the settings: the column of decisions of the recipe, item by item


def transform(pipeline, kind):
    (found,) = (step for step in pipeline if step.type == kind)
    return {key: value for key, value in found.items() if key != 'type'}


@pytest.mark.parametrize('decoder', DECODERS)
def test_the_settings_are_those_decided(decoder):
    config = config_of(PARENTS[decoder])
    model, train, val = config.model, config.train_dataloader, config.val_dataloader
    pipeline = train.dataset.pipeline
    taken = dict(
        data=(train.dataset.type, train.dataset.data_root, train.dataset.ann_file, val.dataset.ann_file),
        classes=model.decode_head.num_classes,
        order=[step.type for step in pipeline],
        crop=(transform(pipeline, 'RandomCrop'), config.data_preprocessor['size'], model.backbone.img_size),
        base_size=transform(pipeline, 'RandomResize'),
        flip=transform(pipeline, 'RandomFlip'),
        photometric=transform(pipeline, 'PhotoMetricDistortion'),
        batch=train.batch_size * 4,
        optimizer=config.optim_wrapper.to_dict(),
        schedule=[step.to_dict() for step in config.param_scheduler],
        iterations=(config.train_cfg.max_iters, config.train_cfg.val_interval),
        drop_path=model.backbone.drop_path_rate,
        normalisation=(model.data_preprocessor.mean, model.data_preprocessor.std, model.data_preprocessor.bgr_to_rgb),
        ignored=(model.data_preprocessor.seg_pad_val, model.decode_head.get('ignore_index', 255)),
        window=model.test_cfg.to_dict(),
        test_order=[step.type for step in val.dataset.pipeline],
        test_size=transform(val.dataset.pipeline, 'Resize'),
        metric=config.val_evaluator.to_dict(),
        loss=model.decode_head.loss_decode.to_dict(),
        auxiliary=model.get('auxiliary_head'),
    )
    voc = 'ImageSets/SegmentationContext'
    assert taken == dict(
        data=('PascalContextDataset', 'data/VOCdevkit/VOC2010', f'{voc}/train.txt', f'{voc}/val.txt'),
        classes=60,
        order=[
            'LoadImageFromFile',
            'LoadAnnotations',
            'RandomResize',
            'RandomCrop',
            'RandomFlip',
            'PhotoMetricDistortion',
            'PackSegInputs',
        ],
        crop=(dict(crop_size=(480, 480), cat_max_ratio=0.75), (480, 480), 480),
        base_size=dict(scale=(4160, 520), ratio_range=(0.5, 2.0), keep_ratio=True),
        flip=dict(prob=0.5),
        photometric={},
        batch=16,
        optimizer=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1e-3, momentum=0.9, weight_decay=0.0)),
        schedule=[dict(type='PolyLR', power=0.9, eta_min=1e-5, begin=0, end=80000, by_epoch=False)],
        iterations=(80000, 8000),
        drop_path=0.1,
        normalisation=([123.675, 116.28, 103.53], [58.395, 57.12, 57.375], True),
        ignored=(255, 255),
        window=dict(mode='slide', crop_size=(480, 480), stride=(320, 320)),
        test_order=['LoadImageFromFile', 'Resize', 'LoadAnnotations', 'PackSegInputs'],
        test_size=dict(scale=(4160, 520), keep_ratio=True),
        metric=dict(type='IoUMetric', iou_metrics=['mIoU']),
        loss=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0, avg_non_ignore=True),
        auxiliary=None,
    )
    assert config.test_dataloader == val and config.test_evaluator == config.val_evaluator
    assert config.default_hooks.checkpoint.to_dict() == dict(
        type='mixpro_mm.AtomicCheckpointHook', by_epoch=False, interval=8000, max_keep_ckpts=2
    )
    assert config.randomness.diff_rank_seed is True


@pytest.mark.parametrize(('name', 'base'), [(PARENTS['linear'], (4160, 520)), (CNN, (520, 520))])
def test_several_scales_multiply_the_base_and_not_the_image(name, base):
    load, several = config_of(name).tta_pipeline
    resize, flip, labels, pack = several.transforms
    assert (load.type, several.type) == ('LoadImageFromFile', 'TestTimeAug')
    sizes = [tuple(round(side * ratio) for side in base) for ratio in RATIOS]
    assert [step.to_dict() for step in resize] == [dict(type='Resize', scale=size, keep_ratio=True) for size in sizes]
    assert [(step.type, step.prob, step.direction) for step in flip] == [
        ('RandomFlip', 0.0, 'horizontal'),
        ('RandomFlip', 1.0, 'horizontal'),
    ]
    assert [step.type for step in (*labels, *pack)] == ['LoadAnnotations', 'PackSegInputs']
    assert config_of(name).tta_model.type == 'SegTTAModel'


def test_the_learning_rate_falls_from_1e_3_to_1e_5():
    settings = config_of(PARENTS['segmenter']).param_scheduler[0].to_dict()
    assert settings.pop('type') == 'PolyLR'
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1e-3)
    schedule, rates = PolyLR(optimizer, **settings), []
    optimizer.step()
    for _ in range(80001):
        rates.append(optimizer.param_groups[0]['lr'])
        schedule.step()
    assert rates[0] == 1e-3 == max(rates)  # no warm-up
    assert rates[40000] == pytest.approx(1e-5 + 99e-5 * 0.5358867, rel=1e-4)  # 0.5 ** 0.9
    assert rates[80000] == pytest.approx(1e-5, rel=1e-3)


@pytest.mark.parametrize(('name', 'start'), [(name, start) for name, (_, start) in DEIT.items() if start != 'mixpro'])
def test_the_starts_differ_in_nothing_but_the_checkpoint(name, start):
    parent = config_of(PARENTS[DEIT[name][0]]).to_dict()
    assert parent['model']['backbone']['init_cfg'] == dict(
        type='Pretrained', checkpoint=STARTS['mixpro'], prefix='backbone.'
    )
    assert parent['custom_hooks'] == [dict(type='mixpro_mm.TransferCheckHook')]
    parent['model']['backbone']['init_cfg']['checkpoint'] = STARTS[start]
    assert config_of(name).to_dict() == parent
    code = [line for line in (FOLDER / f'{name}.py').read_text().splitlines() if line and not line.startswith('#')]
    assert code == [
        f"_base_ = '{PARENTS[DEIT[name][0]]}.py'",
        f"model = dict(backbone=dict(init_cfg=dict(checkpoint='{STARTS[start]}')))",
    ]


def test_the_decoders_differ_in_nothing_but_the_head():
    linear, segmenter = (config_of(PARENTS[decoder]).to_dict() for decoder in DECODERS)
    assert linear['model'].pop('decode_head') != segmenter['model'].pop('decode_head')
    assert linear == segmenter


def test_59_classes_change_the_labels_and_nothing_else():
    config, parent = config_of(WITHOUT_GROUND).to_dict(), config_of(PARENTS['segmenter']).to_dict()
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        assert config[loader]['dataset'].pop('type') == 'PascalContextDataset59'
        assert parent[loader]['dataset'].pop('type') == 'PascalContextDataset'
    assert config['model']['decode_head'].pop('num_classes') == 59
    assert parent['model']['decode_head'].pop('num_classes') == 60
    assert config == parent


def test_the_cnn_is_the_hosts_own_config():
    config = config_of(CNN).to_dict()
    path = HOST / 'configs' / 'deeplabv3plus' / 'deeplabv3plus_r101-d8_4xb4-40k_pascal-context-480x480.py'
    stock = Config.fromfile(path).to_dict()
    assert config.pop('tta_pipeline') and 'tta_pipeline' not in stock
    assert config.pop('ratios') == RATIOS
    assert config['default_hooks']['checkpoint'].pop('max_keep_ckpts') == 2
    assert config == stock
    assert stock['model']['pretrained'] == 'open-mmlab://resnet101_v1c' and stock['model']['backbone']['depth'] == 101
    assert stock['model']['decode_head']['num_classes'] == 60


# the models


@pytest.mark.parametrize('start', METHODS)
def test_runs_start_from_the_checkpoint_that_pretraining_leaves(start):
    checkpoint, pretrain = Path(STARTS[start]), pretraining(start)  # work_dirs/<name of the config>
    assert (CONFIGS / 'pretrain' / f'{checkpoint.parent.name}.py').exists()
    assert checkpoint.name == f'epoch_{pretrain.train_cfg.max_epochs}.pth'


@pytest.mark.parametrize('name', [*PARENTS.values(), WITHOUT_GROUND])
def test_every_name_and_shape_of_the_backbone_is_that_of_pretraining(name):
    mine = built(name).backbone.state_dict()
    with DefaultScope.overwrite_default_scope('mmpretrain'), torch.device('meta'):
        source = MODELS.build(pretraining('mixpro').model.backbone).state_dict()
    shapes, wanted = ({key: tuple(value.shape) for key, value in state.items()} for state in (mine, source))
    assert shapes.pop('pos_embed') == (1, 1 + 30 * 30, 384) and wanted.pop('pos_embed') == (1, 1 + 14 * 14, 384)
    assert shapes == wanted and len(shapes) == 12 * 12 + 5
    assert mine['patch_embed.projection.bias'].shape == (384,) and mine['ln1.weight'].shape == (384,)


# 2 blocks of DeiT-S, projection in, a token per class, two projections, two norms
MASK_TRANSFORMER = 2 * 1_774_464 + 384 * 385 + 60 * 384 + 2 * 384 * 384 + 2 * 384 + 2 * 60


@pytest.mark.parametrize(('decoder', 'count'), [('linear', 384 * 60 + 60), ('segmenter', MASK_TRANSFORMER)])
def test_the_decoder_has_the_parameters_counted_by_hand(decoder, count):
    model = built(PARENTS[decoder])
    assert sum(parameter.numel() for parameter in model.decode_head.parameters()) == count
    assert not model.with_neck and not model.with_auxiliary_head


BACKBONE = 22_050_664 - 1000 * 385 + (30 * 30 - 14 * 14) * 384  # DeiT-S as published, no classifier, for 480 px


def conv(kernel, channels_in, channels_out, groups=1):
    """Parameters of a convolution without bias and the batch norm that follows it."""
    return kernel * kernel * channels_in // groups * channels_out + 2 * channels_out


def separable(channels_in, channels_out):
    return conv(3, channels_in, channels_in, channels_in) + conv(1, channels_in, channels_out)


# ResNet-101 as torchvision publishes it, no classifier, three small convolutions for the large one at its start
RESNET = 44_549_160 - 1000 * 2049 - conv(7, 3, 64) + conv(3, 3, 32) + conv(3, 32, 32) + conv(3, 32, 64)
# pooled image, point-wise, three dilated, all of them to 512 channels; what they meet: stage 1; then 60 classes
PYRAMID = 2 * conv(1, 2048, 512) + 3 * separable(2048, 512) + conv(3, 5 * 512, 512) + conv(1, 256, 48)
DEEPLAB = PYRAMID + separable(512 + 48, 512) + separable(512, 512) + 60 * 513
AUXILIARY = conv(3, 1024, 256) + 60 * 257
FULL_SIZE = {
    PARENTS['linear']: (21_959_100, BACKBONE + 60 * 385),
    PARENTS['segmenter']: (25_951_608, BACKBONE + MASK_TRANSFORMER),
    WITHOUT_GROUND: (25_951_222, BACKBONE + MASK_TRANSFORMER - 384 - 2),  # a token, and its share of a norm
    CNN: (62_613_576, RESNET + DEEPLAB + AUXILIARY),
}


@pytest.mark.parametrize('name', ALL)
def test_every_model_in_full_size_has_the_parameters_counted_by_hand(name):
    parent = PARENTS[DEIT[name][0]] if name in DEIT else name
    total, by_hand = FULL_SIZE[parent]
    assert sum(parameter.numel() for parameter in built(name).parameters()) == total == by_hand


def test_dropout_is_where_segmenter_has_it():
    model = built(PARENTS['segmenter'])
    for layer in model.decode_head.layers:
        assert layer.attn.attn.dropout == 0.1 and layer.attn.attn.num_heads == 6
        assert [module.p for module in layer.modules() if type(module) is nn.Dropout] == [0.1] * 3
        assert not any(type(module).__name__ == 'DropPath' for module in layer.modules())
    for number, layer in enumerate(model.backbone.layers):  # both branches, rising to 0.1
        for path in (layer.attn.out_drop, layer.ffn.dropout_layer):
            assert getattr(path, 'drop_prob', 0.0) == pytest.approx(0.1 * number / 11)


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


ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)
SERIAL = itertools.count()


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
    config = pretraining('mixpro').model.to_dict()
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


def predicted_by_hand(model, image, sizes, several):
    """Class ids (H, W): at each size resize, maybe mirror, slide, score; then mean of the softmax, written out."""
    (height, width), total = image.shape[:2], 0
    settings, normalise = model.test_cfg, model.data_preprocessor
    crop, stride = settings.crop_size[0], settings.stride[0]
    for (long, short), mirrored in itertools.product(sizes, (False, True) if several else (False,)):
        factor = min(long / max(height, width), short / min(height, width))
        h, w = (int(side * factor + 0.5) for side in (height, width))
        pixels = cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR)[:, :: -1 if mirrored else 1, ::-1]
        x = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
        x = (x - normalise.mean) / normalise.std
        if several == 'padded':
            x = F.pad(x, (0, -w % 16, 0, -h % 16))
        logits, hits = 0, 0
        tops, lefts = (
            sorted({min(start, max(side - crop, 0)) for start in range(0, side, stride)}) for side in x.shape[2:]
        )
        for top, left in itertools.product(tops, lefts):
            window = x[:, :, top : top + crop, left : left + crop]
            scores = model.decode_head(model.backbone(window))
            scores = F.interpolate(scores, window.shape[2:], mode='bilinear', align_corners=False)
            where = (left, x.shape[3] - left - window.shape[3], top, x.shape[2] - top - window.shape[2])
            logits, hits = logits + F.pad(scores, where), hits + F.pad(torch.ones_like(scores[:, :1]), where)
        logits = (logits / hits)[:, :, :h, :w]
        logits = logits.flip(3) if mirrored else logits
        logits = F.interpolate(logits, (height, width), mode='bilinear', align_corners=False)
        total = total + logits.softmax(1)
    return total[0].argmax(0).numpy()


def mean_iou(predictions, truths, classes):
    """Over the classes that are there or are seen, in percent."""
    seen, true = (np.concatenate([m.ravel() for m in maps]) for maps in (predictions, truths))
    seen, true = seen[true != 255], true[true != 255]
    ious = [
        ((seen == k) & (true == k)).sum() / either
        for k in range(classes)
        if (either := ((seen == k) | (true == k)).sum())
    ]
    return 100 * np.mean(ious)


@pytest.mark.parametrize('name', ALL)
def test_rows_train_and_are_scored_at_one_scale_and_at_several(name, voc, checkpoint, tmp_path):
    config = miniature(name, voc, tmp_path / 'run', checkpoint)
    runner = Runner.from_cfg(config)
    runner.train()
    scalars = runner.message_hub.log_scalars
    losses = scalars['train/loss'].data[0]
    assert runner.iter == 2 and len(losses) == 2 and np.isfinite(losses).all() and (losses > 0).all()
    learnt = {key: value.clone() for key, value in runner.model.state_dict().items()}
    if name != CNN:
        report = json.loads((tmp_path / 'run' / 'transfer.json').read_text())
        assert report['complete'] and report['ratio'] == 1 and report['dropped'] == ['head.*']
        assert [(each['name'], each['file'][1], each['module'][1]) for each in report['resized']] == [
            ('pos_embed', 1 + 14 * 14, 1 + 3 * 3)
        ]
        given = torch.load(checkpoint)['state_dict']
        moved = {key for key, value in given.items() if key in learnt and not torch.equal(value, learnt[key])}
        assert {'backbone.cls_token', 'backbone.patch_embed.projection.bias', 'backbone.ln1.weight'} <= moved
    # both tests, as mim runs them
    ground = config.val_dataloader.dataset.type == 'PascalContextDataset'
    classes, several = 60 if ground else 59, 'stock' if name == CNN else 'padded'
    weights, names = tmp_path / 'run' / 'iter_2.pth', [f'2008_val{n}' for n in range(3)]
    one = run_test_script(config, weights, tmp_path / 'one')
    more = run_test_script(config, weights, tmp_path / 'more', '--tta')
    truths = [np.asarray(Image.open(voc / 'SegmentationClassContext' / f'{each}.png')) for each in names]
    truths = truths if ground else [truth - np.uint8(1) for truth in truths]  # 0 becomes 255
    with DefaultScope.overwrite_default_scope('mmseg'):
        config.model.backbone.init_cfg = None
        model = MODELS.build(config.model)
    load_checkpoint(model, str(weights))
    model.eval()
    bases = [config.test_dataloader.dataset.pipeline[1].scale]
    scales = [step.scale for step in config.tta_pipeline[1].transforms[0]]
    assert len(scales) == 6
    for folder, metrics, sizes, how in (('one', one, bases, ''), ('more', more, scales, several)):
        maps = [np.asarray(Image.open(tmp_path / folder / f'{each}.png')) - (not ground) for each in names]
        assert metrics['mIoU'] == pytest.approx(mean_iou(maps, truths, classes), abs=0.006)
        for each, found in zip(names, maps, strict=True):
            image = cv2.imread(str(voc / 'JPEGImages' / f'{each}.jpg'))
            with torch.no_grad():
                expected = predicted_by_hand(model, image, sizes, how)
            assert (found == expected).mean() > 0.995 and len(np.unique(found)) > 1
    assert one['mIoU'] == pytest.approx(float(scalars['val/mIoU'].data[0][-1]), abs=0.006)


@pytest.mark.parametrize('name', [PARENTS['segmenter'], WITHOUT_GROUND])
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


@pytest.mark.parametrize(
    ('damage', 'sentence'),
    [
        ('prefix', r"has backbone \(VisionTransformer\) under the prefix 'encoder\.', not 'backbone\.'"),
        ('layer', r'lacks 12 of 30 tensors of backbone \(VisionTransformer\): layers\.1\.ln1\.weight'),
        ('missing', r'is not an existing file'),
    ],
)
def test_a_wrong_checkpoint_stops_the_run_before_it_trains(damage, sentence, voc, checkpoint, tmp_path):
    saved = torch.load(checkpoint)
    if damage == 'prefix':
        saved['state_dict'] = {key.replace('backbone.', 'encoder.'): v for key, v in saved['state_dict'].items()}
    elif damage == 'layer':
        saved['state_dict'] = {key: v for key, v in saved['state_dict'].items() if 'backbone.layers.1.' not in key}
    wrong = tmp_path / 'wrong.pth'
    if damage != 'missing':
        torch.save(saved, wrong)
    runner = Runner.from_cfg(miniature(PARENTS['segmenter'], voc, tmp_path / 'run', wrong))
    with pytest.raises((RuntimeError, FileNotFoundError), match=sentence):
        runner.train()
    assert runner.iter == 0 and not list((tmp_path / 'run').glob('*.pth'))


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
    config = Config(config_of(PARENTS['linear']).to_dict())
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
    config = config_of(PARENTS['linear'])
    found, windows = edges(cross, config.tta_model)
    assert len(found) == 12 and np.abs(found - (338, 450)).max() <= 5
    assert {side % 16 for window in windows for side in window} == {0}
    assert (272, 352) in windows and (400, 480) in windows and max(windows) == (480, 480)
    ((row, _),), windows = edges(cross, dict(type='SegTTAModel'), slice(1))  # the reason for it
    assert row - 338 < -10 and windows == [(260, 347)]
