"""Checks of a config and its data: each problem has its place and its fix."""

import copy
import json
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import VISBACKENDS

from mixpro_mm.datasets.digit_scenes import write_digit_scenes
from mixpro_mm.doctor import config as checks
from mixpro_mm.doctor import training

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / 'configs/digits/deit-micro_mixpro_digits.py'
SCENES = 'configs/digits/mask-rcnn_pvt-micro_scratch_digit-scenes.py'


@pytest.fixture(autouse=True)
def at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def write(path, text):
    path.write_text(f"_base_ = '{DIGITS}'\n{text}\n")
    return str(path)


def lines(*checked, config):
    """Return the problems and warnings of checks, as printed."""
    found = [finding for finding in checks.run(checked, config) if finding.status != 'ok']
    return [f'{finding.status} {finding.check}: {finding.found} -> {finding.fix}' for finding in found]


SEGMENTER = 'segmentation/segmenter_deit-small_mixpro_4xb4-80k_pascal-context-480x480'
CONFIGS = {'robustness/deit-small_occlusion_in1k': {'mmpretrain'}, SEGMENTER: {'mmpretrain', 'mmseg'}}
CONFIGS |= {'detection/mask-rcnn_pvt-small_mixpro_1x_coco': {'mmdet'}}


@pytest.mark.parametrize('name', CONFIGS)
def test_our_configs(name):
    """Only data and weights are missing."""
    config = checks.load(f'configs/{name}.py')
    problems = {line.split(':')[0] for line in lines(*checks.CHECKS, config=config) if line.startswith('problem')}
    assert problems <= {'problem data', 'problem weights'}
    assert checks.toolkits_of(config) == CONFIGS[name]


@pytest.mark.parametrize('text', ["_base_ = 'gone.py'", 'x = (', "model = dict(type='A')"])
def test_invalid_configs(text, tmp_path):
    (tmp_path / 'config.py').write_text(text)
    (finding,) = checks.check_config(f'{tmp_path}/config.py')
    assert finding.status == 'problem'
    assert re.search(f'{tmp_path}/config.py .*(gone.py|SyntaxError|no model or no data)', finding.found)


PLAIN = "model = dict(train_cfg=dict(augments=[dict(type='MixPro', patch_size=4, mask_scale=2)], probs=[1.0]))"
NO_HOOKS = 'default_hooks = dict(_delete_=True)\ncustom_hooks = []'
# the scoped name imports all hooks
ALL_HOOKS = "default_hooks = dict(_delete_=True, a=dict(type='mixpro_mm.IterSeedHook'), b=dict(type='ClassCheckHook'))"
OWN_AUGMENT = "model.train_cfg.augments.0.type='mixpro_mm.MixPro'"


@pytest.mark.parametrize(
    'text, fix',
    [
        ("model = dict(backbone=dict(type='VisionTransfomer'))", "model.backbone.type='VisionTransformer'"),
        ("model = dict(backbone=dict(type='mmcls.VisionTransformer'))", "type='mmpretrain.VisionTransformer'"),
        ("default_scope = 'mmseg'", "model.head.type='mmpretrain.VisionTransformerClsHead'"),
        ("custom_hooks = [dict(type='mixpro_mm.LabelHook')]", "custom_hooks.0.type='mixpro_mm.LabelingHook'"),
        ("train_dataloader = dict(sampler=dict(type='Xyzzy'))", None),
        ("train_dataloader = dict(dataset=dict(pipeline=[dict(type='PackInput')]))", "pipeline.0.type='PackInputs'"),
        ("visualizer = dict(type='broken_when_imported.Pen')", None),
        (f'{PLAIN}\n{NO_HOOKS}', OWN_AUGMENT),
        (f"custom_imports = dict(imports=['mixpro_mm'])\n{PLAIN}\n{NO_HOOKS}", OWN_AUGMENT),  # which registers nothing
        (f"custom_imports = dict(imports=['mixpro_mm.plugin'])\n{PLAIN}\n{NO_HOOKS}", ''),
        (ALL_HOOKS, ''),
        ("optim_wrapper = dict(clip_grad=dict(_delete_=True, type='value', clip_value=0.2))", ''),
        ("custom_hooks = [dict(type='mixpro_mm.LabelingHook', labelling='x')]", 'custom_hooks.0 = dict(labeling=...)'),
        ("model = dict(train_cfg=dict(augments=[dict(type='Mixup', alfa=1)], probs=[1.0]))", 'dict(alpha=...)'),
    ],
)
def test_types_and_arguments(text, fix, tmp_path, monkeypatch):
    (tmp_path / 'broken_when_imported.py').write_text('1 / 0\n')
    monkeypatch.syspath_prepend(tmp_path)
    found = lines(training.check_types, config=checks.load(write(tmp_path / 'mine.py', text)))
    assert all(line.startswith('problem') for line in found) and bool(found) == (fix != '')
    assert not fix or any(fix in line for line in found)


