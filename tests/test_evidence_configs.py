"""The evidence study: its configs differ in the method and in nothing else, and each trains and is handed over."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mixpro_mm.datasets.digit_scenes import write_digit_scenes
from mixpro_mm.study.evaluate import evaluation_mark
from mixpro_mm.study.plan import read_plan
from tests.config_rows import CONFIGS, augments_of, fresh, hook_of, ours, read

EVIDENCE = CONFIGS / 'digits' / 'evidence'
STUDY = CONFIGS / 'digits' / 'study_evidence.py'
CELLS = {'deit-micro': dict(patch_size=4, mask_scale=2), 'pvt-micro': dict(patch_size=32, mask_scale=1)}
TOKENMIX = ours('TokenMix', patch_size=4, teacher='ema', target='ce')


def mixing(method, cells):
    """Augment beside Mixup, and the rule of its labels; both None without mixing."""
    return {
        'none': (None, None),
        'cutmix': (dict(type='CutMix', alpha=1.0), None),
        'transmix': (ours('RegionMix', alpha=1.0), 'AttentionLabeling'),
        'tokenmix': (TOKENMIX, 'AreaLabeling'),
        'maskmix': (ours('MaskMix', **cells), None),
        'mixpro': (ours('MixPro', **cells), 'PAL'),
    }[method]


PRETRAIN = [
    *(('deit-micro', method) for method in ('none', 'cutmix', 'transmix', 'tokenmix', 'maskmix', 'mixpro')),
    *(('pvt-micro', method) for method in ('none', 'cutmix', 'transmix', 'mixpro')),
]


def path_of(model, method):
    return EVIDENCE / f'{model}_{method}_digits-8.py'


def test_every_config_of_the_folder_is_covered_here_or_is_the_filter():
    others = (
        'filter_resnet-micro_digits-8',
        'saliency_deit-micro_digits-8',
        'segmenter_deit-micro_digit-scenes',
        'mask-rcnn_pvt-micro_digit-scenes',
    )
    covered = {path_of(*row) for row in PRETRAIN} | {EVIDENCE / f'{name}.py' for name in others}
    assert covered == set(EVIDENCE.glob('*.py'))


@pytest.mark.parametrize(('model', 'method'), PRETRAIN)
def test_methods_differ_in_mixing_and_labels_only(model, method):
    config, mixpro = (read(path_of(model, name)).to_dict() for name in (method, 'mixpro'))
    augment, labeling = mixing(method, CELLS[model])
    expected = dict(augments=augments_of(augment), probs=[0.5, 0.5]) if augment else {}
    assert config['model'].pop('train_cfg') == expected
    hooks = [hook_of(labeling)] if labeling else []
    if method == 'tokenmix':  # its teacher is the average of the model
        hooks = [dict(type='EMAHook', momentum=0.02), *hooks]
    assert config.pop('custom_hooks') == hooks
    for settings in (config, mixpro):  # names of a file's own, not read by a Runner
        settings.pop('mask_mix', None)
        settings.pop('token_mix', None)
    mixpro['model'].pop('train_cfg')
    mixpro.pop('custom_hooks')
    assert config == mixpro


@pytest.mark.parametrize(('model', 'method'), PRETRAIN)
def test_every_row_trains_on_eight_digits_and_is_tested(model, method, tmp_path):
    config = fresh(path_of(model, method))
    config.work_dir, config.randomness = str(tmp_path), dict(seed=0)
    config.train_dataloader.update(batch_size=4)
    config.train_dataloader.dataset.indices = 12
    for part in (config.val_dataloader, config.test_dataloader):
        part.dataset.indices = 12
    config.train_cfg.update(max_epochs=1, val_interval=1)
    config.param_scheduler = []
    runner = Runner.from_cfg(config)
    before = {name: value.clone() for name, value in runner.model.backbone.state_dict().items()}
    runner.train()
    after = runner.model.backbone.state_dict()
    assert all(torch.isfinite(value).all() for value in after.values())
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert runner.train_dataloader.dataset.metainfo['classes'] == tuple('01234567')
    assert 0 <= runner.test()['accuracy/top1'] <= 100


@pytest.mark.parametrize(
    ('name', 'start', 'toolkit_root'),
    [
        ('segmenter_deit-micro_digit-scenes', 'deit-micro', 'VOCdevkit/VOC2010'),
        ('mask-rcnn_pvt-micro_digit-scenes', 'pvt-micro', 'coco/'),
    ],
)
def test_downstream_configs_name_the_checkpoint_that_mim_leaves(name, start, toolkit_root, tmp_path):
    """And stop before training if it is another's: here one without a backbone."""
    config = fresh(EVIDENCE / f'{name}.py')
    pretrain = read(path_of(start, 'mixpro'))
    epochs = pretrain.train_cfg.max_epochs
    checkpoint = f'work_dirs/{start}_mixpro_digits-8/epoch_{epochs}.pth'
    assert config.model.backbone.init_cfg == dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.')
    assert config.model.backbone.arch == pretrain.model.backbone.arch
    data = write_digit_scenes(tmp_path / 'scenes', num_train=2, num_val=1) / toolkit_root
    config.train_dataloader.dataset.data_root = config.val_dataloader.dataset.data_root = str(data)
    torch.save(dict(state_dict={'head.weight': torch.zeros(1)}), tmp_path / 'empty.pth')
    config.model.backbone.init_cfg.checkpoint = str(tmp_path / 'empty.pth')
    config.work_dir = str(tmp_path / 'work')
    config.val_dataloader = config.val_cfg = config.val_evaluator = None
    config.test_dataloader = config.test_cfg = config.test_evaluator = None
    with pytest.raises((RuntimeError, ValueError), match=r'backbone'):
        Runner.from_cfg(config).train()


