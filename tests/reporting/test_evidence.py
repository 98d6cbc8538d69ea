import json
import math
import re

import numpy as np
import pytest
from PIL import Image

from mixpro_mm.reporting import evidence, evidence_figures
from mixpro_mm.reporting.evidence_claims import claims_of_the_paper, findings
from mixpro_mm.reporting.evidence_verdicts import summary
from mixpro_mm.reporting.tables import results_table

STUDY = {
    'title': 'Made up for a test',
    'date': '2026-01-02',
    'versions': {'torch': '9.9'},
    'settings': {'seed': '0, 1, 2'},
    'stages': [
        dict(
            name=f'deit_{seed}',
            task='classification',
            backbone='DeiT-micro',
            pretraining='mixpro',
            seed=seed,
            seconds=s,
        )
        for seed, s in enumerate((60, 90, None))
    ],
}


def records(values, pretraining, metric='top1', task='classification', backbone='DeiT-micro', **more):
    """A record for each value, seeds from 0 on."""
    return [
        dict(task=task, backbone=backbone, pretraining=pretraining, metric=metric, value=value, seed=seed) | more
        for seed, value in enumerate(values)
    ]


BASE = (30.0, 40.0, 50.0)  # the spread over seeds is no part of a paired difference
BETTER, WORSE, OPEN = (39.0, 50.0, 61.0), (19.0, 30.0, 41.0), (31.0, 42.0, 53.0)  # by 9, 10, 11; -11, -10, -9; 1, 2, 3


def page(tmp_path, content, name='evidence'):
    (tmp_path / 'results.json').write_text(json.dumps(content), encoding='utf-8')
    out = evidence.write_evidence(tmp_path / 'results.json', tmp_path / 'docs' / f'{name}.md')
    return out.read_text(encoding='utf-8')


def tables(text):
    """Every Markdown table as a list of rows, each a dict from header to cell; the first of equal headers stands."""
    found, lines = [], [line for line in text.splitlines() if line.startswith('|') or not line]
    for block in '\n'.join(lines).split('\n\n'):
        rows = [[cell.strip() for cell in line.strip('|').split(' | ')] for line in block.strip().splitlines()]
        if rows and rows[0] != ['']:
            assert {len(row) for row in rows} == {len(rows[0])}
            found.append([dict(zip(rows[0][::-1], row[::-1], strict=True)) for row in rows[2:]])
    return found


def row(text, difference, **cells):
    (found,) = [one for one in tables(text)[0] if one['difference'] == difference and cells.items() <= one.items()]
    return found


def test_the_claims_are_the_numbers_of_the_paper():
    """As printed: Tables 1 to 5 and 7 for DeiT-S and PVT-S, method minus method by hand."""
    gains = {(c.metric, c.family, c.method, c.other): c.gain for c in claims_of_the_paper()}
    mixpro = {key[:2] + key[3:]: gain for key, gain in gains.items() if key[2] == 'mixpro'}
    assert mixpro == {
        ('top1', 'DeiT', 'cutmix'): 1.5, ('top1', 'DeiT', 'transmix'): 0.6, ('top1', 'DeiT', 'tokenmix'): 0.5,
        ('top1', 'PVT', 'cutmix'): 1.4, ('top1', 'PVT', 'transmix'): 0.7, ('top1', 'DeiT', 'maskmix'): 0.5,
        ('occlusion_random', 'DeiT', 'cutmix'): None, ('occlusion_random', 'DeiT', 'transmix'): None,
        ('occlusion_salient', 'DeiT', 'cutmix'): None, ('occlusion_salient', 'DeiT', 'transmix'): None,
        ('occlusion_non-salient', 'DeiT', 'cutmix'): None, ('occlusion_non-salient', 'DeiT', 'transmix'): None,
        ('A_top1', 'DeiT', 'cutmix'): 3.3, ('A_top1', 'DeiT', 'transmix'): 1.3,
        ('A_rms_calibration_error', 'DeiT', 'cutmix'): -1.7, ('A_rms_calibration_error', 'DeiT', 'transmix'): -0.9,
        ('A_aurra', 'DeiT', 'cutmix'): 8.6, ('A_aurra', 'DeiT', 'transmix'): 3.6,
        ('O_aupr', 'DeiT', 'cutmix'): 2.2, ('O_aupr', 'DeiT', 'transmix'): 1.2,
        ('mIoU', 'DeiT', 'cutmix'): 1.4, ('mIoU', 'DeiT', 'transmix'): 0.5,
        ('mIoU (MS)', 'DeiT', 'cutmix'): 1.1, ('mIoU (MS)', 'DeiT', 'transmix'): 0.4,
        ('bbox_mAP', 'PVT', 'cutmix'): 1.0, ('bbox_mAP', 'PVT', 'transmix'): 0.5,
        ('segm_mAP', 'PVT', 'cutmix'): 1.1, ('segm_mAP', 'PVT', 'transmix'): 0.5,
    }  # fmt: skip
    assert gains['top1', 'DeiT', 'maskmix', 'cutmix'] == 1.0
    assert len(claims_of_the_paper()) == len(gains) == 29


