"""Tests of the report in the layout of the paper's tables."""

import re

from mixpro_mm.report.paper_report import main, write_paper_report
from tests.report.made_up import BENCHMARK, cells, occlusion, paper_records, stage, study_record, write


def tables(folder, *records, **files):
    """Write a report of records and further files; return title of a section -> its Markdown."""
    write(folder / 'in' / 'results.json', list(records))
    for name, content in files.items():
        write(folder / 'in' / f'{name}.json', content)
    _, markdown = write_paper_report([folder / 'in', *folder.glob('runs')], folder / 'out')
    parts = re.split(r'^##+ (.+)$', markdown.read_text(encoding='utf-8'), flags=re.MULTILINE)
    return {title.partition('. ')[0]: text for title, text in zip(parts[1::2], parts[2::2], strict=True)}


def lines(section):
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in section.splitlines() if line[:1] == '|']


def test_the_layout_of_the_paper(tmp_path):
    """Each measured number is the published one, so both columns are equal."""
    sections = tables(tmp_path, *paper_records(), benchmark=BENCHMARK)
    titles = [title for title in sections if title.startswith(('Table', 'Figure'))]
    assert ', '.join(titles) == (
        'Table 1, Table 2, Table 3, Table 4, Table 5, Figure 3, Table 6, Table 7, Figure 5 (a), Figure 5 (b), Table 8, '
        'Table 9, Table 10'
    )
    of, checked = {title: lines(section) for title, section in sections.items()}, 0
    for title in titles:
        header, _, *body = of[title]
        places = [place for place, name in enumerate(header) if name == 'paper' and header[place - 1][-1] != ')']
        for place, row in ((place, row) for place in places for row in body):
            assert row[place] in (row[place - 1], '-'), f'{title}: {row}'
            checked += row[place] != '-'
    assert checked == 14 * 3 + 9 + 7 * 2 + 5 * 6 + 3 * 4 + 1 + 5 + 8 + 1 + 5 + 4 + 5
    assert (of['Table 1'][2][0], of['Table 1'][2][-1]) == ('DeiT-T', '73.8 (+1.2)')
    assert of['Table 2'][4] == ['CutMix', '22', '22', '3', '322', '79.8 (+1.2)', '79.8 (+1.2)']
    assert of['Table 3'][2][0] == r'deeplabv3plus_r101, baseline'
    assert [row[0] for row in of['Table 5'][2:]] == ['baseline', 'TransMix', 'MixPro']
    assert of['Table 7'][5] == ['random (4x scale)', '73.2 (+1.0)', '73.2 (+1.0)', '80.8 (+1.0)', '80.8 (+1.0)']
    assert of['Table 10'][6] == ['PAL', '26.2', '26.2'] and 'a CPU, 1 of 2 cores' in sections['Sources']


def test_seeds_and_gains(tmp_path):
    config = {row: cells()['table2', row, 'top1'][:-3] for row in ('baseline', 'mixpro', 'cutmix')}
    records = [
        study_record(config[row], value=value, seed=seed)
        for row, values in dict(baseline=(78.0, 79.0), mixpro=(80.0, 82.0), cutmix=(78.5,)).items()
        for seed, value in enumerate(values)
    ]
    sections = tables(tmp_path, *records)
    found = {row[0]: row[-2:] for row in lines(sections['Table 2'])}
    assert found['Baseline'] == ['78.5 ± 0.7 (n=2)', '78.6']
    assert found['MixPro'] == ['81.0 ± 1.4 (n=2, +2.5)', '81.3 (+2.7)']
    assert found['CutMix'] == ['78.5 (+0.5)', '79.8 (+1.2)'] and found['GridMix'] == ['-', '79.5 (+0.9)']


def test_other_data_have_tables_without_published_numbers(tmp_path):
    digits = [
        study_record(pretraining=f'{table}_{row}', cells=[(table, row, column)], data='digits', value=value)
        for table, row, column, value in (
            ('table2', 'mixpro', 'top1', 96.0), ('table2', 'baseline', 'top1', 95.0), ('table2', 'mine', 'top1', 94.0),
            ('table7', 'block', 'deit-micro', 93.0), ('table10', 'pal', 'error', 96.0),
        )
    ]  # fmt: skip
    sections = tables(tmp_path, *digits)
    titles = ['Tables of the paper on digits', *(f'Table {number} on digits' for number in (2, 7, 10))]
    assert list(sections)[:4] == titles
    assert [row[:2] for row in lines(sections['Table 2 on digits'])] == [
        ['Method', 'top-1'], ['---', '---:'], ['Baseline', '95.0'], ['MixPro', '96.0 (+1.0)'], ['mine', '94.0 (-1.0)'],
    ]  # fmt: skip
    assert lines(sections['Table 7 on digits'])[::2] == [['Mask', 'DeiT-micro'], ['block', '93.0']]
    assert lines(sections['Table 10 on digits'])[2] == ['PAL', '4.0'] and 'paper' not in str(lines(str(sections)))


