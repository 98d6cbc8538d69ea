"""Promises, files and the command line."""

import json
import re
from pathlib import Path

import pytest
import torch

from mixpro_mm.benchmark import cli
from mixpro_mm.benchmark.bars import find_bars
from mixpro_mm.benchmark.cli import ON_REQUEST, SECTIONS, main
from mixpro_mm.benchmark.report import render, surroundings, write_report
from mixpro_mm.benchmark.training import PARTS

FOLDER = Path(__file__).parents[2] / 'docs' / 'benchmarks'
TINY = '--backbone=micro --size=48 --batch=4 --alone-batch=6 --rounds=1 --minutes=0.01 --device=cpu'.split()  # noqa: SIM905


def step(method, ratio, low, high, part=PARTS[0]):
    return dict(
        section='step', method=method, part=part, backbone='deit-small', batch_images=8, size_px=224, rounds=5,
        parameters_millions=22.05, median_s=2.0, mean_s=2.5, std_s=0.5, iqr_s=0.1, images_per_s=4.0,
        ratio_to_cutmix=ratio, ratio_to_cutmix_low=low, ratio_to_cutmix_high=high,
    )  # fmt: skip


def memory(method, ratio, maps=0):
    return dict(
        section='memory', method=method, backbone='deit-small', batch_images=8, size_px=224, peak_mib=812.25,
        attention_maps=maps, attention_maps_from=[], ratio_to_cutmix=ratio,
    )  # fmt: skip


def mixing(method, median_s, ratio, low, high):
    return dict(
        section='mixing', method=method, memory='reused', batch_images=64, size_px=224, rounds=5, median_s=median_s,
        mean_s=median_s, std_s=0.001, iqr_s=0.001, ratio_to_where=ratio, ratio_to_where_low=low,
        ratio_to_where_high=high,
    )  # fmt: skip


def labelling(share):
    return dict(
        section='labelling', method='MixPro', backbone='deit-small', batch_images=64, size_px=224, rounds=5,
        median_s=20 * share, mean_s=0.05, std_s=0.01, iqr_s=0.01, step_s=20.0, attention_median_s=0.02,
        share_of_step=share,
    )  # fmt: skip


RECORDS = [
    step('CutMix', 1.0, 1.0, 1.0),
    step('MixPro', 1.004, 0.999, 1.02),
    step('MixPro', 1.5, 1.5, 1.5, PARTS[1]),
    memory('CutMix', 1.0),
    memory('MixPro', 1.01),
    mixing('CutMix', 0.02, 0.5, 0.4, 0.6),
    mixing('MaskMix', 0.07, 1.4, 1.35, 1.45),
    mixing('MixPro', 0.06, 1.2, 1.1, 1.4),
    labelling(0.003),
]


def test_promises_are_held_against_their_figures():
    bars = {bar['name']: bar for bar in find_bars(RECORDS)}
    assert [(bar['figure'], bar['limit'], bar['passed'], bar.get('certain')) for bar in bars.values()] == [
        (1.004, 1.01, True, False),
        (1.01, 1.01, True, None),
        (0, 0, True, None),
        (1.4, 1.3, False, True),
        (0.003, 0.003, True, None),
        (pytest.approx(1 + (0.06 - 0.02 + 0.06) / 20), 1.01, True, None),
    ]
    assert bars['time of a training step, MixPro / CutMix']['high'] == 1.02


def test_broken_promises_are_seen():
    records = [step('MixPro', 1.011, 1.0, 1.2), memory('MixPro', 1.0101, 3), labelling(0.0031)]
    assert [bar['passed'] for bar in find_bars(records)] == [False] * 4
    scaling = dict(section='scaling', what='mixing', along='batch', exponent=1.2)
    (bar,) = find_bars([scaling, scaling, scaling])
    assert (bar['figure'], bar['passed']) == (1.2, False)
    failed = dict(section='compile', method='MixPro', works=False, error='Unsupported: hooks')
    held, anew = (dict(section='compile', method='MaskMix', works=True, compilations_after=n) for n in (0, 1))
    host = dict(section='compile', method='CutMix', works=True, compilations_after=5)
    assert [(bar['figure'], bar['passed']) for bar in find_bars([failed, held, anew, host])] == [
        (None, False),
        (0, True),
        (1, False),
    ]


