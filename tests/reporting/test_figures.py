import json

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mixpro_mm.reporting import canvas, figures, palette
from mixpro_mm.reporting.tables import results_table

LOSSES = {'mixpro': [2.0, 1.5, 1.2, 1.1], 'cutmix': [2.1, 1.4, 1.0, 0.9], 'scratch': [3.0, 2.0, 1.8, 1.7]}


@pytest.fixture
def drawn(monkeypatch):
    """Every figure as it is written."""
    seen = []
    write = canvas.write_figure
    monkeypatch.setattr(figures, 'write_figure', lambda figure, path: seen.append(figure) or write(figure, path))
    return seen


def stage(root, task, pretraining, backbone='DeiT-S', losses=None, val=None):
    """A stage with two iterations an epoch; ``val`` is the key and the values of its validations."""
    name = f'{task}_{backbone}_{pretraining}'
    lines = []
    for i, loss in enumerate(LOSSES[pretraining] if losses is None else losses):
        lines.append({'loss': loss, 'iter': i + 1, 'step': i + 1, 'epoch': i // 2 + 1})
        if pretraining == 'mixpro':
            lines[-1] |= {'factor': 0.2 * (i + 1), 'lam_attn': 0.4, 'lam_area': 0.6}
    if val:
        lines += [{val[0]: value, 'step': i + 1} for i, value in enumerate(val[1])]
    folder = root / name / '20240101_000000' / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))
    return dict(name=name, task=task, backbone=backbone, pretraining=pretraining, work_dir=str(root / name), seconds=1)


def lines(axes):
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}


def check_png(path, name):
    assert path.name == name and [file.name for file in path.parent.iterdir()] == [name]
    with Image.open(path) as image:
        assert image.format == 'PNG' and image.width == 1080
        assert np.asarray(image.convert('L')).std() > 5


def test_learning_curves_show_the_logs(tmp_path, drawn):
    stages = [stage(tmp_path, 'classification', name, val=('accuracy/top1', [50, 60])) for name in ('cutmix', 'mixpro')]
    stages.append(stage(tmp_path, 'segmentation', 'scratch'))
    check_png(*figures.learning_curves(stages, tmp_path / 'figures' / 'a.png'), 'a.png')
    loss, top1 = drawn[0].axes
    steps = [1, 2, 3, 4]
    assert lines(loss) == {'CutMix': (steps, LOSSES['cutmix']), 'MixPro': (steps, LOSSES['mixpro'])}
    assert lines(top1) == {'CutMix': ([1, 2], [50, 60]), 'MixPro': ([1, 2], [50, 60])}
    assert (loss.get_xlabel(), top1.get_xlabel()) == ('iteration', 'epoch')
    assert top1.get_ylabel() == 'validation top-1 (%)'


def test_transfer_curves_show_percent_and_a_row_per_task(tmp_path, drawn):
    stages = [stage(tmp_path, 'segmentation', name, val=('mIoU', [30, 40])) for name in ('scratch', 'mixpro')]
    stages += [stage(tmp_path, 'detection', 'mixpro', 'PVT', val=('coco/bbox_mAP', [0.25, 0.5]))]
    stages += [stages[-1] | {'name': 'test of the same'}]  # shares the work directory: one line
    check_png(*figures.transfer_curves(stages, tmp_path / 'figures' / 'b.png'), 'b.png')
    assert len(drawn[0].axes) == 4
    assert lines(drawn[0].axes[1]) == {'scratch': ([1, 2], [30, 40]), 'MixPro': ([1, 2], [30, 40])}
    assert [line.get_ydata().tolist() for line in drawn[0].axes[3].lines] == [[25, 50]]
    assert drawn[0].axes[2].get_title(loc='left') == 'Detection, PVT'


def test_methods_keep_their_colour(tmp_path, drawn):
    stages = [stage(tmp_path, 'classification', name) for name in ('cutmix', 'mixpro')]
    stages += [stage(tmp_path, 'segmentation', name) for name in ('mixpro', 'scratch')]
    figures.learning_curves(stages, tmp_path / 'a.png')
    figures.transfer_curves(stages, tmp_path / 'b.png')
    colors = [{line.get_label(): line.get_color() for line in figure.axes[0].lines} for figure in drawn]
    assert colors[0]['MixPro'] == colors[1]['MixPro']
    assert len({*colors[0].values(), *colors[1].values()}) == 3


