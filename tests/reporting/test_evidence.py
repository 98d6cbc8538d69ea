import json
import math
import re

import numpy as np
import pytest
from PIL import Image

from mixpro_mm.datasets.digits import load_digit_images
from mixpro_mm.reporting import evidence, evidence_figures
from mixpro_mm.reporting.evidence_claims import claims_of_the_paper, findings
from mixpro_mm.reporting.evidence_verdicts import cautions, summary, training, without_mixing
from mixpro_mm.report.tables import results_table

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


# round differences, and all above the 80 of what has trained: so round that some lie above 100
BASE = (92.0, 95.0, 98.0)  # the spread over seeds is no part of a paired difference
BETTER, WORSE, OPEN = (101.0, 105.0, 109.0), (81.0, 85.0, 89.0), (93.0, 97.0, 101.0)  # by 9 to 11; -11 to -9; 1 to 3


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


def row(text, difference, which=0, **cells):
    """Of the table of verdicts, or of its intervals with ``which`` 1."""
    (found,) = [one for one in tables(text)[which] if one['difference'] == difference and cells.items() <= one.items()]
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
        *records(BETTER, 'mixpro'), *records(BASE, 'cutmix'), *records((102.0, 103.0, 108.0), 'transmix'),
    ]})  # fmt: skip
    assert row(text, 'MixPro - CutMix', backbone='DeiT-micro', measure='top-1') == {
        'measure': 'top-1', 'backbone': 'DeiT-micro', 'difference': 'MixPro - CutMix',
        'paper': '+1.5 (Table 1, DeiT-S)', 'here': '+10.00 ± 1.00', 'verdict': 'supported',
    }  # fmt: skip
    assert row(text, 'MixPro - CutMix', 1) == {
        'measure': 'top-1', 'backbone': 'DeiT-micro', 'difference': 'MixPro - CutMix',
        'bootstrap 95 %': '+9.00 to +11.00', 't 95 %': '+7.52 to +12.48', 'n': '3', 'could see': '2.48',
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
    narrow = results_table([*records((92.1, 95.0, 97.9), 'mixpro'), *records(BASE, 'cutmix')])
    assert '1. In 0 of them' in list(summary(findings(narrow, claims_of_the_paper())))[-1]


def test_a_single_seed_and_broken_runs_give_an_honest_page(tmp_path):
    text = page(tmp_path, [*records([97.0], 'mixpro'), *records([90.0], 'cutmix')])  # the old form: records only
    assert row(text, 'MixPro - CutMix', measure='top-1', backbone='DeiT-micro') == {
        'measure': 'top-1', 'backbone': 'DeiT-micro', 'difference': 'MixPro - CutMix',
        'paper': '+1.5 (Table 1, DeiT-S)', 'here': '+7.00', 'verdict': 'one seed says nothing about chance',
    }  # fmt: skip
    assert 'No comparison has two seeds of trained models, so there is no verdict' in text
    assert 'The intervals of these comparisons' not in text
    assert 'neither settings nor versions nor times' in text and '![' not in text
    broken = page(tmp_path, [*records([97.0, math.nan], 'mixpro'), *records([90.0, 91.0], 'cutmix')])
    found = row(broken, 'MixPro - CutMix', measure='top-1', backbone='DeiT-micro')
    assert (found['here'], found['verdict']) == ('no number', 'seed 1 gave no finite number')


def test_only_seeds_of_both_sides_count(tmp_path):
    text = page(tmp_path, [*records((*BETTER, 99.0, 99.0), 'mixpro'), *records(BASE, 'cutmix')])
    assert row(text, 'MixPro - CutMix', measure='top-1', backbone='DeiT-micro')['here'] == '+10.00 ± 1.00'
    assert row(text, 'MixPro - CutMix', 1)['n'] == '3'
    table = results_table([*records((*BETTER, 99.0, 99.0), 'mixpro'), *records(BASE, 'cutmix')])
    assert findings(table, claims_of_the_paper())[0].difference == pytest.approx(10)


def test_all_results_and_all_differences_are_there(tmp_path):
    """Also metrics and methods that no claim is about."""
    text = page(tmp_path, {'study': STUDY, 'records': [
        record for name, values in dict(mixpro=BETTER, cutmix=BASE, transmix=OPEN, new=WORSE, none=BASE).items()
        for record in records(values, name, metric='sharpness', task='robustness', published=50.0)
    ]})  # fmt: skip
    _, results, differences, settings, versions, times = tables(text)
    assert list(results[0]) == ['MixPro', 'new', 'TransMix', 'CutMix', 'no mixing', 'metric']
    assert results[0]['MixPro'] == '105.0 ± 4.0 (n=3)'
    assert {one['bootstrap 95 %'] for one in differences if one['method'] == 'MixPro'} == {'+9.00 to +11.00'}
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
    accuracy, pvt, adversarial = drawn[0].axes
    assert [
        (axes.get_title('left'), [tick.get_text() for tick in axes.get_yticklabels()]) for axes in drawn[0].axes
    ] == [
        ('Accuracy, DeiT-micro', ['top-1, MixPro - CutMix']),
        ('Accuracy, PVT-micro', ['top-1, MixPro - TransMix']),  # of its own: ten times as narrow as the one above
        ('Adversarial set, DeiT-micro', ['calibration error (sign turned), MixPro - CutMix']),
    ]
    student, bootstrap, dot = accuracy.lines[:3]
    assert list(student.get_xdata()) == pytest.approx([7.516, 12.484], abs=1e-3)
    assert list(bootstrap.get_xdata()) == pytest.approx([9, 11]) and list(dot.get_xdata()) == [10]
    assert dot.get_markerfacecolor() == '#0072B2'
    assert pvt.lines[2].get_markerfacecolor() == 'white'  # 2 worse, but undecided
    assert list(pvt.lines[2].get_xdata()) == [-2]
    assert list(adversarial.lines[2].get_xdata()) == [10]  # ten points lower


def test_nothing_in_the_forest_is_cut_off(drawn):
    """The longest title there is, and the longest row."""
    both = [*records(BETTER, 'mixpro'), *records(BASE, 'transmix')]
    every = [
        one | {'task': 'robustness', 'metric': metric}
        for one in both for metric in ('occlusion_non-salient', 'A_rms_calibration_error')
    ]  # fmt: skip
    evidence_figures.forest_plot(findings(results_table(every), claims_of_the_paper()), 'a.png')
    (figure,) = drawn
    figure.draw_without_rendering()
    assert len(figure.axes) == 2
    for axes in figure.axes:
        for text in (axes._left_title, *axes.get_yticklabels()):
            extent = text.get_window_extent()
            assert extent.x0 >= 0 and extent.x1 <= figure.bbox.x1, text.get_text()


def test_what_has_not_trained_has_no_verdict(tmp_path, drawn):
    """One seed of CutMix at 79.9: all comparisons with it, also of what starts from it, but not PVT's."""
    content = [
        *records(BETTER, 'mixpro'), *records((79.9, 94.0, 96.1), 'cutmix'), *records(BASE, 'transmix'),
        *records(BETTER, 'mixpro', 'mIoU', 'segmentation', 'DeiT-micro + Segmenter'),
        *records(BASE, 'cutmix', 'mIoU', 'segmentation', 'DeiT-micro + Segmenter'),
        *records(BETTER, 'mixpro', backbone='PVT-micro'), *records(BASE, 'cutmix', backbone='PVT-micro'),
    ]  # fmt: skip
    text = page(tmp_path, content)
    for cells in (dict(measure='top-1', backbone='DeiT-micro'), dict(measure='mIoU')):
        assert row(text, 'MixPro - CutMix', **cells)['verdict'] == 'not trained'
    assert row(text, 'MixPro - CutMix', backbone='PVT-micro', measure='top-1')['verdict'] == 'supported'
    assert row(text, 'MixPro - TransMix', backbone='DeiT-micro', measure='top-1')['verdict'] == 'supported'
    assert row(text, 'MixPro - CutMix', backbone='DeiT-micro', measure='top-1')['here'].startswith('+15.00 ± ')
    assert (
        '\n- Not trained, by top-1 on the clean test images: CutMix on DeiT-micro (90.0 in the mean, 79.9 with the '
        'worst seed, where the best method has 105.0 in the mean). A seed below 80 '
    ) in text
    assert '1 not trained' in text and '2 have a verdict, 2 of them decided' in text
    assert [axes.get_title('left') for axes in drawn[0].axes] == ['Accuracy, DeiT-micro', 'Accuracy, PVT-micro']
    assert [tick.get_text() for tick in drawn[0].axes[0].get_yticklabels()] == ['top-1, MixPro - TransMix']


def test_what_has_trained_says_with_which_numbers():
    table = results_table([*records(BASE, 'mixpro'), *records((97.0, 80.0, math.nan), 'cutmix')])
    assert list(training(table)) == [
        'All classifiers have trained: the lowest top-1 of a seed on the clean test images is 80.0 (CutMix on '
        'DeiT-micro), and below 80 would count as not trained.'
    ]
    assert list(training(results_table(records(BASE, 'mixpro', 'mIoU', 'segmentation')))) == []
    diverged = results_table([*records((12.0, math.nan), 'mixpro'), *records((60.0,), 'cutmix')])
    (said,) = training(diverged)
    assert 'MixPro on DeiT-micro (12.0 in the mean, 12.0 with' in said and 'best method has 60.0' in said


def curve(name, *points, mode='random'):
    """A record for each curve of the seeds 0, 1, ...; its value has the whole image in it, as that of a study has."""
    return [
        record | {'seed': seed, 'value': sum(top1 for _, top1 in one) / len(one), 'curve': one}
        for seed, one in enumerate(points)
        for record in records([0.0], name, f'occlusion_{mode}', 'robustness')
    ]


def test_clean_accuracy_is_no_part_of_occlusion(tmp_path, drawn):
    """At loss 0 MixPro is 30 points ahead; behind it by 2, 1, 3 and by 4, 5, 6 points, and ahead by 0, 0, 3."""
    base = [[0.0, 60.0], [0.25, 50.0], [0.5, 40.0], [0.75, 30.0]]
    ours = [
        [[0.0, 90.0], [0.25, 48.0], [0.5, 36.0], [0.75, 30.0]],
        [[0.0, 90.0], [0.25, 49.0], [0.5, 35.0], [0.75, 30.0]],
        [[0.0, 90.0], [0.25, 47.0], [0.5, 34.0], [0.75, 33.0]],
    ]
    text = page(tmp_path, [*curve('mixpro', *ours), *curve('cutmix', base, base, base)])
    found = row(text, 'MixPro - CutMix', measure='mean top-1: random occlusion')
    assert found['paper'] == 'better at every loss (Figure 3, DeiT-S)'
    assert found['here'] == '-2.00 ± 0.00; better at 1 of 3 losses'  # -6, -6, -6 by three
    assert found['verdict'] == 'undecided at this size'  # for want of spread
    intervals = row(text, 'MixPro - CutMix', 1)
    assert [intervals[name] for name in ('bootstrap 95 %', 't 95 %', 'could see')] == ['-', '-', '-']
    assert tables(text)[2][0]['CutMix'] == '40.0 ± 0.0 (n=3)'  # 50, 40, 30
    assert 'without the point at loss 0' in text


def test_only_what_both_were_run_at_counts_as_a_loss(tmp_path, drawn):
    """One seed and one loss more of MixPro, far ahead: neither counts."""
    ours = [[[0.25, 40.0], [0.5, 42.0]], [[0.25, 40.0], [0.5, 42.0]], [[0.25, 99.0], [0.5, 42.0]]]
    base = [[[0.25, 41.0], [0.75, 1.0]], [[0.25, 40.0], [0.75, 1.0]]]
    text = page(tmp_path, [*curve('mixpro', *ours, mode='salient'), *curve('cutmix', *base, mode='salient')])
    found = row(text, 'MixPro - CutMix', measure='mean top-1: salient occlusion')
    assert found['here'].endswith('; better at 0 of 1 losses')
    apart = [*curve('mixpro', *ours), *curve('cutmix', [[0.9, 1.0]], [[0.9, 2.0]])]
    assert '; better at' not in page(tmp_path, apart)


def test_mixpro_is_compared_with_no_mixing_in_words():
    """Best of five measures that have both: no mixing, MixPro (lower), CutMix, two at once; the last has not MixPro."""
    measures = {
        'top1': dict(none=99.0, mixpro=98.0, cutmix=97.0), 'ece': dict(none=5.0, mixpro=4.0, cutmix=6.0),
        'A_top1': dict(none=10.0, mixpro=11.0, cutmix=12.0), 'O_auroc': dict(none=50.0, mixpro=60.0, cutmix=60.0001),
        'O_aupr': dict(none=50.0, cutmix=60.0),
    }  # fmt: skip
    task = {'top1': 'classification'}
    every = [
        record for metric, means in measures.items() for name, mean in means.items()
        for record in records((mean - 0.5, mean + 0.5), name, metric, task.get(metric, 'robustness'))
    ]  # fmt: skip
    assert [text.partition(' These')[0] for text in without_mixing(results_table(every))] == [
        'Against no mixing: MixPro has the better mean in 3 of 4 measures. The best mean of all methods is that of no '
        'mixing in 1, of MixPro in 1, of another in 1, shared in 1.'
    ]
    behind = [record | {'value': 20.0} if record['metric'] == 'top1' else record for record in every]
    behind = [record for record in behind if record['metric'] != 'top1' or record['pretraining'] == 'cutmix']
    (text,) = without_mixing(results_table(behind))  # CutMix has not trained: best is who has
    assert 'in 3 of 3 measures' in text and 'of MixPro in 3, of another in 0.' in text
    assert not list(without_mixing(results_table(records(BASE, 'mixpro'))))


def test_the_steps_of_the_scores_are_told_where_the_test_images_are_known(tmp_path, drawn):
    known = 'configs/digits/evidence/deit-micro_mixpro_digits-8.py'
    both = [*records(BETTER, 'mixpro', config=known), *records(BASE, 'cutmix', config=known)]
    images = np.isin(load_digit_images('test')[1], range(8)).sum()
    assert f' one clean test image of {images} is 0.35 points.' in page(tmp_path, both)
    both[0]['config'] = 'configs/digits/deit-micro_mixpro_digits.py'
    assert 'Scores come in steps' not in page(tmp_path, both)
    found = findings(results_table(both), claims_of_the_paper())
    assert cautions(found, 200)[1].endswith('one clean test image of 200 is 0.50 points.')


def test_the_page_names_what_differs_between_the_methods(tmp_path):
    text = page(tmp_path, records(BASE, 'mixpro'))
    for words in (
        'All methods have the same loss, cross entropy,',
        'TokenMix alone has a teacher: its labels come from the activation of the moving average of the model',
        'and that average is also what is tested.',
        'decided by one fixed model for all methods, a DeiT-micro trained without mixing,',
    ):
        assert words in text


def test_no_table_is_too_wide_for_a_page(tmp_path):
    """Six methods and both references: at most seven columns."""
    names = ('none', 'cutmix', 'transmix', 'tokenmix', 'maskmix', 'mixpro')
    text = page(tmp_path, [record for name in names for record in records(BASE, name)])
    assert max(len(table[0]) for table in tables(text)) <= 7
    widths = [line.count(' | ') + 1 for line in text.splitlines() if line.startswith('|')]  # equal headers count twice
    assert max(widths) == 7


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
