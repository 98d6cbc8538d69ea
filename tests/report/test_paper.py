"""Tests of the published numbers and of the cells that records belong to."""

import pytest
from mmengine.config import Config

from mixpro_mm.report.paper import METRICS, read_paper
from mixpro_mm.utils.configs import find_configs
from tests.report.made_up import cells, configs, study_record

PAPER = read_paper()
TABLES = PAPER.tables


def test_configs_of_the_package_come_before_those_beside_it(tmp_path):
    package = tmp_path / 'package'
    with pytest.raises(FileNotFoundError, match=r'\.mim/configs or .+/configs'):
        find_configs(package)
    for folder in (tmp_path / 'configs', package / '.mim' / 'configs'):
        (folder / '_base_').mkdir(parents=True)
        (folder / '_base_' / 'paper.py').touch()
        assert find_configs(package) == folder


def test_mmengine_reads_the_same_numbers():
    config = Config.fromfile(find_configs() / '_base_' / 'paper.py').to_dict()
    assert {name: value for name, value in config.items() if name in TABLES} == TABLES
    assert config['cells'] == cells()
    assert set(TABLES) == {*(f'table{n}' for n in range(1, 11)), 'figure5a', 'figure5b'}


def test_numbers_that_the_paper_prints_more_than_once_agree():
    small, tiny = TABLES['table1']['deit-small'], TABLES['table1']['deit-tiny']
    two, six, seven, eight = (TABLES[f'table{n}'] for n in (2, 6, 7, 8))
    assert two['cutmix']['top1'] == six['cutmix']['top1'] == small['baseline'] == seven['region']['deit-small']
    assert two['transmix']['top1'] == six['cutmix-transmix']['top1'] == small['transmix']
    assert two['mixpro']['top1'] == six['maskmix-pal']['top1'] == small['mixpro']
    assert TABLES['figure5a']['scale-4']['top1'] == TABLES['figure5b']['beta-1']['top1'] == small['mixpro']
    assert seven['region']['deit-tiny'] == tiny['baseline'] and eight['transmix']['top1'] == tiny['transmix']
    assert eight['maskmix']['top1'] == tiny['mixpro'] == 100 - TABLES['table10']['pal']['error']
    assert TABLES['table9']['baseline']['top1'] == seven['random-4x']['deit-tiny']  # MaskMix with labels by area
    gains = [round(row['mixpro'] - row['transmix'], 1) for row in TABLES['table1'].values()]
    assert gains == [1.2, 1.2, 1.1, 1.0, 0.8, 0.6, 0.7, 0.6, 0.5, 0.6, 0.5, 0.7, 0.5, 0.9]  # as printed


def test_every_published_number_has_a_config():
    counts = dict(table1=14 * 3, table2=9, table3=7, table4=5, table5=3, table6=5, table7=8, table8=5, table9=4,
                  table10=5, figure5a=4, figure5b=4)  # fmt: skip
    rows = {cell[:2] if cell[0] == 'table5' else cell for cell in cells()}
    assert {table: sum(cell[0] == table for cell in rows) for table in counts} == counts
    for table, row, column in cells():
        metric = column or METRICS[table][0]
        assert PAPER.number(table, row, metric) or (table.startswith('figure') and TABLES[table][row]['top1'] is None)
    assert PAPER.number('table4', 'mask-rcnn_pvt-small/mixpro', 'segm_mAP_75') == 41.7
    assert PAPER.number('table5', 'mixpro', 'O_aupr') == 23.1 and PAPER.number('table5', 'mixpro', 'ece') is None
    assert PAPER.number('figure5a', 'scale-4', 'error') == pytest.approx(18.7)


def test_a_record_belongs_to_the_cells_of_its_config():
    every = configs()
    for config in (config for config in every if not config.startswith('robustness')):
        tasks = dict(segmentation=('segmentation', 'mIoU'), detection=('detection', 'segm_mAP'))
        task, metric = tasks.get(config.partition('/')[0], ('classification', 'top1'))
        record = study_record(config[:-3], task=task, metric=metric)
        expected = {
            (t, row, 'error' if t[:6] == 'figure' else column or metric) for t, row, column in configs()[config]
        }
        assert {cell[1:] for cell in PAPER.cells(record)} == expected, config
        assert PAPER.cells(record | dict(metric='top5')) == PAPER.cells(record | dict(task='other')) == []


def test_robustness_belongs_to_the_tested_pretraining():
    config = 'robustness/deit-small_imagenet-a'
    record = study_record(config, task='robustness', metric='A_aurra', backbone=None, pretraining=None)
    expected = [('', 'table5', 'baseline', 'A_aurra')]
    assert PAPER.cells(record | dict(training='deit-small_mixup-cutmix_8xb128_in1k')) == expected
    assert PAPER.cells(record | dict(backbone='DeiT-S', pretraining='baseline')) == expected
    occlusion = record | dict(backbone='DeiT-S', pretraining='mixpro', metric='occlusion_random')
    assert PAPER.cells(occlusion) == [('', 'figure3', 'mixpro', 'occlusion_random')]
    for other in (dict(training='pvt-small_mixpro_8xb128_in1k'), dict(training=None), dict(backbone='DeiT-micro')):
        assert PAPER.cells(record | other) == []


def test_a_record_can_name_its_cells():
    named = study_record(cells=[('table7', 'block', 'deit-micro')], data='digits')
    assert PAPER.cells(named) == [('digits', 'table7', 'block', 'deit-micro')]
    assert PAPER.cells(named | dict(metric='ece', task='robustness')) == []
    several = study_record(cells=[['table10', 'pal', 'error'], ['table2', 'mixpro', None]])
    assert PAPER.cells(several) == [('', 'table10', 'pal', 'error'), ('', 'table2', 'mixpro', 'top1')]


def test_a_benchmark_belongs_to_table_2():
    speed = dict(task='benchmark', metric='speed', backbone='deit-small', config='x')
    for method, row in (('CutMix', 'cutmix'), ('AttentiveCutMix', 'attentive-cutmix'), ('PuzzleMix', 'puzzlemix')):
        assert PAPER.cells(speed | dict(pretraining=method)) == [('', 'table2', row, 'speed')]
    assert PAPER.cells(speed | dict(pretraining='Unknown')) == []
    assert PAPER.cells(speed | dict(pretraining='CutMix', backbone='deit-base')) == []
