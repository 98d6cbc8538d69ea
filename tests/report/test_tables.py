import math

import pandas as pd
import pytest

from mixpro_mm.report.labels import canonical, in_order, label, measure
from mixpro_mm.report.tables import comparisons, gather, markdown_table, numeric_columns, results_table, signed
from tests.report.made_up import study_record


def record(value, pretraining='mixpro', seed=0, task='segmentation', metric='mIoU', backbone='DeiT-S', **more):
    return study_record(
        task=task, backbone=backbone, pretraining=pretraining, metric=metric, value=value, seed=seed, **more
    )


def seeds(values, pretraining, first=0, **row):
    return [record(value, pretraining, seed=seed, **row) for seed, value in enumerate(values, start=first)]


def lines(frame):
    return [list(frame.columns), *map(list, frame.values)]


def test_several_seeds_become_mean_and_sample_deviation():
    """By hand: mean 12, deviations -2, 0, 2, so sqrt(8 / 2) = 2; the population formula would give 1.63."""
    table = results_table([*seeds((10.0, 12.0, 14.0), 'mixpro'), record(9.5, 'scratch')])
    cell = table.rows[0].cells['mixpro']
    assert (cell.mean, cell.std, cell.count, cell.seeds) == (12.0, 2.0, 3, {0: 10.0, 1: 12.0, 2: 14.0})
    assert lines(table.frame()) == [
        ['backbone', 'metric', 'scratch', 'MixPro', 'MixPro - scratch'],
        ['DeiT-S', 'mIoU', '9.5', '12.0 ± 2.0 (n=3)', '+2.5'],
    ]
    assert (
        cell.text(gain=0.04) == '12.0 ± 2.0 (n=3, 0.0)' and table.rows[0].cells['scratch'].text(-1.26) == '9.5 (-1.3)'
    )


def test_a_run_without_a_number_is_shown():
    table = results_table([*seeds((10.0, math.nan), 'mixpro'), record(math.inf, 'scratch')])
    assert lines(table.frame())[1][2:] == ['nan', 'nan ± nan (n=2)', '+nan'] and comparisons(table) == {}


@pytest.mark.parametrize('written', ['MixPro', 'MIXPRO', 'mixpro'])
def test_a_pretraining_is_one_column_in_any_case(written):
    table = results_table([record(33.3, written), record(30.0, 'Scratch'), record(35.3, 'mixpro', seed=1)])
    assert table.pretrainings == ('scratch', 'mixpro')
    assert table.rows[0].cells['mixpro'].mean == pytest.approx(34.3)


def test_rows_and_columns_keep_their_order():
    tasks = ('robustness', 'new', 'detection', 'classification')
    table = results_table([record(1.0, task=task, metric=m) for task in tasks for m in ('b', 'a')])
    assert [row.task for row in table.rows[::2]] == ['classification', 'detection', 'robustness', 'new']
    assert [row.metric for row in table.rows[:2]] == ['b', 'a'] and list(table.by_task()) == [
        row.task for row in table.rows[::2]
    ]
    methods = ['mixpro', 'new', 'maskmix', 'tokenmix', 'other', 'transmix', 'cutmix', 'none', 'scratch', 'new']
    assert in_order(methods) == [
        'scratch', 'none', 'cutmix', 'transmix', 'tokenmix', 'maskmix', 'new', 'other', 'mixpro',
    ]  # fmt: skip


def test_a_published_number_stands_beside_its_own():
    table = results_table([
        record(79.0, 'baseline', published=79.8), record(80.9, published=81.3), record(76.0, backbone='DeiT-T'),
        record(70.0, 'transmix', backbone='DeiT-T'), record(1.0, task='detection'),
    ])  # fmt: skip
    part = table.by_task()['segmentation']
    assert table.has_published and not table.by_task()['detection'].has_published
    assert lines(part.frame()) == [
        ['backbone', 'metric', 'baseline', 'baseline, paper', 'TransMix', 'MixPro', 'MixPro, paper',
         'MixPro - baseline'],
        ['DeiT-S', 'mIoU', '79.0', '79.8', '-', '80.9', '81.3', '+1.9'],
        ['DeiT-T', 'mIoU', '-', '-', '70.0', '76.0', '-', '-'],
    ]  # fmt: skip


