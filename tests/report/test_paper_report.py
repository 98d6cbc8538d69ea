"""Tables of the paper as they are written: numbers, seeds, gains, what is left out."""

import re

from mixpro_mm.report import page
from mixpro_mm.report.paper_report import main, write_paper_report
from tests.report.made_up import cells, occlusion, paper_records, stage, study_record, write
from tests.report.test_records import BENCHMARK


def tables(folder, *records, **files):
    """Title of a section of Markdown -> its text, from records and further files."""
    write(folder / 'in' / 'results.json', list(records))
    for name, content in files.items():
        write(folder / 'in' / f'{name}.json', content)
    _, markdown = write_paper_report([folder / 'in'], folder / 'out')
    parts = re.split(r'^##+ (.+)$', markdown.read_text(encoding='utf-8'), flags=re.MULTILINE)
    return {title.partition('. ')[0]: text for title, text in zip(parts[1::2], parts[2::2], strict=True)}


def lines(section):
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in section.splitlines() if line[:1] == '|']


def test_the_layout_of_the_paper(tmp_path):
    """Every measured number is that of the paper here, so both columns are the same."""
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
    assert of['Table 1'][2][:3] == ['DeiT-T', '5.7', '1.6'] and of['Table 1'][2][-1] == '73.8 (+1.2)'
    assert of['Table 2'][4] == ['CutMix', '22', '22', '3', '322', '79.8 (+1.2)', '79.8 (+1.2)']
    assert [row[:2] for row in of['Table 3'][2:6:3]] == [
        ['ResNet101, DeepLabV3+', 'baseline'],
        ['DeiT-S, linear', 'MixPro'],
    ]
    assert [name for name in of['Table 4'][0] if name != 'paper'][2:] == [
        'APᵇ',
        'APᵇ₅₀',
        'APᵇ₇₅',
        'APᵐ',
        'APᵐ₅₀',
        'APᵐ₇₅',
    ]
    assert [row[0] for row in of['Table 5'][2:]] == ['baseline', 'TransMix', 'MixPro']
    assert of['Table 6'][4][:4] == ['-', '✓', '✓', '-'] and of['Table 6'][6][:4] == ['-', '-', '✓', '✓']
    assert of['Table 7'][5] == ['random (4x scale)', '73.2', '73.2', '80.8', '80.8']
    assert of['Table 10'][6] == ['PAL (ours)', 'cosine distance', '26.2', '26.2']
    note = 'Speed, measured: a CPU, 1 of 2 cores, batches of 8, 2026-01-01. In the paper: a Tesla V100, batches of 128.'
    assert note in str(sections) and 'Nothing was measured' not in str(sections)


def test_seeds_become_mean_and_sample_deviation_and_gains_stay(tmp_path):
    config = {row: cells()['table2', row, 'top1'][:-3] for row in ('baseline', 'mixpro', 'cutmix')}
    records = [
        study_record(config[row], value=value, seed=seed)
        for row, values in dict(baseline=(78.0, 79.0), mixpro=(80.0, 82.0), cutmix=(78.5,)).items()
        for seed, value in enumerate(values)
    ]
    sections = tables(tmp_path, *records)
    found = {row[0]: row[-2:] for row in lines(sections['Table 2'])}
    assert found['Baseline'] == ['78.5 ± 0.7 (n=2)', '78.6']
    assert found['MixPro (ours)'] == ['81.0 ± 1.4 (n=2, +2.5)', '81.3 (+2.7)']
    assert found['CutMix'] == ['78.5 (0.0)', '79.8 (+1.2)'] and found['GridMix'] == ['-', '79.5 (+0.9)']


def test_other_data_stand_apart_and_never_beside_the_paper(tmp_path):
    digits = [
        study_record(table=table, row=row, column=column, data='digits', value=value)
        for table, row, column, value in (
            ('table2', 'mixpro', 'top1', 96.0), ('table2', 'baseline', 'top1', 95.0), ('table2', 'mine', 'top1', 94.0),
            ('table7', 'block', 'deit-micro', 93.0), ('table10', 'pal', 'error', 96.0),
            ('table1', 'mine', 'mixpro', 9.0),
        )
    ]  # fmt: skip
    sections = tables(tmp_path, *digits)
    assert list(sections)[:5] == ['digits', *(f'Table {number} on digits' for number in (1, 2, 7, 10))]
    assert [row[:2] for row in lines(sections['Table 2 on digits'])] == [
        ['Method', 'top-1'], ['---', '---:'], ['Baseline', '95.0'], ['MixPro (ours)', '96.0 (+1.0)'],
        ['mine', '94.0 (-1.0)'],
    ]  # fmt: skip
    assert lines(sections['Table 7 on digits'])[::2] == [['Mask', 'deit-micro'], ['block', '93.0']]
    assert lines(sections['Table 10 on digits'])[2] == ['PAL (ours)', 'cosine distance', '4.0']
    assert lines(sections['Table 1 on digits'])[2][0] == 'mine' and 'paper' not in str(lines(str(sections)))


