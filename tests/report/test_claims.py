"""Tests of verdicts on the claims of the paper, of sentences, and of the evidence page and its figure."""

import math
import shlex
from pathlib import Path

import pytest

from mixpro_mm.report.claims import claims_of, sentence, split_claims, verdict
from mixpro_mm.report.figures.forest import COLORS, forest_figure
from mixpro_mm.report.paper import read_paper
from mixpro_mm.report.paper_report import main
from mixpro_mm.report.tables import PairedDifference, results_table
from tests.report.made_up import study_record, write

PAPER = read_paper()
T2 = 4.302653 / math.sqrt(3)  # t(2), two-sided 95 %, from a printed table; half the interval of three seeds is T2 sd


def seeds(method, values, metric='top1', backbone='DeiT-micro', task='classification', **more):
    row = dict(pretraining=method, metric=metric, backbone=backbone, task=task, **more)
    return [study_record(value=value, seed=seed, **row) for seed, value in enumerate(values)]


def study(tmp_path, records, **more):
    stages = [dict(task='classification', backbone='DeiT-micro', seconds=seconds) for seconds in (60, 90)]
    about = 'What was\ntrained.\n\nWhat to know.'
    described = dict(
        title='A title', about=about, date='2030-01-02', versions=dict(torch='2.0'), settings=dict(seed='0, 1, 2')
    )
    return write(
        tmp_path / 'docs' / 'ev' / 'results.json', dict(study=described | dict(stages=stages) | more, records=records)
    )


@pytest.mark.parametrize(
    ('metric', 'low', 'high', 'expected'),
    [
        ('top1', 0.1, 3.0, 'supported'),
        ('top1', -3.0, -0.1, 'not supported'),
        ('A_rms_calibration_error', -3.0, -0.1, 'supported'),
        ('A_rms_calibration_error', 0.1, 3.0, 'not supported'),
        ('top1', -0.4, 1.0, 'no difference larger than 1.00'),
        ('top1', -1.01, 0.4, 'undecided'),
        ('A_top1', -1.01, 0.4, 'undecided'),
        ('occlusion_random', -0.5, 1.01, 'undecided'),
        ('knn_20', -1.01, 0.4, 'undecided'),
        ('linear', -1.01, 0.4, 'undecided'),
        ('mIoU', -1.51, 0.4, 'no difference larger than 1.51'),
        ('bbox_mAP', -2.01, 1.0, 'undecided'),
        ('O_aupr', -0.5, 2.0, 'no difference larger than 2.00'),
        ('top1', math.nan, math.nan, 'undecided'),
    ],
)
def test_verdicts(metric, low, high, expected):
    assert verdict(metric, PairedDifference(3, (low + high) / 2, 1.0, low, high)) == expected


def test_one_or_two_seeds_decide_nothing():
    assert verdict('top1', PairedDifference(1, 9.0)) == 'one seed'
    assert verdict('top1', PairedDifference(2, 9.0, 0.1, 8.0, 10.0)) == 'two seeds'


def test_the_claims_are_the_differences_that_the_paper_prints():
    rows = {key[:2] for key in PAPER.claims}
    methods = ('cutmix', 'transmix', 'tokenmix', 'maskmix', 'mixpro')
    records = [
        r for name, metric in sorted(rows) for m in methods for r in seeds(m, [1.0], metric, f'{name}-micro', 'x')
    ]
    found = {
        (c.row[1][:-6], c.row[2], c.method, c.other): (c.published, c.source)
        for c in claims_of(results_table(records), PAPER)
    }
    assert len(found) == 29
    assert {key[:2]: value for key, value in found.items() if key[2:] == ('mixpro', 'cutmix')} == {
        ('DeiT', 'top1'): (1.5, 'Table 1'), ('PVT', 'top1'): (1.4, 'Table 1'),
        ('DeiT', 'mIoU'): (1.4, 'Table 3'), ('DeiT', 'mIoU (MS)'): (1.1, 'Table 3'),
        ('PVT', 'bbox_mAP'): (1.0, 'Table 4'), ('PVT', 'segm_mAP'): (1.1, 'Table 4'),
        ('DeiT', 'A_top1'): (3.3, 'Table 5'), ('DeiT', 'A_rms_calibration_error'): (-1.7, 'Table 5'),
        ('DeiT', 'A_aurra'): (8.6, 'Table 5'), ('DeiT', 'O_aupr'): (2.2, 'Table 5'),
        **{('DeiT', f'occlusion_{mode}'): (None, 'Figure 3') for mode in ('random', 'salient', 'non-salient')},
    }  # fmt: skip
    assert found['PVT', 'segm_mAP', 'mixpro', 'transmix'] == (0.5, 'Table 4')
    assert found['DeiT', 'top1', 'mixpro', 'tokenmix'] == (0.5, 'Table 2')
    assert found['DeiT', 'top1', 'maskmix', 'cutmix'] == (1.0, 'Table 7')
    assert found['DeiT', 'top1', 'mixpro', 'maskmix'] == (0.5, 'Table 1 and Table 7')
    assert claims_of(results_table(seeds('mixpro', [1.0]) + seeds('cutmix', [1.0], backbone='DeiT-S')), PAPER) == []


