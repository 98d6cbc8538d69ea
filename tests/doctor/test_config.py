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
from mixpro_mm.doctor import training
from mixpro_mm.doctor.config import (
    CHECKS,
    check_config,
    check_contents,
    check_data,
    check_paths,
    check_weights,
    data_places,
    load,
    run,
    toolkits_of,
)  # fmt: skip
from mixpro_mm.doctor.training import PACKAGES, check_types
from mixpro_mm.registry import BATCH_AUGMENTS

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
        return load(str(path))

    return of


def wrong(check, config):
    return [finding for finding in run((check,), config) if finding.status != 'ok']


CONFIGS = {
    'ablation/table2_deit-small_tokenmix_8xb128_in1k': ['mmpretrain'],
    'segmentation/segmenter_deit-small_mixpro_4xb4-80k_pascal-context-480x480': ['mmpretrain', 'mmseg'],
    'detection/mask-rcnn_pvt-small_mixpro_1x_coco': ['mmdet'],
    'robustness/deit-small_occlusion_in1k': ['mmpretrain'],
}


@pytest.mark.parametrize('name', CONFIGS)
def test_our_configs(name):
    """Only data and weights are missing."""
    config = load(f'configs/{name}.py')
    findings = run(CHECKS, config)
    assert {finding.check for finding in findings if finding.status == 'problem'} <= {'data', 'weights'}
    assert sorted(toolkits_of(config)) == CONFIGS[name] and data_places(config)


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
    (finding,) = check_config(str(path))
    assert finding.status == 'problem' and words in finding.found and str(path) in finding.found


PLAIN = "model = dict(train_cfg=dict(augments=[dict(type='MixPro', patch_size=4, mask_scale=2)], probs=[1.0]))"
NO_HOOKS = 'default_hooks = dict(_delete_=True)\ncustom_hooks = []'
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
        (
            "default_hooks = dict(_delete_=True, a=dict(type='mixpro_mm.IterSeedHook'), b=dict(type='ClassCheckHook'))",
            '',  # the scoped name imports all hooks
        ),
        ("optim_wrapper = dict(clip_grad=dict(_delete_=True, type='value', clip_value=0.2))", ''),
        ("custom_hooks = [dict(type='mixpro_mm.LabelingHook', labelling='x')]", 'custom_hooks.0 = dict(labeling=...)'),
        ("model = dict(train_cfg=dict(augments=[dict(type='Mixup', alfa=1)], probs=[1.0]))", 'dict(alpha=...)'),
    ],
)
def test_types_and_arguments(text, fix, config, tmp_path, monkeypatch, fixes):
    (tmp_path / 'broken_when_imported.py').write_text('1 / 0\n')
    monkeypatch.syspath_prepend(tmp_path)
    found = wrong(check_types, config(text))
    assert {finding.status for finding in found} == ({'problem'} if fix != '' else set())
    found = [fixes(finding) for finding in found]
    assert found == [None] if fix is None else not fix or any(fix in (each or '') for each in found)


def test_missing_packages(monkeypatch, fixes):
    monkeypatch.setattr('importlib.util.find_spec', lambda module: None)
    config = dict(visualizer=dict(vis_backends=[dict(type=name) for name in PACKAGES]))
    found = [finding for finding in run((check_types,), config) if finding.check == 'packages']
    assert [finding.fix for finding in found] == [f'python -m pip install {name}' for name in PACKAGES.values()]
    assert 'visualizer.vis_backends.0.type' in found[0].found and fixes(found[0])
    theirs = {name for name in VISBACKENDS.module_dict if name.endswith('VisBackend')}
    assert theirs - set(PACKAGES) <= {'BaseVisBackend', 'LocalVisBackend'}


HOOK, EMA = "dict(type='mixpro_mm.LabelingHook', labeling='AreaLabeling')", "dict(type='EMAHook')"
TOKENS = dict(type='mixpro_mm.TokenMix', patch_size=4)
WITHOUT = (
    (dict(type='mixpro_mm.MixPro', patch_size=4), [], ["dict(type='mixpro_mm.LabelingHook')"]),
    (dict(type='mixpro_mm.PuzzleMix', blocks=(2, 4)), [], [HOOK]),
    (dict(type='mixpro_mm.SMMix', patch_size=4), [], [HOOK]),
    (TOKENS, [], [EMA, HOOK]),  # the default teacher
    (dict(TOKENS, teacher='ema'), [HOOK], [EMA]),
    (TOKENS, [EMA, HOOK], []),
    (dict(TOKENS, teacher='torchvision.resnet18', checkpoint=False), [], []),
    (dict(type='mixpro_mm.MaskMix', patch_size=2), [], []),
    (dict(type='CutMix', alpha=1.0), [], []),
)


