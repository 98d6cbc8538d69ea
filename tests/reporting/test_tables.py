import math

import pytest

from mixpro_mm.reporting.tables import html_table, markdown_table, results_table, signed, summary


def record(value, pretraining='mixpro', seed=0, task='segmentation', metric='mIoU', backbone='DeiT-S'):
    return {
        'task': task, 'backbone': backbone, 'pretraining': pretraining, 'metric': metric, 'value': value, 'seed': seed,
        'config': 'configs/x.py', 'checkpoint_sha256': 'ab' * 32,
    }  # fmt: skip


def sentence(*records):
    (text,) = summary(results_table(list(records)))
    return text


def test_no_records_is_one_clear_sentence():
    with pytest.raises(ValueError, match=r'^No results to report: the list of records is empty\.$'):
        results_table([])


def test_two_results_for_one_seed_are_refused():
    with pytest.raises(ValueError, match='segmentation / DeiT-S / mIoU / mixpro with seed 3'):
        results_table([record(1.0, seed=3), record(2.0, seed=3)])


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
        'Segmentation with DeiT-S: 41.2 mIoU from the MixPro checkpoint, 30.1 from scratch (+11.1).'
    )


def test_loss_is_called_worse():
    assert sentence(record(28.0), record(30.1, 'scratch')).endswith('30.1 from scratch (-2.1, MixPro is worse here).')


@pytest.mark.parametrize(('value', 'shown'), [(30.9, '+0.8'), (29.3, '-0.8'), (30.1, '0.0')])
def test_less_than_a_point_is_no_clear_difference(value, shown):
    text = sentence(record(value), record(30.1, 'scratch'))
    assert text.endswith(f'({shown}, less than one point: no clear difference).')


def test_a_gain_within_the_spread_is_no_clear_difference():
    mixpro = [record(value, seed=seed) for seed, value in enumerate((28.0, 36.0))]
    scratch = [record(value, 'scratch', seed=seed) for seed, value in enumerate((29.0, 31.0))]
    assert '(+2.0, within the spread over seeds: no clear difference)' in sentence(*mixpro, *scratch)


def test_other_methods_are_compared_as_well():
    text = sentence(record(41.0), record(43.0, 'cutmix'), record(30.0, 'scratch'))
    assert text.endswith('30.0 from scratch (+11.0), 43.0 from the CutMix checkpoint (-2.0, MixPro is worse here).')


def test_missing_mixpro_and_missing_numbers_are_said():
    assert sentence(record(43.0, 'cutmix')) == 'Segmentation with DeiT-S: 43.0 mIoU with CutMix; no MixPro result.'
    assert '(+nan: a run gave no number)' in sentence(record(math.nan), record(30.0, 'scratch'))


def test_renderers_escape_and_align():
    header, rows = ['name', 'value'], [['<b>_a|b*/c_d', '1.0']]
    html = html_table(header, rows, (1,))
    assert '<td>&lt;b&gt;_<wbr>a|b*/<wbr>c_<wbr>d</td><td class="number">1.0</td>' in html
    assert markdown_table(header, rows, (1,)).splitlines() == [
        '| name | value |', '| --- | ---: |', r'| \<b\>\_a\|b\*/c_d | 1.0 |',
    ]  # fmt: skip
