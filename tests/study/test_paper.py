"""The paper as a study: every row of Tables 1, 3, 4 and 5, with its number, its config and its cost."""

import functools
import re
from pathlib import Path
from unittest import mock

import pytest
from mmengine.config import Config

from mixpro_mm.study.cli import main
from mixpro_mm.study.configs import look_at, stage_config
from mixpro_mm.study.estimate import gpu_hours
from mixpro_mm.study.plan import read_plan, select
from mixpro_mm.study.tta import check_tta

ROOT = Path(__file__).parents[2]
PAPER = ROOT / 'configs' / 'study' / 'paper.py'
TABLES = Config.fromfile(ROOT / 'configs' / '_base_' / 'paper.py')
METHODS = dict(baseline='mixup-cutmix', transmix='transmix', mixpro='mixpro')


@pytest.fixture(scope='module')
def plan():
    return read_plan(PAPER)


@pytest.fixture(scope='module')
def by_name(plan):
    return {stage.name: stage for stage in plan.stages}


@pytest.fixture(scope='module')
def configs(plan):
    """All of them, read once: about 2 s, for the host's index of its configs is read once too."""
    with mock.patch.object(Config, '_get_cfg_path', functools.cache(Config._get_cfg_path)):
        return {stage.name: look_at(stage.config) for stage in plan.stages}


def test_every_row_of_the_three_tables_is_a_stage(plan, by_name):
    assert len(by_name) == len(plan.stages) == 14 * 3 + 2 * 3 + 1 + 3 + 2
    names = {f'{model}_{method}' for model in TABLES.table1 for method in METHODS}
    for table in (TABLES.table3, TABLES.table4):
        for row, numbers in table.items():
            names |= {f'{row}_{method}' for method in numbers} if len(numbers) > 1 else {row}
    assert set(by_name) == names


def test_published_numbers_are_those_of_the_paper(by_name):
    table5 = dict(A_top1=22.4, A_rms_calibration_error=30.3, A_aurra=32.4, O_aupr=23.1)
    assert by_name['deit-small_mixpro'].published == dict(top1=81.3) | table5
    assert list(by_name['deit-small_baseline'].published.values()) == [79.8, 19.1, 32.0, 23.8, 20.9]
    assert by_name['xcit-large-24-p16_transmix'].published == dict(top1=83.8)
    assert by_name['segmenter_deit-small_mixpro'].published == {'mIoU': 51.1, 'mIoU (MS)': 51.6}
    assert by_name['linear_deit-small_baseline'].published == {'mIoU': 49.1, 'mIoU (MS)': 49.6}
    assert by_name['mask-rcnn_pvt-small_mixpro'].published == dict(
        bbox_mAP=41.4, bbox_mAP_50=64.2, bbox_mAP_75=44.4, segm_mAP=38.9, segm_mAP_50=61.1, segm_mAP_75=41.7
    )
    for model, row in TABLES.table1.items():
        for method in METHODS:
            stage = by_name[f'{model}_{method}']
            assert stage.published['top1'] == row[method]
            assert len(stage.published) == (5 if model == 'deit-small' else 1)
    for row, numbers in (TABLES.table3 | TABLES.table4).items():
        for method, values in numbers.items():
            stage = by_name[f'{row}_{method}' if len(numbers) > 1 else row]
            assert tuple(stage.published.values()) == tuple(values)


def test_deit_small_is_tested_for_robustness(by_name, configs):
    """By the configs of Table 5 and Figure 3, on the model the stage trains."""
    tested = {
        name: {key: Path(path).stem for key, path in stage.evaluations.items()} for name, stage in by_name.items()
    }
    assert {name: tests for name, tests in tested.items() if tests} == {
        f'deit-small_{method}': dict(
            occlusion='deit-small_occlusion_in1k', A='deit-small_imagenet-a', O='deit-small_imagenet-o'
        )
        for method in METHODS
    }
    for name in ('deit-small_baseline', 'deit-small_mixpro'):
        for path in by_name[name].evaluations.values():
            model = look_at(path).model
            assert (model.backbone, model.head.num_classes) == (configs[name].model.backbone, 1000)


def test_two_pre_trainings_are_handed_over_thrice(by_name):
    starts = {name: stage.waits_for for name, stage in by_name.items() if stage.waits_for}
    assert starts == {
        f'{task}_{method}': (f'{model}_{method}',)
        for task, model in (
            ('linear_deit-small', 'deit-small'), ('segmenter_deit-small', 'deit-small'),
            ('mask-rcnn_pvt-small', 'pvt-small'),
        )
        for method in METHODS
    }  # fmt: skip
    for name in starts:  # backbone and start in the results are those of the pre-training
        assert by_name[name].pretraining == by_name[starts[name][0]].pretraining
        assert by_name[name].backbone.startswith(by_name[starts[name][0]].backbone)


def test_configs_say_what_the_stage_says(by_name):
    for name, stage in by_name.items():
        model, _, method = name.rpartition('_')
        stem = Path(stage.config).stem
        if stage.task == 'classification':
            assert stem == f'{model}_{METHODS[method]}_8xb128_in1k'
        else:
            assert stem.startswith(name)
        written = re.search(r'_(\d+)xb(\d+)', stem)
        assert stage.gpus == (int(written[1]) if written else 8)
        assert stage.tta == (stage.task == 'segmentation')


