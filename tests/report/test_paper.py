"""What the paper reports: where it is looked for, and that numbers which the paper prints twice are the same."""

import pytest
from mmengine.config import Config

from mixpro_mm.report.paper import find_configs, published_tables

PAPER = published_tables()


def write_configs(folder, top1=1.0):
    (folder / '_base_').mkdir(parents=True)
    (folder / '_base_' / 'paper.py').write_text(f'table1 = dict(a=dict(top1={top1}))\nfigure9 = 2\nother = 3\n')


def test_a_checkout_an_installed_package_or_a_sentence(tmp_path):
    package = tmp_path / 'package'
    package.mkdir()
    with pytest.raises(FileNotFoundError, match=r'published numbers are missing.+\.mim/configs or .+/configs\.'):
        find_configs(package)
    write_configs(tmp_path / 'configs')
    assert find_configs(package) == tmp_path / 'configs'
    write_configs(package / '.mim' / 'configs', 2.0)
    assert find_configs(package) == package / '.mim' / 'configs'  # what came with the package goes before
    assert published_tables(find_configs(package)) == dict(table1=dict(a=dict(top1=2.0)), figure9=2)


def test_read_as_a_config_it_says_the_same():
    config = Config.fromfile(find_configs() / '_base_' / 'paper.py').to_dict()
    assert {name: value for name, value in config.items() if name in PAPER} == PAPER
    assert set(PAPER) == {*(f'table{n}' for n in range(1, 11)), 'figure5a', 'figure5b'}


def test_numbers_that_the_paper_prints_more_than_once_agree():
    small, tiny = PAPER['table1']['deit-small'], PAPER['table1']['deit-tiny']
    two, six, seven, eight = (PAPER[f'table{n}'] for n in (2, 6, 7, 8))
    assert two['cutmix']['top1'] == six['cutmix']['top1'] == small['baseline'] == seven['region']['deit-small']
    assert two['transmix']['top1'] == six['cutmix-transmix']['top1'] == small['transmix']
    assert two['mixpro']['top1'] == six['maskmix-pal']['top1'] == small['mixpro']
    assert PAPER['figure5a']['scale-4']['top1'] == PAPER['figure5b']['beta-1']['top1'] == small['mixpro']
    assert seven['region']['deit-tiny'] == tiny['baseline'] and eight['transmix']['top1'] == tiny['transmix']
    assert eight['maskmix']['top1'] == tiny['mixpro'] == 100 - PAPER['table10']['pal']['error']
    assert PAPER['table9']['baseline']['top1'] == seven['random-4x']['deit-tiny']  # MaskMix with labels by area


def test_gains_that_the_paper_prints_follow_from_its_numbers():
    gains = {'gridmix': 0.9, 'cutmix': 1.2, 'attentive-cutmix': -1.1, 'saliencymix': 0.6, 'puzzlemix': 1.2,
             'transmix': 2.1, 'tokenmix': 2.2, 'mixpro': 2.7}  # fmt: skip
    two, six = PAPER['table2'], PAPER['table6']
    assert {n: round(r['top1'] - two['baseline']['top1'], 1) for n, r in two.items() if n != 'baseline'} == gains
    assert [round(row['top1'] - six['cutmix']['top1'], 1) for row in six.values()] == [0, 0.9, 1.2, 1.3, 1.5]
    gains = [round(row['mixpro'] - row['transmix'], 1) for row in PAPER['table1'].values()]
    assert gains == [1.2, 1.2, 1.1, 1.0, 0.8, 0.6, 0.7, 0.6, 0.5, 0.6, 0.5, 0.7, 0.5, 0.9]
