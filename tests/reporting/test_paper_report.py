"""Tables as they are written: numbers, seeds, gains, what is left out, and sentences for what cannot be."""

import re

import pytest

from mixpro_mm.report.figures import occlusion_bands, occlusion_curves
from mixpro_mm.reporting import paper_report
from mixpro_mm.reporting.blocks import render_latex
from mixpro_mm.reporting.cli import main
from mixpro_mm.reporting.paper_report import write_paper_report
from tests.reporting.full_results import occlusion, paper_records, stage, write
from tests.reporting.test_collect import BENCHMARK
from tests.reporting.test_report import Reader


def row(config, value, seed=0, metric='top1', task='classification', pretraining='mixpro', backbone='X'):
    return dict(task=task, backbone=backbone, pretraining=pretraining, metric=metric, value=value, seed=seed,
                config=f'configs/{config}.py')  # fmt: skip


def tables(folder, *records, **files):
    """Section of Markdown by title, from records and further files."""
    write(folder / 'in' / 'results.json', list(records))
    for name, content in files.items():
        write(folder / 'in' / f'{name}.json', content)
    _, markdown = write_paper_report([folder / 'in'], folder / 'out')
    text = markdown.read_text(encoding='utf-8')
    parts = re.split(r'^##+ (.+)$', text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def lines(section):
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in section.splitlines() if line[:1] == '|']


def test_where_every_number_is_that_of_the_paper_both_columns_are_the_same(tmp_path):
    sections = tables(tmp_path, *paper_records())
    checked = 0
    for title, section in sections.items():
        if not title.startswith(('Table', 'Figure 5')):
            continue
        header, _, *body = lines(section)
        for place, name in enumerate(header):
            for cells in body:
                if name == 'paper' and header[place - 1] not in ('#Params', 'Speed (im/sec)'):
                    assert cells[place] in (cells[place - 1], '-'), f'{title}: {cells}'
                    checked += cells[place] != '-'
    assert checked == 14 * 3 + 9 + 7 * 2 + 5 * 6 + 3 * 4 + 5 + 8 + 2 + 5 + 4 + 5


def test_the_layout_of_the_paper(tmp_path):
    sections = tables(tmp_path, *paper_records(), benchmark=BENCHMARK)
    titles = [title.split('. ')[0] for title in sections if title.startswith(('Table', 'Figure'))]
    order = (
        'Table 1, Table 2, Table 3, Table 4, Table 5, Figure 3, Table 6, Table 7, Figure 5 (a), Figure 5 (b), Table 8'
    )
    assert ', '.join(titles) == f'{order}, Table 9, Table 10'
    of = {title.split('. ')[0]: lines(section) for title, section in sections.items()}
    assert of['Table 1'][2][:3] == ['DeiT-T', '5.7M', '1.6G'] and of['Table 1'][2][-1] == '73.8 (+1.2)'
    assert of['Table 2'][4] == ['CutMix', 'DeiT-S', '22.0M', '22M', '3.00', '322', '79.8 (+1.2)', '79.8 (+1.2)']
    assert [cells[0] for cells in of['Table 3'][2:]] == ['ResNet101', *('DeiT-S', '+TransMix', '+MixPro') * 2]
    assert [cells[2] for cells in of['Table 3'][2:]] == ['Deeplabv3+', *['Linear'] * 3, *['Segmenter'] * 3]
    assert [name for name in of['Table 4'][0] if name != 'paper'] == [
        'Backbone',
        'APᵇ',
        'APᵇ₅₀',
        'APᵇ₇₅',
        'APᵐ',
        'APᵐ₅₀',
        'APᵐ₇₅',
    ]
    assert [cells[0] for cells in of['Table 5'][2:]] == ['DeiT-S', 'TransMix-DeiT-S', 'MixPro-DeiT-S']
    yes, no = '✓', '\N{MULTIPLICATION SIGN}'
    assert of['Table 6'][4][:4] == [no, yes, yes, no] and of['Table 6'][6][:4] == [no, no, yes, yes]
    assert of['Table 7'][2][:3] == ['Deit-T', '72.2', '72.2'] and of['Table 7'][3][-1] == '80.8'
    assert of['Table 8'][0][1::2] == ['TransMix', 'A', 'B', 'C', 'MaskMix (Ours)']
    assert of['Table 10'][6] == ['PAL (Ours)', 'cosine distance', '26.2', '26.2']