def test_the_cost_of_segmentation_by_hand(by_name):
    """480 px are 900 patches: 12 layers of 12 N C^2 + 2 N^2 C for 901 tokens, the decoder's 2 layers for 960."""
    width = 384
    layer = [12 * n * width**2 + 2 * n**2 * width for n in (901, 960)]
    encoder = 12 * layer[0] + 900 * 768 * width
    assert by_name['linear_deit-small_mixpro'].gmacs == pytest.approx((encoder + 900 * width * 60) / 1e9, rel=0.01)
    decoder = 2 * layer[1] + 3 * 900 * width**2 + 900 * width * 60
    assert by_name['segmenter_deit-small_mixpro'].gmacs == pytest.approx((encoder + decoder) / 1e9, rel=0.01)


def test_a_part_of_the_study_brings_its_pre_training(plan):
    names = [stage.name for stage in select(plan, ['segmenter*', 'mask-rcnn_r?0']).stages]
    segmenter = [f'segmenter_deit-small_{method}' for method in METHODS]
    assert names == [*(f'deit-small_{method}' for method in METHODS), *segmenter, 'mask-rcnn_r50']


def test_every_config_fits_its_stage(by_name, configs):
    for name, stage in by_name.items():
        config, schedule = configs[name], {'max_epochs': None, 'max_iters': None} | configs[name].train_cfg
        batch = config.train_dataloader.batch_size
        assert batch * stage.gpus == dict(classification=1024, segmentation=16, detection=16)[stage.task], name
        base = config.get('auto_scale_lr', {}).get('base_batch_size')
        assert base in (None, batch * stage.gpus), name
        if stage.task == 'classification':
            assert config.randomness.diff_rank_seed, name  # else every GPU draws the same masks
            assert schedule['max_epochs'] == (400 if name[:4] in ('xcit', 'cait') else 300), name
        elif stage.task == 'segmentation':
            check_tta(config)
            assert schedule['max_iters'] == (40_000 if name == 'deeplabv3plus_r101' else 80_000), name
        else:
            assert schedule['max_epochs'] == 12, name


def test_what_is_handed_over_is_what_the_stage_starts_from(by_name, tmp_path):
    for name, start in (('deit-small_mixpro', None), ('segmenter_deit-small_mixpro', '/start.pth')):
        config = stage_config(by_name[name].config, tmp_path, 7, start)
        assert config.randomness == dict(seed=7, diff_rank_seed=True)
    assert config.model.backbone.init_cfg == dict(type='Pretrained', checkpoint='/start.pth', prefix='backbone.')


def test_hours_by_hand(by_name, configs):
    """Table 2 of the paper: 322 images/s for DeiT-S at 4.7 G, that is 1513.4 G a second."""
    for name, hours in (
        ('deit-small_mixpro', 384_350_100 / 322 / 3600),  # 300 x 1,281,167 images
        ('xcit-large-24-p16_mixpro', 512_466_800 * 36.1 / 1513.4 / 3600),  # 400 epochs
        ('segmenter_deit-small_mixpro', 1_280_000 * 32.0 / 1513.4 / 3600),  # 80,000 x 16
        ('mask-rcnn_pvt-small_mixpro', 1_407_192 * 327 / 1513.4 / 3600),  # 12 x 117,266
    ):
        assert gpu_hours(by_name[name], configs[name]) == pytest.approx(hours, rel=1e-6), name


def test_the_dry_run_adds_up(configs, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main([str(PAPER), '--dry-run', '--launcher', 'slurm', '--gpus', '16']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum('srun' in line and not line.startswith('#') for line in lines) == 54
    (total,) = [line for line in lines if 'in all' in line]
    # frozen: 30,206 for the 42 rows of Table 1, 69 for Table 3 and 417 for Table 4
    assert total.startswith('# about 30,692 GPU hours in all; an estimate')
    missing = [line for line in lines if line.startswith('# missing')]
    assert {re.search(r'missing: (\S+) ', line)[1] for line in missing} == {
        'data/imagenet', 'data/VOCdevkit/VOC2010', 'data/coco', 'data/imagenet-a', 'data/imagenet-o',
        'checkpoints/dino_deit-small.pth',
    }  # fmt: skip


def test_folders_and_lists_of_data_are_looked_for(configs, monkeypatch, capsys, tmp_path):
    """An empty root is not enough: what each toolkit reads below it is named."""
    monkeypatch.chdir(tmp_path)
    for root in ('imagenet/train', 'VOCdevkit/VOC2010/JPEGImages', 'coco/annotations'):
        (tmp_path / 'data' / root).mkdir(parents=True)
    (tmp_path / 'data' / 'coco' / 'annotations' / 'instances_train2017.json').touch()
    only = ['deit-small_mixpro', 'segmenter_deit-small_mixpro', 'mask-rcnn_r50']
    assert main([str(PAPER), '--dry-run', '--only', *only]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith('# missing: data')]
    assert [re.search(r'missing: data/(\S+) ', line)[1] for line in lines] == [
        'imagenet/val',
        'imagenet-a',
        'imagenet-o',
        'VOCdevkit/VOC2010/ImageSets/SegmentationContext/train.txt',
        'VOCdevkit/VOC2010/SegmentationClassContext',
        'VOCdevkit/VOC2010/ImageSets/SegmentationContext/val.txt',
        'coco/train2017',
        'coco/annotations/instances_val2017.json',
        'coco/val2017',
    ]
