import math

import pytest

from mixpro_mm.report.figures.logs import (
    by_epoch,
    checkpoint_of,
    config_of,
    display_names,
    epoch_means,
    named_runs,
    read_scalars,
    series,
    split_name,
)  # fmt: skip

TOP1 = 'accuracy/top1'


def test_a_later_folder_supersedes_from_its_first_step_on(write_log, tmp_path):
    write_log('run', [(step, None, dict(loss=loss)) for step, loss in ((30, 3.2), (40, 2.2))], stamp='2', tail='{"lo')
    first = [(step, None, dict(loss=loss)) for step, loss in ((20, 4.0), (10, 5.0), (30, 3.0), (50, 9.0))]
    folder = write_log('run', first, stamp='1')
    # 30 is in both, 50 came from weights that were discarded; an incomplete line is skipped
    assert series(read_scalars(folder), 'iter', 'loss') == {10: 5.0, 20: 4.0, 30: 3.2, 40: 2.2}
    assert read_scalars(tmp_path / 'never-started') == []


def test_validations_of_discarded_epochs_go_too(write_log):
    train = [(4, 1, dict(loss=2.0)), (8, 2, dict(loss=1.5)), (12, 3, dict(loss=1.0))]
    write_log('run', train, [(1, {TOP1: 10}), (2, {TOP1: 20})], stamp='1')
    folder = write_log('run', [(8, 2, dict(loss=1.4))], stamp='2')  # resumed epoch 1, killed before it validated
    assert series(read_scalars(folder), 'step', TOP1) == {1: 10}


def test_epoch_means_are_of_finite_values():
    losses = [(1, 1, 2.0), (2, 1, 4.0), (3, 2, 7.0), (4, 2, math.nan)]
    records = [dict(iter=step, step=step, epoch=epoch, loss=loss) for step, epoch, loss in losses] + [
        dict(mIoU=1, step=1)
    ]
    assert by_epoch(records) and epoch_means(records, 'loss') == {1: 3.0, 2: 7.0}
    records = [dict(iter=10, step=10, loss=2.0), dict(iter=20, step=20, loss=1.0)]
    assert not by_epoch(records) and epoch_means(records, 'loss') == {10: 2.0, 20: 1.0}


def test_names_tell_apart_what_differs(tmp_path):
    def names(*stems):
        return display_names([None] * len(stems), stems)

    assert names('deit_mixpro_digits-8', 'deit_none_digits-8') == ['MixPro', 'no mixing']
    assert names('a_b', 'a_b') == ['a_b', 'a_b'] and names('a_b', 'a_b_c') == ['a_b', 'a_b_c']
    assert names('deit_mixpro', 'pvt_cutmix') == ['deit, MixPro', 'pvt, CutMix']
    assert names('deit_none', 'deit_no mixing') == ['deit_none', 'deit_no mixing']  # one word for both
    paths = [tmp_path / 'k' / 'run', tmp_path / 'm' / 'run', tmp_path / 'm' / 'run']
    assert display_names([None, None, 'Ours'], ['a', 'a', 'a'], paths) == ['k', 'm', 'Ours']


@pytest.mark.parametrize(
    ('texts', 'names'),
    [
        (('net_none_s0', 'net_none_s1', 'net_mixpro_seed-12'), ['no mixing', 'no mixing', 'MixPro']),
        (('demo/net_mixpro', 'other/net_mixpro'), ['demo', 'other']),
        (('demo/net_s0', 'demo/net_s1', 'other/net_s0'), ['demo', 'demo', 'other']),
        (('net', 'net_s0', 'net_s1'), ['net', 'net_s0', 'net_s1']),  # the seed of the first is not known
        (('Ours=demo/a', 'Ours=other/b'), ['Ours', 'Ours']),
        (('demo/a', 'b', 'demo/a'), 'demo/a is named twice'),
        (('MixPro=net_mine', 'net_mixpro'), 'MixPro is given to one run'),
    ],
)
def test_seeds_and_given_names_make_repetitions(write_log, tmp_path, texts, names):
    split = [text.rpartition('=') for text in texts]
    for folder in {folder for *_, folder in split}:
        write_log(folder, [(1, None, dict(loss=1))])
    texts = [f'{name}{sign}{tmp_path / folder}' for name, sign, folder in split]
    if isinstance(names, str):
        with pytest.raises(ValueError, match=names):
            named_runs(texts)
    else:
        assert [name for name, *_ in named_runs(texts)] == names


def test_work_directories_without_what_is_needed(tmp_path):
    for find, what in ((named_runs, 'log'), (lambda folders: config_of(folders[0]), 'config')):
        with pytest.raises(ValueError, match=f'holds no {what}'):
            find([tmp_path]) if what == 'config' else find([str(tmp_path)])
    with pytest.raises(ValueError, match='nowhere is not a folder'):
        named_runs([str(tmp_path / 'nowhere')])
    (tmp_path / 'lr=1').mkdir()
    assert split_name(f'{tmp_path}/lr=1') == (None, tmp_path / 'lr=1')  # a path that exists


def test_a_copied_run_has_its_own_checkpoint(tmp_path):
    original, copy = tmp_path / 'original', tmp_path / 'copy'
    assert checkpoint_of(copy) is None
    for folder in (original, copy):
        folder.mkdir()
        (folder / 'epoch_2.pth').touch()
        (folder / 'last_checkpoint').write_text(str(original / 'epoch_2.pth'))
    assert checkpoint_of(copy) == copy / 'epoch_2.pth'
    (copy / 'epoch_2.pth').unlink()
    assert checkpoint_of(copy) == original / 'epoch_2.pth'  # as where checkpoints are written elsewhere
