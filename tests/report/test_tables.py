"""Tests of means over seeds, paired differences, comparisons and the text of tables."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mixpro_mm.report import tables
from mixpro_mm.report.labels import canonical, in_order, label, measure
from mixpro_mm.report.tables import comparisons, gather, paired_difference, results_frame, results_table
from tests.report.made_up import study_record


def record(value, pretraining='mixpro', seed=0, task='segmentation', metric='mIoU', backbone='DeiT-S', **more):
    row = dict(task=task, backbone=backbone, pretraining=pretraining, metric=metric, value=value, seed=seed)
    return study_record(**row, **more)


def seeds(values, pretraining, first=0, **row):
    return [record(value, pretraining, seed=seed, **row) for seed, value in enumerate(values, start=first)]


def lines(frame):
    return [list(frame.columns), *map(list, frame.values)]


def test_seeds_become_mean_and_sample_deviation():
    """Mean 12, deviations -2, 0, 2: sqrt(8 / 2) = 2; the population formula would give 1.63. Both have seed 0."""
    table = results_table([*seeds((10.0, 12.0, 14.0), 'MixPro'), record(9.5, 'Scratch')])
    (cells,) = table.values()
    assert cells['mixpro'] == (12.0, 2.0, {0: 10.0, 1: 12.0, 2: 14.0}, None)
    assert lines(results_frame(table)) == [
        ['backbone', 'metric', 'scratch', 'MixPro', 'MixPro - scratch'],
        ['DeiT-S', 'mIoU', '9.5', '12.0 ± 2.0 (n=3)', '+0.5'],
    ]
    assert cells['mixpro'].text(0.04) == '12.0 ± 2.0 (n=3, 0.0)' and cells['scratch'].text(-1.26) == '9.5 (-1.3)'


def test_a_run_without_a_finite_result_is_shown():
    table = results_table([*seeds((10.0, math.nan), 'mixpro'), *seeds((math.nan, 9.0), 'scratch')])
    assert lines(results_frame(table))[1][2:] == ['nan ± nan (n=2)', 'nan ± nan (n=2)', '+nan']
    assert lines(comparisons(table))[1][2:] == ['MixPro - scratch', '+nan ± nan', '-', '-', '2']


def test_order_of_rows_and_columns():
    tasks = ('robustness', 'new', 'detection', 'classification')
    table = results_table([record(1.0, task=task, metric=m) for task in tasks for m in ('b', 'a')])
    assert [task for task, *_ in table][::2] == ['classification', 'detection', 'robustness', 'new']
    assert [metric for _, _, metric in table][:2] == ['b', 'a']
    methods = ['mixpro', 'new', 'maskmix', 'other', 'transmix', 'none', 'scratch', 'new']
    assert in_order(methods) == ['scratch', 'none', 'transmix', 'maskmix', 'new', 'other', 'mixpro']


def test_published_numbers_are_next_to_measured_ones():
    table = results_table([
        record(79.0, 'baseline', published=79.8), record(80.9, published=81.3), record(76.0, backbone='DeiT-T'),
        record(70.0, 'transmix', backbone='DeiT-T'),
    ])  # fmt: skip
    assert lines(results_frame(table)) == [
        ['backbone', 'metric', 'baseline', 'baseline, paper', 'TransMix', 'MixPro', 'MixPro, paper',
         'MixPro - baseline'],
        ['DeiT-S', 'mIoU', '79.0', '79.8', '-', '80.9', '81.3', '+1.9'],
        ['DeiT-T', 'mIoU', '-', '-', '70.0', '76.0', '-', '-'],
    ]  # fmt: skip


def test_methods_are_compared_with_the_reference_and_mixpro_with_all():
    """Only the spread of the differences counts, not the ten points between seeds. The 90 has no pair."""
    found = comparisons(results_table([
        *seeds((30.0, 40.0, 50.0), 'cutmix'), *seeds((39.0, 50.0, 61.0, 90.0), 'mixpro'),
        *seeds((31.0, 41.0, 51.0), 'transmix'), *seeds((1.0, 2.0), 'none', first=3),
        *seeds((3.0, 2.0, 4.0), 'mixpro', metric='ece', task='robustness'),
        *seeds((3.0, 4.0, 5.0), 'cutmix', metric='ece', task='robustness'),
    ]))  # fmt: skip
    assert lines(found) == [
        ['metric', 'backbone', 'difference', 'mean ± sd', '95 % interval', 'detectable', 'n'],
        ['mIoU', 'DeiT-S', 'TransMix - CutMix', '+1.00 ± 0.00', '-', '-', '3'],
        ['mIoU', 'DeiT-S', 'MixPro - CutMix', '+10.00 ± 1.00', '+7.52 to +12.48', '2.48', '3'],
        ['mIoU', 'DeiT-S', 'MixPro - TransMix', '+9.00 ± 1.00', '+6.52 to +11.48', '2.48', '3'],
        ['ECE (lower is better)', 'DeiT-S', 'MixPro - CutMix', '-1.00 ± 1.00', '-3.48 to +1.48', '2.48', '3'],
    ]


def test_a_paired_difference_worked_by_hand():
    """Differences are 1, 2, 6: mean 3, sd sqrt((4 + 1 + 9) / 2). Seeds without a pair do not count."""
    found = paired_difference({7: 51.0, None: 62.0, 5: 76.0, 8: 90.0}, {None: 60.0, 5: 70.0, 7: 50.0, 9: -90.0})
    assert (found.n, found.mean, found.sd) == (3, pytest.approx(3), pytest.approx(math.sqrt(7)))
    half = 4.302653 * math.sqrt(7 / 3)  # t(2), two-sided 95 %, from a printed table
    assert (found.low, found.high) == pytest.approx((3 - half, 3 + half), rel=1e-6)
    expected = stats.ttest_1samp([1, 2, 6], 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_differences_that_are_equal_up_to_rounding_have_no_interval():
    values, base = {0: 98.9474, 1: 99.6491, 2: 98.5965}, {0: 98.2456, 1: 98.9474, 2: 97.8947}  # two of 285 images
    for found in (paired_difference(values, base), paired_difference(values, values)):
        assert found.sd == 0 and np.isnan(found[-2:]).all()
    found = paired_difference({0: 51.0, 1: 51.001, 2: 50.999}, dict.fromkeys(range(3), 50.0))
    assert found.sd == pytest.approx(1e-3) and found.low > 0.99


def test_a_difference_of_one_seed_or_without_a_finite_value_has_no_interval():
    assert paired_difference({0: 1.0, 1: 3.0}, {1: 2.0, 3: 1.0})[:2] == (1, 1.0)
    assert paired_difference({0: 1.0}, {1: 2.0}) is None
    for found in (paired_difference({1: 3.0}, {1: 2.0}), paired_difference({0: 1.0, 1: math.inf}, {0: 1.0, 1: 2.0})):
        assert np.isnan(found[2:]).all() and found.texts()[:2] == ('-', '-')


def test_contradictory_records_raise():
    twice = [record(1.0, seed=3, source='a.json'), record(2.0, seed=3, source='b.json')]
    with pytest.raises(ValueError, match=r'mIoU of configs/mine/vit\.py .*seed 3, 1 and 2; .* a\.json and b\.json'):
        gather((('key',), each) for each in twice)
    same = [record(1.0), record(1.0 + 1e-9), record(math.nan, seed=1), record(math.nan, seed=1)]
    assert list(gather((('key',), each) for each in same)['key',].seeds) == [0, 1]


def test_labels():
    assert [measure(name) for name in ('O_fpr95', 'top1')] == ['out of distribution: FPR95 (lower is better)', 'top-1']
    assert [label('none'), label('new')] == ['no mixing', 'new']
    assert [canonical(name) for name in ('No Mixing', 'CUTMIX', 'My own')] == ['none', 'cutmix', 'My own']


def test_numbers_are_aligned_right_and_text_is_escaped():
    rows = [['<b>_a|b*/c_d', '1.0 ± 0.2 (n=3)', '-', 'nan'], ['2 x', '+1.00 to 2', '-', '5']]
    frame = pd.DataFrame(rows, columns=list('wxyz'))
    assert tables.numeric_columns(frame) == {1, 2, 3}
    assert tables.markdown_table(frame).splitlines()[1:3] == [
        '| --- | ---: | ---: | ---: |', r'| \<b\>\_a\|b\*/c_d | 1.0 ± 0.2 (n=3) | - | nan |',
    ]  # fmt: skip