def test_seeds_become_mean_and_sample_deviation_and_gains_stay(tmp_path):
    name = 'ablation/table2_deit-small_{}_8xb128_in1k'
    records = [row(name.format('baseline'), value, seed) for seed, value in enumerate((78.0, 79.0))]
    records += [row(name.format('mixpro'), value, seed) for seed, value in enumerate((80.0, 82.0))]
    section = tables(tmp_path, *records, row(name.format('cutmix'), 78.5))[
        'Table 2. Mixing methods on DeiT-S: training speed and top-1 accuracy'
    ]
    found = {cells[0]: cells[-2:] for cells in lines(section)}
    assert found['Baseline'] == ['78.5 ± 0.7 (n=2)', '78.6']
    assert found['MixPro (Ours)'] == ['81.0 ± 1.4 (n=2, +2.5)', '81.3 (+2.7)']
    assert found['CutMix'] == ['78.5 (0.0)', '79.8 (+1.2)'] and found['GridMix'] == ['-', '79.5 (+0.9)']


def test_a_run_that_gave_no_number_is_shown_as_such(tmp_path):
    name = 'pretrain/deit-tiny_mixpro_8xb128_in1k'
    section = tables(tmp_path, row(name, 80.0), row(name, float('nan'), 1))[
        'Table 1. Top-1 accuracy by model, ImageNet-1k'
    ]
    assert lines(section)[2][-2:] == ['nan ± nan (n=2)', '73.8 (+1.2)']


def test_tables_without_a_number_are_one_line(tmp_path):
    sections = tables(tmp_path, row('ablation/table9_deit-tiny_both_8xb128_in1k', 67.0))
    assert [title for title in sections if title.startswith(('Table', 'Figure'))] == [
        'Table 9. More random patterns, DeiT-T'
    ]
    missing = 'Nothing was measured for Table 1, Table 2, Table 3, Table 4, Table 5, Figure 3, Table 6, Table 7, '
    assert (
        f'{missing}Figure 5 (a), Figure 5 (b), Table 8, Table 10.' in sections['Table 9. More random patterns, DeiT-T']
    )
    assert 'Embedded digits' not in sections


def test_digits_stand_apart_and_never_beside_the_paper(tmp_path):
    evidence = 'digits/evidence/deit-micro_{}_digits-8'
    sections = tables(
        tmp_path,
        row(evidence.format('none'), 91.0, pretraining='none', backbone='DeiT-micro'),
        row(evidence.format('mixpro'), 93.0, pretraining='mixpro', backbone='DeiT-micro'),
        row('digits/deit-micro_mixpro_digits', 95.0, backbone='DeiT-micro'),
        row('digits/ablation/table10_deit-micro_pal_digits', 96.0, backbone='DeiT-micro'),
        row('robustness/deit-micro_digits-o', 60.0, metric='O_auroc', task='robustness', backbone='DeiT-micro'),
        row('robustness/deit-micro_occlusion_digits-8', 4.0, metric='ece', task='robustness', backbone='DeiT-micro'),
    )
    titles = list(sections)
    digits = titles[titles.index('Embedded digits') :]
    assert sections['ImageNet, Pascal Context and COCO'].strip().startswith('Nothing was measured for Table 1')
    one, five, ten = (lines(sections[title]) for title in digits[1:4])
    assert one == [
        ['Models', 'Data', 'no mixing', 'MixPro'], ['---', '---', '---:', '---:'],
        ['DeiT-micro', 'digits 0 to 7', '91.0', '93.0'], ['DeiT-micro', 'digits 0 to 9', '-', '95.0'],
    ]  # fmt: skip
    assert five[0][-2:] == ['AUROC', 'ECE, clean images'] and five[2][-3:] == ['-', '60.0', '4.0']
    assert ten[0] == ['strategy', '\N{GREEK SMALL LETTER ALPHA}', 'Top-1 Error (%)']
    assert ten[-1] == ['PAL (Ours)', 'cosine distance', '4.0']
    assert all('layout of' in title for title in digits[1:4])


