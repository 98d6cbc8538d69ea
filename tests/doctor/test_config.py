"""A config before its training: each thing that would stop it is named, with its place and what mends it."""

import contextlib
import os
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mixpro_mm.doctor import cli
from mixpro_mm.doctor.child import take_step
from mixpro_mm.doctor.config import check_batch, check_deterministic, check_workers, examine, load, needs_of
from mixpro_mm.doctor.config_files import check_data, check_weights, places_of_data
from mixpro_mm.doctor.config_masks import check_masks, image_size
from mixpro_mm.doctor.config_packages import NEEDED, check_packages
from mixpro_mm.doctor.config_types import check_labels, check_types
from mixpro_mm.doctor.config_values import check_arguments, check_values
from mixpro_mm.registry import BATCH_AUGMENTS
from mixpro_mm.study.configs import files_needed

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / 'configs/digits/deit-micro_mixpro_digits.py'
SCALE = '--auto-scale-lr'


@pytest.fixture(autouse=True)
def at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def config_of(tmp_path, text, name='mine.py'):
    path = tmp_path / name
    path.write_text(f"_base_ = '{DIGITS}'\n{text}\n")
    return str(path)


def wrong(findings):
    return [finding for finding in findings if finding.status != 'ok']


@pytest.mark.parametrize(
    'config',
    [
        'configs/ablation/table2_deit-small_tokenmix_8xb128_in1k.py',
        'configs/segmentation/segmenter_deit-small_mixpro_4xb4-80k_pascal-context-480x480.py',
        'configs/detection/mask-rcnn_pvt-small_mixpro_1x_coco.py',
        'configs/robustness/deit-small_occlusion_in1k.py',
    ],
)
def test_our_configs(config):
    """Every type resolves; data are those that a study looks for, two readings of the same config, written apart."""
    read = Config.fromfile(config)
    loaded = read.to_dict()
    assert wrong(check_types(loaded)) == [] and wrong(check_labels(loaded)) == []
    read.pop('model')  # weights are looked up elsewhere
    theirs = {str(other) for other in files_needed(read)}
    assert {os.path.normpath(other) for _, other in places_of_data(loaded)} == theirs != set()


def test_needs_of_a_config():
    config = load('configs/digits/segmenter_deit-micro_mixpro_digit-scenes.py')
    assert needs_of(config)['hosts'] == ['mmpretrain', 'mmseg']
    assert needs_of(load(str(DIGITS))) == dict(hosts=['mmpretrain'], workers=0, work_dir=None)


@pytest.mark.parametrize(
    'text, said, mend',
    [
        ("model = dict(backbone=dict(type='VisionTransfomer'))", 'model.backbone.type', "='VisionTransformer'"),
        ("model = dict(backbone=dict(type='mmcls.VisionTransformer'))", 'mmcls', "='mmpretrain.VisionTransformer'"),
        ("default_scope = 'mmseg'", 'model.head.type', "='mmpretrain.VisionTransformerClsHead'"),
        ("custom_hooks = [dict(type='mixpro_mm.LabelHook')]", 'custom_hooks.0.type', "='mixpro_mm.LabelingHook'"),
        ("optim_wrapper = dict(optimizer=dict(type='AdamX'))", 'optim_wrapper.optimizer.type', "='Adam"),
        ("param_scheduler = [dict(type='CosineLR')]", 'param_scheduler.0.type', "LR'"),
        ("val_evaluator = dict(type='Acuracy')", 'val_evaluator.type', "='Accuracy'"),
        ("train_dataloader = dict(sampler=dict(type='Nobody'))", 'train_dataloader.sampler.type', 'custom_imports'),
        (
            "train_dataloader = dict(dataset=dict(pipeline=[dict(type='PackInput')]))",
            'train_dataloader.dataset.pipeline.0.type',
            "='PackInputs'",
        ),
        ("model = dict(train_cfg=dict(augments=[dict(type='MixUp')]))", 'augments.0.type', "='Mixup'"),
    ],
)
def test_a_type_that_does_not_resolve_is_named_with_its_place(text, said, mend, tmp_path, mends):
    found = wrong(check_types(load(config_of(tmp_path, text))))
    finding = next(finding for finding in found if said in finding.found)
    assert finding.status == 'problem' and mend in mends(finding)