def test_missing_packages(monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda module: None)
    backends = [dict(type=name) for name in training.PACKAGES]
    found = lines(training.check_types, config=dict(visualizer=dict(vis_backends=backends)))
    found = [line for line in found if line.startswith('problem packages: visualizer.vis_backends.')]
    assert [line.split()[-1] for line in found] == list(training.PACKAGES.values())
    theirs = {name for name in VISBACKENDS.module_dict if name.endswith('VisBackend')}
    assert theirs - set(training.PACKAGES) <= {'BaseVisBackend', 'LocalVisBackend'}


def augmented(*hooks, size=None, **method):
    augment = dict(method, type=f'mixpro_mm.{method["type"]}')
    model = dict(train_cfg=dict(augments=[augment]))
    return dict(model=model, custom_hooks=list(hooks), default_scope='mmpretrain', size=size)


def schedule(probs, warmup):
    model = dict(train_cfg=dict(augments=[dict(type='Mixup'), dict(type='CutMix')], probs=probs))
    return dict(model=model, param_scheduler=dict(warmup=warmup), train_cfg=dict(max_epochs=10))


def workers(scope, **loader):
    return dict(default_scope=scope, train_dataloader=loader, val_dataloader=None)


def batch(name, size, gpus, **scaled):
    return dict(filename=f'b/{name}', train_dataloader=dict(batch_size=size), auto_scale_lr=scaled, gpus=gpus)


def weights(path):
    return dict(model=dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=path))))


