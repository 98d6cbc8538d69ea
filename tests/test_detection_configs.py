"""Mask R-CNN on COCO at paper scale: that every file says which row it is, sets what the PVT release sets and nothing
else, takes its checkpoint in whole, and runs on data in COCO's own layout at a reduced size."""

import itertools
import json
import math
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import MODELS, PARAM_SCHEDULERS, DefaultScope
from mmengine.runner import Runner

from mixpro_mm.backbones import PVT
from mixpro_mm.transfer import compare
from tests import config_rows

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / 'configs'
STARTS = {  # pre-training: the row of Table 4 and where it is in paper.py, the checkpoint
    'baseline': ('PVT-S', 'baseline', 'work_dirs/pvt-small_mixup-cutmix_8xb128_in1k/epoch_300.pth'),
    'transmix': ('TransMix-PVT-S', 'transmix', 'work_dirs/pvt-small_transmix_8xb128_in1k/epoch_300.pth'),
    'mixpro': ('MixPro-PVT-S', 'mixpro', 'work_dirs/pvt-small_mixpro_8xb128_in1k/epoch_300.pth'),
    'smmix': (None, None, 'checkpoints/pvt-small_smmix.pth'),
    'official': ('PVT-S', 'baseline', 'checkpoints/pvt-small_official.pth'),
}
SIZES = {  # what the PVT release reports: box AP, mask AP; what differs from PVT-S beside the checkpoint
    'tiny': (36.7, 35.1, {'model.backbone.arch': 'tiny'}),
    'medium': (42.0, 39.0, {'model.backbone.arch': 'medium', 'model.backbone.drop_path_rate': 0.0}),
    'large': (
        42.9,
        39.5,
        {
            'model.backbone.arch': 'large',
            'model.backbone.drop_path_rate': 0.0,
            'train_dataloader.batch_size': 1,
            'optim_wrapper.optimizer.lr': 2e-4 / 1.4,
            'auto_scale_lr.base_batch_size': 8,
        },
    ),
}
RESNETS = {'r50': ('R-50', 50), 'r101': ('R-101', 101)}
PARENT = 'mask-rcnn_pvt-small_mixpro_1x_coco'
OF_START = {f'mask-rcnn_pvt-small_{start}_1x_coco': start for start in STARTS}
OF_SIZE = {f'mask-rcnn_pvt-{size}_mixpro_1x_coco': size for size in SIZES}
OF_RESNET = {f'mask-rcnn_{resnet}_1x_coco': resnet for resnet in RESNETS}
PVTS = [*OF_START, *OF_SIZE]
ALL = [*PVTS, *OF_RESNET]
PARAMETERS = {  # by hand: FPN, RPN and heads have 20,167,408 of them; 44.1 M for PVT-S in Table 4
    'mask-rcnn_pvt-tiny_mixpro_1x_coco': 32_881_648,
    PARENT: 44_138_224,
    'mask-rcnn_pvt-medium_mixpro_1x_coco': 63_860_464,
    'mask-rcnn_pvt-large_mixpro_1x_coco': 81_021_680,
}
DEPTHS = dict(tiny=(2, 2, 2, 2), small=(3, 4, 6, 3), medium=(3, 4, 18, 3), large=(3, 8, 27, 3))
SERIAL = itertools.count()


def path_of(name):
    return CONFIGS / 'detection' / f'{name}.py'


def read(name):
    """A config as it resolves; only to be looked at."""
    return config_rows.read(path_of(name))


def fresh(name):
    """The same, to be changed."""
    return config_rows.fresh(path_of(name))


def flat(value, path=''):
    """Every leaf of a config under its dotted path."""
    if isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        leaves = [flat(item, f'{path}.{key}') for key, item in items if key != '_scope_']
        return {key: leaf for part in leaves for key, leaf in part.items()}
    return {path[1:]: value}


def header(name):
    return config_rows.header(path_of(name))


def build_on_meta(name):
    with DefaultScope.overwrite_default_scope('mmdet'), torch.device('meta'):
        return MODELS.build(fresh(name).model)


def checkpoint_of(name):
    return read(name).model.backbone.init_cfg.checkpoint