def test_a_row_says_what_was_measured_beside_the_paper(tmp_path):
    text = page(tmp_path, {'study': STUDY, 'records': [
        *records(BETTER, 'mixpro'), *records(BASE, 'cutmix'), *records((40.0, 48.0, 60.0), 'transmix'),
    ]})  # fmt: skip
    assert row(text, 'MixPro - CutMix', backbone='DeiT-micro', measure='top-1') == {
        'measure': 'top-1', 'backbone': 'DeiT-micro', 'difference': 'MixPro - CutMix',
        'paper': '+1.5 (Table 1, DeiT-S)', 'here': '+10.00 ± 1.00',
        'bootstrap 95 %': '+9.00 to +11.00', 't 95 %': '+7.52 to +12.48', 'n': '3',
        'could see': '2.48', 'verdict': 'supported',
    }  # fmt: skip
    other = row(text, 'MixPro - TransMix', backbone='DeiT-micro', measure='top-1')
    assert (other['here'], other['verdict']) == ('+0.67 ± 1.53', 'undecided at this size')  # -1, 2, 1
    assert row(text, 'MixPro - TokenMix')['verdict'] == 'not measured'
    assert 'MixPro - CutMix' in text and 'not measured' in row(text, 'MixPro - CutMix', measure='box AP')['verdict']
    assert '\n- Accuracy: of 5 comparisons 1 supported (top-1 of DeiT-micro, MixPro - CutMix), 1 undecided' in text
    assert 'holds it in 75 with 3 seeds.' in text
    assert '2 have a verdict, 1 of them decided' in text and 'about 0.1 of 2' in text


@pytest.mark.parametrize(('values', 'verdict'), [(BETTER, 'not supported'), (WORSE, 'supported'), (OPEN, 'undecided')])
def test_a_lower_calibration_error_is_the_better_one(tmp_path, values, verdict):
    key = dict(metric='A_rms_calibration_error', task='robustness')
    text = page(
        tmp_path, {'study': {}, 'records': [*records(values, 'mixpro', **key), *records(BASE, 'cutmix', **key)]}
    )
    found = row(text, 'MixPro - CutMix', measure='adversarial set: calibration error (lower is better)')
    assert found['verdict'].startswith(verdict) and found['paper'].startswith('-1.7')


def test_the_two_parts_of_mixpro_are_compared():
    table = results_table([*records(BETTER, 'mixpro'), *records(BASE, 'maskmix'), *records(BETTER, 'cutmix')])
    parts = {
        f.claim.methods: f.verdict for f in findings(table, claims_of_the_paper()) if f.claim.group.startswith('Pa')
    }
    assert parts == {'MaskMix - CutMix': 'not supported', 'MixPro - MaskMix': 'supported'}


def test_rows_are_found_by_family_and_further_backbones_get_their_own():
    table = results_table([
        record for backbone in ('DeiT-micro', 'DeiT-nano', 'PVT-micro') for name, values in
        (('mixpro', BETTER), ('cutmix', BASE)) for record in records(values, name, backbone=backbone)
    ])  # fmt: skip
    found = [f for f in findings(table, claims_of_the_paper()) if f.pairs and f.claim.other == 'cutmix']
    assert [(f.backbone, f.claim.family) for f in found] == [
        ('DeiT-micro', 'DeiT'), ('DeiT-nano', 'DeiT'), ('PVT-micro', 'PVT'),
    ]  # fmt: skip


def test_what_could_not_have_been_seen_is_counted():
    """Half-width 2.48: a gain of 1.5 is out of sight. With deviations of 0.1 it would have been seen, 0.6 as well."""
    wide = results_table([*records(OPEN, 'mixpro'), *records(BASE, 'cutmix')])
    assert list(summary(findings(wide, claims_of_the_paper())))[-1].startswith(
        'Undecided comparisons for which the paper prints a gain: 1. In 1 of them'
    )
    narrow = results_table([*records((30.1, 40.0, 49.9), 'mixpro'), *records(BASE, 'cutmix')])
    assert '1. In 0 of them' in list(summary(findings(narrow, claims_of_the_paper())))[-1]