EMA, HOOK = dict(type='EMAHook'), dict(type='mixpro_mm.LabelingHook', labeling='AreaLabeling')
PATHS = [dict(data_root='tests', data_prefix=dict(img='gone', seg='doctor')), dict(data_root='away', ann_file='a.txt')]
PATHS += [dict(data_prefix=dict(seg_map_path='data/VOCdevkit/VOC2010/SegmentationClassContext'))]
CASES = [  # check, config, pattern of each line
    ('labels', augmented(type='MixPro'), "MixPro needs .* = .dict.type='mixpro_mm.LabelingHook'.]$"),
    ('labels', augmented(type='PuzzleMix'), "dict.type='mixpro_mm.LabelingHook', labeling='AreaLabeling'.]$"),
    ('labels', augmented(type='SMMix'), 'needs LabelingHook'),
    ('labels', augmented(type='TokenMix'), "EMAHook and LabelingHook .* = .dict.type='EMAHook'., dict"),
    ('labels', augmented(HOOK, type='TokenMix', teacher='ema'), "EMAHook in .* = ..{3}, dict.type='EMAHook'.]$"),
    ('labels', augmented(EMA, HOOK, type='TokenMix')),
    ('labels', augmented(type='TokenMix', teacher='torchvision.resnet18', checkpoint=False)),
    ('labels', augmented(type='MixToken'), 'needs LabelingHook'),
    ('labels', augmented(type='MaskMix')),
    ('masks', augmented(size=64, type='MixPro'), 'problem mask: .*patch_size=16 and mask_scale=1'),
    ('masks', augmented(size=128, type='MixPro'), 'warning mask: .*2x2 cells of 64 px in an image of 128x128 pixels'),
    ('masks', augmented(size=32, type='PuzzleMix', blocks=(3, 5)), 'problem mask: .*(3, 5)'),
    ('masks', augmented(size=32, type='SMMix', patch_size=32), 'problem mask: .*patch_size 32'),
    ('masks', augmented(size=32, type='TokenMix', teacher='ema', patch_size=32), 'problem mask: .*patch_size 32'),
    ('masks', augmented(size=32, type='TokenMix', teacher='torchvision.resnet18', patch_size=4)),
    ('masks', augmented(size=32, type='ManifoldMixup')),
    ('masks', augmented(size=32, type='MixToken', patch_size=8)),
    ('masks', augmented(size=32, type='AttentiveCutMix', extractor='torchvision.resnet18')),
    ('schedule', schedule([0.5, 0.5], 9)),
    ('schedule', schedule([0.5, 0.7], 9), 'sum to 1.2 -> model.train_cfg.probs'),
    ('schedule', schedule([0.5], 9), '2 augments and 1 probs'),
    ('schedule', schedule(None, 10), 'param_scheduler.warmup is 10, .* 10 epochs .* = dict.warmup=...'),
    ('workers', workers('mmpretrain', num_workers=0), 'train_dataloader.persistent_workers=False'),  # its default
    ('workers', workers('mmseg', num_workers=0, persistent_workers=True), 'train_dataloader.persistent_workers=False'),
    ('workers', workers(None, num_workers=0, prefetch_factor=2), '--cfg-options train_dataloader.prefetch_factor=None'),
    ('workers', workers('mmpretrain', num_workers=2, prefetch_factor=2)),
    ('batch', batch('a_8xb128_x.py', 128, 8, base_batch_size=1024)),
    ('batch', batch('a_8xb128_x.py', 128, 1, base_batch_size=1024), 'not for 1 GPUs x 128 = 128 -> --auto-scale-lr'),
    ('batch', batch('a_8xb128_x.py', 64, 8), '8 GPUs x 128 = 1024 .* 8 GPUs x 64 = 512 .*batch_size=128'),
    ('batch', batch('a_8xb128_x.py', 64, 8, base_batch_size=512), 'batch_size=128'),  # a contradiction
    ('batch', batch('a.py', 2, 0, base_batch_size=16), '16 images a step, not for the CPU with 2 -> --auto-scale-lr'),
    ('batch', batch('a.py', 64, 1, base_batch_size=1024, enable=True)),
    ('batch', batch('a.py', 64, 1)),
    ('deterministic', dict(randomness=dict(deterministic=True), gpus=0)),
    ('deterministic', dict(randomness=dict(deterministic=True), gpus=1), 'export CUBLAS_WORKSPACE_CONFIG=:4096:8'),
    (
        'paths',
        dict(train_dataloader=dict(dataset=dict(dataset=dict(datasets=PATHS)))),
        '2.data_prefix.seg_map_path. -> python tools/prepare_pascal_context.py data/VOCdevkit$',
        'away does not exist .train_dataloader.dataset.dataset.datasets.1.data_root.',
        'tests/gone does not exist .*datasets.0.data_prefix.img. -> mkdir -p tests && ln -s /path/to/gone tests/gone$',
    ),
    ('weights', weights('a.pth'), 'a.pth is not .*--cfg-options model.backbone.init_cfg.checkpoint=/path/to/a.pth$'),
    ('weights', weights('README.md'), 'problem .*cannot be read'),
    ('weights', weights('https://a.org/b.pth'), 'warning .*is downloaded unless it is cached'),
    ('weights', dict(load_from='b', custom_hooks=[dict(checkpoint='a')]), 'custom_hooks.0.checkpoint: ', 'load_from: '),
    ('weights', dict(model=dict(type='TimmClassifier', model_name='resnet18', pretrained=True)), 'warning .*resnet18'),
]


