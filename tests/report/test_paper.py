"""What the paper reports: where it is looked for, which record is which cell, and that its numbers agree."""

import pytest
from mmengine.config import Config

from mixpro_mm.report.paper import METRICS, CellKey, find_configs, published_tables, read_paper
from tests.report.made_up import cells, configs, study_record

PAPER = read_paper()
TABLES = PAPER.tables


def test_a_checkout_an_installed_package_or_a_sentence(tmp_path):
    package = tmp_path / 'package'
    package.mkdir()
    with pytest.raises(FileNotFoundError, match=r'published numbers are missing.+\.mim/configs or .+/configs\.'):
        find_configs(package)
    for number, folder in enumerate((tmp_path / 'configs', package / '.mim' / 'configs')):
        (folder / '_base_').mkdir(parents=True)
        (folder / '_base_' / 'paper.py').write_text(f'table1 = dict(a=dict(top1={number}))\nfigure9 = 2\nother = 3\n')
        assert find_configs(package) == folder  # what came with the package goes before
        assert published_tables(folder) == dict(table1=dict(a=dict(top1=number)), figure9=2)


def test_read_as_a_config_it_says_the_same():
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


def test_gains_that_the_paper_prints_follow_from_its_numbers():
    gains = {'gridmix': 0.9, 'cutmix': 1.2, 'attentive-cutmix': -1.1, 'saliencymix': 0.6, 'puzzlemix': 1.2,
             'transmix': 2.1, 'tokenmix': 2.2, 'mixpro': 2.7}  # fmt: skip
    two, six = TABLES['table2'], TABLES['table6']
    assert {n: round(r['top1'] - two['baseline']['top1'], 1) for n, r in two.items() if n != 'baseline'} == gains
    assert [round(row['top1'] - six['cutmix']['top1'], 1) for row in six.values()] == [0, 0.9, 1.2, 1.3, 1.5]
    gains = [round(row['mixpro'] - row['transmix'], 1) for row in TABLES['table1'].values()]
    assert gains == [1.2, 1.2, 1.1, 1.0, 0.8, 0.6, 0.7, 0.6, 0.5, 0.6, 0.5, 0.7, 0.5, 0.9]


def test_every_printed_number_has_a_config():
    """One cell for each pre-training, method or ablation; Table 5 has one for each of its rows, by Table 1."""
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


@pytest.mark.parametrize('config', [config for config in configs() if not config.startswith('robustness')])
def test_the_config_of_a_record_tells_its_cells(config):
    task, metric = dict(segmentation=('segmentation', 'mIoU'), detection=('detection', 'segm_mAP')).get(
        config.partition('/')[0], ('classification', 'top1')
    )
    record = study_record(config[:-3], task=task, metric=metric)
    expected = {
        CellKey('', t, row, 'error' if t[:6] == 'figure' else column or metric) for t, row, column in configs()[config]
    }
    assert set(PAPER.cells(record)) == expected
    assert PAPER.cells(record | dict(metric='top5')) == PAPER.cells(record | dict(task='other')) == []


def test_robustness_is_told_by_what_was_tested():
    record = study_record(
        'robustness/deit-small_imagenet-a', task='robustness', metric='A_aurra', backbone=None, pretraining=None
    )
    expected = [CellKey('', 'table5', 'baseline', 'A_aurra')]
    assert PAPER.cells(record | dict(training='deit-small_mixup-cutmix_8xb128_in1k')) == expected
    assert PAPER.cells(record | dict(backbone='DeiT-S', pretraining='baseline')) == expected
    assert PAPER.cells(record | dict(backbone='DeiT-S', pretraining='mixpro', metric='occlusion_random')) == [
        CellKey('', 'figure3', 'mixpro', 'occlusion_random')
    ]
    for other in (dict(training='pvt-small_mixpro_8xb128_in1k'), dict(training=None), dict(backbone='DeiT-micro')):
        assert PAPER.cells(record | other) == []


def test_a_record_may_name_its_cell():
    named = study_record(table='table7', row='block', column='deit-micro', data='digits')
    assert PAPER.cells(named) == [CellKey('digits', 'table7', 'block', 'deit-micro')]
    assert PAPER.cells(named | dict(metric='ece', task='robustness')) == []
    assert PAPER.cells(study_record(table='table10', row='pal', column='error')) == [
        CellKey('', 'table10', 'pal', 'error')
    ]
    assert PAPER.cells(study_record(table='table2')) == [CellKey('', 'table2', 'mixpro', 'top1')]


def test_a_benchmark_is_a_row_of_table_2():
    speed = dict(task='benchmark', metric='speed', backbone='deit-small', config='x')
    for method, row in (('CutMix', 'cutmix'), ('AttentiveCutMix', 'attentive-cutmix'), ('PuzzleMix', 'puzzlemix')):
        assert PAPER.cells(speed | dict(pretraining=method)) == [CellKey('', 'table2', row, 'speed')]
    assert PAPER.cells(speed | dict(pretraining='Unknown')) == []
    assert PAPER.cells(speed | dict(pretraining='CutMix', backbone='deit-base')) == []