def test_there_is_a_file_for_every_row_and_a_row_for_every_file():
    assert {path.stem for path in (CONFIGS / 'detection').glob('**/*.py')} == set(ALL)
    rows = {key: set(methods) for key, methods in Config.fromfile(CONFIGS / '_base_/paper.py').table4.to_dict().items()}
    ours = {(f'mask-rcnn_{resnet}', 'baseline') for resnet in RESNETS}
    ours |= {('mask-rcnn_pvt-small', method) for _, method, _ in STARTS.values() if method}
    assert ours == {(key, method) for key, methods in rows.items() for method in methods}


@pytest.mark.parametrize('name', ALL)
def test_the_header_names_the_row_its_numbers_and_the_command(name):
    lines, table4 = header(name), Config.fromfile(CONFIGS / '_base_/paper.py').table4
    row = method = None
    if name in OF_SIZE:
        box, mask, _ = SIZES[OF_SIZE[name]]
        own = 'from its own weights (whai362/PVT)'
        paper = f'not in the paper; the PVT release has box AP {box}, mask AP {mask}, {own}'
    else:
        key, (row, method, *_) = (
            ('mask-rcnn_pvt-small', STARTS[OF_START[name]])
            if name in OF_START
            else (f'mask-rcnn_{OF_RESNET[name]}', (RESNETS[OF_RESNET[name]][0], 'baseline'))
        )
        paper = 'not in the paper'
        if row:
            box, _, _, mask, _, _ = table4[key][method]
            paper = f'Table 4, {row}: box AP {box}, mask AP {mask}; not run here'
    assert [line for line in lines if line.startswith('# Paper:')] == [f'# Paper:    {paper}']
    command = f'# Run:      mim train onedl-mmdetection configs/detection/{name}.py --gpus 8 --launcher pytorch'
    assert [line for line in lines if line.startswith('# Run:')] == [command]
    needs = [line for line in lines if line.startswith(('# Needs:', '# Data:'))]
    assert len(needs) == 1 and 'data/coco' in needs[0]
    if name in PVTS:
        made_by = Path(checkpoint_of(name))
        source = f'configs/pretrain/{made_by.parent.name}.py' if made_by.parts[0] == 'work_dirs' else str(made_by)
        assert source in needs[0]


def test_the_parent_sets_what_the_release_sets():
    values = {
        'default_scope': 'mmdet',
        'model.type': 'MaskRCNN',
        'model.data_preprocessor.mean': [123.675, 116.28, 103.53],
        'model.data_preprocessor.std': [58.395, 57.12, 57.375],
        'model.data_preprocessor.bgr_to_rgb': True,
        'model.data_preprocessor.pad_mask': True,
        'model.data_preprocessor.pad_size_divisor': 32,
        'model.backbone': dict(
            type='mixpro_mm.PVT',
            arch='small',
            img_size=224,
            out_type='featmap',
            drop_path_rate=0.1,
            init_cfg=dict(type='Pretrained', checkpoint=STARTS['mixpro'][2], prefix='backbone.'),
        ),
        'model.neck': dict(type='FPN', in_channels=[64, 128, 320, 512], out_channels=256, num_outs=5),
        'model.rpn_head.anchor_generator.scales': [8],
        'model.rpn_head.anchor_generator.strides': [4, 8, 16, 32, 64],
        'model.roi_head.bbox_head.type': 'Shared2FCBBoxHead',
        'model.roi_head.bbox_head.num_classes': 80,
        'model.roi_head.mask_head.num_classes': 80,
        'model.roi_head.mask_head.num_convs': 4,
        'model.train_cfg.rcnn.sampler.num': 512,
        'model.test_cfg.rcnn.max_per_img': 100,
        'optim_wrapper': dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=2e-4, weight_decay=1e-4)),
        'auto_scale_lr': dict(enable=False, base_batch_size=16),
        'train_cfg': dict(type='EpochBasedTrainLoop', max_epochs=12, val_interval=1),
        'train_dataloader.batch_size': 2,
        'train_dataloader.batch_sampler.type': 'AspectRatioBatchSampler',
        'train_dataloader.dataset.type': 'CocoDataset',
        'train_dataloader.dataset.data_root': 'data/coco/',
        'train_dataloader.dataset.ann_file': 'annotations/instances_train2017.json',
        'train_dataloader.dataset.data_prefix.img': 'train2017/',
        'train_dataloader.dataset.filter_cfg': dict(filter_empty_gt=True, min_size=32),
        'val_dataloader.dataset.ann_file': 'annotations/instances_val2017.json',
        'val_dataloader.dataset.data_prefix.img': 'val2017/',
        'val_evaluator.type': 'CocoMetric',
        'val_evaluator.metric': ['bbox', 'segm'],
        'custom_hooks': [dict(type='mixpro_mm.TransferCheckHook')],
        'randomness': dict(seed=0, diff_rank_seed=True),
    }
    config = flat(read(PARENT).to_dict())
    for key, value in values.items():
        found = {path: leaf for path, leaf in config.items() if path == key or path.startswith(f'{key}.')}
        assert found == flat(value, f'.{key}')
    train = [step['type'] for step in read(PARENT).train_dataloader.dataset.pipeline]
    assert train == ['LoadImageFromFile', 'LoadAnnotations', 'Resize', 'RandomFlip', 'PackDetInputs']
    assert read(PARENT).train_dataloader.dataset.pipeline[3].prob == 0.5