@pytest.mark.parametrize('case', CASES, ids=str)
def test_checks_of_values(case, monkeypatch):
    name, config, *patterns = case
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: config.get('gpus', 0))
    monkeypatch.delenv('CUBLAS_WORKSPACE_CONFIG', raising=False)
    check = getattr(checks, f'check_{name}', None) or getattr(training, f'check_{name}')
    size = [(config['size'],) * 2] if name == 'masks' else []
    found = lines(lambda config: check(config, *size), config=config)
    assert len(found) == len(patterns)
    assert all(re.search(pattern, line) for pattern, line in zip(patterns, found, strict=True)), found


def test_data(tmp_path):
    folder = write_digit_scenes(tmp_path / 'digit_scenes', num_train=4, num_val=2) / 'coco'
    config = Config.fromfile(ROOT / SCENES)
    for split in ('train', 'val', 'test'):
        config[f'{split}_dataloader'].dataset.data_root = f'{folder}/'
    findings = checks.run((checks.check_data,), config.to_dict())
    assert {(finding.status, finding.check) for finding in findings} == {('ok', 'data'), ('ok', 'annotations')}
    assert 'train_dataloader: 4 samples, 4 loaded' in [finding.found for finding in findings]

    other = copy.deepcopy(config)
    other.model.roi_head.mask_head.num_classes = 9
    other.val_dataloader.dataset.metainfo = dict(classes=[*'0213456789'])
    found, place = lines(checks.check_data, config=other.to_dict()), 'model.roi_head.mask_head.num_classes'
    fix = f'--cfg-options {place}=10'
    assert found[0] == f'problem classes: train_dataloader has 10 classes, but {place} has 9 -> {fix}'
    assert any("label 1 is '2' here and '1' in train_dataloader" in line for line in found)

    for split in ('train', 'val'):
        content = json.loads((folder / f'annotations/instances_{split}2017.json').read_text())
        content['annotations'][0]['bbox'] = [500, 500, 20, 20]
        content['images'][0]['file_name'] = 'gone.jpg' if split == 'val' else content['images'][0]['file_name']
        (tmp_path / f'{split}.json').write_text(json.dumps(content))
        config[f'{split}_dataloader'].dataset.ann_file = f'{tmp_path}/{split}.json'
    annotations, image = lines(checks.check_data, config=config.to_dict())
    assert annotations.startswith(f'warning annotations: {tmp_path}/train.json: 1 problems, such as: annotation ')
    assert annotations.endswith(f' -> python -m mixpro_mm.datasets.coco_check {tmp_path}/train.json')
    assert image.startswith('problem data: val_dataloader: FileNotFoundError: ') and 'gone.jpg' in image


def test_masks_are_checked_with_a_sample(tmp_path):
    large = "model = dict(train_cfg=dict(augments=[dict(type='mixpro_mm.MixPro', patch_size=32)], probs=[1.0]))"
    (finding,) = [each for each in checks.check_contents(write(tmp_path / 'mine.py', large)) if each.status != 'ok']
    assert finding.check == 'mask' and 'model.train_cfg.augments.0 (MixPro)' in finding.found


@pytest.mark.parametrize(
    ('config', 'module', 'folder'),
    [
        (SCENES, 'digit_scenes', 'data/digit_scenes'),
        ('configs/fashion/deit-micro_mixpro_fashion.py', 'fashion_mnist', 'data/fashion-mnist'),
        ('configs/fashion/mask-rcnn_pvt-micro_scratch_fashion-scenes.py', 'fashion_scenes', 'data/fashion_scenes'),
    ],
)
def test_missing_data_are_not_loaded(config, module, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert checks.check_contents(str(ROOT / config)) == []
    made = {finding.fix for finding in checks.check_config(str(ROOT / config)) if finding.check == 'data'}
    assert made == {f'python -m mixpro_mm.datasets.{module} {folder}'}