def test_rows_of_ours_stand_below_those_of_the_paper(tmp_path):
    sections = tables(
        tmp_path,
        row('ablation/table2_deit-small_gridmix-local_8xb128_in1k', 79.0),
        row('detection/mask-rcnn_pvt-small_official_1x_coco', 40.0, metric='bbox_mAP', task='detection'),
        row('pretrain/deit-small-p14_mixpro-released-code_8xb128_in1k', 80.0),
    )
    of = {title.split('. ')[0]: lines(section) for title, section in sections.items()}
    assert [cells[0] for cells in of['Table 2'][3:5]] == ['GridMix', 'GridMix, local loss']
    assert of['Table 2'][4][-2:] == ['79.0', '79.5 (+0.9)']
    assert of['Table 4'][5][:3] == ['PVT-S, official weights', '40.0', '40.4']
    assert of['Table 1'][8] == ['DeiT-S, patch 14, released code', '-', '-', '-', '-', '-', '-', '80.0', '81.3']


def test_what_no_table_has_is_listed_with_its_origin(tmp_path):
    mine = row('mine/vit', 77.25, metric='top5') | dict(checkpoint_sha256='0123456789abcdef')
    sections = tables(tmp_path, mine, row('pretrain/deit-tiny_mixpro_8xb128_in1k', 73.0))
    assert lines(sections['Measured, in no table of the paper'])[2:] == [['vit', 'MixPro', 'top5', '0', '77.2']]
    origins = lines(sections['Where these numbers are from'])[2:]
    assert [cells[1:] for cells in origins] == [
        ['configs/mine/vit.py', '0123456789', '0', 'test', 'top5 77.25'],
        ['configs/pretrain/deit-tiny_mixpro_8xb128_in1k.py', '-', '0', 'test', 'top-1 73'],
    ]  # fmt: skip


@pytest.mark.parametrize('config', ['pretrain/deit-tiny_mixpro_8xb128_in1k', 'mine/vit'])
def test_two_records_of_one_cell_and_seed_are_one_sentence_with_both_files(tmp_path, config, capsys):
    first = write(tmp_path / 'a' / 'results.json', [row(config, 73.0)])
    second = write(tmp_path / 'b' / 'results.json', [row(config, 74.5)])
    assert main([str(tmp_path / 'a'), str(tmp_path / 'b'), '--out', str(tmp_path / 'out')]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f'{first} and {second}: two records for top1 of configs/{config}.py with seed 0')
    assert said.endswith('73 and 74.5; give only one of them.\n') and said.count('\n') == 1
    assert not (tmp_path / 'out' / 'tables.html').exists()


def test_a_test_done_twice_counts_once(tmp_path, capsys):
    config = 'pretrain/deit-tiny_mixpro_8xb128_in1k'
    for folder, seeds in (('a', (0, 1)), ('b', (0,))):
        write(tmp_path / folder / 'results.json', [row(config, 73.0 + seed) | dict(seed=seed) for seed in seeds])
    assert main([str(tmp_path / 'a'), str(tmp_path / 'b'), '--out', str(tmp_path / 'out')]) == 0
    text = (tmp_path / 'out' / 'tables.md').read_text()
    assert '73.5 ± 0.7' in text  # of two seeds, not of three numbers


def test_occlusion_tests_bring_a_picture_for_each_grid(tmp_path):
    sections = tables(
        tmp_path,
        a=occlusion('configs/robustness/deit-small_occlusion_in1k.py'),
        b=occlusion('configs/robustness/deit-micro_occlusion_digits-8.py', grid=8),
    )
    here, digits = (section for title, section in sections.items() if 'occlusion' in title)
    assert lines(here)[2] == ['DeiT-S, mine', *['56.2'] * 3] and lines(digits)[2][1:3] == [
        'DeiT-micro',
        'digits 0 to 7',
    ]
    for section, name in ((here, 'occlusion-imagenet-naseer-14'), (digits, 'occlusion-digits-naseer-8')):
        assert f'(figures/{name}.png)' in section and (tmp_path / 'out' / 'figures' / f'{name}.png').is_file()


def curve(method, seed, value):
    config = 'robustness/deit-micro_occlusion_digits-8'
    record = row(config, value, seed, 'occlusion_random', 'robustness', method, 'DeiT-micro')
    return dict(record, curve=[[0.0, 90.0], [0.5, value]])


@pytest.fixture
def drawn(monkeypatch):
    """What is drawn, by the name of the function, which draws as ever."""
    calls = {}
    for draw in (occlusion_bands, occlusion_curves):
        asked = calls[draw.__name__] = []
        both = lambda records, path, draw=draw, asked=asked: asked.append(records) or draw(records, path)  # noqa: E731
        monkeypatch.setattr(paper_report, draw.__name__, both)
    return calls