@pytest.mark.parametrize('method, hooks, missing', WITHOUT)
def test_hooks_of_mixing_methods(method, hooks, missing, fixes):
    config = dict(model=dict(train_cfg=dict(augments=[method])), custom_hooks=[eval(hook) for hook in hooks])
    found = run((training.check_labels,), config | dict(default_scope='mmpretrain'))
    assert [(finding.status, fixes(finding)) for finding in found] == [
        ('problem', f'custom_hooks = [{"..., " * bool(hooks)}{", ".join(missing)}]')
    ] * bool(missing)
    if HOOK in missing and not hooks:
        with pytest.raises(RuntimeError, match='LabelingHook'):  # the method itself raises at its first batch
            BATCH_AUGMENTS.build(method)(torch.rand(4, 3, 64, 64), torch.eye(4, 1000))


@pytest.mark.parametrize(
    'augment, size, status, words',
    [
        (dict(type='mixpro_mm.MixPro'), 64, 'problem', 'patch_size=16 and mask_scale=1'),
        (dict(type='mixpro_mm.MixPro'), 128, 'warning', '2x2 cells of 64 px in an image of 128x128 pixels'),
        (dict(type='mixpro_mm.PuzzleMix', blocks=(3, 5)), 32, 'problem', '(3, 5)'),
        (dict(type='mixpro_mm.SMMix', patch_size=32), 32, 'problem', 'patch_size 32'),
        (dict(type='mixpro_mm.TokenMix', teacher='ema', patch_size=32), 32, 'problem', 'patch_size 32'),
        (dict(type='mixpro_mm.TokenMix', teacher='torchvision.resnet18', patch_size=4), 32, None, ''),
        (dict(type='CutMix', alpha=1.0), 8, None, ''),
    ],
)
def test_masks(augment, size, status, words, fixes):
    found = list(training.check_masks(dict(model=dict(train_cfg=dict(augments=[augment]))), (size, size)))
    assert [finding.status for finding in found] == [status] * (status is not None)
    assert all(words in finding.found and (status == 'warning' or fixes(finding)) for finding in found)


@pytest.mark.parametrize(
    'probs, warmup, words',
    [
        ([0.5, 0.5], 9, None),
        ([0.5, 0.7], 9, 'sum to 1.2'),
        ([0.5], 9, '2 augments and 1 probs'),
        (None, 10, 'param_scheduler.0.warmup is 10'),
    ],
)
def test_probabilities_and_warm_up(probs, warmup, words, fixes):
    model = dict(train_cfg=dict(augments=[dict(type='Mixup'), dict(type='CutMix')], probs=probs))
    schedule = [dict(type='mixpro_mm.TimmCosineLR', warmup=warmup)]
    found = list(training.check_schedule(dict(model=model, param_scheduler=schedule, train_cfg=dict(max_epochs=10))))
    assert [finding.status for finding in found] == ['problem'] * bool(words)
    assert all(words in finding.found and fixes(finding) for finding in found)


@pytest.mark.parametrize(
    'scope, loader, key',
    [
        ('mmpretrain', dict(num_workers=0), 'persistent_workers=False'),  # its default
        ('mmseg', dict(num_workers=0, persistent_workers=True), 'persistent_workers=False'),
        (None, dict(num_workers=0, prefetch_factor=2), 'prefetch_factor=None'),
        ('mmpretrain', dict(num_workers=2, prefetch_factor=2), None),
    ],
)
def test_options_without_workers(scope, loader, key, fixes):
    found = list(training.check_workers(dict(default_scope=scope, train_dataloader=loader, val_dataloader=None)))
    assert [fixes(finding) for finding in found] == [f'--cfg-options train_dataloader.{key}'] * bool(key)


SCALE, BATCH = '--auto-scale-lr', '--cfg-options train_dataloader.batch_size='


@pytest.mark.parametrize(
    'name, batch, scaled, gpus, words, fix',
    [
        ('a_8xb128_x.py', 128, dict(base_batch_size=1024), 8, '8 GPUs x 128 = 1024 images a step', None),
        ('a_8xb128_x.py', 128, dict(base_batch_size=1024), 1, 'not for 1 GPUs x 128 = 128', SCALE),
        ('a_8xb128_x.py', 64, dict(), 8, 'not for 8 GPUs x 64 = 512', f'{BATCH}128'),
        ('a_8xb128_x.py', 64, dict(base_batch_size=512), 8, '512', f'{BATCH}128'),  # a contradiction
        ('a.py', 2, dict(base_batch_size=16), 0, 'for 16 images a step, not for the CPU with 2', SCALE),
        ('a.py', 64, dict(base_batch_size=1024, enable=True), 1, '1024 images a step; scaled to 64', None),
        ('a.py', 64, dict(), 1, None, None),
    ],
)
def test_the_total_batch_size(name, batch, scaled, gpus, words, fix, monkeypatch, fixes):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: gpus)
    config = dict(filename=f'b/{name}', train_dataloader=dict(batch_size=batch), auto_scale_lr=scaled)
    found = list(training.check_batch(config))
    assert [finding.status for finding in found] == (['warning'] if fix else ['ok'] if words else [])
    assert all(words in finding.found and fixes(finding) == fix for finding in found)