def test_what_was_not_measured_is_no_promise():
    assert find_bars([]) == []
    without_base = {key: value for key, value in step('MixPro', 1.0, 1.0, 1.0).items() if 'ratio' not in key}
    assert find_bars([without_base, mixing('MixPro', 0.1, 1.0, 1.0, 1.0)]) == []


def content(records=RECORDS):
    return dict(
        surroundings(torch.device('cpu')),
        settings=dict(backbone='deit-small'),
        bars=find_bars(records),
        records=records,
    )


def test_training_is_shown_in_the_layout_of_table_2():
    lines = render(content()).splitlines()
    assert (
        '| Method | Backbone | #Params (M) | Speed (im/s) | with update (im/s) | Time / CutMix | Peak (MiB) |' in lines
    )
    # 4 images a second; 0.5 of 2.5 seconds is a fifth
    assert '| MixPro | deit-small | 22.1 | 4.00 ± 0.80 | 4.00 ± 0.80 | 1.004 (0.999 to 1.020) | 812.2 |' in lines
    assert '| MaskMix | 70.000 ± 1.000 | 1.400 (1.350 to 1.450) |' in lines
    assert '| MixPro | 20.000 | 60.000 ± 10.000 | 20000.000 | 0.300% |' in lines
    kept = [line for line in lines if 'a training step, MixPro / CutMix' in line]
    assert kept[0].endswith('| 1.004 | 0.999 to 1.02 | 1.01 | kept, not certain |')
    assert not any('torch.compile' in line for line in lines)


def grown(method, ranks, peak, reduced, ratio=1.0):
    return dict(
        section='growth', method=method, along='ranks', backbone='deit-small', batch_images=4, size_px=224,
        classes=1000, ranks=ranks, rounds=5, median_s=1.5, mean_s=1.5, std_s=0.25, iqr_s=0.1, images_per_s=2.0,
        peak_mib=peak, reduced_mib=reduced, ratio_to_cutmix=ratio, ratio_to_cutmix_low=0.9, ratio_to_cutmix_high=1.25,
    )  # fmt: skip


GROWN = [
    grown('CutMix', 1, 100.0, 0),
    grown('MixPro', 1, 102.0, 0, 1.125),
    grown('CutMix', 4, 200.0, 80.0),
    grown('MixPro', 4, 200.0, 80.0),
]


def test_growth_has_a_row_a_case_and_holds_two_promises():
    lines = render(content(GROWN)).splitlines()
    row = (
        '| ranks | 4 | 224 | 1000 | 1 | 1500.0 ± 250.0 | 1500.0 ± 250.0 | 1.125 (0.900 to 1.250) | 100.0 | 102.0 | - |'
    )
    assert row in lines
    assert any(line.startswith('| ranks | 4 | 224 | 1000 | 4 | ') and line.endswith('| 80.00 |') for line in lines)
    worst, sent = find_bars(GROWN)
    assert (worst['figure'], worst['passed']) == (1.02, False)
    assert (sent['figure'], sent['limit'], sent['passed']) == (1.0, 1, True)
    talkative = [*GROWN[:3], grown('MixPro', 4, 200.0, 80.001)]
    assert not find_bars(talkative)[1]['passed']
    assert len(find_bars(GROWN[:2])) == 1  # one process sums up nothing


def test_more_ranks_than_cores_measure_sharing():
    run = {**content(GROWN), 'device': 'CPU, X', 'cores': 2, 'threads': 1, 'settings': dict(clock='cpu')}
    sharing = 'This machine has 2 cores: steps of more than 2 ranks with 1 threads each share them'
    assert sharing in render(run)
    assert 'The clock counts what a rank computes, not how long it waits' in render(run)
    assert 'The clock' not in render({**run, 'settings': dict(clock='wall')})
    assert 'sharing' not in render({**run, 'cores': 4})
    assert 'Of 5 rounds an interval is just the range' in render(run)
    longer = [dict(record, rounds=6) for record in GROWN]
    assert 'just the range' not in render({**run, 'records': longer})
    assert 'share them' in render({**run, 'cores': 4, 'threads': 2})
    on_gpu = {**run, 'device': 'NVIDIA H100'}
    assert 'share' not in render(on_gpu)
    assert 'With one GPU' not in render(on_gpu)
    assert 'With one GPU there is nothing to say' in render({**on_gpu, 'records': GROWN[:2]})


