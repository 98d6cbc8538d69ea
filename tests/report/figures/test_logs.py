"""Tests of logs in work directories and of the names of runs."""

import math

import pytest

from mixpro_mm.report.figures import logs

TOP1 = 'accuracy/top1'


def test_a_resumed_run_replaces_records_from_its_first_step_on(write_log, tmp_path):
    write_log('run', [(step, None, dict(loss=loss)) for step, loss in ((30, 3.2), (40, 2.2))], stamp='2', tail='{"lo')
    first = [(step, None, dict(loss=loss)) for step, loss in ((20, 4.0), (10, 5.0), (30, 3.0), (50, 9.0))]
    folder = write_log('run', first, stamp='1')
    assert logs.series(logs.read_scalars(folder), 'iter', 'loss') == {10: 5.0, 20: 4.0, 30: 3.2, 40: 2.2}
    assert logs.read_scalars(tmp_path / 'never-started') == []
    train = [(4, 1, dict(loss=2.0)), (8, 2, dict(loss=1.5)), (12, 3, dict(loss=1.0))]
    write_log('validated', train, [(1, {TOP1: 10}), (2, {TOP1: 20})], stamp='1')
    folder = write_log('validated', [(8, 2, dict(loss=1.4))], stamp='2')  # resumed, killed before it validated
    assert logs.series(logs.read_scalars(folder), 'step', TOP1) == {1: 10}


def test_epoch_means_are_of_finite_values():
    losses = [(1, 1, 2.0), (2, 1, 4.0), (3, 2, 7.0), (4, 2, math.nan)]
    records = [dict(iter=step, step=step, epoch=epoch, loss=loss) for step, epoch, loss in losses]
    records.append(dict(mIoU=1, step=1))
    assert logs.by_epoch(records) and logs.epoch_means(records, 'loss') == {1: 3.0, 2: 7.0}
    records = [dict(iter=10, step=10, loss=2.0), dict(iter=20, step=20, loss=1.0)]
    assert not logs.by_epoch(records) and logs.epoch_means(records, 'loss') == {10: 2.0, 20: 1.0}


@pytest.mark.parametrize(
    ('stems', 'names'),
    [
        (('deit_mixpro_digits-8', 'deit_none_digits-8'), ['MixPro', 'no mixing']),
        (('a_b', 'a_b'), ['a_b', 'a_b']),
        (('a_b', 'a_b_c'), ['a_b', 'a_b_c']),
        (('deit_mixpro', 'pvt_cutmix'), ['deit, MixPro', 'pvt, CutMix']),
        (('deit_none', 'deit_no mixing'), ['deit_none', 'deit_no mixing']),  # the labels are equal
        (('mixpro', 'a_b'), ['MixPro', 'a_b']),
    ],
)
def test_names_are_the_words_that_differ(stems, names):
    assert logs.display_names([None, None], stems) == names


def test_equal_names_become_paths(tmp_path):
    paths = [tmp_path / 'k' / 'run', tmp_path / 'm' / 'run', tmp_path / 'm' / 'run']
    assert logs.display_names([None, None, 'Ours'], ['a', 'a', 'a'], paths) == ['k', 'm', 'Ours']


@pytest.mark.parametrize(
    ('texts', 'names'),
    [
        (('net_none_s0', 'net_none_s1', 'net_mixpro_seed-12'), ['no mixing', 'no mixing', 'MixPro']),
        (('demo/net_s0', 'demo/net_s1', 'other/net_s0'), ['demo', 'demo', 'other']),
        (('net', 'net_s0', 'net_s1'), ['net', 'net_s0', 'net_s1']),  # the seed of the first is unknown
        (('Ours=demo/a', 'Ours=other/b'), ['Ours', 'Ours']),
        (('demo/a', 'b', 'demo/a'), 'demo/a is given twice'),
        (('MixPro=net_mine', 'net_mixpro'), 'MixPro is the given name'),
    ],
)
def test_seeds_and_given_names_are_repetitions(write_log, tmp_path, texts, names):
    split = [text.rpartition('=') for text in texts]
    for folder in {folder for *_, folder in split}:
        write_log(folder, [(1, None, dict(loss=1))])
    texts = [f'{name}{sign}{tmp_path / folder}' for name, sign, folder in split]
    if isinstance(names, str):
        with pytest.raises(ValueError, match=names):
            logs.named_runs(texts)
    else:
        assert [name for name, *_ in logs.named_runs(texts)] == names


def test_incomplete_work_directories(tmp_path):
    with pytest.raises(ValueError, match='has no config'):
        logs.config_of(tmp_path)
    for folder, message in ((tmp_path, 'has no log'), (tmp_path / 'nowhere', 'nowhere is not a folder')):
        with pytest.raises(ValueError, match=message):
            logs.named_runs([str(folder)])
    (tmp_path / 'lr=1').mkdir()
    assert logs.split_name(f'{tmp_path}/lr=1') == (None, tmp_path / 'lr=1')


def test_a_copied_run_has_its_own_checkpoint(tmp_path):
    original, copy = tmp_path / 'original', tmp_path / 'copy'
    assert logs.checkpoint_of(copy) is None
    for folder in (original, copy):
        folder.mkdir()
        (folder / 'epoch_2.pth').touch()
        (folder / 'last_checkpoint').write_text(str(original / 'epoch_2.pth'))
    assert logs.checkpoint_of(copy) == copy / 'epoch_2.pth'
    (copy / 'epoch_2.pth').unlink()
    assert logs.checkpoint_of(copy) == original / 'epoch_2.pth'  # checkpoints were saved elsewhere