@pytest.mark.parametrize('name', PVTS)
def test_another_start_changes_the_checkpoint_and_another_size_what_the_release_changes(name):
    own, parent = flat(read(name).to_dict()), flat(read(PARENT).to_dict())
    assert own.keys() == parent.keys()
    size = OF_SIZE.get(name)
    expected = dict(SIZES[size][2]) if size else {}
    if name != PARENT:
        weights = f'work_dirs/pvt-{size}_mixpro_8xb128_in1k/epoch_300.pth' if size else STARTS[OF_START[name]][2]
        expected['model.backbone.init_cfg.checkpoint'] = weights
    assert {key: leaf for key, leaf in own.items() if leaf != parent[key]} == expected
    assert read(name).train_dataloader.batch_size * 8 == read(name).auto_scale_lr.base_batch_size


def test_another_start_is_one_line():
    for name in OF_START.keys() - {PARENT}:
        code = [line for line in path_of(name).read_text().splitlines() if line and not line.startswith('#')]
        assert code == [
            f"_base_ = '{PARENT}.py'",
            f"model = dict(backbone=dict(init_cfg=dict(checkpoint='{checkpoint_of(name)}')))",
        ]


@pytest.mark.parametrize('size', SIZES)
def test_the_command_line_in_the_header_switches_the_start_of_a_size(size):
    name = f'mask-rcnn_pvt-{size}_mixpro_1x_coco'
    (line,) = (line for line in header(name) if '--cfg-options' in line)
    option, _, value = line.split('--cfg-options ')[1].partition('=')
    config = fresh(name)
    config.merge_from_dict({option: value})
    before, after = flat(read(name).to_dict()), flat(config.to_dict())
    changed = {key: leaf for key, leaf in after.items() if leaf != before.get(key)}
    transmix = f'work_dirs/pvt-{size}_transmix_8xb128_in1k/epoch_300.pth'
    assert changed == {'model.backbone.init_cfg.checkpoint': transmix} and after.keys() == before.keys()


@pytest.mark.parametrize('name', [name for name in PVTS if OF_START.get(name) not in ('smmix', 'official')])
def test_the_checkpoint_is_what_mim_train_leaves_behind(name):
    checkpoint = Path(checkpoint_of(name))
    config = Config.fromfile(CONFIGS / 'pretrain' / f'{checkpoint.parent.name}.py')
    assert checkpoint.name == f'epoch_{config.train_cfg.max_epochs}.pth'
    source, target = config.model.backbone, read(name).model.backbone
    assert (source.type, source.arch, source.get('img_size', 224)) == (target.type, target.arch, target.img_size)
    assert checkpoint.parts[0] == 'work_dirs' and len(checkpoint.parts) == 3


@pytest.mark.parametrize('name', PARAMETERS)
def test_model_and_optimizer_are_those_of_the_release(name):
    model, config = build_on_meta(name), read(name)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]
    assert all(parameter.requires_grad for parameter in model.parameters())  # nothing is frozen
    size = config.model.backbone.arch
    blocks = [[*getattr(model.backbone, f'block{stage}')] for stage in (1, 2, 3, 4)]
    assert tuple(map(len, blocks)) == DEPTHS[size]
    rate = 0.1 if size in ('tiny', 'small') else 0.0
    rates = [block.drop_path.drop_prob for block in itertools.chain(*blocks)]
    assert rates == pytest.approx(np.linspace(0, rate, len(rates)))

    wrapper = build_optim_wrapper(model, fresh(name).optim_wrapper)
    assert type(wrapper) is OptimWrapper and wrapper.clip_grad_kwargs is None  # fp32, no clipping
    assert type(wrapper.optimizer) is torch.optim.AdamW
    groups = wrapper.optimizer.param_groups
    lr = 2e-4 / 1.4 if size == 'large' else 2e-4
    assert {group['lr'] for group in groups} == {lr} and {group['weight_decay'] for group in groups} == {1e-4}
    assert {id(p) for group in groups for p in group['params']} == {id(p) for p in model.parameters()}


