"""Tests of logs in work directories and of the names of runs."""

import math
from pathlib import Path

import pytest

from mixpro_mm.report.figures import logs

TOP1 = 'accuracy/top1'


def test_a_resumed_run_replaces_records(write_log, tmp_path):
    later = [(step, 1, dict(loss=loss)) for step, loss in ((30, 3.2), (40, 2.2))]
    write_log('run', later, [(1, {TOP1: 30})], '2', '{"lo')
    first = [(step, 1, dict(loss=loss)) for step, loss in ((20, 4.0), (10, 5.0), (30, 3.0))]
    records = logs.read_scalars(write_log('run', first, [(1, {TOP1: 10}), (30, {TOP1: 20})], '1'))
    assert logs.series(records, 'iter', 'loss') == {10: 5.0, 20: 4.0, 30: 3.2, 40: 2.2}
    assert logs.series(records, 'step', TOP1) == {1: 30}
    again = [(step, step, dict(loss=1.0)) for step in (1, 2)]
    records = logs.read_scalars(write_log('run', again, [(2, {TOP1: 12})], '3'))  # from scratch
    assert logs.series(records, 'iter', 'loss') == {1: 1.0, 2: 1.0} and logs.series(records, 'step', TOP1) == {2: 12}
    assert logs.read_scalars(tmp_path / 'never-started') == []


def test_epoch_means_are_of_finite_values():
    losses = [(1, 1, 2.0), (2, 1, 4.0), (3, 2, 7.0), (4, 2, math.nan)]
    records = [dict(iter=step, step=step, epoch=epoch, loss=loss) for step, epoch, loss in losses]
    assert logs.epoch_means([*records, dict(mIoU=1, step=1)], 'loss') == {1: 3.0, 2: 7.0}


@pytest.mark.parametrize(
    ('texts', 'names'),
    [
        (('deit_mixpro_digits', 'deit_none_digits'), ['MixPro', 'no mixing']),
        (('a_b', 'a_b_c'), ['a_b', 'a_b_c']),
        (('deit_mixpro', 'pvt_cutmix'), ['deit, MixPro', 'pvt, CutMix']),
        (('mixpro', 'a_b'), ['MixPro', 'a, b']),
        (('k/run', 'm/run'), ['k', 'm']),
        (('net_none_s0', 'net_none_s1', 'net_mixpro_seed-12'), ['no mixing', 'no mixing', 'MixPro']),
        (('demo/net_s0', 'demo/net_s1', 'other/net_s0'), ['demo', 'demo', 'other']),
        (('Ours=demo/a', 'Ours=other/b', 'b_c'), ['Ours', 'Ours', 'b, c']),
    ],
)
def test_names_are_given_or_the_words_that_differ(tmp_path, texts, names):
    given, paths = zip(*(logs.split_name(text) for text in texts), strict=True)
    assert logs.display_names(given, [tmp_path / path for path in paths]) == names


def test_folders_without_a_log_and_names_with_a_sign(tmp_path):
    for folder in (tmp_path, tmp_path / 'nowhere'):
        with pytest.raises(ValueError, match=f'{folder.name} has no log'):
            logs.named_runs([str(folder)])
    (tmp_path / 'lr=1').mkdir()
    assert logs.split_name(f'{tmp_path}/lr=1') == (None, tmp_path / 'lr=1')
    assert logs.split_name('a=b/c') == ('a', Path('b/c'))
