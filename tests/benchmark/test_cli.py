"""The command line of the benchmark, its files and its pages."""

import json
from pathlib import Path

import pytest
import torch

from mixpro_mm.benchmark.cli import SECTIONS, main
from mixpro_mm.benchmark.measure import PARTS
from mixpro_mm.benchmark.report import environment, render
from mixpro_mm.report.paper_report import main as report
from tests.benchmark.conftest import MICRO

ROOT = Path(__file__).parents[2]
STORED = sorted((ROOT / 'docs' / 'benchmarks').glob('*.json'))
TINY = [
    f'--backbone={MICRO}',
    '--size=32',
    '--classes=10',
    '--batch=2',
    '--alone-batch=3',
    '--rounds=2',
    '--minutes=1e-9',
]


def step(method, part, **more):
    return dict(
        section='step', method=method, part=part, backbone='deit-small', batch_images=8, size_px=224, rounds=5,
        parameters_millions=22.05, median_s=2.0, mean_s=2.5, std_s=0.5, images_per_s=4.0, **more,
    )  # fmt: skip


RATIO = dict(ratio_to_cutmix=1.004, ratio_to_cutmix_low=0.999, ratio_to_cutmix_high=1.02)
RECORDS = [
    step('CutMix', PARTS[0]),
    step('MixPro', PARTS[0], **RATIO),
    step('MixPro', PARTS[1], **RATIO) | dict(images_per_s=3.5),
    dict(section='memory', method='MixPro', backbone='deit-small', batch_images=8, size_px=224, peak_mib=812.25),
    dict(
        section='labelling', method='MixPro', batch_images=64, size_px=224, median_s=0.0123456, std_s=0.1, step_s=20.0
    ),
]
CONTENT = dict(environment(torch.device('cpu')), settings=dict(backbone='deit-small', batch=8), records=RECORDS)


def test_the_table_of_training_has_the_layout_of_table_2():
    lines = render(CONTENT).splitlines()
    header = '| Method | Backbone | #Params (M) | Speed (im/s) | with update (im/s) | Time / CutMix | Peak (MiB) |'
    assert header in lines
    assert '| CutMix | deit-small | 22.1 | 4.00 | - | - | - |' in lines
    assert '| MixPro | deit-small | 22.1 | 4.00 | 3.50 | 1.004 (0.999 to 1.020) | 812.2 |' in lines
    assert '| MixPro | 64 | 224 | 0.01235 | 0.1 | 20 | - |' in lines
    assert not any('Loading' in line for line in lines)


def test_a_run_writes_json_and_a_page(tmp_path, capsys):
    sections = [name for name in SECTIONS if name != 'growth']
    options = f'--sections={",".join(sections)}', '--methods=MixPro,CutMix,MaskMix', f'--out={tmp_path}'
    assert main([*TINY, *options]) == 0
    run = json.loads((tmp_path / 'benchmark.json').read_text())
    page = (tmp_path / 'benchmark.md').read_text()
    assert page == render(run)
    assert page in capsys.readouterr().out
    assert list(dict.fromkeys(record['section'] for record in run['records'])) == sections
    assert [r['method'] for r in run['records'] if r['section'] == 'memory'] == ['CutMix', 'MaskMix', 'MixPro']
    assert all(not isinstance(value, dict | list) for record in run['records'] for value in record.values())
    assert (run['device'][:5], run['versions']['pytorch']) == ('CPU, ', torch.__version__)
    assert (run['settings']['backbone'], run['settings']['alone_batch'], run['settings']['rounds']) == (MICRO, 3, 2)
    assert {'date', 'threads', 'cores', 'load'} <= run.keys()


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['--methods', 'CutMix,CowMix'], ['CowMix', 'Baseline', 'MixPro', 'all']),
        (['--sections', 'step,sleep'], ['sleep', 'memory', 'growth']),
        (['--amp', 'bf16', '--device', 'cpu'], ['bf16', 'CUDA']),
        (['--clock', 'cpu', '--threads', '2', '--device', 'cpu'], ['clock', 'threads 1']),
        (['--rounds', '0'], ['rounds', 'above 0']),
        (['--backbone', 'vgg'], ['vgg', 'deit-tiny', 'pvt-large']),
        (['--size', '4'], ['4x4']),
    ],
)
def test_invalid_options_write_nothing(arguments, words, tmp_path, capsys):
    try:
        assert main([*TINY, '--out', str(tmp_path), *arguments]) == 1
    except SystemExit as error:  # of argparse
        assert error.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert [word for word in words if word not in last] == []
    assert list(tmp_path.iterdir()) == []


def test_the_report_shows_speed_and_parameters(tmp_path):
    (tmp_path / 'benchmark.json').write_text(json.dumps(CONTENT))
    assert report([str(tmp_path), '--out', str(tmp_path / 'report')]) == 0
    (page,) = (tmp_path / 'report').glob('*.md')
    rows = [line.split(' | ') for line in page.read_text().splitlines() if 'MixPro' in line]
    assert any({'22', '4'} <= set(row) or {'22.1', '4.0'} <= set(row) for row in rows)


@pytest.mark.parametrize('path', STORED, ids=lambda path: path.stem)
def test_the_page_has_the_tables_of_each_stored_run(path):
    page = (ROOT / 'docs' / 'benchmark.md').read_text()
    rows = [line for line in render(json.loads(path.read_text())).splitlines() if line.startswith('|')]
    assert rows
    assert [row for row in rows if row not in page] == []