@pytest.mark.parametrize(
    ('backbone', 'metric', 'other', 'expected'),
    [
        ('DeiT-T', 'top1', 'cutmix', 1.6),
        ('DeiT-T', 'top1', 'transmix', 1.2),
        ('DeiT-T', 'top1', 'maskmix', 0.6),
        ('DeiT-T', 'top1', 'tokenmix', 0.5),  # Table 2 has only DeiT-S
        ('DeiT-T', 'A_top1', 'cutmix', 3.3),
        ('DeiT-S', 'top1', 'baseline', 1.5),
        ('PVT-T', 'top1', 'cutmix', 1.6),
        ('PVT-T', 'bbox_mAP', 'transmix', 0.5),
        ('PVT-M', 'top1', 'transmix', 0.6),
        ('DeiT-micro, 8 classes', 'O_aupr', 'cutmix', None),
        ('DeiT-S, linear', 'mIoU', 'transmix', None),  # not the number of Segmenter
    ],
)
def test_the_published_number_is_that_of_the_backbone_or_of_the_small_one(backbone, metric, other, expected):
    records = seeds('mixpro', [1.0], metric, backbone) + seeds(other, [1.0], metric, backbone)
    (claim,) = claims_of(results_table(records), PAPER)
    assert (claim.row[1], claim.other, claim.published) == (backbone, other, expected)
    others = [record | dict(backbone=f'Swin {backbone}') for record in records]
    assert claims_of(results_table(others), PAPER) == []


def test_a_sentence_has_the_difference_its_interval_and_its_verdict():
    """Differences 13, 14, 15: sd 1, half the interval 2.48."""
    row = dict(metric='mIoU', backbone='DeiT', task='segmentation')
    records = seeds('mixpro', (27.0, 28.0, 29.0), **row) + seeds('scratch', (14.0, 14.0, 14.0), **row)
    assert sentence('segmentation', results_table(records)) == (
        'DeiT from the MixPro checkpoint: mIoU 28.0, from scratch 14.0 (+14.0 ± 1.0 over 3 seeds, 95 % interval 11.5 '
        'to 16.5: supported).'
    )
    records = seeds('mixpro', [80.04]) + seeds('none', [81.0]) + seeds('mixpro', [70.0], backbone='PVT')
    assert sentence('classification', results_table(records)) == (
        'DeiT-micro with MixPro: top-1 80.0, without mixing 81.0 (-1.0); PVT with MixPro: top-1 70.0.'
    )


@pytest.fixture
def records():
    """Differences to CutMix are 2, 3, 4 (top-1), -4, -3, -2 (calibration error), 0.4, 0, -0.4 (mIoU), 9, 0, 0 (PVT)."""
    calibration, more = (
        dict(metric='A_rms_calibration_error', task='robustness'),
        dict(metric='mIoU', task='segmentation'),
    )
    return [
        *seeds('mixpro', (82.0, 84.0, 83.0)), *seeds('cutmix', (80.0, 80.0, 80.0)), *seeds('none', (90.0, 91.0, 92.0)),
        *seeds('mixpro', (6.0, 7.0, 8.0), **calibration), *seeds('cutmix', (10.0, 10.0, 10.0), **calibration),
        *seeds('mixpro', (30.4, 30.0, 29.6), **more), *seeds('cutmix', (30.0, 30.0, 30.0), **more),
        *seeds('mixpro', (59.0, 50.0, 50.0), backbone='PVT-micro'), *seeds('cutmix', (50.0,) * 3, backbone='PVT-micro'),
    ]  # fmt: skip