@pytest.mark.parametrize('path', sorted(FOLDER.glob('*.json')), ids=lambda path: path.stem)
def test_committed_pages_are_rendered_from_their_records(path):
    run = json.loads(path.read_text())
    assert path.with_suffix('.md').read_text() == render(run)
    assert run['bars'] == find_bars(run['records'])


def test_a_busy_machine_is_told_of():
    run = {**content(), 'load': 3.5, 'cores': 4, 'settings': dict(clock='wall')}
    assert 'load 3.5 at the start. Others were computing too' in render(run)
    assert 'Others' not in render({**run, 'load': 1.9})
    assert 'Others' not in render({**run, 'settings': dict(clock='cpu')})


def test_files_are_written_whole_or_not_at_all(tmp_path):
    paths = write_report(tmp_path / 'new' / 'folder', content())
    assert [path.name for path in paths] == ['benchmark.json', 'benchmark.md']
    assert json.loads(paths[0].read_text())['records'] == RECORDS
    broken = content()
    broken['records'] = [dict(section='step', method='MixPro')]
    before = [path.read_text() for path in paths]
    with pytest.raises(KeyError):
        write_report(tmp_path / 'new' / 'folder', broken)
    assert [path.read_text() for path in paths] == before
    assert len(list((tmp_path / 'new' / 'folder').iterdir())) == 2


def test_a_run_from_the_command_line(tmp_path, capsys):
    assert main([*TINY, '--methods', 'CutMix,MaskMix,MixPro', '--out', str(tmp_path)]) == 0
    assert str(tmp_path / 'benchmark.json') in capsys.readouterr().out
    run = json.loads((tmp_path / 'benchmark.json').read_text())
    assert run['date'].count('-') == 2
    assert run['device'].startswith('CPU, ')
    assert run['threads'] == torch.get_num_threads()
    assert run['cores'] >= 1
    assert run['load'] >= 0
    assert run['versions']['torch'] == torch.__version__.split('+')[0]
    assert any(name.endswith('mmpretrain') for name in run['versions'])
    assert (run['settings']['backbone'], run['settings']['alone_batch'], run['settings']['rounds']) == ('micro', 6, 1)
    sections = [name for name in SECTIONS if name not in ON_REQUEST]
    assert list(dict.fromkeys(record['section'] for record in run['records'])) == sections
    assert len(run['bars']) == 10
    assert all(not isinstance(value, dict) for record in run['records'] for value in record.values())
    assert '## Promises' in (tmp_path / 'benchmark.md').read_text()


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (['--methods', 'CutMix,CowMix'], "benchmark: method 'CowMix' is unknown; known: Baseline, "),
        (['--backbone', 'vgg'], "benchmark: backbone 'vgg' is unknown; known: deit-tiny, "),
        (['--sections', 'step,sleep'], "benchmark: section 'sleep' is unknown; known: step, memory, "),
        (['--device', 'abacus'], "benchmark: device 'abacus' is unknown; known: cpu, cuda"),
        (['--amp', 'int8'], "benchmark: amp 'int8' is unknown"),
        (['--clock', 'sun'], "benchmark: clock 'sun' is unknown"),
        (['--rounds', '0'], 'benchmark: rounds and threads must be at least 1, .* got 0, '),
        (['--ranks', '2,0'], r'benchmark: classes and ranks must be at least 1, got 1000 and \[2, 0\]'),
        (['--classes', '0'], 'benchmark: classes and ranks must be at least 1, got 0 and '),
        (['--ranks', 'two'], "benchmark: ranks must be whole numbers with commas between them, got 'two'"),
        (['--size', '8'], 'benchmark: mask size 8 .* an image of 8x8 pixels'),
    ],
)
def test_mistakes_are_told_in_one_line_and_write_nothing(arguments, sentence, tmp_path, capsys):
    assert main([*TINY, '--out', str(tmp_path), *arguments]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.match(sentence, last)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_writes_nothing(tmp_path, monkeypatch, capsys):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, 'measure_memory', interrupt)
    assert main([*TINY, '--sections', 'memory', '--out', str(tmp_path)]) == 130
    assert capsys.readouterr().err.endswith('interrupted; nothing was written\n')
    assert list(tmp_path.iterdir()) == []