def test_methods_are_compared_with_the_reference_and_mixpro_with_all():
    """The spread over seeds is ten points either side; only that of the differences counts. The 90 has no pair."""
    table = results_table([
        *seeds((30.0, 40.0, 50.0), 'cutmix'), *seeds((39.0, 50.0, 61.0, 90.0), 'mixpro'),
        *seeds((31.0, 41.0, 51.0), 'transmix'), *seeds((1.0, 2.0), 'none', first=3),
        *seeds((3.0, 2.0, 4.0), 'mixpro', metric='ece', task='robustness'),
        *seeds((3.0, 4.0, 5.0), 'cutmix', metric='ece', task='robustness'),
    ])  # fmt: skip
    found = comparisons(table)
    assert list(found) == ['Segmentation, DeiT-S', 'Robustness, DeiT-S']
    assert lines(found['Segmentation, DeiT-S']) == [
        ['metric', 'difference', 'mean ± sd', '95 % interval', 'n', 'detectable'],
        ['mIoU', 'TransMix - CutMix', '+1.00 ± 0.00', '-', '3', '-'],
        ['mIoU', 'MixPro - CutMix', '+10.00 ± 1.00', '+7.52 to +12.48', '3', '2.48'],
        ['mIoU', 'MixPro - TransMix', '+9.00 ± 1.00', '+6.52 to +11.48', '3', '2.48'],
    ]
    assert lines(found['Robustness, DeiT-S'])[1][:3] == [
        'ECE (lower is better)', 'MixPro - CutMix', '-1.00 ± 1.00',
    ]  # fmt: skip


def test_no_records_and_two_of_one_seed_are_refused():
    with pytest.raises(ValueError, match='no results to report'):
        results_table([])
    with pytest.raises(ValueError, match=r'mIoU of configs/mine/vit\.py .*mixpro.* seed 3, 1 and 2'):
        results_table([record(1.0, seed=3), record(2.0, seed=3)])
    twice = [record(1.0, source='a.json'), record(2.0, source='b.json')]
    with pytest.raises(ValueError, match=r'give only one of a\.json and b\.json'):
        gather((('key',), each) for each in twice)
    same = [record(1.0), record(1.0 + 1e-9), record(math.nan, seed=1), record(math.nan, seed=1)]
    assert gather((('key',), each) for each in same)['key',].count == 2


def test_labels_and_directions():
    metrics = ('mIoU', 'bbox_mAP', 'A_top1', 'A_rms_calibration_error', 'A_aurra', 'O_aupr', 'O_fpr95', 'ece', 'new')
    lower = [name for name in metrics if measure(name) == f'{label(name)} (lower is better)']
    assert lower == ['A_rms_calibration_error', 'O_fpr95', 'ece']
    assert [measure(name) for name in ('O_fpr95', 'top1')] == ['out of distribution: FPR95 (lower is better)', 'top-1']
    assert [label('none'), label('new')] == ['no mixing', 'new']
    assert [canonical(name) for name in ('No Mixing', 'CUTMIX', 'My own')] == ['none', 'cutmix', 'My own']
    assert [signed(value) for value in (1.26, -1.26, -0.04, 0.04, None)] == ['+1.3', '-1.3', '0.0', '0.0', '-']


def test_numbers_are_aligned_right_and_text_is_escaped():
    frame = pd.DataFrame(
        [['<b>_a|b*/c_d', '1.0 ± 0.2 (n=3)', '-', 'nan'], ['2 x', '+1.00 to 2', '-', '5']], columns=list('wxyz')
    )
    assert numeric_columns(frame) == {1, 2, 3}
    assert markdown_table(frame.columns, frame.values, {1}).splitlines()[1:3] == [
        '| --- | ---: | --- | --- |', r'| \<b\>\_a\|b\*/c_d | 1.0 ± 0.2 (n=3) | - | nan |',
    ]  # fmt: skip