def test_the_schedule_is_1x():
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([weight], lr=2e-4)
    with DefaultScope.overwrite_default_scope('mmdet'):
        warm_up, steps = (
            PARAM_SCHEDULERS.build(cfg, default_args=dict(optimizer=optimizer)) for cfg in fresh(PARENT).param_scheduler
        )
    assert (warm_up.by_epoch, steps.by_epoch) == (False, True)
    rates, iterations = [], 600
    for _ in range(12):
        for _ in range(iterations):
            rates.append(optimizer.param_groups[0]['lr'])
            optimizer.step()
            warm_up.step()
        steps.step()
    assert rates[0] == pytest.approx(2e-7)
    assert rates[200] == pytest.approx(2e-4 * (0.001 + 0.999 * 200 / 499))
    assert rates[499 : 8 * iterations] == pytest.approx([2e-4] * (8 * iterations - 499))
    assert rates[8 * iterations : 11 * iterations] == pytest.approx([2e-5] * 3 * iterations)
    assert rates[11 * iterations :] == pytest.approx([2e-6] * iterations)


@pytest.mark.parametrize(('resnet', 'millions'), [('r50', 44.2), ('r101', 63.2)])
def test_the_resnet_rows_are_those_of_mmdet(resnet, millions):
    name = f'mask-rcnn_{resnet}_1x_coco'
    code = [line for line in path_of(name).read_text().splitlines() if not line.startswith('#')]
    assert code == [f"_base_ = 'mmdet::mask_rcnn/mask-rcnn_{resnet}_fpn_1x_coco.py'"]
    config = read(name)
    assert config.model.backbone.depth == RESNETS[resnet][1]
    assert config.optim_wrapper.optimizer.to_dict() == dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4)
    for key in ('param_scheduler', 'train_cfg', 'train_dataloader', 'val_dataloader', 'val_evaluator'):  # as for PVT-S
        assert flat(config[key]) == flat(read(PARENT)[key])
    trained = sum(parameter.numel() for parameter in build_on_meta(name).parameters() if parameter.requires_grad)
    assert round(trained / 1e6, 1) == millions  # Table 4 leaves out the frozen stage


def filled(module):
    """The module off the meta device, every tensor drawn anew."""
    torch.manual_seed(0)
    module = module.to_empty(device='cpu')
    for value in module.state_dict().values():
        value.uniform_()
    return module


@pytest.mark.parametrize(
    ('size', 'other'), [('tiny', 'small'), ('small', 'tiny'), ('medium', 'small'), ('large', 'small')]
)
def test_the_backbone_takes_its_pretraining_whole_and_no_other_size(size, other):
    name = f'mask-rcnn_pvt-{size}_mixpro_1x_coco'
    backbone = filled(build_on_meta(name).backbone)
    with torch.device('meta'):
        pretrained, wrong = PVT(size), PVT(other)
    state_dict = {f'backbone.{key}': value for key, value in filled(pretrained).state_dict().items()}
    state_dict['head.layers.head.weight'] = torch.zeros(1)
    own = {key.removeprefix('backbone.'): value for key, value in state_dict.items()}
    backbone.load_state_dict({key: value for key, value in own.items() if not key.startswith('head.')}, strict=True)
    coverage = compare(backbone, state_dict, read(name).model.backbone.init_cfg.prefix)
    assert coverage.complete and not coverage.fresh
    names = set(backbone.state_dict())
    assert set(coverage.loaded) == names - {'pos_embed4'}
    assert coverage.resized == [dict(name='pos_embed4', file=[1, 50, 512], module=[1, 49, 512], class_row_dropped=True)]
    assert coverage.dropped == [
        'backbone.cls_token',
        'backbone.norm.bias',
        'backbone.norm.weight',
        'backbone.pos_embed4 (class row)',
        'head.*',
    ]
    torch.testing.assert_close(backbone.pos_embed4, state_dict['backbone.pos_embed4'][:, 1:], rtol=0, atol=0)

    foreign = {f'backbone.{key}': torch.zeros_like(value, device='cpu') for key, value in wrong.state_dict().items()}
    assert not compare(backbone, foreign, 'backbone.').complete