def test_a_single_seed_and_broken_runs_give_an_honest_page(tmp_path):
    text = page(tmp_path, [*records([97.0], 'mixpro'), *records([90.0], 'cutmix')])  # the old form: records only
    assert row(text, 'MixPro - CutMix', measure='top-1', backbone='DeiT-micro') == {
        'measure': 'top-1', 'backbone': 'DeiT-micro', 'difference': 'MixPro - CutMix',
        'paper': '+1.5 (Table 1, DeiT-S)', 'here': '+7.00',
        'bootstrap 95 %': '-', 't 95 %': '-', 'n': '-', 'could see': '-',
        'verdict': 'one seed says nothing about chance',
    }  # fmt: skip
    assert 'No comparison has two seeds, so there is no verdict' in text
    assert 'neither settings nor versions nor times' in text and '![' not in text
    broken = page(tmp_path, [*records([97.0, math.nan], 'mixpro'), *records([90.0, 91.0], 'cutmix')])
    found = row(broken, 'MixPro - CutMix', measure='top-1', backbone='DeiT-micro')
    assert (found['here'], found['verdict']) == ('no number', 'seed 1 gave no finite number')


def test_only_seeds_of_both_sides_count(tmp_path):
    text = page(tmp_path, [*records((*BETTER, 99.0, 99.0), 'mixpro'), *records(BASE, 'cutmix')])
    found = row(text, 'MixPro - CutMix', measure='top-1', backbone='DeiT-micro')
    assert (found['n'], found['here']) == ('3', '+10.00 ± 1.00')
    table = results_table([*records((*BETTER, 99.0, 99.0), 'mixpro'), *records(BASE, 'cutmix')])
    assert findings(table, claims_of_the_paper())[0].difference == pytest.approx(10)


def test_all_results_and_all_differences_are_there(tmp_path):
    """Also metrics and methods that no claim is about."""
    text = page(tmp_path, {'study': STUDY, 'records': [
        record for name, values in dict(mixpro=BETTER, cutmix=BASE, transmix=OPEN, new=WORSE, none=BASE).items()
        for record in records(values, name, metric='sharpness', task='robustness', published=50.0)
    ]})  # fmt: skip
    _, results, differences, settings, versions, times = tables(text)
    assert list(results[0]) == ['MixPro', 'new', 'TransMix', 'CutMix', 'no mixing', 'metric', 'backbone']
    assert results[0]['MixPro'] == '50.0 ± 11.0 (n=3)'
    here = {one['method']: (one['- CutMix'], one['- TransMix']) for one in differences}
    assert here == {
        'no mixing': ('+0.00 ± 0.00', '-2.00 ± 1.00'), 'TransMix': ('+2.00 ± 1.00', '-'),
        'new': ('-10.00 ± 1.00', '-12.00 ± 0.00'), 'MixPro': ('+10.00 ± 1.00', '+8.00 ± 0.00'),
    }  # fmt: skip
    assert settings == [{'setting': 'seed', 'value': '0, 1, 2'}] and versions == [
        {'package': 'torch', 'version': '9.9'}
    ]
    assert [(one['stages'], one['minutes, their sum']) for one in times] == [('2', '2.5'), ('2', '2.5')]
    assert 'not measured' in text and '# Made up for a test\n\n2026-01-02\n' in text and 'make study' in text


CURVES = {'mixpro': 5.0, 'cutmix': 0.0}


def occluded():
    """Ten points between the methods' curves, and between seeds three."""
    return [
        record | {'curve': [[0.5, 40 + 2 * shift + 3 * record['seed']], [0.0, 80 + 2 * shift + 3 * record['seed']]]}
        for mode in ('random', 'salient')
        for name, shift in CURVES.items()
        for record in records(BASE, name, metric=f'occlusion_{mode}', task='robustness')
    ]


def test_the_page_shows_figures_that_exist_and_is_the_same_every_time(tmp_path):
    content = {'study': STUDY, 'records': [*records(BETTER, 'mixpro'), *records(BASE, 'cutmix'), *occluded()]}
    text = page(tmp_path, content, name='proof')
    links = re.findall(r'!\[.*?\]\((.*?)\)', text)
    assert links == ['proof/differences.png', 'proof/occlusion.png']
    first = {link: (tmp_path / 'docs' / link).read_bytes() for link in links}
    for link in links:
        with Image.open(tmp_path / 'docs' / link) as image:
            assert image.format == 'PNG' and image.width == 1080 and np.asarray(image.convert('L')).std() > 5
    assert page(tmp_path, content, name='proof') == text
    assert {link: (tmp_path / 'docs' / link).read_bytes() for link in links} == first
    assert sorted(path.name for path in (tmp_path / 'docs').rglob('*')) == [
        'differences.png', 'occlusion.png', 'proof', 'proof.md',
    ]  # fmt: skip