def test_factor_curve_is_the_mean_over_each_epoch(tmp_path, drawn):
    stages = [stage(tmp_path, 'classification', 'mixpro', name) for name in ('DeiT-S', 'PVT')]
    stages.append(stage(tmp_path, 'classification', 'cutmix'))
    check_png(*figures.factor_curve(stages, tmp_path / 'figures' / 'c.png'), 'c.png')
    left, right = drawn[0].axes
    assert {name: data[0] for name, data in lines(left).items()} == {'DeiT-S': [1, 2], 'PVT': [1, 2]}
    np.testing.assert_allclose(lines(left)['PVT'][1], [0.3, 0.7])
    np.testing.assert_allclose([line.get_ydata() for line in right.lines], [[0.4] * 2, [0.6] * 2] * 2)


def test_long_curves_get_a_running_mean_of_the_same_level(tmp_path, drawn):
    figures.learning_curves([stage(tmp_path, 'classification', 'mixpro', losses=[2.0] * 120)], tmp_path / 'a.png')
    raw, mean = drawn[0].axes[0].lines
    np.testing.assert_allclose(raw.get_ydata(), 2.0)
    np.testing.assert_allclose(mean.get_ydata(), 2.0)  # to the very ends


def test_nothing_logged_draws_nothing(tmp_path):
    silent = dict(name='a', task='classification', backbone='b', pretraining='mixpro', work_dir=tmp_path / 'none')
    for draw in (figures.learning_curves, figures.transfer_curves, figures.factor_curve, figures.factor_panels):
        assert draw([silent], tmp_path / 'x.png') == []
    assert not (tmp_path / 'x.png').exists()


def test_results_overview_places_every_mean(tmp_path, drawn):
    row = dict(task='segmentation', backbone='DeiT-S', metric='mIoU')
    values = [('scratch', 0, 30.0), ('mixpro', 0, 40.0), ('mixpro', 1, 42.0)]
    table = results_table([row | dict(pretraining=name, seed=seed, value=value) for name, seed, value in values])
    check_png(figures.results_overview(table, tmp_path / 'figures' / 'd.png'), 'd.png')
    scratch, mixpro = drawn[0].axes[0].containers
    assert scratch.lines[0].get_xdata().tolist() == [30.0]
    assert mixpro.lines[0].get_xdata().tolist() == [41.0]


def test_published_numbers_are_hollow_and_in_the_legend_once(tmp_path, drawn):
    row = dict(task='classification', metric='top1', seed=0)
    records = [
        row | dict(backbone='S', pretraining='baseline', value=79.0, published=79.8),
        row | dict(backbone='S', pretraining='mixpro', value=80.9, published=81.3),
        row | dict(backbone='T', pretraining='mixpro', value=76.0),
    ]
    figures.results_overview(results_table(records), tmp_path / 'a.png')
    hollow = [line for line in drawn[0].axes[0].lines if line.get_markerfacecolor() == 'none' and len(line.get_xdata())]
    assert [(*line.get_xdata(), *line.get_ydata()) for line in hollow] == [(79.8, 0), (81.3, 0)]
    dots = [container.lines[0] for container in drawn[0].axes[0].containers]
    assert [line.get_markeredgecolor() for line in hollow] == [line.get_color() for line in dots]
    legend = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert sorted(legend) == ['MixPro', 'baseline', 'in the paper']
    figures.results_overview(results_table(records[2:]), tmp_path / 'b.png')
    assert [text.get_text() for text in drawn[1].legends[0].get_texts()] == ['MixPro']


def test_same_input_same_bytes(tmp_path):
    stages = [stage(tmp_path, 'classification', 'mixpro', val=('accuracy/top1', [50, 60]))]
    for name in ('a.png', 'b.png'):
        figures.learning_curves(stages, tmp_path / name)
    assert (tmp_path / 'a.png').read_bytes() == (tmp_path / 'b.png').read_bytes()