# from here on, data in the layout of COCO is read, and miniatures of the detectors are trained

COCO_IDS = [n for n in range(1, 91) if n not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
TRAIN = [(640, 480), (1000, 500), (480, 640), (500, 375), (640, 480), (640, 24)]  # the last two are not for training
VAL = [(640, 480), (427, 640)]


def annotation(number, image, category, polygon):
    x, y = polygon[::2], polygon[1::2]
    box = [min(x), min(y), max(x) - min(x), max(y) - min(y)]
    area = abs(sum(a * d - b * c for a, b, c, d in zip(x, y, x[1:] + x[:1], y[1:] + y[:1], strict=True))) / 2
    return dict(id=number, image_id=image, category_id=category, bbox=box, area=area, iscrowd=0, segmentation=[polygon])


def write_split(root, split, sizes, names, generator):
    """Images of blots with two painted polygons each, and one crowd; the last but one of train is without objects."""
    images, annotations = [], []
    for n, (width, height) in enumerate(sizes):
        image = 1000 * (n + 1) + 7  # as in COCO, ids are not counted from 0
        file = f'{image:012d}.jpg'
        pixels = cv2.resize(generator.integers(0, 120, (6, 8, 3), dtype=np.uint8), (width, height))
        images.append(dict(id=image, file_name=file, width=width, height=height))
        w, h = 0.4 * width, 0.5 * height
        triangle = [0.05 * width, 0.1 * height, 0.05 * width + w, 0.1 * height, 0.05 * width, 0.1 * height + h]
        left, top, right, bottom = 0.55 * width, 0.3 * height, 0.9 * width, 0.8 * height
        square = [left, top, right, top, right, bottom, left, bottom]
        if (split, n) != ('train', 4):
            for polygon, category in ((triangle, COCO_IDS[n]), (square, COCO_IDS[-1 - n])):
                annotations.append(annotation(len(annotations) + 1, image, category, polygon))
                cv2.fillPoly(pixels, [np.array(polygon).reshape(-1, 2).astype(int)], (40, 200, 250))
        if (split, n) == ('train', 0):
            crowd = dict(size=[height, width], counts=[0, 40 * height, (width - 40) * height])
            crowd = dict(id=900, image_id=image, category_id=1, bbox=[0, 0, 40, height], iscrowd=1, segmentation=crowd)
            annotations.append(dict(crowd, area=40 * height))
        (root / f'{split}2017').mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(root / f'{split}2017' / file), pixels)
    categories = [dict(id=number, name=name) for number, name in zip(COCO_IDS, names, strict=True)]
    (root / 'annotations').mkdir(exist_ok=True)
    content = dict(images=images, annotations=annotations, categories=categories)
    (root / 'annotations' / f'instances_{split}2017.json').write_text(json.dumps(content))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder with data/coco, to stand in: every path is then the config's own."""
    from mmdet.datasets import CocoDataset

    root, generator = tmp_path_factory.mktemp('detection'), np.random.default_rng(0)
    write_split(root / 'data/coco', 'train', TRAIN, CocoDataset.METAINFO['classes'], generator)
    write_split(root / 'data/coco', 'val', VAL, CocoDataset.METAINFO['classes'], generator)
    return root


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    yield folder
    for path in folder.glob('*/**/*.pth'):
        path.unlink()


def build_dataset(config):
    from mmdet.registry import DATASETS

    with DefaultScope.overwrite_default_scope('mmdet'):
        return DATASETS.build(config)


def test_the_data_are_read_at_the_size_of_the_paper(here):
    dataset = build_dataset(fresh(PARENT).train_dataloader.dataset)
    assert len(dataset) == 4  # without the image without objects and the flat one
    assert list(dataset.cat2label.items()) == list(zip(COCO_IDS, range(80), strict=True))
    shapes = [tuple(dataset[n]['inputs'].shape) for n in range(4)]
    # the short side becomes 800 px, or the long one 1333
    assert shapes == [(3, 800, 1067), (3, 667, 1333), (3, 1067, 800), (3, 800, 1067)]
    truth = dataset[0]['data_samples']
    assert truth.gt_instances.labels.tolist() == [0, 79] and len(truth.ignored_instances) == 1  # the crowd
    scale = 800 / 480
    left, top, right, bottom = (scale * value for value in (32, 48, 288, 288))  # of the triangle in 640 x 480
    if truth.flip:
        left, right = 1067 - right, 1067 - left
    assert truth.gt_instances.bboxes.tensor[0].tolist() == pytest.approx([left, top, right, bottom], abs=1)
    area = truth.gt_instances.masks.to_ndarray()[0].sum()
    assert area == pytest.approx(256 * 240 / 2 * scale**2, rel=0.02)


