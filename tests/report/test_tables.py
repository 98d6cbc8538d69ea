import math

import pytest

from mixpro_mm.report.labels import label, lower_is_better, measure
from mixpro_mm.report.tables import html_table, markdown_table, results_table, signed, summary

METRICS = (
    'top1', 'mIoU', 'mIoU (MS)', 'bbox_mAP', 'segm_mAP', 'occlusion_random', 'occlusion_salient',
    'occlusion_non-salient', 'A_top1', 'A_rms_calibration_error', 'A_aurra', 'O_aupr', 'O_auroc', 'O_fpr95', 'ece',
)  # fmt: skip


def record(value, pretraining='mixpro', seed=0, task='segmentation', metric='mIoU', backbone='DeiT-S', published=None):
    origin = {'config': 'configs/x.py', 'checkpoint_sha256': 'ab' * 32}
    return origin | {
        'task': task, 'backbone': backbone, 'pretraining': pretraining, 'metric': metric, 'value': value, 'seed': seed,
    } | ({} if published is None else {'published': published})  # fmt: skip


def sentence(*records):
    (text,) = summary(results_table(list(records)))
    return text


def test_no_records_is_one_clear_sentence():
    with pytest.raises(ValueError, match=r'^No results to report: the list of records is empty\.$'):
        results_table([])


def test_two_results_for_one_seed_are_refused():
    with pytest.raises(ValueError, match='segmentation / DeiT-S / mIoU / mixpro with seed 3'):
        results_table([record(1.0, seed=3), record(2.0, seed=3)])


@pytest.mark.parametrize('written', ['MixPro', 'MIXPRO', 'mixpro'])
def test_a_pretraining_is_one_column_in_any_case(written):
    table = results_table([record(33.3, written), record(30.0, 'Scratch'), record(35.3, 'mixpro', seed=1)])
    assert table.pretrainings == ('scratch', 'mixpro')
    assert table.rows[0].cells['mixpro'].mean == pytest.approx(34.3)
    assert 'no MixPro result' not in summary(table)[0]


def test_several_seeds_become_mean_and_sample_deviation():
    # by hand: mean 12, deviations -2, 0, 2, so sqrt(8 / 2) = 2 (the population formula would give 1.63)
    records = [record(value, seed=seed) for seed, value in enumerate((10.0, 12.0, 14.0))]
    table = results_table([*records, record(9.5, 'scratch')])
    cell = table.rows[0].cells['mixpro']
    assert (cell.mean, cell.std, cell.count) == (12.0, 2.0, 3)
    assert table.seeds_repeated
    assert table.grid() == (
        ['task', 'backbone', 'metric', 'scratch', 'MixPro', 'MixPro - scratch'],
        [['Segmentation', 'DeiT-S', 'mIoU', '9.5', '12.0 ± 2.0 (n=3)', '+2.5']],
    )


def test_rows_and_columns_keep_their_order():
    table = results_table([
        record(50.0, 'mixpro', task='detection', metric='bbox_mAP', backbone='PVT'),
        record(45.0, 'mixpro', task='detection', metric='segm_mAP', backbone='PVT'),
        record(40.0, 'mixpro'), record(38.0, 'cutmix'), record(30.0, 'scratch'),
        record(96.0, 'mixpro', task='classification', metric='top1'),
    ])  # fmt: skip
    assert table.pretrainings == ('scratch', 'cutmix', 'mixpro')
    methods = ['mixpro', 'new', 'maskmix', 'tokenmix', 'transmix', 'cutmix', 'none', 'scratch']
    assert results_table([record(1.0, name) for name in methods]).pretrainings == (
        'scratch', 'none', 'cutmix', 'transmix', 'tokenmix', 'maskmix', 'new', 'mixpro',
    )  # fmt: skip
    rows = results_table([record(1.0, task=task) for task in ('robustness', 'new', 'detection', 'classification')]).rows
    assert [row.task for row in rows] == ['classification', 'detection', 'robustness', 'new']
    assert [(row.task, row.metric) for row in table.rows] == [
        ('classification', 'top1'), ('segmentation', 'mIoU'), ('detection', 'bbox_mAP'), ('detection', 'segm_mAP'),
    ]  # fmt: skip
    assert not table.seeds_repeated


def test_difference_column_only_where_something_is_compared():
    header, body = results_table([record(96.0, task='classification', metric='top1')]).grid()
    assert header == ['task', 'backbone', 'metric', 'MixPro']
    assert body == [['Classification', 'DeiT-S', 'top-1', '96.0']]


def test_signed():
    assert [signed(value) for value in (1.26, -1.26, -0.04, 0.04, None)] == ['+1.3', '-1.3', '0.0', '0.0', '-']


def test_gain_reads_plainly():
    assert sentence(record(41.2), record(30.1, 'scratch')) == (
        'Segmentation with DeiT-S: 41.2 mIoU from the MixPro checkpoint, '
        '30.1 from scratch (+11.1; one seed says nothing about chance).'
    )


