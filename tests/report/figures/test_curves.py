"""Tests of training curves."""

from pathlib import Path

import numpy as np

from mixpro_mm.report.figures.curves import training_curves
from mixpro_mm.report.visualize import main

TRANSMIX = "custom_hooks = [dict(type='mixpro_mm.LabelingHook', labeling='AttentionLabeling')]"


def lines(axes):
    return {line.get_label(): (list(line.get_xdata()), np.round(line.get_ydata(), 6).tolist()) for line in axes.lines}


def test_the_curves_of_a_study(write_log, tmp_path, drawn):
    """Two iterations per epoch."""
    stages = []
    for task, pretraining, backbone, key, scores in (
        ('classification', 'cutmix', 'DeiT-S', 'accuracy/top1', (50, 60)),
        ('classification', 'mixpro', 'DeiT-S', 'accuracy/top1', (50, 60)),
        ('segmentation', 'scratch', 'DeiT-S', 'mIoU', (30, 40)), ('segmentation', 'mixpro', 'DeiT-S', 'mIoU', (30, 40)),
        ('detection', 'mixpro', 'PVT', 'coco/bbox_mAP', (0.25, 0.5)),
    ):  # fmt: skip
        train = [(i, (i + 1) // 2, dict(loss=loss)) for i, loss in enumerate((2.0, 1.5, 1.2, 1.1), 1)]
        for i, _, values in train if (task, pretraining) == ('classification', 'mixpro') else ():
            values |= dict(factor=0.2 * i, lam_attn=0.4, lam_area=0.6 - 0.4 * (i > 2))
        folder = write_log(f'{task}_{pretraining}', train, [(i, {key: score}) for i, score in enumerate(scores, 1)])
        stages.append(dict(task=task, backbone=backbone, pretraining=pretraining, work_dir=folder))
    paths = training_curves(stages, tmp_path / 'figures')
    assert [path.name for path in paths] == ['pre-training.png', 'factor.png', 'transfer.png']
    loss, top1 = drawn[0].axes
    assert lines(loss) == {'CutMix': ([1, 2], [1.75, 1.15]), 'MixPro': ([1, 2], [1.75, 1.15])}
    assert lines(top1) == {'CutMix': ([1, 2], [50, 60]), 'MixPro': ([1, 2], [50, 60])}
    assert (loss.get_title(loc='left'), top1.get_ylabel()) == ('Classification, DeiT-S', 'validation top-1 (%)')
    factor, gap = drawn[1].axes
    assert lines(factor) == {'MixPro': ([1, 2], [0.3, 0.7])} and gap.get_ylabel() == '|lam_attn - lam_area|'
    assert lines(gap) == {'MixPro': ([1, 2], [0.2, 0.2])}  # 0.6 - 0.4, then 0.4 - 0.2
    assert lines(drawn[2].axes[1]) == {'scratch': ([1, 2], [30, 40]), 'MixPro': ([1, 2], [30, 40])}
    assert lines(drawn[2].axes[3]) == {'MixPro': ([1, 2], [25, 50])}
    assert [line.get_color() for line in drawn[2].axes[1].lines] == ['#000000', '#D55E00']


def test_a_long_loss_is_smoothed(write_log, tmp_path, drawn):
    folder = write_log('a', [(step, None, dict(loss=2.0 + step % 2)) for step in range(120)])
    stage = dict(task='detection', backbone='b', pretraining='mixpro', work_dir=folder)
    training_curves([stage], tmp_path)
    x, y = lines(drawn[0].axes[0])['MixPro']
    assert x == list(range(120)) and drawn[0].axes[0].get_xlabel() == 'iteration'
    np.testing.assert_allclose(y, 2.5, atol=0.2)


def test_nothing_logged_draws_nothing(tmp_path):
    silent = dict(task='classification', backbone='b', pretraining='mixpro', work_dir=tmp_path / 'none')
    assert training_curves([silent], tmp_path / 'figures') == [] and not (tmp_path / 'figures').exists()


def test_curves_are_the_mean_loss_of_an_epoch_and_the_error(write_log, tmp_path, drawn, capsys):
    train = [(step, (step + 1) // 2, dict(loss=step)) for step in (1, 2, 3, 4)]
    tests = [(1, {'accuracy/top1': 60}), (2, {'accuracy/top1': 70})]
    folders = [write_log(name, train, tests) for name in ('a_mixpro', 'a_none')]
    assert main(['curves', *folders, '--out', str(tmp_path / 'a.png')]) == 0
    loss, error = drawn[0].axes
    assert lines(loss) == {'MixPro': ([1, 2], [1.5, 3.5]), 'no mixing': ([1, 2], [1.5, 3.5])}
    assert lines(error) == {'MixPro': ([1, 2], [40, 30]), 'no mixing': ([1, 2], [40, 30])}
    assert [axes.get_ylabel() for axes in drawn[0].axes] == ['training loss', 'validation top-1 error (%)']
    folders.append(write_log('b', [(1, None, dict(loss=1))]))  # counts iterations
    assert main(['curves', *folders, '--out', str(tmp_path / 'b.png')]) == 1
    assert 'share no axis' in capsys.readouterr().err


def test_factor_of_the_log_and_of_a_mini_batch(digits, write_log, tmp_path, drawn, capsys):
    folder = write_log(
        'run', [(step, (step + 1) // 2, dict(factor=0.1 * step, lam_attn=0, lam_area=0)) for step in (1, 2, 3, 4)]
    )
    command = ['factor', folder, '--num', '6', '--out', str(tmp_path / 'a.png')]
    assert main(command) == 0 and len(drawn[0].axes) == 1
    assert f'{folder} has no config' in capsys.readouterr().err
    _, checkpoint = digits('trans', TRANSMIX, folder=tmp_path / 'run')
    (tmp_path / 'run' / 'last_checkpoint').write_text(checkpoint)
    assert main(command) == 0
    training, batch = drawn[1].axes
    assert lines(training) == {'run': ([1, 2], [0.15, 0.35])}
    assert lines(batch) == {'run': ([1, 2, 3, 4, 5, 6], [0.5] * 6)}  # the constant factor of TransMix
    copy = Path(folder).rename(tmp_path / 'copy')
    assert main(['factor', str(copy), *command[2:]]) == 0 and len(drawn[2].axes) == 2