def test_perfect_predictions_have_an_ap_of_one(here):
    from mmdet.registry import METRICS

    config = fresh(PARENT)
    dataset = build_dataset(config.val_dataloader.dataset)
    with DefaultScope.overwrite_default_scope('mmdet'):
        metric = METRICS.build(config.val_evaluator)
    metric.dataset_meta = dataset.metainfo
    for right in (True, False):
        for n in range(len(dataset)):
            sample = dataset[n]['data_samples']
            truth = sample.gt_instances  # read after the image was resized, so at its first size
            labels = truth.labels if right else (truth.labels + 1) % 80
            masks = truth.masks.to_tensor(torch.bool, 'cpu')
            predicted = dict(bboxes=truth.bboxes, scores=torch.ones(len(labels)), labels=labels, masks=masks)
            metric.process({}, [dict(sample.to_dict(), pred_instances=predicted)])
        result = metric.evaluate(len(dataset))
        expected = {f'coco/{kind}_mAP{size}': right for kind in ('bbox', 'segm') for size in ('', '_50', '_75')}
        assert {key: result[key] for key in expected} == expected


TINY_PVT = dict(  # real widths, for the FPN is the config's; one block a stage
    embed_dims=(64, 128, 320, 512), num_heads=(1, 2, 5, 8), mlp_ratios=(1, 1, 1, 1), depths=(1, 1, 1, 1),
    sr_ratios=(8, 4, 2, 1),
)  # fmt: skip


def miniature(name, work_dir):
    """The config with few blocks, narrow heads, small images and few regions, for one epoch of two iterations."""
    config = fresh(name)
    model = config.model
    if name in PVTS:
        model.backbone.arch = TINY_PVT
    else:
        model.backbone.update(base_channels=16, init_cfg=None)  # no download
        model.neck.in_channels = [64, 128, 256, 512]
    model.neck.out_channels = 32
    model.rpn_head.update(in_channels=32, feat_channels=32)
    roi = model.roi_head
    roi.bbox_roi_extractor.out_channels = roi.mask_roi_extractor.out_channels = 32
    roi.bbox_head.update(in_channels=32, fc_out_channels=64)
    roi.mask_head.update(in_channels=32, conv_out_channels=32, num_convs=1)
    model.train_cfg.rpn.sampler.num = 32
    model.train_cfg.rpn_proposal.update(nms_pre=100, max_per_img=50)
    model.train_cfg.rcnn.sampler.num = 16
    model.test_cfg.rpn.update(nms_pre=100, max_per_img=50)
    model.test_cfg.rcnn.update(score_thr=0.0, max_per_img=10)  # an untrained detector is sure of nothing
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        (resize,) = (step for step in loader.dataset.pipeline if step.type == 'Resize')
        assert tuple(resize.scale) == (1333, 800)
        resize.scale = (160, 96)
        loader.dataset.serialize_data = False  # it collects garbage each time
    config.train_dataloader.dataset.indices = 2 * config.train_dataloader.batch_size
    config.train_cfg.max_epochs = 1
    config.default_hooks.checkpoint = None
    config.work_dir, config.experiment_name = str(work_dir), f'detection-{next(SERIAL)}'
    config.log_level = 'WARNING'
    return config


class Watch(Hook):
    """What happened: losses and rates of each iteration, parameters that got a gradient, metrics."""

    def __init__(self):
        self.losses, self.rates, self.moved, self.metrics = [], [], {}, None

    def before_train(self, runner):
        for name, parameter in runner.model.named_parameters():
            if parameter.requires_grad:
                parameter.register_hook(lambda grad, name=name: self.note(name, grad))

    def note(self, name, grad):
        self.moved[name] = self.moved.get(name, False) or bool(grad.any())

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append({key: value.item() for key, value in outputs.items() if key.startswith('loss')})
        self.rates.append(runner.optim_wrapper.get_lr()['lr'][0])

    def after_val_epoch(self, runner, metrics=None):
        self.metrics = metrics