def test_clipping_by_value_is_no_type(tmp_path):
    """mmengine's own words: OptimWrapper takes dict(type='value', ...) apart by itself."""
    text = "optim_wrapper = dict(clip_grad=dict(_delete_=True, type='value', clip_value=0.2))"
    assert wrong(check_types(load(config_of(tmp_path, text)))) == []


def test_a_type_that_does_not_import_is_not_said_to_resolve(tmp_path, monkeypatch, mends):
    (tmp_path / 'broken_when_imported.py').write_text('1 / 0\n')
    monkeypatch.syspath_prepend(tmp_path)
    (finding,) = check_types(load(config_of(tmp_path, "visualizer = dict(type='broken_when_imported.Pen')")))
    assert finding.status == 'problem' and mends(finding)
    assert finding.found.startswith('visualizer.type: broken_when_imported.Pen does not import: ')


HOOK = "dict(type='mixpro_mm.LabelingHook', labeling='AreaLabeling')"
EMA = "dict(type='EMAHook')"
TOKENS = dict(type='mixpro_mm.TokenMix', patch_size=4)
WITHOUT = (
    (dict(type='mixpro_mm.PuzzleMix', blocks=(2, 4)), [], [HOOK]),
    (dict(type='mixpro_mm.SMMix', patch_size=4), [], [HOOK]),
    (TOKENS, [], [EMA, HOOK]),  # it takes the moving average if no teacher is named
    (dict(TOKENS, teacher='ema'), [HOOK], [EMA]),
    (TOKENS, [EMA], [HOOK]),
    (TOKENS, [EMA, HOOK], []),
    (dict(TOKENS, teacher='torchvision.resnet18', checkpoint=False), [], []),
    (dict(type='mixpro_mm.MaskMix', patch_size=2), [], []),
    (dict(type='CutMix', alpha=1.0), [], []),
)


@pytest.mark.parametrize('method, hooks, lacking', WITHOUT)
def test_a_method_that_has_to_see_the_model_names_the_hooks_it_lacks(method, hooks, lacking, tmp_path, mends):
    text = f'model = dict(train_cfg=dict(augments=[{method}]))\ncustom_hooks = [{", ".join(hooks)}]'
    found = wrong(check_labels(load(config_of(tmp_path, text))))
    assert [finding.status for finding in found] == ['problem'] * bool(lacking)
    for finding in found:
        assert finding.found.startswith(f'{method["type"]} has to see the ')
        assert mends(finding) == f'custom_hooks = [{"..., " * bool(hooks)}{", ".join(lacking)}]'


@pytest.mark.parametrize('method', [method for method, hooks, _ in WITHOUT if not hooks])
def test_those_are_the_methods_that_stop_at_their_first_batch(method):
    """What each says itself when nobody has shown it a model."""
    torch.manual_seed(0)
    augment = BATCH_AUGMENTS.build(method)
    stops = any(method is other and HOOK in lacking for other, _, lacking in WITHOUT)
    with pytest.raises(RuntimeError, match='LabelingHook') if stops else contextlib.nullcontext():
        augment(torch.rand(4, 3, 64, 64), torch.eye(4, 1000))


def test_labels_that_nobody_weighs(tmp_path, mends):
    found = wrong(check_labels(load(config_of(tmp_path, 'custom_hooks = []'))))
    assert [finding.found.split()[0] for finding in found] == ['mixpro_mm.MixPro']
    assert mends(found[0]) == "custom_hooks = [dict(type='mixpro_mm.LabelingHook')]"
    text = "custom_hooks = [dict(type='mixpro_mm.LabelingHook', labeling='Atention')]"
    found = wrong(check_labels(load(config_of(tmp_path, text))))
    assert 'custom_hooks.0.labeling' in found[0].found and mends(found[0])