def test_the_suffix_tells_the_kind_and_days_leave_no_trace(tmp_path, monkeypatch):
    for kind, start in (('png', b'\x89PNG'), ('svg', b'<?xml')):
        for epoch in ('0', '1000000000'):
            monkeypatch.setenv('SOURCE_DATE_EPOCH', epoch)
            figure = Figure(figsize=(2, 1))
            figure.subplots().plot([1, 2])
            canvas.write_figure(figure, tmp_path / f'{epoch}.{kind}', dpi=100)
        first, second = (tmp_path / f'{epoch}.{kind}' for epoch in ('0', '1000000000'))
        assert first.read_bytes() == second.read_bytes() and first.read_bytes().startswith(start)
    with Image.open(tmp_path / '0.png') as image:
        assert image.size == (200, 100)
    with pytest.raises(ValueError, match=r'a\.pdf is neither \.png nor \.svg'):
        canvas.write_figure(Figure(), tmp_path / 'no' / 'a.pdf')
    assert not (tmp_path / 'no').exists()


# Machado et al., A physiologically-based model for simulation of color vision deficiency, 2009, severity 1; linear RGB
VISIONS = {
    'normal': np.eye(3),
    'protan': [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    'deutan': [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    'tritan': [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(hexadecimal, vision):
    """CIELAB of an sRGB colour as a kind of colour vision has it."""
    rgb = np.array([int(hexadecimal[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(VISIONS[vision]) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen
    xyz = xyz / [0.9505, 1, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize('vision', VISIONS)
def test_the_methods_of_a_comparison_are_told_apart_by_all_eyes(vision):
    names = ('scratch', 'none', 'cutmix', 'transmix', 'tokenmix', 'maskmix', 'mixpro')
    colors = [lab(palette.KNOWN[name], vision) for name in names]
    apart = [np.linalg.norm(a - b) for place, a in enumerate(colors) for b in colors[:place]]
    assert min(apart) > 15  # 2.3 can just be noticed
    assert len({palette.MARKERS.get(name, 's') for name in names}) == len(names)


def test_many_backbones_fill_several_figures_of_four_rows_at_most(tmp_path, drawn):
    methods = ('baseline', 'mixpro')
    stages = [stage(tmp_path, 'classification', m, f'net {i:02}', losses=[2, 1]) for i in range(14) for m in methods]
    paths = figures.learning_curves(stages, tmp_path / 'figures' / 'a.png')
    assert [path.name for path in paths] == ['a.png', 'a-2.png', 'a-3.png', 'a-4.png']
    assert all(path.is_file() for path in paths)
    titles = [[axes.get_title(loc='left') for axes in figure.axes] for figure in drawn]
    assert max(map(len, titles)) <= 4
    assert [title for part in titles for title in part] == [f'Classification, net {i:02}' for i in range(14)]
    colors = {frozenset((line.get_label(), line.get_color()) for line in axes.lines) for f in drawn for axes in f.axes}
    assert len(colors) == 1  # the same in every figure


def test_more_factors_than_colours_get_a_panel_per_backbone(tmp_path, drawn):
    stages = [stage(tmp_path, 'classification', 'mixpro', f'net {i}') for i in range(5)]
    assert figures.factor_panels(stages, tmp_path / 'figures' / 'f.png') == []
    assert len(figures.factor_curve(stages, tmp_path / 'e.png')) == 1
    stages += [stage(tmp_path, 'classification', 'mixpro', 'net 5', val=('accuracy/top1', [1, 2]))]
    transmix = stage(tmp_path, 'classification', 'transmix', 'net 5', losses=[])
    log = next((tmp_path / transmix['name']).glob('*/vis_data/scalars.json'))
    log.write_text('\n'.join(json.dumps({'iter': i, 'step': i, 'epoch': i, 'factor': 0.5}) for i in (1, 2)))
    stages.append(transmix)
    assert figures.factor_curve(stages, tmp_path / 'f.png') == []
    check_png(*figures.factor_panels(stages, tmp_path / 'figures' / 'f.png'), 'f.png')
    panels = [axes for axes in drawn[-1].axes if axes.get_visible()]
    assert [axes.get_title(loc='left') for axes in panels] == [f'net {i}' for i in range(6)]
    assert [sorted(lines(axes)) for axes in panels] == [['MixPro']] * 5 + [['MixPro', 'TransMix']]
    np.testing.assert_allclose(lines(panels[5])['MixPro'][1], [0.3, 0.7])
    assert lines(panels[5])['TransMix'] == ([1, 2], [0.5, 0.5])


def test_more_factors_of_one_backbone_get_a_panel_per_method(tmp_path, drawn):
    stages = [stage(tmp_path, 'classification', 'mixpro', f'net {i}') for i in range(6)]
    stages = [entry | dict(backbone='net', pretraining=f'way {i}') for i, entry in enumerate(stages)]
    figures.factor_panels(stages, tmp_path / 'f.png')
    panels = [axes for axes in drawn[-1].axes if axes.get_visible()]
    assert [(axes.get_title(loc='left'), *lines(axes)) for axes in panels] == [(f'way {i}', 'net') for i in range(6)]


def test_many_validations_leave_the_steep_start_below_the_frame(tmp_path, drawn):
    scores = [*range(11), float('nan'), *range(12, 20), 50, 12.5, *range(50, 72)]  # 44: the first 11 count as start
    stages = [stage(tmp_path, 'classification', 'mixpro', val=('accuracy/top1', scores))]
    stages.append(stage(tmp_path, 'classification', 'baseline', 'short', [1.0], ('accuracy/top1', [0.0, 40.0])))
    figures.learning_curves(stages, tmp_path / 'a.png')
    long, short = drawn[0].axes[1], drawn[0].axes[3]
    assert long.get_ylim()[0] == 12 and long.lines[0].get_marker() == 'None'
    assert short.get_ylim()[0] < 0 and short.lines[0].get_marker() == 'o'


def test_a_long_table_has_an_axis_for_each_task(tmp_path, drawn):
    rows = [dict(task='classification', backbone=f'net {i}', metric='top1', value=80.0 + i) for i in range(12)]
    rows.append(dict(task='detection', backbone='net 0', metric='bbox_mAP', value=40.0))
    rows = [row | dict(seed=0, pretraining='mixpro', published=row['value']) for row in rows]
    figures.results_overview(results_table(rows[:12]), tmp_path / 'a.png')
    figures.results_overview(results_table(rows), tmp_path / 'b.png')
    assert [len(figure.axes) for figure in drawn] == [1, 2]
    above, below = drawn[1].axes
    assert above.get_xlim()[0] > 70 and below.get_xlim()[1] < 50
    assert [text.get_text() for text in drawn[1].legends[0].get_texts()] == ['MixPro', 'in the paper']


def test_methods_keep_their_colours_whatever_stands_beside_them():
    said = [palette.method_of(name) for name in ('DeiT, MixPro', 'no mixing', 'deit', 'mixup_cutmix')]
    assert said == ['mixpro', 'none', None, 'cutmix']
    known = palette.KNOWN
    assert palette.run_colors(['TransMix', 'MixPro', 'TransMix']) == {
        'TransMix': known['transmix'],
        'MixPro': known['mixpro'],
    }
    mixed = palette.run_colors(['mine', 'Ours MixPro', 'CutMix', 'deit', 'pvt'])
    assert (mixed['Ours MixPro'], mixed['CutMix']) == (known['mixpro'], known['cutmix'])
    assert len(set(mixed.values())) == 5 and list(mixed) == ['mine', 'Ours MixPro', 'CutMix', 'deit', 'pvt']
    same = palette.run_colors(['pvt MixPro', 'deit MixPro', 'MixPro'])
    assert same['MixPro'] == known['mixpro'] and len(set(same.values())) == 3  # its own name comes first


@pytest.mark.parametrize(('length', 'columns'), [(4, 5), (29, 2), (60, 1)])
def test_a_legend_has_as_many_columns_as_fit(length, columns):
    with matplotlib.rc_context(canvas.STYLE):
        figure = Figure(figsize=(canvas.WIDTH, 3))
        axes = figure.subplots()
        for number in range(6):
            axes.plot([0, 1], label='n' * (length - 1) + str(number))
        (legend,) = canvas.share_legend(figure, last='n' * (length - 1) + '2').legends
    assert legend._ncols == columns and legend.get_window_extent().width <= figure.bbox.width
    assert legend.get_texts()[-1].get_text().endswith('2')