def test_what_no_table_has_is_listed_with_its_origin(tmp_path):
    mine = [
        study_record(pretraining=name, value=value + seed, seed=seed, checkpoint_sha256='0123456789abcdef')
        for name, value in (('cutmix', 70.0), ('mixpro', 77.0))
        for seed in (0, 1)
    ]
    runs = tmp_path / 'in' / 'runs' / 'vit'
    stage(runs, 'vit', {'mIoU': 50.0}, 3, str(runs / 'e.pth'))
    write(tmp_path / 'more' / 'results.json', mine)
    _, markdown = write_paper_report([tmp_path / 'in', tmp_path / 'more'], tmp_path / 'out')
    text = markdown.read_text(encoding='utf-8')
    rest = text.split('## Measured outside the tables of the paper')[1]
    assert (
        '| X | top-1 | 70.5 ± 0.7 (n=2) | 77.5 ± 0.7 (n=2) |' in rest and '| MixPro - CutMix | +7.00 ± 0.00 |' in rest
    )
    assert '| vit | vit | mIoU | 3 | 50.0 |' in rest
    origins = [row[1:] for row in lines(text.split('## Where these numbers are from')[1])]
    assert ['configs/mine/vit.py', '0123456789', '1', 'test', 'top-1 71, top-1 78'] in origins
    assert any(row[1:] == [str(runs / 'e.pth'), '3', 'test', 'mIoU 50'] for row in origins)


def test_two_records_of_one_cell_are_refused_or_count_once(tmp_path, capsys):
    config = cells()['table1', 'deit-tiny', 'mixpro'][:-3]
    for folder, values in dict(a=(73.0, 74.0), b=(73.0,), c=(74.5,)).items():
        records = [study_record(config, value=value, seed=seed) for seed, value in enumerate(values)]
        write(tmp_path / folder / 'results.json', records)
    assert main([str(tmp_path / 'a'), str(tmp_path / 'b'), '--out', str(tmp_path / 'out')]) == 0
    assert '73.5 ± 0.7 (n=2)' in (tmp_path / 'out' / 'tables.md').read_text()
    capsys.readouterr()
    assert main([str(tmp_path / 'a'), str(tmp_path / 'c'), '--out', str(tmp_path / 'none')]) == 1
    said = capsys.readouterr().err
    for part in (f'top1 of configs/{config}.py', 'seed 0, 73 and 74.5', f'{tmp_path / "a"}', f'{tmp_path / "c"}'):
        assert part in said
    assert said.count('\n') == 1 and not (tmp_path / 'none' / 'tables.html').exists()


def test_curves_of_a_study_and_of_single_tests_have_a_picture_each(tmp_path):
    curve = dict(task='robustness', metric='occlusion_random', curve=[[0.0, 90.0], [0.5, 60.0]])
    sections = tables(
        tmp_path, study_record(**curve), study_record(seed=1, **curve), study_record(pretraining='cutmix', **curve),
        a=occlusion('deit-small.py'), b=occlusion('deit-small.py', 'other'), c=occlusion('deit-micro.py', grid=8),
    )  # fmt: skip
    text = str(sections)
    assert [text.count(f'(figures/occlusion-{number}.png)') for number in (1, 2, 3, 4)] == [1, 1, 1, 0]
    assert all((tmp_path / 'out' / 'figures' / f'occlusion-{number}.png').is_file() for number in (1, 2, 3))
    assert 'naseer, 14 patches a side' in text and f'results of {tmp_path / "in" / "results.json"}' in text
    assert lines(sections['Single runs'])[2] == ['deit-small', 'mine', 'mean top-1: random occlusion', '-', '45.0']


def test_the_command_line_says_what_it_wrote_and_what_is_missing(tmp_path, capsys):
    results = write(tmp_path / 'study' / 'results.json', [study_record(checkpoint_sha256='aa')])
    for name, sha256 in (('vit_a_s0', 'aa'), ('vit_b_s0', 'bb')):
        write(results.parent / name / 'done.json', dict(metrics={'accuracy/top1': 1.0}, checkpoint_sha256=sha256))
    assert main([str(results.parent), '--out', str(tmp_path / 'out')]) == 0
    said = capsys.readouterr()
    assert said.out.split() == [str(tmp_path / 'out' / f'tables.{kind}') for kind in ('html', 'md')]
    assert said.err.startswith(f'{results} has no record of') and said.err.count('\n') == 1
    for name in ('tables.md', 'tables.html'):
        text = (tmp_path / 'out' / name).read_text(encoding='utf-8')
        assert 'b_s0' in text and 'a_s0' not in text


def test_the_same_results_give_the_same_bytes_and_a_failure_leaves_them(tmp_path, monkeypatch):
    write(tmp_path / 'in' / 'results.json', paper_records())
    write(tmp_path / 'in' / 'occlusion.json', occlusion('deit-small.py'))
    runs = []
    for out in ('a', 'b'):
        assert main([str(tmp_path / 'in'), '--out', str(tmp_path / out), '--latex']) == 0
        files = sorted(file for file in (tmp_path / out).rglob('*') if file.is_file())
        runs.append({str(file.relative_to(tmp_path / out)): file.read_bytes() for file in files})
    assert runs[0] == runs[1] and list(runs[0]) == ['figures/occlusion-1.png', 'tables.html', 'tables.md', 'tables.tex']
    write(tmp_path / 'in' / 'results.json', [study_record()])
    monkeypatch.setattr(page, 'render_latex', lambda *_: (_ for _ in ()).throw(OSError('disk full')))
    assert main([str(tmp_path / 'in'), '--out', str(tmp_path / 'b'), '--latex']) == 1
    assert {name: (tmp_path / 'b' / name).read_bytes() for name in runs[1]} == runs[1]
