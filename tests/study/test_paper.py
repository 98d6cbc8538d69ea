"""The study of the paper: all rows of Tables 1, 3, 4 and 5, with their published values and configs."""

import re
from pathlib import Path
from unittest import mock

import pytest
from mmengine.config import Config

from mixpro_mm.study.cli import main
from mixpro_mm.study.configs import cached_config, check_start, check_tests, stage_config
from mixpro_mm.study.plan import read_plan
from tests.config_rows import CONFIGS, FIND

PAPER = CONFIGS / 'study' / 'paper.py'
TABLES = Config.fromfile(CONFIGS / '_base_' / 'paper.py')
METHODS = dict(baseline='mixup-cutmix', transmix='transmix', mixpro='mixpro')


@pytest.fixture(scope='module')
def plan():
    with mock.patch.object(Config, '_get_cfg_path', FIND):
        yield read_plan(PAPER)


def test_each_row_is_a_stage_with_its_published_values(plan):
    expected = {}
    for model, row in TABLES.table1.items():
        for method in METHODS:
            expected[f'{model}_{method}'] = (row[method], *TABLES.table5.get(model, {}).get(method, ())[:4])
    for row, numbers in (TABLES.table3 | TABLES.table4).items():
        for method, values in numbers.items():
            expected[f'{row}_{method}' if len(numbers) > 1 else row] = tuple(values)
    assert {stage.name: tuple(stage.published.values()) for stage in plan.stages} == expected
    assert len(plan.stages) == 14 * 3 + 2 * 3 + 1 + 3 + 2
    assert plan.stage('deit-small_mixpro').published == dict(
        top1=81.3, A_top1=22.4, A_rms_calibration_error=30.3, A_aurra=32.4, O_aupr=23.1
    )
    assert plan.stage('mask-rcnn_pvt-small_mixpro').published == dict(
        bbox_mAP=41.4, bbox_mAP_50=64.2, bbox_mAP_75=44.4, segm_mAP=38.9, segm_mAP_50=61.1, segm_mAP_75=41.7
    )


def test_robustness_of_deit_small_and_transfers_from_their_pretraining(plan, tmp_path):
    tested = [stage for stage in plan.stages if stage.evaluations]
    assert [stage.name for stage in tested] == [f'deit-small_{method}' for method in METHODS]
    for stage in tested:
        assert {key: Path(path).stem for key, path in stage.evaluations.items()} == dict(
            occlusion='deit-small_occlusion_in1k', A='deit-small_imagenet-a', O='deit-small_imagenet-o'
        )
        for path in stage.evaluations.values():
            assert cached_config(path).model.backbone == stage.settings.model.backbone
    starts = {stage.name: stage.checkpoint for stage in plan.stages if stage.waits_for}
    models = {'linear': 'deit-small', 'segmenter': 'deit-small', 'mask-rcnn': 'pvt-small'}
    assert starts == {f'{task}_{model}_{m}': f'{model}_{m}' for task, model in models.items() for m in METHODS}
    for name, start in starts.items():
        stage, parent = plan.stage(name), plan.stage(start)
        assert stage.pretraining == parent.pretraining and stage.backbone.startswith(parent.backbone)
        check_start(stage, parent)
    config = stage_config(plan.stage('segmenter_deit-small_mixpro').config, tmp_path, 7, '/start.pth')
    assert config.randomness == dict(seed=7, diff_rank_seed=True)
    assert config.model.backbone.init_cfg == dict(type='Pretrained', checkpoint='/start.pth', prefix='backbone.')


@pytest.mark.long
def test_each_config_fits_its_stage(plan):
    for stage in plan.stages:
        name, config, stem = stage.name, stage.settings, Path(stage.config).stem
        model, _, method = name.rpartition('_')
        own = f'{model}_{METHODS[method]}_8xb128_in1k' if stage.task == 'classification' else name
        assert stem.startswith(own), name
        written = re.search(r'_(\d+)xb(\d+)', stem)
        assert stage.gpus == (int(written[1]) if written else 8), name
        total = config.train_dataloader.batch_size * stage.gpus
        assert total == dict(classification=1024, segmentation=16, detection=16)[stage.task], name
        assert stage.tta == (stage.task == 'segmentation')
        check_tests(config, stage.tta)


def test_the_dry_run_lists_missing_data(plan, monkeypatch, capsys, tmp_path):
    """Below an existing root, the missing parts are listed."""
    monkeypatch.chdir(tmp_path)
    for root in ('imagenet/train', 'coco/annotations'):
        (tmp_path / 'data' / root).mkdir(parents=True)
    assert main([str(PAPER), '--dry-run', '--only', 'segmenter_deit-small_mixpro', 'mask-rcnn_r50']) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith('# missing: data')]
    assert [line.removeprefix('# missing: data/') for line in lines] == [
        'imagenet/val', 'imagenet-a', 'imagenet-o', 'VOCdevkit/VOC2010', 'coco/annotations/instances_train2017.json',
        'coco/train2017', 'coco/annotations/instances_val2017.json', 'coco/val2017',
    ]  # fmt: skip
