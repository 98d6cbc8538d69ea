"""Checks of a config and its data: each problem has its place and its fix."""

import copy
import json
import os
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


@pytest.fixture
def config(tmp_path):
    def of(text):
        path = tmp_path / 'mine.py'
        path.write_text(f"_base_ = '{DIGITS}'\n{text}\n")
        return checks.load(str(path))

    return of


def wrong(check, config):
    return [finding for finding in checks.run((check,), config) if finding.status != 'ok']


@pytest.mark.parametrize(
    'name, toolkits',
    [
        ('ablation/table2_deit-small_tokenmix_8xb128_in1k', {'mmpretrain'}),
        ('segmentation/segmenter_deit-small_mixpro_4xb4-80k_pascal-context-480x480', {'mmpretrain', 'mmseg'}),
        ('detection/mask-rcnn_pvt-small_mixpro_1x_coco', {'mmdet'}),
        ('robustness/deit-small_occlusion_in1k', {'mmpretrain'}),
    ],
)
def test_our_configs(name, toolkits):
    """Only data and weights are missing."""
    config = checks.load(f'configs/{name}.py')
    findings = checks.run(checks.CHECKS, config)
    assert {finding.check for finding in findings if finding.status == 'problem'} <= {'data', 'weights'}
    assert checks.toolkits_of(config) == toolkits and checks.data_places(config)


