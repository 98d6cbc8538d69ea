import json

from mixpro_mm.report.figures.logs import by_epoch, epoch_means, read_scalars, series


def write_log(stage_dir, stamp, records, tail=''):
    folder = stage_dir / stamp / 'vis_data'
    folder.mkdir(parents=True)
    folder.joinpath('scalars.json').write_text(''.join(json.dumps(record) + '\n' for record in records) + tail)


def train(step, loss, epoch=None):
    return {'lr': 0.1, 'loss': loss, 'iter': step, 'step': step} | ({} if epoch is None else {'epoch': epoch})


def test_stage_without_log_reads_as_empty(tmp_path):
    assert read_scalars(tmp_path / 'never-started') == []


def test_a_later_folder_supersedes_from_its_first_step_on(tmp_path):
    write_log(tmp_path, '20240102_000000', [train(30, 3.2), train(40, 2.2)])
    write_log(tmp_path, '20240101_000000', [train(10, 5.0), train(20, 4.0), train(30, 3.0), train(50, 9.0)])
    # 30 stands in both, 50 came from weights that were thrown away
    assert series(read_scalars(tmp_path), 'iter', 'loss') == ([10, 20, 30, 40], [5.0, 4.0, 3.2, 2.2])


def test_validation_of_thrown_away_epochs_goes_too(tmp_path):
    score = 'accuracy/top1'
    write_log(
        tmp_path,
        '20240101_000000',
        [train(4, 2.0, 1), {score: 10, 'step': 1}, train(8, 1.5, 2), {score: 20, 'step': 2}, train(12, 1.0, 3)],
    )
    write_log(tmp_path, '20240102_000000', [train(8, 1.4, 2)])  # went back to epoch 1, killed before it validated
    records = read_scalars(tmp_path)
    assert series(records, 'step', score) == ([1], [10])
    assert series(records, 'iter', 'loss') == ([4, 8], [2.0, 1.4])


def test_truncated_last_line_is_left_out(tmp_path):
    write_log(tmp_path, '20240101_000000', [train(10, 5.0), train(20, 4.0)], tail='{"lr": 0.1, "loss": 3.')
    write_log(tmp_path, '20240102_000000', [], tail='{"lr"')
    assert series(read_scalars(tmp_path), 'iter', 'loss') == ([10, 20], [5.0, 4.0])


def test_records_are_sorted_by_step(tmp_path):
    write_log(tmp_path, '20240101_000000', [train(20, 1.0), train(10, 2.0)])
    assert [record['step'] for record in read_scalars(tmp_path)] == [10, 20]


def test_epoch_means_average_an_epoch_and_skip_what_is_no_number():
    records = [train(1, 2.0, 1), train(2, 4.0, 1), train(3, 7.0, 2), train(4, float('nan'), 2), {'mIoU': 1, 'step': 1}]
    assert by_epoch(records)
    assert epoch_means(records, 'loss') == ([1, 2], [3.0, 7.0])


def test_runs_that_count_iterations_keep_them():
    records = [train(10, 2.0), train(20, 1.0)]
    assert not by_epoch(records)
    assert epoch_means(records, 'loss') == ([10, 20], [2.0, 1.0])