NESTED = """
train_dataloader = dict(dataset=dict(_delete_=True, type='RepeatDataset', times=2, dataset=dict(
    type='ConcatDataset', datasets=[
        dict(type='CustomDataset', data_root='{root}', data_prefix='there', pipeline=[]),
        dict(type='CustomDataset', data_root='{root}', data_prefix=dict(img='gone', seg='there'), pipeline=[]),
        dict(type='CustomDataset', data_root='{root}/away', ann_file='list.txt', pipeline=[])])))
"""


def test_data_inside_other_data_sets_are_found(tmp_path, mends):
    (tmp_path / 'there').mkdir()
    found = list(check_data(load(config_of(tmp_path, NESTED.format(root=tmp_path)))))
    assert [finding.found for finding in found] == [
        f'{tmp_path}/gone does not exist (train_dataloader.dataset.dataset.datasets.1.data_prefix.img)',
        f'{tmp_path}/away does not exist (train_dataloader.dataset.dataset.datasets.2.data_root)',
    ]
    assert mends(found[0]) == f'ln -s /path/to/gone {tmp_path}/gone'
    (tmp_path / 'gone').mkdir()
    (tmp_path / 'away').mkdir()
    found = list(check_data(load(config_of(tmp_path, NESTED.format(root=tmp_path)))))
    assert [finding.found.split()[0] for finding in found] == [f'{tmp_path}/away/list.txt']
    (tmp_path / 'away' / 'list.txt').touch()
    assert [finding.status for finding in check_data(load(config_of(tmp_path, NESTED.format(root=tmp_path))))] == ['ok']


def test_data_that_can_be_made_name_the_command(tmp_path, monkeypatch, mends):
    config = load('configs/digits/mask-rcnn_pvt-micro_mixpro_digit-scenes.py')
    monkeypatch.chdir(tmp_path)
    found = wrong(check_data(config))
    assert [mends(finding) for finding in found] == ['python -m mixpro_mm.datasets.digit_scenes data/digit_scenes']
    assert [finding.status for finding in found] == ['problem']
    maps = 'data/VOCdevkit/VOC2010/SegmentationClassContext'
    (tmp_path / 'data/VOCdevkit/VOC2010').mkdir(parents=True)
    (finding,) = check_data(dict(train_dataloader=dict(dataset=dict(data_prefix=dict(seg_map_path=maps)))))
    monkeypatch.chdir(ROOT)
    assert mends(finding) == 'python tools/prepare_pascal_context.py data/VOCdevkit'


def test_weights(tmp_path, mends):
    def told(path, extra=''):
        init = f"dict(type='Pretrained', checkpoint='{path}'{extra})"
        return list(check_weights(load(config_of(tmp_path, f'model = dict(backbone=dict(init_cfg={init}))'))))

    good, bad = tmp_path / 'good.pth', tmp_path / 'bad.pth'
    torch.save(dict(state_dict={'backbone.w': torch.ones(2), 'head.w': torch.ones(1)}), good)
    bad.write_bytes(good.read_bytes()[:200])
    place = 'model.backbone.init_cfg'
    (finding,) = told(tmp_path / 'none.pth')
    assert finding.found == f'{tmp_path}/none.pth does not exist ({place}.checkpoint)'
    assert mends(finding) == f'--cfg-options {place}.checkpoint=/path/to/none.pth'
    assert [finding.status for finding in told(good, ", prefix='backbone.'")] == ['ok']
    (finding,) = told(good, ", prefix='module.backbone.'")
    assert finding.status == 'problem' and "no tensor that begins with 'module.backbone.'" in finding.found
    assert mends(finding) == f'--cfg-options {place}.prefix=backbone.'
    (finding,) = told(bad)
    assert finding.status == 'problem' and str(bad) in finding.found and mends(finding)
    (finding,) = told('https://example.org/no-such-file.pth')
    assert finding.status == 'warning' and mends(finding)
    (finding,) = list(check_weights(load(config_of(tmp_path, f"load_from = '{tmp_path}/none.pth'"))))
    assert finding.found.endswith('(load_from)') and mends(finding).startswith('--cfg-options load_from=')