@pytest.mark.parametrize(
    'text, words',
    [
        ("_base_ = 'gone.py'", 'gone.py'),
        ("custom_imports = dict(imports=['no_such_module'])", 'no_such_module'),
        ('x = (', 'SyntaxError'),
        ("model = dict(type='A')", 'has no model or no data'),
    ],
)
def test_invalid_configs(text, words, tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(text)
    (finding,) = checks.check_config(str(path))
    assert finding.status == 'problem' and words in finding.found and str(path) in finding.found


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
def test_types_and_arguments(text, fix, config, tmp_path, monkeypatch, fixes):
    (tmp_path / 'broken_when_imported.py').write_text('1 / 0\n')
    monkeypatch.syspath_prepend(tmp_path)
    found = wrong(training.check_types, config(text))
    assert {finding.status for finding in found} == ({'problem'} if fix != '' else set())
    found = [fixes(finding) for finding in found]
    assert found == [None] if fix is None else not fix or any(fix in (each or '') for each in found)


def test_missing_packages(monkeypatch, fixes):
    monkeypatch.setattr('importlib.util.find_spec', lambda module: None)
    config = dict(visualizer=dict(vis_backends=[dict(type=name) for name in training.PACKAGES]))
    found = [finding for finding in checks.run((training.check_types,), config) if finding.check == 'packages']
    assert [fixes(finding) for finding in found] == [
        f'python -m pip install {name}' for name in training.PACKAGES.values()
    ]
    assert 'visualizer.vis_backends.0.type' in found[0].found
    theirs = {name for name in VISBACKENDS.module_dict if name.endswith('VisBackend')}
    assert theirs - set(training.PACKAGES) <= {'BaseVisBackend', 'LocalVisBackend'}


HOOK, EMA = "dict(type='mixpro_mm.LabelingHook', labeling='AreaLabeling')", "dict(type='EMAHook')"
TOKENS = dict(type='mixpro_mm.TokenMix', patch_size=4)
FROZEN = dict(teacher='torchvision.resnet18', checkpoint=False)


def augmented(method):
    return dict(model=dict(train_cfg=dict(augments=[method])))


@pytest.mark.parametrize(
    'method, hooks, missing',
    [
        (dict(type='mixpro_mm.MixPro', patch_size=4), [], ["dict(type='mixpro_mm.LabelingHook')"]),
        (dict(type='mixpro_mm.PuzzleMix', blocks=(2, 4)), [], [HOOK]),
        (dict(type='mixpro_mm.SMMix', patch_size=4), [], [HOOK]),
        (TOKENS, [], [EMA, HOOK]),  # the default teacher
        (dict(TOKENS, teacher='ema'), [HOOK], [EMA]),
        (TOKENS, [EMA, HOOK], []),
        (TOKENS | FROZEN, [], []),
        (dict(type='mixpro_mm.MaskMix', patch_size=2), [], []),
        (dict(type='CutMix', alpha=1.0), [], []),
    ],
)
def test_hooks_of_mixing_methods(method, hooks, missing):
    config = augmented(method) | dict(custom_hooks=[eval(hook) for hook in hooks], default_scope='mmpretrain')
    fix = f'custom_hooks = [{"..., " * bool(hooks)}{", ".join(missing)}]'
    assert [finding.fix for finding in wrong(training.check_labels, config)] == [fix] * bool(missing)


@pytest.mark.parametrize(
    'augment, size, status, words',
    [
        (dict(type='mixpro_mm.MixPro'), 64, 'problem', 'patch_size=16 and mask_scale=1'),
        (dict(type='mixpro_mm.MixPro'), 128, 'warning', '2x2 cells of 64 px in an image of 128x128 pixels'),
        (dict(type='mixpro_mm.PuzzleMix', blocks=(3, 5)), 32, 'problem', '(3, 5)'),
        (dict(type='mixpro_mm.SMMix', patch_size=32), 32, 'problem', 'patch_size 32'),
        (dict(type='mixpro_mm.TokenMix', teacher='ema', patch_size=32), 32, 'problem', 'patch_size 32'),
        (TOKENS | FROZEN, 32, None, ''),
        (dict(type='mixpro_mm.AttentiveCutMix', extractor='torchvision.resnet18'), 32, None, ''),
        (dict(type='CutMix', alpha=1.0), 8, None, ''),
    ],
)
def test_masks(augment, size, status, words):
    found = list(training.check_masks(augmented(augment), (size, size)))
    assert [finding.status for finding in found] == [status] * (status is not None)
    assert all(words in finding.found for finding in found)


def schedule(probs, warmup):
    model = dict(train_cfg=dict(augments=[dict(type='Mixup'), dict(type='CutMix')], probs=probs))
    schedules = [dict(type='mixpro_mm.TimmCosineLR', warmup=warmup)]
    return training.check_schedule, dict(model=model, param_scheduler=schedules, train_cfg=dict(max_epochs=10)), 0


def workers(scope, **loader):
    return training.check_workers, dict(default_scope=scope, train_dataloader=loader, val_dataloader=None), 0


def batch(name, size, gpus, **scaled):
    config = dict(filename=f'b/{name}', train_dataloader=dict(batch_size=size), auto_scale_lr=scaled)
    return training.check_batch, config, gpus


def deterministic(gpus, value=True):
    return training.check_deterministic, dict(randomness=dict(deterministic=value)), gpus


SCALE, BATCH = '--auto-scale-lr', '--cfg-options train_dataloader.batch_size='
WORKERS, CUBLAS = '--cfg-options train_dataloader.', 'export CUBLAS_WORKSPACE_CONFIG=:4096:8'


@pytest.mark.parametrize(
    'case, words, fix',
    [
        (schedule([0.5, 0.5], 9), None, None),
        (schedule([0.5, 0.7], 9), 'sum to 1.2', 'model.train_cfg.probs = [...]'),
        (schedule([0.5], 9), '2 augments and 1 probs', 'model.train_cfg.probs = [...]'),
        (schedule(None, 10), 'param_scheduler.0.warmup is 10', 'param_scheduler.0 = dict(warmup=...)'),
        (
            workers('mmpretrain', num_workers=0),
            'persistent_workers',
            f'{WORKERS}persistent_workers=False',
        ),  # its default
        (workers('mmseg', num_workers=0, persistent_workers=True), '', f'{WORKERS}persistent_workers=False'),
        (workers(None, num_workers=0, prefetch_factor=2), 'prefetch_factor 2', f'{WORKERS}prefetch_factor=None'),
        (workers('mmpretrain', num_workers=2, prefetch_factor=2), None, None),
        (batch('a_8xb128_x.py', 128, 8, base_batch_size=1024), '8 GPUs x 128 = 1024 images a step', None),
        (batch('a_8xb128_x.py', 128, 1, base_batch_size=1024), 'not for 1 GPUs x 128 = 128', SCALE),
        (batch('a_8xb128_x.py', 64, 8), 'not for 8 GPUs x 64 = 512', f'{BATCH}128'),
        (batch('a_8xb128_x.py', 64, 8, base_batch_size=512), '512', f'{BATCH}128'),  # a contradiction
        (batch('a.py', 2, 0, base_batch_size=16), 'for 16 images a step, not for the CPU with 2', SCALE),
        (batch('a.py', 64, 1, base_batch_size=1024, enable=True), '1024 images a step; scaled to 64', None),
        (batch('a.py', 64, 1), None, None),
        (deterministic(0), None, None),
        (deterministic(1, False), None, None),
        (deterministic(1), 'CUBLAS_WORKSPACE_CONFIG', CUBLAS),
    ],
)
def test_values_of_training(case, words, fix, monkeypatch, fixes):
    check, config, gpus = case
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: gpus)
    monkeypatch.delenv('CUBLAS_WORKSPACE_CONFIG', raising=False)
    found = list(check(config))
    assert len(found) == (words is not None)
    assert all(words in finding.found and fixes(finding) == fix for finding in found)
    assert all((finding.status == 'ok') == (fix is None) for finding in found)


def test_paths_of_nested_data_sets(tmp_path, fixes):
    root, maps = str(tmp_path), 'data/VOCdevkit/VOC2010/SegmentationClassContext'
    datasets = [
        dict(type='CustomDataset', data_root=root, data_prefix=dict(img='gone', seg='there')),
        dict(type='CustomDataset', data_root=f'{root}/away', ann_file='list.txt'),
        dict(type='CustomDataset', data_prefix=dict(seg_map_path=maps)),
    ]
    config = dict(train_dataloader=dict(dataset=dict(type='RepeatDataset', dataset=dict(datasets=datasets))))
    (tmp_path / 'there').mkdir()
    place, link = 'train_dataloader.dataset.dataset.datasets', f'mkdir -p {root} && ln -s /path/to'
    assert {finding.found: fixes(finding) for finding in checks.check_paths(config)} == {
        f'{root}/gone does not exist ({place}.0.data_prefix.img)': f'{link}/gone {root}/gone',
        f'{root}/away does not exist ({place}.1.data_root)': f'{link}/away {root}/away',
        f'{maps} does not exist ({place}.2.data_prefix.seg_map_path)': (
            'python tools/prepare_pascal_context.py data/VOCdevkit'
        ),
    }