@pytest.mark.parametrize(('value', 'shown'), [(60.1, '+30.0'), (30.9, '+0.8'), (30.1, '0.0'), (28.0, '-2.1')])
def test_a_single_seed_says_nothing_about_chance_however_large_the_difference(value, shown):
    text = sentence(record(value), record(30.1, 'scratch'))
    assert text.endswith(f'({shown}; one seed says nothing about chance).')


def seeds(values, pretraining, first=0, **row):
    return [record(value, pretraining, seed=seed, **row) for seed, value in enumerate(values, start=first)]


# differences by hand: mean +- t(2) * sd / sqrt(3), t(2) = 4.303; +1 +2 +3 has sd 1, so +-2.5; +9 +10 +11 likewise
@pytest.mark.parametrize(
    ('mixpro', 'says'),
    [
        ((31.0, 42.0, 53.0), '+2.0, 95 % interval -0.5 to +4.5 over 3 seeds: undecided at this size'),
        ((39.0, 50.0, 61.0), '+10.0, 95 % interval +7.5 to +12.5 over 3 seeds: MixPro is better here'),
        ((19.0, 30.0, 41.0), '-10.0, 95 % interval -12.5 to -7.5 over 3 seeds: MixPro is worse here'),
    ],
)
def test_repeated_seeds_are_paired_and_judged(mixpro, says):
    """The spread over seeds is ten points either side; only that of the differences counts."""
    assert f'({says})' in sentence(*seeds(mixpro, 'mixpro'), *seeds((30.0, 40.0, 50.0), 'cutmix'))


def test_the_verdict_turns_where_lower_is_better():
    both = [*seeds((39.0, 50.0, 61.0), 'mixpro', metric='ece'), *seeds((30.0, 40.0, 50.0), 'cutmix', metric='ece')]
    assert 'ECE (lower is better)' in sentence(*both) and 'MixPro is worse here' in sentence(*both)


def test_only_seeds_of_both_sides_are_paired():
    """The unpaired 90 would make the difference of the means +32."""
    text = sentence(*seeds((39.0, 50.0, 61.0, 90.0), 'mixpro'), *seeds((30.0, 40.0, 50.0), 'cutmix'))
    assert '(+10.0, 95 % interval +7.5 to +12.5 over 3 seeds' in text
    apart = sentence(*seeds((39.0, 50.0), 'mixpro'), *seeds((30.0, 40.0), 'cutmix', first=2))
    assert '(+9.5; no seed in common says nothing about chance)' in apart
    shared = sentence(*seeds((39.0, 50.0), 'mixpro'), *seeds((30.0, 40.0), 'cutmix', first=1))
    assert '; one seed says nothing about chance)' in shared


def test_other_methods_are_compared_as_well():
    text = sentence(record(41.0), record(43.0, 'cutmix'), record(29.0, 'none'), record(30.0, 'scratch'))
    one = '; one seed says nothing about chance'
    assert text.endswith(
        f'29.0 from the checkpoint without mixing (+12.0{one}), 30.0 from scratch (+11.0{one}), '
        f'43.0 from the CutMix checkpoint (-2.0{one}).'
    )


def test_labels_and_directions():
    keys = ['none', 'maskmix', 'tokenmix', 'robustness', 'A_top1', 'O_aupr', 'unheard_of']
    assert [label(key) for key in keys] == [
        'no mixing', 'MaskMix', 'TokenMix', 'Robustness', 'adversarial set: top-1', 'out of distribution: AUPR',
        'unheard_of',
    ]  # fmt: skip
    lower = [key for key in METRICS if lower_is_better(key)]
    assert lower == ['A_rms_calibration_error', 'O_fpr95', 'ece']
    assert [measure(key) for key in ('O_fpr95', 'top1')] == ['out of distribution: FPR95 (lower is better)', 'top-1']
    assert all(label(key) != key for key in METRICS if key not in ('mIoU', 'mIoU (MS)'))


def test_missing_mixpro_and_missing_numbers_are_said():
    assert sentence(record(43.0, 'cutmix')) == (
        'Segmentation with DeiT-S: 43.0 mIoU from the CutMix checkpoint; no MixPro result.'
    )
    assert sentence(record(79.8, 'cutmix', task='classification', metric='top1')) == (
        'Classification with DeiT-S: 79.8 top-1 with CutMix; no MixPro result.'
    )
    assert '(+nan: a run gave no number)' in sentence(record(math.nan), record(30.0, 'scratch'))


def test_renderers_escape_and_align():
    header, rows = ['name', 'value'], [['<b>_a|b*/c_d', '1.0']]
    html = html_table(header, rows, (1,))
    assert '<td>&lt;b&gt;_<wbr>a|b*/<wbr>c_<wbr>d</td><td class="number">1.0</td>' in html
    assert markdown_table(header, rows, (1,)).splitlines() == [
        '| name | value |', '| --- | ---: |', r'| \<b\>\_a\|b\*/c_d | 1.0 |',
    ]  # fmt: skip