def test_deterministic_algorithms_need_a_workspace(monkeypatch, fixes):
    def fix(deterministic=True):
        config = dict(randomness=dict(deterministic=deterministic))
        return [fixes(finding) for finding in training.check_deterministic(config)]

    monkeypatch.delenv('CUBLAS_WORKSPACE_CONFIG', raising=False)
    assert fix() == []
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
    assert fix() == ['export CUBLAS_WORKSPACE_CONFIG=:4096:8'] and fix(False) == []
    monkeypatch.setenv('CUBLAS_WORKSPACE_CONFIG', ':16:8')
    assert fix() == []


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
    assert {finding.found: fixes(finding) for finding in check_paths(config)} == {
        f'{root}/gone does not exist ({place}.0.data_prefix.img)': f'{link}/gone {root}/gone',
        f'{root}/away does not exist ({place}.1.data_root)': f'{link}/away {root}/away',
        f'{maps} does not exist ({place}.2.data_prefix.seg_map_path)': (
            'python tools/prepare_pascal_context.py data/VOCdevkit'
        ),
    }


def test_weights(tmp_path, fixes):
    good, bad = tmp_path / 'good.pth', tmp_path / 'bad.pth'
    torch.save(dict(state_dict={'backbone.w': torch.ones(2)}), good)
    bad.write_bytes(good.read_bytes()[:200])
    paths = {str(good): 'ok', str(bad): 'problem', 'gone/none.pth': 'problem', 'https://a.org/none.pth': 'warning'}
    for path, status in paths.items():
        (finding,) = check_weights(dict(model=dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=path)))))
        fix = f'--cfg-options model.backbone.init_cfg.checkpoint=/path/to/{os.path.basename(path)}'
        assert (finding.status, fixes(finding)) == (status, None if status == 'ok' else fix)
    extractor = dict(train_cfg=dict(augments=[dict(checkpoint='a.pth')]))
    found = [finding.found for finding in check_weights(dict(load_from='b.pth', model=extractor))]
    assert found[0] == 'model.train_cfg.augments.0.checkpoint: Checkpoint a.pth is not an existing file.'
    assert found[1] == 'load_from: Checkpoint b.pth is not an existing file.'
    (finding,) = check_weights(dict(model=dict(type='TimmClassifier', model_name='resnet18', pretrained=True)))
    assert finding.status == 'warning' and 'resnet18' in finding.found and fixes(finding)


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
    assert len(data_places(config)) == 6  # of data sets and evaluators
    findings = run((check_data,), config)
    assert {(finding.status, finding.check) for finding in findings} == {('ok', 'data'), ('ok', 'annotations')}
    assert 'train_dataloader: 4 samples, 4 loaded' in [finding.found for finding in findings]


def test_classes_of_data_and_model(scenes, fixes):
    options = {'model.roi_head.mask_head.num_classes': 9}
    options |= {f'{split}_dataloader.dataset.metainfo.classes': [*'0213456789'] for split in ('val', 'test')}
    found = wrong(check_data, with_options(scenes[1], options))
    assert {finding.check for finding in found} == {'classes'}
    assert found[0].found == 'train_dataloader has 10 classes, but model.roi_head.mask_head.num_classes has 9'
    assert fixes(found[0]) == '--cfg-options model.roi_head.mask_head.num_classes=10'
    assert any("label 1 is '2' here and '1' in train_dataloader" in finding.found for finding in found)


def test_images_and_annotations(scenes, tmp_path, fixes):
    for split in ('train', 'val'):
        content = json.loads((scenes[0] / f'annotations/instances_{split}2017.json').read_text())
        content['annotations'][0]['bbox'] = [500, 500, 20, 20]
        content['images'][0]['file_name'] = 'gone.jpg' if split == 'val' else content['images'][0]['file_name']
        (tmp_path / f'{split}.json').write_text(json.dumps(content))
    options = {f'{split}_dataloader.dataset.ann_file': f'{tmp_path}/{split}.json' for split in ('train', 'val')}
    annotations, image = wrong(check_data, with_options(scenes[1], options))
    assert annotations.status == 'warning'
    assert annotations.found.startswith(f'{tmp_path}/train.json: 1 problems, such as: annotation ')
    assert fixes(annotations) == f'python -m mixpro_mm.datasets.coco_check {tmp_path}/train.json'
    assert image.status == 'problem' and 'val_dataloader: FileNotFoundError: ' in image.found
    assert 'gone.jpg' in image.found


def test_masks_are_checked_with_a_sample(config):
    large = config("model = dict(train_cfg=dict(augments=[dict(type='mixpro_mm.MixPro', patch_size=32)], probs=[1.0]))")
    (finding,) = [finding for finding in check_contents(large['filename']) if finding.status != 'ok']
    assert (finding.status, finding.check) == ('problem', 'mask')
    assert 'model.train_cfg.augments.0 (MixPro)' in finding.found


def test_missing_data_are_not_loaded(tmp_path, monkeypatch, fixes):
    monkeypatch.chdir(tmp_path)
    config = str(ROOT / SCENES)
    assert check_contents(config) == []
    made = {fixes(finding) for finding in check_config(config) if finding.check == 'data'}
    assert made == {'python -m mixpro_mm.datasets.digit_scenes data/digit_scenes'}
    assert os.listdir(tmp_path) == []