def test_the_evidence_page_has_the_numbers_of_the_records(tmp_path, records, capsys):
    results = study(tmp_path, records, settings={'seed': '0, 1, 2', 'unfinished stages': '4'})
    assert main(['--evidence', str(results)]) == 0
    page = tmp_path / 'docs' / 'ev.md'
    assert capsys.readouterr().out == f'{page}\n' and (tmp_path / 'docs' / 'ev' / 'claims.png').is_file()
    text = page.read_text('utf-8')
    rows = [line.strip('| ').split(' | ') for line in text.splitlines() if line.startswith('|')]
    lines = rows[2:5] + [line for line in rows if len(line) == 8 and 'calibration' in line[0]]
    assert [line[:4] for line in lines] == [
        ['top-1: MixPro - CutMix', 'DeiT-micro', '+1.5 (Table 1)', '+3.00'],
        ['top-1: MixPro - CutMix', 'PVT-micro', '+1.4 (Table 1)', '+3.00'],
        ['mIoU: MixPro - CutMix', 'DeiT-micro', '+1.4 (Table 3)', '+0.00'],
        [
            'adversarial set: calibration error (lower is better): MixPro - CutMix',
            'DeiT-micro',
            '-1.7 (Table 5)',
            '-3.00',
        ],
    ]
    halves = T2, T2 * math.sqrt(27), T2 * 0.4, T2
    for line, mean, half in zip(lines, (3, 3, 0, -3), halves, strict=True):
        assert line[4:7] == [f'{mean - half:+.2f} to {mean + half:+.2f}', f'{half:.2f}', '3']
    assert [line[7] for line in lines] == ['supported', 'undecided', 'no difference larger than 0.99', 'supported']
    assert '3 comparisons of methods: 1 supported, 1 no difference, 1 undecided. Other metrics' in text
    order = [
        '# A title',
        'What was trained.',
        '4 stages of the study are not finished',
        '## Claims of the paper',
        '](ev/claims.png)',
        '## Results',
        '### Segmentation',
    ]
    order += ['## Set-up', 'What to know.', '2 stages, 2.5 minutes', 'seed: 0, 1, 2', 'torch 2.0']
    order += [
        '## Further claims of the paper',
        '| adversarial set: calibration error (lower is better): MixPro - CutMix | DeiT-micro | -1.7',
        '## Differences between methods',
        '| top-1 | DeiT-micro | MixPro - no mixing | -8.00 ± 1.00 |',
        '](ev/results.json)',
    ]
    places = [text.find(part) for part in order]
    assert -1 not in places and places == sorted(places)
    assert main(['--evidence', str(results), '--out', str(tmp_path / 'other.md')]) == 0
    assert (
        '](other/claims.png)' in (tmp_path / 'other.md').read_text()
        and '](docs/ev/results.json)' in (tmp_path / 'other.md').read_text()
    )


def test_claims_on_other_metrics_or_with_a_note_are_not_main_ones():
    noted = dict(metric='top1', backbone='DeiT-micro, 8 classes')
    kinds = [dict(metric='O_aupr'), dict(metric='A_aurra'), noted]
    found = claims_of(
        results_table([r for k in kinds for m in ('mixpro', 'cutmix') for r in seeds(m, [1.0], **k)]), PAPER
    )
    first, others = split_claims(found)
    assert [claim.row[2] for claim in first] == ['O_aupr']
    assert {claim.row[1:] for claim in others} == {(noted['backbone'], 'top1'), ('DeiT-micro', 'A_aurra')}
    assert split_claims(others) == (others, [])


def test_the_page_names_the_command_that_writes_it(tmp_path, records, monkeypatch):
    results, page = study(tmp_path, records), tmp_path / 'a page' / 'it.md'
    monkeypatch.chdir(tmp_path)
    for arguments in (['--evidence', str(results)], ['--evidence', str(results), '--out', str(page)]):
        assert main(arguments) == 0
        written = Path(arguments[-1]) if '--out' in arguments else tmp_path / 'docs' / 'ev.md'
        first = written.read_text('utf-8')
        written.unlink()
        program, script, *command = shlex.split(first.rpartition('`')[0].rpartition('`')[2])
        assert (program, script) == ('python', 'tools/report.py')
        assert not any(Path(word).is_absolute() for word in command)
        assert main(command) == 0 and written.read_text('utf-8') == first and str(tmp_path) not in first