def write_checkpoint(path, arch=TINY_PVT, prefix='backbone.'):
    """A file as mmpretrain leaves it: a classifier on 224 px, with every tensor drawn anew."""
    classifier = dict(
        type='ImageClassifier',
        backbone=dict(type='mixpro_mm.PVT', arch=arch),
        head=dict(type='LinearClsHead', num_classes=1000, in_channels=512),
    )
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(classifier)
    state_dict = {key.replace('backbone.', prefix): value for key, value in model.state_dict().items()}
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(meta=dict(epoch=300), state_dict=state_dict), path)
    return state_dict


def train(config):
    watch = Watch()
    with mock.patch.object(Config, 'pretty_text', ''):  # to format it for the log takes longer than to train
        runner = Runner.from_cfg(config)
        runner.register_hook(watch)
        runner.train()
    return runner, watch


@pytest.mark.parametrize('name', ALL)
def test_a_miniature_trains_from_its_checkpoint_and_is_evaluated(name, here, tmp_path):
    if name in PVTS:
        state_dict = write_checkpoint(checkpoint_of(name))
    runner, watch = train(miniature(name, tmp_path))
    parts = {'loss', 'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox', 'loss_mask'}
    assert len(watch.losses) == 2 and all(set(losses) == parts for losses in watch.losses)
    assert all(0 < value < math.inf for losses in watch.losses for value in losses.values())
    trainable = {key for key, parameter in runner.model.named_parameters() if parameter.requires_grad}
    assert set(watch.moved) == trainable  # so that DistributedDataParallel waits for none
    base = 0.02 if name in OF_RESNET else read(name).optim_wrapper.optimizer.lr
    assert watch.rates == pytest.approx([base * 0.001, base * (0.001 + 0.999 / 499)])
    for kind in ('bbox', 'segm'):
        assert 0 <= watch.metrics[f'coco/{kind}_mAP'] <= 1  # -1 without any truth
    if name not in PVTS:
        assert not (tmp_path / 'transfer.json').exists()
        return
    idle = [key for key, moved in watch.moved.items() if not moved]
    assert not [key for key in idle if key.startswith('backbone.')], idle
    report = json.loads((tmp_path / 'transfer.json').read_text())
    assert report['complete'] and report['checkpoint'] == checkpoint_of(name)
    assert {*report['loaded'], 'pos_embed4'} == set(runner.model.backbone.state_dict())
    assert [entry['name'] for entry in report['resized']] == ['pos_embed4']
    assert report['dropped'][0] == 'backbone.cls_token' and report['dropped'][-1] == 'head.*'
    kept = runner.model.backbone.block4[0].attn.kv.weight  # two steps of warm-up have hardly moved it
    torch.testing.assert_close(kept, state_dict['backbone.block4.0.attn.kv.weight'], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ('wrong', 'sentence'),
    [
        ('gone', r'Checkpoint work_dirs/pvt-small_mixpro_8xb128_in1k/epoch_300\.pth is not an existing file\.'),
        ('deeper', r'TransferCheckHook: work_dirs/.* has 14 tensors for which backbone \(PVT\) has no place: .*\.'),
        ('prefix', r"TransferCheckHook: work_dirs/.* has backbone \(PVT\) under the prefix 'model\.', not .*\."),
    ],
    ids=['gone', 'deeper', 'prefix'],
)
def test_a_wrong_checkpoint_stops_the_run_before_training(wrong, sentence, here, tmp_path):
    arch = dict(TINY_PVT, depths=(1, 1, 1, 2)) if wrong == 'deeper' else TINY_PVT
    if wrong != 'gone':
        write_checkpoint(checkpoint_of(PARENT), arch, 'model.' if wrong == 'prefix' else 'backbone.')
    with (
        mock.patch('mmdet.models.detectors.MaskRCNN.loss', side_effect=AssertionError('it trained')),
        pytest.raises((RuntimeError, FileNotFoundError), match=f'^{sentence}$') as stop,
    ):
        train(miniature(PARENT, tmp_path))
    assert '\n' not in str(stop.value)
    assert not (tmp_path / 'transfer.json').exists()


def test_missing_data_are_named_before_anything_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r'data/coco/annotations/instances_train2017\.json'):
        train(miniature(PARENT, tmp_path / 'run'))