def test_weights(tmp_path):
    good, bad = tmp_path / 'good.pth', tmp_path / 'bad.pth'
    torch.save(dict(state_dict={'backbone.w': torch.ones(2)}), good)
    bad.write_bytes(good.read_bytes()[:200])
    for path, status in {good: 'ok', bad: 'problem', 'gone.pth': 'problem', 'https://a.org/b.pth': 'warning'}.items():
        init = dict(type='Pretrained', checkpoint=str(path))
        (finding,) = checks.check_weights(dict(model=dict(backbone=dict(init_cfg=init))))
        fix = f'--cfg-options model.backbone.init_cfg.checkpoint=/path/to/{os.path.basename(path)}'
        assert (finding.status, finding.fix) == (status, None if status == 'ok' else fix)
    extractor = dict(train_cfg=dict(augments=[dict(checkpoint='a.pth')]))
    found = [finding.found for finding in checks.check_weights(dict(load_from='b.pth', model=extractor))]
    assert found[0] == 'model.train_cfg.augments.0.checkpoint: Checkpoint a.pth is not an existing file.'
    assert found[1] == 'load_from: Checkpoint b.pth is not an existing file.'
    (finding,) = checks.check_weights(dict(model=dict(type='TimmClassifier', model_name='resnet18', pretrained=True)))
    assert finding.status == 'warning' and 'resnet18' in finding.found


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """Return a folder of generated images and the config of a detector for them."""
    folder = write_digit_scenes(tmp_path_factory.mktemp('data') / 'digit_scenes', num_train=4, num_val=2) / 'coco'
    config = Config.fromfile(ROOT / SCENES)
    for split in ('train', 'val', 'test'):
        config[f'{split}_dataloader'].dataset.data_root = f'{folder}/'
    return folder, config


def with_options(config, options):
    config = copy.deepcopy(config)
    config.merge_from_dict(options)
    return config.to_dict()


def test_valid_data(scenes):
    config = scenes[1].to_dict()
    assert len(checks.data_places(config)) == 6  # of data sets and evaluators
    findings = checks.run((checks.check_data,), config)
    assert {(finding.status, finding.check) for finding in findings} == {('ok', 'data'), ('ok', 'annotations')}
    assert 'train_dataloader: 4 samples, 4 loaded' in [finding.found for finding in findings]


def test_classes_of_data_and_model(scenes):
    options = {'model.roi_head.mask_head.num_classes': 9}
    options |= {f'{split}_dataloader.dataset.metainfo.classes': [*'0213456789'] for split in ('val', 'test')}
    found = wrong(checks.check_data, with_options(scenes[1], options))
    assert {finding.check for finding in found} == {'classes'}
    assert found[0].found == 'train_dataloader has 10 classes, but model.roi_head.mask_head.num_classes has 9'
    assert found[0].fix == '--cfg-options model.roi_head.mask_head.num_classes=10'
    assert any("label 1 is '2' here and '1' in train_dataloader" in finding.found for finding in found)


def test_images_and_annotations(scenes, tmp_path, fixes):
    for split in ('train', 'val'):
        content = json.loads((scenes[0] / f'annotations/instances_{split}2017.json').read_text())
        content['annotations'][0]['bbox'] = [500, 500, 20, 20]
        content['images'][0]['file_name'] = 'gone.jpg' if split == 'val' else content['images'][0]['file_name']
        (tmp_path / f'{split}.json').write_text(json.dumps(content))
    options = {f'{split}_dataloader.dataset.ann_file': f'{tmp_path}/{split}.json' for split in ('train', 'val')}
    annotations, image = wrong(checks.check_data, with_options(scenes[1], options))
    assert annotations.found.startswith(f'{tmp_path}/train.json: 1 problems, such as: annotation ')
    assert fixes(annotations) == f'python -m mixpro_mm.datasets.coco_check {tmp_path}/train.json'
    assert (annotations.status, image.status) == ('warning', 'problem') and 'gone.jpg' in image.found


def test_masks_are_checked_with_a_sample(config):
    large = config("model = dict(train_cfg=dict(augments=[dict(type='mixpro_mm.MixPro', patch_size=32)], probs=[1.0]))")
    (finding,) = [finding for finding in checks.check_contents(large['filename']) if finding.status != 'ok']
    assert finding.check == 'mask' and 'model.train_cfg.augments.0 (MixPro)' in finding.found


def test_missing_data_are_not_loaded(tmp_path, monkeypatch, fixes):
    monkeypatch.chdir(tmp_path)
    config = str(ROOT / SCENES)
    assert checks.check_contents(config) == []
    made = {fixes(finding) for finding in checks.check_config(config) if finding.check == 'data'}
    assert made == {'python -m mixpro_mm.datasets.digit_scenes data/digit_scenes'}