def test_a_study_has_its_picture_of_figure_3_from_its_own_curves(tmp_path, drawn):
    records = [curve('mixpro', 0, 60.0), curve('mixpro', 1, 70.0), curve('cutmix', 0, 50.0)]
    test = occlusion('configs/robustness/deit-micro_occlusion_digits-8.py', grid=8)
    write(tmp_path / 'in' / 'deit_mixpro_s0' / 'occlusion' / 'occlusion.json', test)  # which the records speak for
    sections = tables(tmp_path, *records, row('mine/vit', 1.0))
    section = next(text for title, text in sections.items() if 'occlusion' in title)
    name, source = 'figures/occlusion-digits-study-1.png', str(tmp_path / 'in' / 'results.json')
    assert f'({name})' in section and section.count('![') == 1 and (tmp_path / 'out' / name).is_file()
    assert f'from {source}.' in section
    told = [dict(record, source=source) for record in records]
    assert drawn == dict(occlusion_bands=[told], occlusion_curves=[])


def test_occlusion_tests_without_a_label_are_drawn_by_method_and_over_seeds(tmp_path, drawn):
    def test_of(method, seed, whole):
        folder, config = tmp_path / 'in' / f'deit_{method}_s{seed}', 'deit-micro_occlusion_digits-8'
        stage(folder, f'deit-micro_{method}_digits-8', seed=seed)
        test = occlusion(f'configs/robustness/{config}.py', config, 8, f'{folder}/e.pth', whole)
        write(folder / 'occlusion' / 'occlusion.json', test)

    test_of('mixpro', 0, 80.0)
    test_of('cutmix', 0, 60.0)
    write_paper_report([tmp_path / 'in'], tmp_path / 'out')
    assert [test['label'] for test in drawn['occlusion_curves'].pop()] == ['cutmix', 'mixpro']
    assert drawn['occlusion_bands'] == []
    test_of('mixpro', 1, 88.0)
    write_paper_report([tmp_path / 'in'], tmp_path / 'out')
    whole = {(record['pretraining'], record['seed']): record['curve'][0] for record in drawn['occlusion_bands'].pop()}
    assert whole == {('mixpro', 0): [0.0, 80.0], ('mixpro', 1): [0.0, 88.0], ('cutmix', 0): [0.0, 60.0]}
    assert drawn['occlusion_curves'] == []
    assert (tmp_path / 'out' / 'figures' / 'occlusion-digits-naseer-8.png').is_file()


def test_stages_newer_than_the_results_of_their_study_are_named_in_the_report_and_beside_it(tmp_path, capsys):
    study = tmp_path / 'study'
    results = write(study / 'results.json', [row('mine/vit', 1.0) | dict(checkpoint_sha256='aa')])
    for name, sha256 in (('vit_a_s0', 'aa'), ('vit_b_s0', 'bb')):
        write(study / name / 'done.json', dict(metrics={'accuracy/top1': 1.0}, checkpoint_sha256=sha256))
    assert main([str(tmp_path / 'study'), '--out', str(tmp_path / 'out')]) == 0
    said = capsys.readouterr().err
    assert said.startswith(f'{results} has no record of what is finished in {study / "vit_b_s0"}: ')
    assert said.count('\n') == 1
    for name in ('tables.md', 'tables.html'):
        text = (tmp_path / 'out' / name).read_text(encoding='utf-8')
        assert 'vit_b_s0' in text and 'vit_a_s0' not in text


def test_the_machine_of_a_speed_is_named(tmp_path):
    sections = tables(tmp_path, benchmark=BENCHMARK)
    note = 'Speed, here: a CPU, 1 of 2 cores, batches of 8, 2026-01-01. In the paper: a Tesla V100, batches of 128.'
    assert any(note in section for title, section in sections.items() if title.startswith('Table 2'))