def test_the_plan_has_the_seeds_and_methods_that_were_asked_for():
    plan = read_plan(STUDY)
    runs = {}
    for stage in plan.stages:
        if stage.config:
            runs.setdefault((stage.task, stage.backbone), {}).setdefault(stage.pretraining, []).append(stage.seed)
    six, four = (
        ('none', 'cutmix', 'transmix', 'tokenmix', 'maskmix', 'mixpro'),
        ('none', 'cutmix', 'transmix', 'mixpro'),
    )
    assert runs == {
        ('classification', 'DeiT-micro'): {key: [0, 1, 2, 3, 4] for key in six},
        ('classification', 'PVT-micro'): {key: [0, 1, 2] for key in four},
        ('segmentation', 'DeiT-micro'): {key: [0, 1, 2] for key in four},
        ('detection', 'PVT-micro'): {key: [0, 1, 2] for key in four},
    }
    for stage in plan.stages:
        if stage.task in ('segmentation', 'detection'):  # from the same method, seed and family
            start = next(other for other in plan.stages if other.name == stage.checkpoint)
            assert (start.pretraining, start.seed, start.backbone) == (stage.pretraining, stage.seed, stage.backbone)
            assert stage.tta == (stage.task == 'segmentation')
        elif stage.config:
            assert Path(stage.config) == path_of(stage.backbone.lower(), stage.pretraining)
            assert stage.needs == (('saliency',) if stage.evaluations else ())
            assert set(stage.evaluations) == ({'occlusion', 'A', 'O'} if stage.backbone == 'DeiT-micro' else set())


def test_further_tests_have_the_model_of_every_row():
    plan = read_plan(STUDY)
    for path in next(stage for stage in plan.stages if stage.evaluations).evaluations.values():
        tested = Config.fromfile(path)
        judge = tested.test_cfg.get('saliency')
        if judge:  # the model of the same study, of no method's
            config = read(EVIDENCE / f'{Path(judge.checkpoint).parent.name}.py')
            assert Path(judge.checkpoint).name == f'epoch_{config.train_cfg.max_epochs}.pth'
            assert judge.arch == config.model.backbone.arch
            assert not config.model.get('train_cfg') and config.randomness.seed not in range(5)
        for _, method in PRETRAIN[:6]:
            row = read(path_of('deit-micro', method))
            assert tested.model.backbone == row.model.backbone
            assert tested.data_preprocessor == row.data_preprocessor
        assert len(evaluation_mark(path)) == 64
