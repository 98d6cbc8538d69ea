"""The paper as a study: every row of Tables 1, 3 and 4, with its number, its config and its cost."""

import copy
import functools
import re
from pathlib import Path

import mmengine.config.utils as host
import pytest
from mmengine.config import Config

from mixpro_mm.study.cli import main
from mixpro_mm.study.launch import look_at
from mixpro_mm.study.plan import read_plan, select
from mixpro_mm.study.stage import stage_config
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


def test_every_row_of_the_three_tables_is_a_stage(plan, by_name):
    assert len(by_name) == len(plan.stages) == 14 * 3 + 2 * 3 + 1 + 3 + 2
    names = {f'{model}_{method}' for model in TABLES.table1 for method in METHODS}
    for table in (TABLES.table3, TABLES.table4):
        for row, numbers in table.items():
            names |= {f'{row}_{method}' for method in numbers} if len(numbers) > 1 else {row}
    assert set(by_name) == names


def test_published_numbers_are_those_of_the_paper(by_name):
    assert by_name['deit-small_mixpro'].published == dict(top1=81.3)
    assert by_name['xcit-large-24-p16_transmix'].published == dict(top1=83.8)
    assert by_name['segmenter_deit-small_mixpro'].published == {'mIoU': 51.1, 'mIoU (MS)': 51.6}
    assert by_name['linear_deit-small_baseline'].published == {'mIoU': 49.1, 'mIoU (MS)': 49.6}
    assert by_name['mask-rcnn_pvt-small_mixpro'].published == dict(
        bbox_mAP=41.4, bbox_mAP_50=64.2, bbox_mAP_75=44.4, segm_mAP=38.9, segm_mAP_50=61.1, segm_mAP_75=41.7
    )
    for model, row in TABLES.table1.items():
        for method in METHODS:
            assert by_name[f'{model}_{method}'].published == dict(top1=row[method])
    for row, numbers in (TABLES.table3 | TABLES.table4).items():
        for method, values in numbers.items():
            stage = by_name[f'{row}_{method}' if len(numbers) > 1 else row]
            assert tuple(stage.published.values()) == tuple(values)


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


@pytest.mark.slow
def test_every_config_fits_its_stage_and_the_dry_run_adds_up(plan, by_name, monkeypatch, capsys, tmp_path):
    find = functools.cache(host._get_cfg_metainfo)  # the host reads its whole index for every config that inherits
    monkeypatch.setattr(host, '_get_cfg_metainfo', lambda *key: copy.deepcopy(find(*key)))
    look_at.cache_clear()
    hours = 0.0
    for stage in plan.stages:
        config = look_at(stage.config)
        batch = config.train_dataloader.batch_size
        assert batch * stage.gpus == dict(classification=1024, segmentation=16, detection=16)[stage.task]
        base = config.get('auto_scale_lr', {}).get('base_batch_size')
        assert base in (None, batch * stage.gpus), stage.name
        images = {'max_epochs': 300, 'max_iters': 0} | config.train_cfg
        if stage.task == 'classification':
            row = TABLES.table1[stage.name.rpartition('_')[0]]
            assert config.randomness.diff_rank_seed  # else every GPU draws the same masks
            assert images['max_epochs'] == (400 if row.name[:4] in ('XCiT', 'CaiT') else 300)
            hours += images['max_epochs'] * 1281167 * (1.26 if row.name == 'DeiT-T' else row.gflops) / 4.7 / 322 / 3600
        elif stage.task == 'segmentation':
            check_tta(config)
            hours += images['max_iters'] * 16 * stage.gmacs / 4.7 / 322 / 3600
        else:
            assert images['max_epochs'] == 12
            hours += 12 * 117266 * stage.gmacs / 4.7 / 322 / 3600
    for name in ('deit-small_mixpro', 'segmenter_deit-small_mixpro'):
        config = stage_config(by_name[name].config, tmp_path, 7, '/start.pth' if by_name[name].checkpoint else None)
        assert config.randomness == dict(seed=7, diff_rank_seed=True)
    assert config.model.backbone.init_cfg == dict(type='Pretrained', checkpoint='/start.pth', prefix='backbone.')

    monkeypatch.chdir(tmp_path)
    assert main([str(PAPER), '--dry-run', '--launcher', 'slurm', '--gpus', '16']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum('srun' in line and not line.startswith('#') for line in lines) == 54
    (total,) = [line for line in lines if 'in all' in line]
    assert float(re.search(r'about ([\d,]+) GPU hours in all', total)[1].replace(',', '')) == pytest.approx(
        hours, abs=1
    )
    missing = [line for line in lines if line.startswith('# missing')]
    assert {re.search(r'missing: (\S+) ', line)[1] for line in missing} == {
        'data/imagenet', 'data/VOCdevkit/VOC2010', 'data/coco',
    }  # fmt: skip
