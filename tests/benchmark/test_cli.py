"""The command line of the benchmark, its files and its pages."""

import json
import re
from pathlib import Path

import pytest
import torch

from mixpro_mm.benchmark import ops
from mixpro_mm.benchmark.cli import SECTIONS, main
from mixpro_mm.benchmark.report import render
from tests.benchmark.conftest import MICRO, shorten_loading

ROOT = Path(__file__).parents[2]
STORED = sorted((ROOT / 'docs' / 'benchmarks').glob('*.json'))
TINY = f'--backbone={MICRO} --size=32 --classes=10 --batch=2 --alone-batch=3 --rounds=2 --minutes=1e-9'.split()


def test_a_run_writes_json_and_a_page(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(ops, 'BOXES', (20,))
    monkeypatch.setattr(ops, 'REGIONS', (4,))
    shorten_loading(monkeypatch)
    sections = [name for name in SECTIONS if name not in ('growth', 'fashion')]
    options = f'--sections={",".join(sections)}', '--methods=MixPro,CutMix,MaskMix', f'--out={tmp_path}'
    assert main([*TINY, *options]) == 0
    run = json.loads((tmp_path / 'benchmark.json').read_text())
    page = (tmp_path / 'benchmark.md').read_text()
    assert page == render(run) and page in capsys.readouterr().out
    (row,) = (line for line in page.splitlines() if line.startswith('| CutMix | deit-micro_mixpro_digits |'))
    assert re.fullmatch(r'\| CutMix \| deit-micro_mixpro_digits \| 0\.2 (\| \d+\.\d\d ){2}\| - \| \d+\.\d \|', row)
    assert list(dict.fromkeys(record['section'] for record in run['records'])) == [*sections, 'workers']
    assert [r['method'] for r in run['records'] if r['section'] == 'memory'] == ['CutMix', 'MaskMix', 'MixPro']
    assert all(not isinstance(value, dict | list) for record in run['records'] for value in record.values())
    assert (run['device'][:5], run['versions']['pytorch']) == ('CPU, ', torch.__version__)
    assert run['settings'].items() >= dict(backbone=MICRO, alone_batch=3, rounds=2).items()


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


@pytest.mark.parametrize('path', STORED, ids=lambda path: path.stem)
def test_the_page_has_the_tables_of_each_stored_run(path):
    page = (ROOT / 'docs' / 'benchmark.md').read_text()
    rows = [line for line in render(json.loads(path.read_text())).splitlines() if line.startswith('|')]
    assert rows and [row for row in rows if row not in page.splitlines()] == []