def test_the_page_is_whole_and_the_same_at_every_run(tmp_path):
    write(tmp_path / 'in' / 'results.json', paper_records())
    write(
        tmp_path / 'in' / 'occlusion.json', occlusion('configs/robustness/deit-small_occlusion_in1k.py', '<b>mine</b>')
    )
    runs = []
    for out in ('a', 'b'):
        assert main([str(tmp_path / 'in'), '--out', str(tmp_path / out), '--latex']) == 0
        runs.append(
            {
                file.relative_to(tmp_path / out): file.read_bytes()
                for file in (tmp_path / out).rglob('*')
                if file.is_file()
            }
        )
    assert runs[0] == runs[1] and sorted(map(str, runs[0])) == [
        'figures/occlusion-imagenet-naseer-14.png', 'tables.html', 'tables.md', 'tables.tex',
    ]  # fmt: skip
    html = (tmp_path / 'a' / 'tables.html').read_text(encoding='utf-8')
    reader = Reader(html)
    assert 'DeiT-S, <b>mine</b>' in ''.join(reader.text) and 'b' not in reader.tags
    assert [reference.split(',')[0] for reference in reader.references] == ['data:image/png;base64']
    assert not re.search(r'url\(|@import|https?:', html)


def test_a_failure_leaves_the_previous_report(tmp_path, monkeypatch):
    tables(tmp_path, row('mine/vit', 1.0))
    before = {file: file.read_bytes() for file in (tmp_path / 'out').rglob('*')}
    monkeypatch.setattr(paper_report, 'render_markdown', lambda *_: (_ for _ in ()).throw(OSError('disk full')))
    with pytest.raises(OSError, match='disk full'):
        tables(tmp_path, row('mine/vit', 2.0))
    assert {file: file.read_bytes() for file in (tmp_path / 'out').rglob('*')} == before


def test_latex_is_balanced_escaped_and_has_every_number(tmp_path):
    write(tmp_path / 'results.json', [*paper_records(), row('mine/a_b', 12.5, metric='50%_{x} & ^~\\ #1')])
    path = write_paper_report([tmp_path], tmp_path / 'out', latex=True)[-1]
    text = path.read_text(encoding='utf-8')
    bare = re.sub(r'\\[\\{}]', '', text)
    depth = 0
    for sign in bare:
        depth += {'{': 1, '}': -1}.get(sign, 0)
        assert depth >= 0
    assert depth == 0
    stack = []
    for kind, name in re.findall(r'\\(begin|end)\{(\w+)\}', text):
        stack.append(name) if kind == 'begin' else None
        assert kind == 'begin' or stack.pop() == name
    assert stack == []
    math = re.sub(r'\\\$', '', text)
    assert math.count('$') % 2 == 0
    body = text.split(r'\begin{document}')[1].replace('}%\n', '}\n')  # the one comment sign that is meant
    assert not re.search(r'(?<!\\)[#%]', body) and not re.search(r'[^\x00-\x7f]', text)
    assert r'50\%\_\{x\} \& \textasciicircum{}\textasciitilde{}\textbackslash{} \#1' in body
    for table in re.findall(r'\\begin\{tabular\}\{([lr]+)\}\n(.+?)\n\\end\{tabular\}', text, re.DOTALL):
        kinds, content = table
        assert [line for line in content.splitlines() if line[:1] != '\\' or ' & ' in line]
        for line in content.splitlines():
            if line not in (r'\toprule', r'\midrule', r'\bottomrule'):
                assert line.endswith(r' \\') and len(re.findall(r'(?<!\\)&', line)) == len(kinds) - 1
    markdown = path.with_name('tables.md').read_text(encoding='utf-8')
    numbers = re.findall(r'\d+\.\d', markdown)
    assert sorted(numbers) == sorted(re.findall(r'\d+\.\d', body.replace('0.5\\linewidth', '')))


def test_latex_knows_every_kind_of_block(tmp_path):
    text = render_latex(
        [('title', 'A & b', '1 %'), ('list', ['one', 'two_2']), ('figure', tmp_path / 'x.png', 'T', 'c')]
    )
    assert '\\item one\n\\item two\\_2\n\\end{itemize}' in text and '{figures/x.png}' in text and r'A \& b' in text


def test_the_command_line_says_what_it_wrote_and_what_is_missing(tmp_path, capsys):
    write(tmp_path / 'in' / 'results.json', [row('mine/vit', 1.0)])
    assert main([str(tmp_path / 'in'), '--out', str(tmp_path / 'out')]) == 0
    assert capsys.readouterr().out.split() == [
        str(tmp_path / 'out' / 'tables.html'),
        str(tmp_path / 'out' / 'tables.md'),
    ]
    assert main([str(tmp_path / 'none')]) == 1
    assert capsys.readouterr().err == f'There is no file or folder {tmp_path / "none"}.\n'