def test_records_without_a_cell_are_listed_with_their_sources(tmp_path):
    mine = [
        study_record(pretraining=name, value=value + seed, seed=seed, checkpoint_sha256='0123456789abcdef')
        for name, value in (('cutmix', 70.0), ('mixpro', 77.0))
        for seed in (0, 1)
    ]
    runs = tmp_path / 'runs' / 'vit'
    stage(runs, 'vit', {'mIoU': 50.0}, 3, str(runs / 'e.pth'))
    sections = tables(tmp_path, *mine)
    assert '| X | top-1 | 70.5 ± 0.7 (n=2) | 77.5 ± 0.7 (n=2) |' in sections['Classification']
    assert 'X with MixPro: top-1 77.5, with CutMix 70.5 (+7.0 ± 0.0 over 2 seeds).' in sections['Classification']
    assert '| X | MixPro - CutMix | +7.00 ± 0.00 |' in sections['Differences between methods']
    origins = [row[1:] for row in lines(sections['Sources'])]
    assert ['configs/mine/vit.py', '0123456789', '1', 'test', 'top-1 71, top-1 78'] in origins
    assert any(row[1:] == [str(runs / 'e.pth'), '3', 'test', 'mIoU 50'] for row in origins)


def test_equal_records_of_a_cell_count_once_and_different_ones_are_an_error(tmp_path, capsys):
    config = cells()['table1', 'deit-tiny', 'mixpro'][:-3]
    for folder, values in dict(a=(73.0, 74.0), b=(73.0,), c=(74.5,)).items():
        records = [study_record(config, value=value, seed=seed) for seed, value in enumerate(values)]
        write(tmp_path / folder / 'results.json', records)
    assert main([str(tmp_path / 'a'), str(tmp_path / 'b'), '--out', str(tmp_path / 'out')]) == 0
    assert '73.5 ± 0.7 (n=2)' in (tmp_path / 'out' / 'tables.md').read_text()
    assert main([str(tmp_path / 'a'), str(tmp_path / 'c'), '--out', str(tmp_path / 'none')]) == 1
    error = capsys.readouterr().err
    for part in (f'top1 of configs/{config}.py', 'seed 0, 73 and 74.5', f'{tmp_path / "a"}', f'{tmp_path / "c"}'):
        assert part in error
    assert error.count('\n') == 1 and not (tmp_path / 'none' / 'tables.html').exists()
    assert main([str(tmp_path / 'missing')]) == 1 and str(tmp_path / 'missing') in capsys.readouterr().err


def test_occlusion_of_a_study_and_of_single_tests(tmp_path):
    curve = dict(task='robustness', metric='occlusion_random', curve=[[0.0, 90.0], [0.5, 60.0]])
    sections = tables(
        tmp_path, study_record(**curve), study_record(seed=1, **curve), study_record(pretraining='cutmix', **curve),
        a=occlusion('deit-small.py'), b=occlusion('deit-small.py', 'other'), c=occlusion('deit-micro.py', grid=8),
    )  # fmt: skip
    text = str(sections)
    assert [text.count(f'(figures/occlusion-{number}.png)') for number in (1, 2, 3, 4)] == [1, 1, 1, 0]
    assert all((tmp_path / 'out' / 'figures' / f'occlusion-{number}.png').is_file() for number in (1, 2, 3))
    assert 'naseer, 14 patches a side' in text and f'results of {tmp_path / "in" / "results.json"}' in text


def test_finished_stages_without_a_record_are_named(tmp_path, capsys):
    for name, sha256 in (('old', 'a'), ('new', 'b')):
        write(tmp_path / 'in' / name / 'done.json', dict(metrics={}, checkpoint_sha256=sha256))
    write(tmp_path / 'in' / 'command' / 'done.json', dict(command=['x'], seconds=1.0))
    assert f'again to include them: {tmp_path}/in/new' in str(tables(tmp_path, study_record(checkpoint_sha256='a')))
    assert capsys.readouterr().err.endswith(f' {tmp_path}/in/new\n')


def test_reports_are_reproducible(tmp_path):
    write(tmp_path / 'in' / 'results.json', [study_record(pretraining='<b>mine</b>')])
    write(tmp_path / 'in' / 'occlusion.json', occlusion('deit-small.py'))
    runs = []
    for out in ('a', 'b'):
        assert main([str(tmp_path / 'in'), '--out', str(tmp_path / out), '--latex']) == 0
        files = sorted(file for file in (tmp_path / out).rglob('*') if file.is_file())
        runs.append({str(file.relative_to(tmp_path / out)): file.read_bytes() for file in files})
    assert runs[0] == runs[1] and list(runs[0]) == ['figures/occlusion-1.png', 'tables.html', 'tables.md', 'tables.tex']
    assert b'<b>' not in runs[0]['tables.html']