def test_evidence_has_no_latex(tmp_path, records, capsys):
    with pytest.raises(SystemExit):
        main(['--evidence', str(study(tmp_path, records)), '--latex'])
    assert 'without --latex' in capsys.readouterr().err and not (tmp_path / 'docs' / 'ev.md').exists()


def test_rows_of_a_second_study_join_the_methods_of_the_first_in_tables(tmp_path, records):
    """A method with ``cells`` is in the results as well."""
    of = dict(mixpro=[['table6', 'maskmix-pal', 'top1'], ['table10', 'pal', 'error']])
    of['cutmix'] = [['table6', 'cutmix', 'top1']]
    named = [r | dict(cells=of.get(r['pretraining'], []) * (r['metric'] == 'top1'), data='photos') for r in records[:9]]
    row = dict(cells=[['table6', 'maskmix-transmix', 'top1']], data='photos')
    rows = [record | row for record in seeds('table6_maskmix-transmix', [81.0])]
    second = study(tmp_path / 'more', rows, title='Its parts', about='More trained.')
    assert main(['--evidence', str(study(tmp_path, named)), str(second)]) == 0
    text = (tmp_path / 'docs' / 'ev.md').read_text('utf-8')
    assert 'Tables of the paper' in text
    table6, table10 = text.split('### Table 6 on photos')[1].split('### Table 10 on photos')
    for row, number in (('CutMix', '80.0 ± 0.0 (n=3)'), ('MaskMix + TransMix', '81.0 (+1.0)')):
        assert f'| {row} | {number} |' in table6
    assert '| MaskMix + PAL | 83.0 ± 1.0 (n=3, +3.0) |' in table6
    assert '| PAL | 17.0 ± 1.0 (n=3) |' in table10
    assert '| DeiT-micro | top-1 | 91.0 ± 1.0 (n=3) | 80.0 ± 0.0 (n=3) | 83.0 ± 1.0 (n=3) |' in text
    order = [
        '# A title',
        '## Results',
        '## Tables of the paper on photos',
        '## Set-up',
        '### Its parts',
        'More trained.',
    ]
    places = [text.find(part) for part in order]
    assert -1 not in places and places == sorted(places)
    for given, shown in ((named, False), (named + rows, True)):  # of one study: methods are in the results
        assert main(['--evidence', str(study(tmp_path / 'one', given))]) == 0
        page = (tmp_path / 'one' / 'docs' / 'ev.md').read_text('utf-8')
        assert ('Tables of the paper' in page) == shown
    assert ' [ev/results.json](ev/results.json) and [../more/docs/ev/results.json](../' in text


def test_results_without_a_claim_or_a_study_have_no_evidence_page(tmp_path, capsys):
    assert main(['--evidence', str(study(tmp_path, seeds('mixpro', (1.0, 2.0))))]) == 1
    assert 'no two methods that the paper compares' in capsys.readouterr().err
    assert main(['--evidence', str(write(tmp_path / 'list' / 'results.json', seeds('mixpro', (1.0,))))]) == 1
    assert f'{tmp_path}/list/results.json is not' in capsys.readouterr().err


def test_the_figure_shows_better_to_the_right(records):
    claims = claims_of(results_table(records), PAPER)
    figure = forest_figure(claims)
    assert [axes.get_title(loc='left') for axes in figure.axes] == [
        'Classification, DeiT-micro', 'Classification, PVT-micro', 'Segmentation, DeiT-micro', 'Robustness, DeiT-micro',
    ]  # fmt: skip
    for axes, claim, mean, paper in zip(figure.axes, claims, (3, 3, 0, 3), (1.5, 1.4, 1.4, 1.7), strict=True):
        zero, interval, measured, published = axes.lines
        sign = -1 if claim.row[2] == 'A_rms_calibration_error' else 1
        assert sorted(interval.get_xdata()) == sorted([sign * claim.found.low, sign * claim.found.high])
        assert measured.get_xdata() == pytest.approx([mean]) and published.get_xdata() == pytest.approx([paper])
        assert list(zero.get_xdata()) == [0, 0] and measured.get_color() == COLORS[claim.verdict[:13]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        'supported', 'no difference', 'undecided', 'in the paper',
    ]  # fmt: skip