def test_teachers_and_extractors_are_weights_too():
    config = load('configs/ablation/table2_deit-small_attentive-cutmix_8xb128_in1k.py')
    (finding,) = check_weights(config)
    assert 'checkpoints/resnet50-0676ba61.pth does not exist (model.train_cfg.augments.' in finding.found


def test_workers_that_are_kept_though_there_are_none(tmp_path, mends):
    (finding,) = check_workers(load(config_of(tmp_path, 'val_dataloader = dict(persistent_workers=True)')))
    assert finding.status == 'problem'
    assert mends(finding) == '--cfg-options val_dataloader.persistent_workers=False'
    assert list(check_workers(load(str(DIGITS)))) == []


@pytest.mark.parametrize('gpus, status', [(8, 'ok'), (1, 'warning'), (0, 'warning')])
def test_a_recipe_for_eight_gpus(gpus, status, mends):
    path = 'configs/pretrain/deit-small_mixpro_8xb128_in1k.py'
    (finding,) = check_batch(path, load(path), gpus)
    assert finding.status == status and '8 GPUs x 128 = 1024 images a step' in finding.found
    assert gpus == 8 or mends(finding) == '--auto-scale-lr'
    assert list(check_batch(str(DIGITS), load(str(DIGITS)), gpus)) == []


@pytest.mark.parametrize(
    'name, batch, base, gpus, said, mend',
    [
        ('a_8xb128_x.py', 64, 1024, 8, '8 GPUs x 128 = 1024 images a step; 8 GPUs x 64 here would take 512', SCALE),
        ('a_8xb128_x.py', 64, None, 8, '8 GPUs x 64 here would take 512', '--cfg-options {}=128'),
        ('a_8xb128_x.py', 64, 512, 8, '8 GPUs x 64 here would take 512', '--cfg-options {}=128'),  # they contradict
        ('a_8xb128_x.py', 512, 1024, 2, None, None),  # in another way, but as many
        ('a_8xb4_x.py', 4, None, 64, '64 GPUs x 4 here would take 256', '--cfg-options {}=1'),
        ('a.py', 2, 16, 0, 'for 16 images a step; the CPU with 2 here would take 2', SCALE),
        ('a.py', 2, 16, 8, None, None),
    ],
)
def test_images_a_step_are_those_of_the_name_and_not_of_what_runs_here(name, batch, base, gpus, said, mend, mends):
    config = dict(train_dataloader=dict(batch_size=batch), auto_scale_lr=dict(base_batch_size=base))
    (finding,) = check_batch(name, config, gpus)
    assert finding.status == ('warning' if said else 'ok')
    if said:
        assert said in finding.found
        assert mends(finding) == mend.format('train_dataloader.batch_size')


@pytest.mark.parametrize(
    'text, said, mend',
    [
        ("_base_ = 'gone.py'", 'gone.py, which does not exist', "_base_ = '...' in "),
        (
            "custom_imports = dict(imports=['no_such_module'])",
            'no_such_module, which cannot be imported',
            'custom_imports',
        ),
        ('x = (', 'cannot be read: SyntaxError', 'python '),
        ("model = dict(type='A')", 'trains nothing: it has no train_dataloader', 'train_dataloader = '),
        ("title = ''\nstages = []", 'is a study', '--dry-run'),
    ],
)
def test_a_config_that_is_none(text, said, mend, tmp_path, mends):
    path = tmp_path / 'config.py'
    path.write_text(text)
    finding = next(examine(str(path)))
    assert finding.status == 'problem' and said in finding.found
    assert mend in mends(finding)


