"""Tests of training curves and of the overview of results."""

import numpy as np
import pytest

from mixpro_mm.report import figures
from mixpro_mm.report.figures import curves
from mixpro_mm.report.tables import results_table
from mixpro_mm.report.visualize import main

TRANSMIX = "custom_hooks = [dict(type='mixpro_mm.LabelingHook', labeling='AttentionLabeling')]"


@pytest.fixture
def stage(write_log):
    """Write the log of a stage with two iterations per epoch; ``val`` is the key and the values of validations."""

    def make(task, pretraining, backbone='DeiT-S', losses=(2.0, 1.5, 1.2, 1.1), val=(None, ()), factor=None):
        values = [dict(loss=loss) for loss in losses]
        if factor or pretraining == 'mixpro':
            weights = [dict(factor=0.2 * i, lam_attn=0.4, lam_area=0.6 - 0.4 * (i > 2)) for i in range(1, 5)]
            values = [loss | weight for loss, weight in zip(values, weights, strict=False)]
        train = [(i, (i + 1) // 2, each) for i, each in enumerate(values, 1)]
        tests = [(i, {val[0]: v}) for i, v in enumerate(val[1], 1)]
        folder = write_log(f'{task}_{backbone}_{pretraining}', train, tests)
        return dict(name='a', task=task, backbone=backbone, pretraining=pretraining, work_dir=folder, seconds=1)

    return make


def lines(axes):
    return {line.get_label(): (list(line.get_xdata()), np.round(line.get_ydata(), 6).tolist()) for line in axes.lines}


def test_learning_curves_are_epoch_means_and_validations(stage, tmp_path, drawn):
    stages = [stage('classification', name, val=('accuracy/top1', [50, 60])) for name in ('cutmix', 'mixpro')]
    stages.append(stage('segmentation', 'scratch'))
    assert figures.learning_curves(stages, tmp_path / 'a.png') == [tmp_path / 'a.png']
    loss, top1 = drawn[0].axes
    assert lines(loss) == {'CutMix': ([1, 2], [1.75, 1.15]), 'MixPro': ([1, 2], [1.75, 1.15])}
    assert lines(top1) == {'CutMix': ([1, 2], [50, 60]), 'MixPro': ([1, 2], [50, 60])}
    assert (loss.get_title(loc='left'), top1.get_ylabel()) == ('Classification, DeiT-S', 'validation top-1 (%)')


def test_transfer_curves_are_in_percent(stage, tmp_path, drawn):
    stages = [stage('segmentation', name, val=('mIoU', [30, 40])) for name in ('scratch', 'mixpro')]
    stages += [stage('detection', 'mixpro', 'PVT', val=('coco/bbox_mAP', [0.25, 0.5]))]
    stages += [stages[-1] | {'name': 'test of the same'}]  # shares the work directory: one line
    figures.transfer_curves(stages, tmp_path / 'b.png')
    assert lines(drawn[0].axes[1]) == {'scratch': ([1, 2], [30, 40]), 'MixPro': ([1, 2], [30, 40])}
    assert lines(drawn[0].axes[3]) == {'MixPro': ([1, 2], [25, 50])}
    assert [line.get_color() for line in drawn[0].axes[1].lines] == ['#000000', '#D55E00']


def test_long_curves(stage, tmp_path, drawn):
    smooth = curves._smooth({step: 2.0 + (step % 2) for step in range(120)})
    np.testing.assert_allclose(list(smooth.values()), 2.5, atol=0.2)
    assert list(smooth) == list(range(120))
    scores = [*range(11), float('nan'), *range(12, 20), 50, 12.5, *range(50, 72)]  # 44: the first 11 are the start
    stages = [stage('classification', 'mixpro', val=('accuracy/top1', scores))]
    stages.append(stage('classification', 'baseline', 'short', [1.0], ('accuracy/top1', [0.0, 40.0])))
    figures.learning_curves(stages, tmp_path / 'a.png')
    long, short = drawn[0].axes[1], drawn[0].axes[3]
    assert long.get_ylim()[0] == 12 and short.get_ylim()[0] < 0


def test_many_backbones_have_several_figures(stage, tmp_path, drawn):
    stages = [stage('classification', m, f'net {i}', losses=[2, 1]) for i in range(4) for m in ('baseline', 'mixpro')]
    paths = figures.learning_curves(stages, tmp_path / 'figures' / 'a.png')
    assert [path.name for path in paths] == ['a.png', 'a-2.png'] and all(path.is_file() for path in paths)
    titles = [axes.get_title(loc='left') for figure in drawn for axes in figure.axes]
    assert titles == [f'Classification, net {i}' for i in range(4)]
    colors = {frozenset((line.get_label(), line.get_color()) for line in axes.lines) for f in drawn for axes in f.axes}
    assert len(colors) == 1


def test_the_factor_and_the_difference_of_the_weights(stage, tmp_path, drawn):
    stages = [stage('classification', 'mixpro', name) for name in ('DeiT-S', 'PVT')]
    assert len(figures.factor_curves([*stages, stage('classification', 'cutmix')], tmp_path / 'c.png')) == 1
    factor, gap = drawn[0].axes
    assert lines(factor) == {name: ([1, 2], [0.3, 0.7]) for name in ('DeiT-S', 'PVT')}
    assert lines(gap) == {name: ([1, 2], [0.2, 0.2]) for name in ('DeiT-S', 'PVT')}  # 0.6 - 0.4, then 0.4 - 0.2


def test_more_than_five_factors_have_a_panel_per_backbone(stage, tmp_path, drawn):
    stages = [stage('classification', 'mixpro', f'net {i}') for i in range(5)]
    stages.append(stage('classification', 'transmix', 'net 4', factor=True))
    assert len(figures.factor_curves(stages, tmp_path / 'f.png')) == 1
    panels = [axes for axes in drawn[-1].axes if axes.get_visible()]
    assert [axes.get_title(loc='left') for axes in panels] == [f'net {i}' for i in range(5)]
    assert [sorted(lines(axes)) for axes in panels] == [['MixPro']] * 4 + [['MixPro', 'TransMix']]


def test_nothing_logged_draws_nothing(tmp_path):
    silent = dict(name='a', task='classification', backbone='b', pretraining='mixpro', work_dir=tmp_path / 'none')
    for draw in (figures.learning_curves, figures.transfer_curves, figures.factor_curves):
        assert draw([silent], tmp_path / 'x.png') == []
    assert not (tmp_path / 'x.png').exists()


def test_results_overview_shows_every_mean_and_published_number(tmp_path, drawn):
    row = dict(task='segmentation', backbone='DeiT-S', metric='mIoU')
    values = [('scratch', 0, 30.0), ('mixpro', 0, 40.0), ('mixpro', 1, 42.0)]
    records = [row | dict(pretraining=name, seed=seed, value=value) for name, seed, value in values]
    other = dict(task='detection', metric='bbox_mAP', pretraining='mixpro', seed=0, value=9.0, published=8.0)
    figures.results_overview(results_table([*records, row | other]), tmp_path / 'd.png')
    above, below = drawn[0].axes
    assert [container.lines[0].get_xdata().tolist() for container in above.containers] == [[30.0], [41.0]]
    ends = above.containers[1].lines[2][0].get_segments()[0][:, 0]
    np.testing.assert_allclose(ends, [41 - 2**0.5, 41 + 2**0.5])
    hollow = [line.get_xdata() for line in below.lines if line.get_markerfacecolor() == 'none']
    assert hollow == [[8.0]] and above.get_xlim()[0] > below.get_xlim()[1]  # each task has its own axes
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ['scratch', 'MixPro', 'in the paper']


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
    folder = write_log('run', [(step, (step + 1) // 2, dict(factor=0.1 * step, loss=1)) for step in (1, 2, 3, 4)])
    command = ['factor', folder, '--num', '6', '--out', str(tmp_path / 'a.png')]
    assert main(command) == 0 and len(drawn[0].axes) == 1
    assert f'{folder} has no config' in capsys.readouterr().err
    _, checkpoint = digits('trans', TRANSMIX, folder=tmp_path / 'run')
    (tmp_path / 'run' / 'last_checkpoint').write_text(checkpoint)
    assert main(command) == 0
    training, batch = drawn[1].axes
    assert lines(training) == {'run': ([1, 2], [0.15, 0.35])}
    assert lines(batch) == {'run': ([1, 2, 3, 4, 5, 6], [0.5] * 6)}  # the constant factor of TransMix