@pytest.fixture
def drawn(monkeypatch):
    seen = []
    monkeypatch.setattr(evidence_figures, 'write_figure', lambda figure, path: seen.append(figure) or path)
    return seen


def test_curves_are_means_over_seeds_with_their_deviation(drawn):
    evidence_figures.occlusion_bands(occluded(), 'a.png')
    random, salient, other, minus = drawn[0].axes[:4]
    lines = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in random.lines}
    assert lines == {'MixPro': ([0, 50], [93, 53]), 'CutMix': ([0, 50], [83, 43])}
    band = random.collections[0].get_paths()[0].vertices  # seeds 0, 1, 2 lie three points apart
    assert (band[:, 1].min(), band[:, 1].max()) == (50, 96)
    assert len(salient.lines) == 2 and not other.lines
    gaps = {line.get_label(): list(line.get_ydata()) for line in minus.lines}
    assert gaps == {'MixPro': [10, 10], 'CutMix': [0, 0]}
    assert not minus.collections  # the shift is the same for every seed, so paired differences have no spread
    assert random.lines[0].get_color() == '#D55E00' and random.lines[1].get_color() == '#0072B2'


def test_curves_without_cutmix_or_without_anything(drawn):
    alone = [record for record in occluded() if record['pretraining'] == 'mixpro']
    evidence_figures.occlusion_bands(alone, 'a.png')
    assert len(drawn[0].axes) == 3
    assert evidence_figures.occlusion_bands(records(BASE, 'mixpro'), 'a.png') is None


def test_the_forest_puts_better_on_the_right(drawn):
    ece = dict(metric='A_rms_calibration_error', task='robustness')
    table = results_table([
        *records(BETTER, 'mixpro'), *records(BASE, 'cutmix'), *records(OPEN, 'transmix', backbone='PVT-micro'),
        *records(BASE, 'mixpro', backbone='PVT-micro'), *records(WORSE, 'mixpro', **ece),
        *records(BASE, 'cutmix', **ece),
    ])  # fmt: skip
    evidence_figures.forest_plot(findings(table, claims_of_the_paper()), 'a.png')
    accuracy, adversarial = drawn[0].axes
    assert [tick.get_text() for tick in accuracy.get_yticklabels()] == [
        'top-1, DeiT-micro, MixPro - CutMix', 'top-1, PVT-micro, MixPro - TransMix',
    ]  # fmt: skip
    assert [tick.get_text() for tick in adversarial.get_yticklabels()] == [
        'calibration error (sign turned), MixPro - CutMix'
    ]
    student, bootstrap, dot = accuracy.lines[:3]
    assert list(student.get_xdata()) == pytest.approx([7.516, 12.484], abs=1e-3)
    assert list(bootstrap.get_xdata()) == pytest.approx([9, 11]) and list(dot.get_xdata()) == [10]
    assert dot.get_markerfacecolor() == '#0072B2'
    assert accuracy.lines[5].get_markerfacecolor() == 'white'  # 2 worse, but undecided
    assert list(accuracy.lines[5].get_xdata()) == [-2]
    assert list(adversarial.lines[2].get_xdata()) == [10]  # ten points lower


def test_what_is_no_result_is_one_sentence(tmp_path, capsys):
    file, out = tmp_path / 'results.json', tmp_path / 'evidence.md'
    for content, sentence in (
        ('nonsense', f'{file} is not the results.json of a study\n'),
        ('{"study": {}}', f'{file} is not the results.json of a study\n'),
        ('{"study": {}, "records": []}', 'No results to report: the list of records is empty.\n'),
        ('[{"task": "x", "backbone": "y", "seed": 0}]', f'record 1 of {file} has no pretraining, metric, value\n'),
        (
            json.dumps(records([1.0], 'mixpro') * 2),
            'Two results for classification / DeiT-micro / top1 / mixpro with seed 0.\n',
        ),
    ):
        file.write_text(content, encoding='utf-8')
        assert evidence.main([str(file), str(out)]) == 1
        assert capsys.readouterr().err == sentence
    assert evidence.main([str(tmp_path / 'none.json'), str(out)]) == 1
    assert sorted(tmp_path.iterdir()) == [file]


def test_the_command_writes_the_page(tmp_path, capsys):
    file, out = tmp_path / 'results.json', tmp_path / 'new' / 'evidence.md'
    file.write_text(json.dumps(records([1.0], 'mixpro')), encoding='utf-8')
    assert evidence.main([str(file), str(out)]) == 0
    assert capsys.readouterr().out == f'{out}\n' and out.read_text(encoding='utf-8').startswith('# Evidence\n')