def test_the_doctor_says_no_for_a_config_without_its_data(tmp_path, monkeypatch, capsys):
    """From the command line on; only the steps are taken in this process, and those that look at the config."""
    monkeypatch.setattr(cli, 'probe', lambda steps, config: [(s, take_step(s, config)) for s in ('hosts', 'config')])
    data = f"dataset=dict(_delete_=True, type='CustomDataset', data_root='{tmp_path}/images', pipeline=[])"
    path = config_of(tmp_path, f'train_dataloader = dict({data})')
    assert cli.main([path, '--work-dir', str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert f'problem  data           {tmp_path}/images does not exist (train_dataloader.dataset.data_root)' in said
    assert f'-> ln -s /path/to/images {tmp_path}/images' in said
    assert said.endswith('training will not start: 1 problem\n')
    (tmp_path / 'images').mkdir()
    assert cli.main([path, '--work-dir', str(tmp_path)]) == 0
    assert capsys.readouterr().out.endswith('training will start\n')
    assert sorted(other.name for other in tmp_path.iterdir()) == ['images', 'mine.py']  # nothing is written


def test_colour_is_for_terminals():
    finding = cli.Finding('problem', 'torch', 'not installed', 'python -m pip install torch')
    assert list(cli.lines(finding)) == [
        'problem  torch          not installed',
        '                        -> python -m pip install torch',
    ]
    assert next(cli.lines(finding, True)).startswith('\033[31mproblem\033[0m')


PLAIN = "model = dict(train_cfg=dict(augments=[dict(type='MixPro', patch_size=4, mask_scale=2)], probs=[1.0]))"
PLAIN_HOOK = "custom_hooks = [dict(type='LabelingHook')]"


@pytest.mark.parametrize(
    'text, named',
    [
        (PLAIN, ["model.train_cfg.augments.0.type='mixpro_mm.MixPro'"]),
        (
            "default_hooks = dict(check=dict(type='ClassCheckHook'))",
            ["default_hooks.check.type='mixpro_mm.ClassCheckHook'"],
        ),
        ("model = dict(backbone=dict(type='PVT'))", ["model.backbone.type='mixpro_mm.PVT'"]),
        (
            "train_dataloader = dict(dataset=dict(type='ImageNet1k'))",
            ["train_dataloader.dataset.type='mixpro_mm.ImageNet1k'"],
        ),
        (f"custom_imports = dict(imports='mixpro_mm.augments')\n{PLAIN}", []),
        (
            f"custom_imports = dict(imports=['mixpro_mm'])\n{PLAIN}",  # which registers nothing
            ["model.train_cfg.augments.0.type='mixpro_mm.MixPro'"],
        ),
        (f"custom_imports = dict(imports=['mixpro_mm.plugin'])\n{PLAIN}\n{PLAIN_HOOK}", []),
        (
            f"custom_imports = dict(imports=['mixpro_mm.augments'])\n{PLAIN}\n{PLAIN_HOOK}",
            ["custom_hooks.0.type='mixpro_mm.LabelingHook'"],
        ),
        (
            "default_hooks = dict(_delete_=True, a=dict(type='mixpro_mm.IterSeedHook'), b=dict(type='ClassCheckHook'))",
            [],  # the scoped name has imported all hooks by then
        ),
    ],
)
def test_a_plain_name_of_ours_wants_an_import(text, named, tmp_path, mends):
    text = text if 'default_hooks' in text else f'{text}\ndefault_hooks = dict(_delete_=True)'
    found = wrong(check_types(load(config_of(tmp_path, text))))
    assert [mends(finding) for finding in found] == named
    assert all(finding.status == 'problem' and 'KeyError' in finding.found for finding in found)


@pytest.mark.parametrize('scope, stops', [('mmpretrain', True), ('mmseg', False)])
def test_workers_that_mmpretrain_keeps_by_default(scope, stops, mends):
    found = list(check_workers(dict(default_scope=scope, train_dataloader=dict(num_workers=0), val_dataloader=None)))
    assert [mends(finding) for finding in found] == ['--cfg-options train_dataloader.persistent_workers=False'] * stops
    (finding,) = check_workers(dict(train_dataloader=dict(num_workers=0, prefetch_factor=2)))
    assert 'prefetch_factor 2' in finding.found
    assert list(check_workers(dict(default_scope=scope, train_dataloader=dict(num_workers=2, prefetch_factor=2)))) == []


@pytest.mark.parametrize('name', NEEDED)
def test_packages_that_are_not_installed_are_named(name, monkeypatch, mends):
    place = 'visualizer' if 'Vis' in name else 'model'
    config = {place: dict(vis_backends=[dict(type=name)])}
    monkeypatch.setattr('importlib.util.find_spec', lambda module: None)
    (finding,) = check_packages(config)
    assert f'{place}.vis_backends.0.type' in finding.found and NEEDED[name] in finding.found
    monkeypatch.setattr('importlib.util.find_spec', lambda module: module)
    assert list(check_packages(config)) == []


def test_every_log_back_end_of_mmengine_is_known():
    from mmengine.registry import VISBACKENDS

    theirs = {name for name in VISBACKENDS.module_dict if name.endswith('VisBackend')} - {
        'BaseVisBackend',
        'LocalVisBackend',
    }
    assert theirs - set(NEEDED) == set()


@pytest.mark.parametrize(
    'augment, size, status, said',
    [
        (dict(type='mixpro_mm.MixPro'), 64, 'problem', 'patch_size=16 and mask_scale=1'),
        (dict(type='mixpro_mm.MaskMix', patch_size=8, mask_scale=4), 32, 'problem', 'patch_size=8 and mask_scale=1'),
        (dict(type='mixpro_mm.MixPro'), 128, 'warning', '2x2 cells of 64 px in an image of 128x128 pixels'),
        (dict(type='mixpro_mm.MixPro'), 224, 'ok', ''),
        (dict(type='mixpro_mm.BlockMix'), 32, 'warning', '2x2 cells of 16 px'),
        (dict(type='mixpro_mm.BlockMix'), 16, 'problem', '16x16'),
        (dict(type='mixpro_mm.GridMix'), 3, 'problem', 'grid 4'),
        (dict(type='mixpro_mm.RegionMix', align=32), 32, 'problem', 'align 32'),
        (dict(type='mixpro_mm.RegionMix', align=16), 32, 'ok', ''),
        (dict(type='mixpro_mm.PuzzleMix', blocks=(3, 5)), 32, 'problem', '(3, 5)'),
        (dict(type='mixpro_mm.PuzzleMix'), 32, 'ok', ''),
        (dict(type='mixpro_mm.SMMix', patch_size=32), 32, 'problem', 'patch_size 32'),
        (dict(type='mixpro_mm.SMMix', patch_size=4), 32, 'ok', ''),
        (dict(type='mixpro_mm.TokenMix', teacher='ema', patch_size=32), 32, 'problem', 'patch_size 32'),
        (dict(type='mixpro_mm.TokenMix', teacher='ema', patch_size=4), 32, 'ok', ''),
        (dict(type='mixpro_mm.AttentiveCutMix', extractor='torchvision.resnet18'), 6, 'problem', '7x7'),
        (dict(type='mixpro_mm.AttentiveCutMix', extractor='torchvision.resnet18'), 32, 'ok', ''),
    ],
)
def test_masks_against_the_images_of_the_pipeline(augment, size, status, said, mends):
    pipeline = [dict(type='LoadImageFromFile'), dict(type='RandomResizedCrop', scale=size)]
    config = dict(
        model=dict(backbone=dict(img_size=224), train_cfg=dict(augments=[augment])),
        train_dataloader=dict(dataset=dict(pipeline=pipeline)),
    )
    assert image_size(config) == (size, size)
    found = list(check_masks(config))
    assert [finding.status for finding in found] == [status] * (status != 'ok')
    assert all(said in finding.found and (finding.status == 'warning' or mends(finding)) for finding in found)


def test_a_rate_that_is_scaled_already_is_not_to_be_scaled(mends):
    config = dict(train_dataloader=dict(batch_size=64), auto_scale_lr=dict(base_batch_size=1024, enable=True))
    (finding,) = check_batch('a.py', config, 1)
    assert finding.status == 'ok' and '1024 images' in finding.found and '64' in finding.found


def test_weights_that_timm_downloads():
    model = dict(type='TimmClassifier', model_name='resnet18', pretrained=True)
    (finding,) = check_weights(dict(model=model))
    assert finding.status == 'warning' and 'resnet18' in finding.found
    assert list(check_weights(dict(model=dict(model, pretrained=False)))) == []


def test_deterministic_algorithms_on_a_gpu_want_a_workspace(monkeypatch, mends):
    config = dict(randomness=dict(seed=0, deterministic=True))
    monkeypatch.delenv('CUBLAS_WORKSPACE_CONFIG', raising=False)
    assert [mends(finding) for finding in check_deterministic(config, 1)] == ['export CUBLAS_WORKSPACE_CONFIG=:4096:8']
    assert list(check_deterministic(config, 0)) == list(check_deterministic(dict(), 1)) == []
    monkeypatch.setenv('CUBLAS_WORKSPACE_CONFIG', ':16:8')
    assert list(check_deterministic(config, 1)) == []


@pytest.mark.parametrize(
    'text, said',
    [
        ("custom_hooks = dict(_delete_=True, type='mixpro_mm.LabelingHook')", 'custom_hooks is a dict'),
        ('val_evaluator = None', 'val_evaluator not set'),
        ('model = dict(train_cfg=dict(probs=[0.5, 0.7]))', 'add up to 1.2'),
        ('model = dict(train_cfg=dict(probs=[0.5]))', '2 augments and 1 probs'),
        ("model = dict(head=dict(num_classes='10'))", "model.head.num_classes is the string '10'"),
        ("param_scheduler = [dict(type='LinearLR', begin=5, end=3)]", 'begins at 5 and ends at 3'),
        (
            "param_scheduler = [dict(type='mixpro_mm.TimmCosineLR', warmup=20)]\ntrain_cfg = dict(max_epochs=10)",
            'param_scheduler.0.warmup is 20, and the schedule has 10 epochs',
        ),
        ("custom_hooks = [dict(type='mixpro_mm.LabelingHook', labelling='x')]", 'custom_hooks.0.labelling'),
        (
            "optim_wrapper = dict(optimizer=dict(type='AdamW', learning_rate=1))",
            'optim_wrapper.optimizer.learning_rate',
        ),
        ("model = dict(train_cfg=dict(augments=[dict(type='Mixup', alfa=1)], probs=[1.0]))", 'augments.0.alfa'),
    ],
)
def test_values_that_stop_a_run_when_it_is_built(text, said, tmp_path, mends):
    config = load(config_of(tmp_path, text))
    (finding,) = [*check_values(config), *check_arguments(config)]
    assert finding.status == 'problem' and said in finding.found and mends(finding)
    ours = load(str(DIGITS))
    assert [*check_values(ours), *check_arguments(ours)] == []


def test_a_base_of_the_forks_is_not_looked_up_by_its_old_name(tmp_path, mends):
    path = tmp_path / 'mine.py'
    path.write_text("_base_ = 'mmseg::segmenter/none.py'\n")
    (finding,) = examine(str(path))
    assert 'mmsegmentation' in finding.found and '/mmseg/.mim/configs/' in mends(finding)


def test_a_config_of_ours_by_its_name(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert Path(cli._own_config(DIGITS.name)).resolve() == DIGITS
    assert cli._own_config('none-of-ours.py') is None


@pytest.mark.parametrize(
    'transforms, size',
    [
        ([dict(type='RandomResizedCrop', scale=(64, 96))], (64, 96)),
        ([dict(type='mmcv.Resize', scale=(96, 64))], (64, 96)),  # width first
        ([dict(type='RandomCrop', crop_size=32), dict(type='ResizeEdge', scale=224)], None),
        ([dict(type='RandomCrop', crop_size=32), dict(type='Resize', scale=(96, 64), keep_ratio=True)], None),
        ([dict(type='ResizeEdge', scale=256), dict(type='CenterCrop', crop_size=224)], (224, 224)),
        ([], (48, 48)),
    ],
)
def test_the_size_of_the_images_is_known_or_not_said(transforms, size):
    config = dict(model=dict(backbone=dict(img_size=48)), train_dataloader=dict(dataset=dict(pipeline=transforms)))
    assert image_size(config) == size