def top1(value, pretraining, published=None, **row):
    return record(value, pretraining, task='classification', metric='top1', published=published, **row)


def test_published_numbers_stand_beside_the_measured_with_the_difference():
    table = results_table([
        top1(79.0, 'baseline', 79.8), top1(80.9, 'mixpro', 81.3), top1(76.0, 'mixpro', 73.8, backbone='DeiT-T'),
        record(47.4, 'official', published=47.3, backbone='R-101'), record(44.0, 'mixpro'),
    ])  # fmt: skip
    assert table.has_published
    header, body = table.grid()
    assert header == [
        'task', 'backbone', 'metric', 'official', 'official, paper', 'official, here - paper', 'baseline',
        'baseline, paper', 'baseline, here - paper', 'MixPro', 'MixPro, paper', 'MixPro, here - paper',
        'MixPro - baseline', 'MixPro - baseline, paper',
    ]  # fmt: skip
    assert len(set(header)) == len(header)
    none = ['-', '-', '-']
    assert [row[1:] for row in body] == [
        ['DeiT-S', 'top-1', *none, '79.0', '79.8', '-0.8', '80.9', '81.3', '-0.4', '+1.9', '+1.5'],
        ['DeiT-T', 'top-1', *none, *none, '76.0', '73.8', '+2.2', '-', '-'],
        ['DeiT-S', 'mIoU', *none, *none, '44.0', '-', '-', '-', '-'],
        ['R-101', 'mIoU', '47.4', '47.3', '+0.1', *none, *none, '-', '-'],
    ]


def test_only_columns_with_a_published_number_are_added():
    header, body = results_table([top1(79.0, 'transmix'), top1(80.9, 'mixpro', 81.3)]).grid()
    assert header[3:] == ['TransMix', 'MixPro', 'MixPro, paper', 'MixPro, here - paper']
    assert body[0][3:] == ['79.0', '80.9', '81.3', '-0.4']
    plain = results_table([top1(79.0, 'transmix'), top1(80.9, 'mixpro')])
    assert not plain.has_published and plain.grid()[0][3:] == ['TransMix', 'MixPro']


def test_several_seeds_share_a_published_number():
    records = [top1(value, 'mixpro', 81.3, seed=seed) for seed, value in enumerate((80.0, 82.0, 84.0))]
    assert results_table(records).grid()[1][0][3:] == ['82.0 ± 2.0 (n=3)', '81.3', '+0.7']
    with pytest.raises(ValueError, match=r'Two published numbers for .*top1 / mixpro: 81\.3 and 80\.0'):
        results_table([*records, top1(81.0, 'mixpro', 80.0, seed=3)])


def test_the_summary_adds_what_the_paper_has():
    assert sentence(top1(79.0, 'baseline', 79.8), top1(80.9, 'mixpro', 81.3)) == (
        'Classification with DeiT-S: 80.9 top-1 with MixPro, '
        '79.0 with baseline (+1.9; one seed says nothing about chance). '
        'In the paper: 81.3 for MixPro (0.4 lower here), 79.8 for baseline (0.8 lower here).'
    )
    assert sentence(record(47.4, 'official', published=47.3, metric='mIoU (MS)')).endswith(
        '47.4 mIoU (MS) from the official checkpoint; no MixPro result. '
        'In the paper: 47.3 for official (0.1 higher here).'
    )
    assert sentence(top1(81.34, 'mixpro', 81.3)).endswith('In the paper: 81.3 for MixPro (the same here).')
    assert sentence(top1(math.nan, 'mixpro', 81.3)).endswith('In the paper: 81.3 for MixPro (no number here).')


def test_a_table_for_each_task_has_only_what_occurs_there():
    table = results_table([
        top1(79.0, 'baseline', 79.8), top1(80.9, 'mixpro', 81.3), record(44.0, 'mixpro'), record(40.0, 'scratch'),
    ])  # fmt: skip
    parts = table.by_task()
    assert list(parts) == ['classification', 'segmentation']
    assert parts['classification'].pretrainings == ('baseline', 'mixpro')
    assert parts['segmentation'].grid(with_task=False) == (
        ['backbone', 'metric', 'scratch', 'MixPro', 'MixPro - scratch'],
        [['DeiT-S', 'mIoU', '40.0', '44.0', '+4.0']],
    )


def test_rows_are_compared_where_pretrainings_link_them():
    """B shares a column with A and one with C; R stands for itself, though it comes second."""
    cells = (('A', 'baseline'), ('R', 'official'), ('C', 'mixpro'), ('B', 'baseline'), ('B', 'mixpro'))
    table = results_table([top1(80.0, name, backbone=backbone) for backbone, name in cells])
    parts = table.compared()
    assert [[row.backbone for row in part.rows] for part in parts] == [['A', 'C', 'B'], ['R']]
    assert [part.pretrainings for part in parts] == [('baseline', 'mixpro'), ('official',)]
