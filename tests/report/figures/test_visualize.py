"""What each command draws: the data in the axes, the words beside them, the files."""

import hashlib
import json
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.text import Text
from PIL import Image

from mixpro_mm.visualize import factor as factor_module
from mixpro_mm.report.figures.attention import column_names, overlay, parse_looks
from mixpro_mm.report.visualize import main
from mixpro_mm.visualize.curves import styles
from mixpro_mm.report.figures.masks import make_masks
from mixpro_mm.visualize.runs import Run

NO_HOOK = 'custom_hooks = []'
CUTMIX = "model = dict(train_cfg=dict(augments=[dict(type='CutMix', alpha=1.0)], probs=[1.0]))\n" + NO_HOOK
TRANSMIX = "custom_hooks = [dict(type='mixpro_mm.LabelingHook', labeling='AttentionLabeling')]"


def shown(axes):
    return np.asarray(axes.images[0].get_array())


def texts(axes):
    return [text.get_text() for text in axes.texts]


def smallest_text(figure):
    return min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text())


def lines(axes):
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}


def write_log(folder, records):
    (folder / '1' / 'vis_data').mkdir(parents=True)
    (folder / '1' / 'vis_data' / 'scalars.json').write_text('\n'.join(map(json.dumps, records)))


def train(step, **values):
    return dict(iter=step, step=step, epoch=(step + 1) // 2, **values)


def test_mixed_shows_what_went_in_and_what_came_out(digits, tmp_path, drawn, capsys):
    config, checkpoint = digits('mix')
    capsys.readouterr()
    assert main(['mixed', config, '--checkpoint', checkpoint, '--num', '3', '--out', str(tmp_path / 'a')]) == 0
    said = capsys.readouterr().out.split()[-2:]  # a toolkit that is imported now may have said something before
    assert said == [str(tmp_path / 'a.png'), str(tmp_path / 'a.svg')]
    (figure,) = drawn[:1]
    grid = np.array(figure.axes).reshape(5, 3)
    names = [text.split('\n') for axes in grid[:, 0] for text in texts(axes)]
    assert [name[0] for name in names[:4]] == ['image', 'partner', 'mask', 'mixed']
    numbers = texts(grid[4, 0])[1].split('\n')
    assert numbers == ['lam_area', 'lam_attn', 'factor', 'own label', 'partner label']
    for column in grid.T:
        image, partner, mask, mixed, attention = map(shown, column)
        np.testing.assert_allclose(mixed, np.where(mask[..., None], image, partner), atol=1e-6)
        area, attn, factor, own, other = map(float, texts(column[4])[-1].split('\n'))
        assert abs(area - mask.mean()) < 0.0051
        assert abs(attn - (attention * mask).sum() / attention.sum()) < 0.0051
        assert abs(own - (factor * attn + (1 - factor) * area)) < 0.011
        assert abs(own + other - 1) < 0.011
        assert [axes.get_title() in set('0123456789') for axes in column] == [True, True, False, False, False]
    assert figure.get_figwidth() == 3.25 and smallest_text(figure) >= 7
    assert 'MixPro of mix' in figure.get_supxlabel() and 'mix.pth' in figure.get_supxlabel()


def test_mixed_without_a_checkpoint_pretends_nothing(config_file, tmp_path, drawn):
    assert main(['mixed', config_file('mix'), '--out', str(tmp_path / 'a.png'), '--width', 'text']) == 0
    grid = np.array(drawn[0].axes).reshape(4, 4)
    words = texts(grid[3, 0])
    assert words[1].split('\n') == ['lam_area', 'own label', 'partner label']
    area, own, other = map(float, texts(grid[3, 1])[0].split('\n'))
    assert area == own and abs(own + other - 1) < 0.011
    assert 'No checkpoint: the model is untrained' in drawn[0].get_supxlabel().replace('\n', ' ')
    assert drawn[0].get_figwidth() == 6.75


def test_mixed_with_an_untrained_teacher_leaves_its_weights_out(config_file, tmp_path, drawn):
    config = config_file('token', base='evidence/deit-micro_tokenmix_digits-8.py')
    assert main(['mixed', config, '--out', str(tmp_path / 'a.png')]) == 0
    assert texts(drawn[0].axes[12])[1] == 'lam_area'


def test_mixed_by_the_host_has_no_mask(config_file, tmp_path, drawn):
    assert main(['mixed', config_file('cut', CUTMIX), '--num', '2', '--out', str(tmp_path / 'a.png')]) == 0
    grid = np.array(drawn[0].axes).reshape(3, 2)
    for column in grid.T:
        image, partner, mixed = map(shown, column)
        own = np.isclose(mixed, image).all(-1)
        assert (own | np.isclose(mixed, partner).all(-1)).all()
        weight, rest = map(float, texts(column[2])[-1].split('\n'))
        assert abs(weight + rest - 1) < 0.011 and weight <= own.mean() + 0.0051
    assert texts(grid[2, 0])[1].split('\n') == ['own label', 'partner label']


def test_a_seed_draws_the_same_bytes(config_file, tmp_path):
    config = config_file('mix')
    for name in ('a', 'b'):
        assert main(['mixed', config, '--seed', '3', '--num', '2', '--out', str(tmp_path / name)]) == 0
    for kind in ('png', 'svg'):
        assert (tmp_path / f'a.{kind}').read_bytes() == (tmp_path / f'b.{kind}').read_bytes()
    assert b'<dc:date>' not in (tmp_path / 'a.svg').read_bytes()
    with Image.open(tmp_path / 'a.png') as image:
        assert image.width == 975  # 3.25 in at 300 dpi


def test_masks_keep_whole_cells_of_their_size():
    region, block, random, scaled = make_masks(lam=0.5, seed=1).values()
    rows, columns = np.nonzero(~region.numpy())
    assert (~region).sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)  # one box
    cells = block.view(14, 16, 14, 16), random.view(14, 16, 14, 16)
    for cell in cells:
        assert (cell == cell[:, :1, :, :1]).all() and cell[:, 0, :, 0].sum() == 98
    starts = torch.arange(224) // 64
    assert all(torch.equal(scaled[i], scaled[int(starts[i]) * 64]) for i in range(224))
    assert all(torch.equal(scaled[:, i], scaled[:, int(starts[i]) * 64]) for i in range(224))
    assert scaled[::64, ::64].sum() == 8  # of 16, those at the ends are cut
    neighbours = [(m[0, :, 1:] == m[0, :, :-1]).float().mean() for m in (cells[0].permute(1, 0, 2, 3)[:, :, :, 0],)]
    assert neighbours[0] > 0.6  # blocks hang together


def test_masks_are_drawn_as_figure_4(tmp_path, drawn):
    assert main(['masks', '--scale', '2', '--lam', '0.25', '--seed', '5', '--out', str(tmp_path / 'a.svg')]) == 0
    made = make_masks(scale=2, lam=0.25, seed=5)
    labels = [axes.get_xlabel().split('\n') for axes in drawn[0].axes]
    assert [name for name, _ in labels] == ['(a) region', '(b) block', '(c) random', '(d) random, 2x']
    for axes, (_, kept), mask in zip(drawn[0].axes, labels, made.values(), strict=True):
        assert np.array_equal(shown(axes), mask) and kept == f'{mask.float().mean():.0%} kept'
        assert axes.get_xticks(minor=True).tolist() == list(range(16, 224, 16))
    assert labels[2][1] == '25% kept' and smallest_text(drawn[0]) >= 7
    assert (tmp_path / 'a.svg').read_text().startswith('<?xml')


def test_words_of_attention_are_models_and_images():
    looks, images = parse_looks(['a.py:x.pth', 'b.py', 'y.pth', 'ours=c.py:z.pth', 'i.png', 'j.jpg'])
    assert looks == [(None, 'a.py', 'x.pth'), (None, 'b.py', 'y.pth'), ('ours', 'c.py', 'z.pth')]
    assert images == ['i.png', 'j.jpg']


def test_heat_is_strongest_where_attention_is():
    heat = np.array([[0.0, 0.1], [0.3, 0.2]])
    image = np.full((2, 2, 3), 0.5)
    drawn = overlay(image, heat)
    np.testing.assert_allclose(overlay(image, heat * 7), drawn)  # each by its own maximum
    brightness = drawn.sum(-1)
    assert brightness.flatten().argsort().tolist() == heat.flatten().argsort().tolist()
    assert (overlay(image + 0.2, heat).sum(-1) > brightness).all()  # the image shows through


@pytest.mark.parametrize('mixed', [False, True])
def test_attention_has_a_column_for_each_model(digits, tmp_path, drawn, mixed):
    one = ':'.join(digits('deit-micro_mixpro_x'))
    two = ':'.join(digits('deit-micro_transmix_x', TRANSMIX))
    words = [one, f'PVT={":".join(digits("pvt", base="pvt-micro_mixpro_digits.py"))}', two]
    assert main(['attention', *words, '--num', '3', '--out', str(tmp_path / 'a.png'), *['--mixed'] * mixed]) == 0
    figure = drawn[0]
    grid = np.array(figure.axes[:-1]).reshape(3, 5 if mixed else 4)  # the last is the bar
    expected = ['image', *['mixed'] * mixed, 'deit-micro_mixpro_x', 'PVT', 'deit-micro_transmix_x']
    assert [axes.get_title().replace('\n', '') for axes in grid[0]][: 1 + mixed] == expected[: 1 + mixed]
    assert grid[0][-2].get_title() == 'PVT' and smallest_text(figure) >= 7
    assert all(texts(axes)[0] in set('0123456789') for axes in grid[:, 0])
    looked_at = shown(grid[0][1 if mixed else 0])
    tokens = shown(grid[0][1 + mixed]).reshape(8, 4, 8, 4, 3)
    image = looked_at.reshape(8, 4, 8, 4, 3)
    heat = tokens - 0.3 * (image @ np.array([0.299, 0.587, 0.114]))[..., None]
    np.testing.assert_allclose(heat - heat[:, :1, :, :1], 0, atol=1e-6)  # one colour a token over the image
    hottest = heat[:, 0, :, 0].sum(-1).max()
    np.testing.assert_allclose(hottest, 0.7 * sum(matplotlib.colormaps['inferno'](1.0)[:3]), atol=1e-6)
    bar = figure.axes[-1]
    ends = np.array([bar.collections[-1].cmap(value)[:3] for value in (0.0, 1.0)])
    np.testing.assert_allclose(
        ends, [np.add(0.15, 0.7 * np.array(matplotlib.colormaps['inferno'](v)[:3])) for v in (0.0, 1.0)]
    )
    assert [text.get_text() for text in bar.get_yticklabels()] == ['less', 'more']


def test_checkpoints_of_one_config_are_told_apart(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    looks, _ = parse_looks(['a.py:x_mixpro/epoch_9.pth', 'a.py:x_none/epoch_9.pth', 'Ours=a.py:x_none/epoch_1.pth'])
    assert column_names(looks) == ['MixPro', 'no mixing', 'Ours']
    looks, _ = parse_looks(['a.py:run/epoch_1.pth', 'b/a.py:run/epoch_25.pth'])
    assert column_names(looks) == ['epoch 1', 'epoch 25']
    looks, _ = parse_looks(['a.py:k/run/epoch_1.pth', 'a.py:m/run/epoch_1.pth', 'n=a.py:m/run/epoch_2.pth'])
    assert column_names(looks) == ['k', 'm', 'n']
    looks, _ = parse_looks(['d_mixpro.py:run/epoch_1.pth', 'd_none.py:run/epoch_1.pth'])
    assert column_names(looks) == ['MixPro', 'no mixing']


def test_attention_of_named_images(digits, tmp_path, drawn):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(tmp_path / 'noise.png')
    model = ':'.join(digits('deit'))
    assert main(['attention', model, str(tmp_path / 'noise.png'), '--out', str(tmp_path / 'a.png')]) == 0
    assert texts(drawn[0].axes[0]) == ['noise'] and shown(drawn[0].axes[0]).shape == (32, 32, 3)


def test_curves_are_the_mean_loss_of_an_epoch_and_the_error(tmp_path, drawn):
    for name, shift in (('net_mixpro', 0), ('net_transmix', 1)):
        losses = [train(step, loss=shift + step) for step in (1, 2, 3, 4)]
        write_log(
            tmp_path / name, [*losses, {'accuracy/top1': 60 + shift, 'step': 1}, {'accuracy/top1': 70, 'step': 2}]
        )
    folders = [str(tmp_path / name) for name in ('net_mixpro', 'net_transmix')]
    assert main(['curves', *folders, '--out', str(tmp_path / 'a.png')]) == 0
    loss, error = drawn[0].axes
    assert lines(loss) == {'MixPro': ([1, 2], [1.5, 3.5]), 'TransMix': ([1, 2], [2.5, 4.5])}
    assert lines(error) == {'MixPro': ([1, 2], [40, 30]), 'TransMix': ([1, 2], [39, 30])}
    assert [line.get_color() for line in loss.lines] == ['#D55E00', '#009E73']
    assert len({line.get_linestyle() for line in loss.lines}) == 2
    assert [axes.get_ylabel() for axes in drawn[0].axes] == ['training loss', 'validation top-1 error (%)']
    assert {axes.get_xlabel() for axes in drawn[0].axes} == {'epoch'} and smallest_text(drawn[0]) >= 7


def test_six_methods_differ_in_dashes():
    names = ('no mixing', 'CutMix', 'TransMix', 'TokenMix', 'MaskMix', 'MixPro')
    assert len({str(style['linestyle']) for style in styles([Run(name, Path(), []) for name in names]).values()}) == 6


def test_runs_of_one_name_are_a_mean_and_its_band(tmp_path, drawn):
    for name, loss in (('a', 1.0), ('b', 2.0)):
        write_log(tmp_path / name, [train(1, loss=loss), train(3, loss=0.5), *[train(5, loss=0.1)] * (name == 'a')])
    runs = [f'MixPro={tmp_path / name}' for name in ('a', 'b')]
    assert main(['curves', *runs, '--out', str(tmp_path / 'a.png')]) == 0
    (loss,) = drawn[0].axes
    assert lines(loss) == {'MixPro': ([1, 2], [1.5, 0.5])}  # the mean as far as both have come
    band = loss.collections[0].get_paths()[0].vertices
    assert {y for x, y in band if x == 1} == {1.0, 2.0} and {y for x, y in band if x == 2} == {0.5}
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ['MixPro']


def test_factor_is_drawn_from_the_log_and_for_a_mini_batch(digits, tmp_path, drawn, monkeypatch):
    folder = tmp_path / 'run'
    folder.mkdir()
    _, checkpoint = digits('trans', TRANSMIX, folder=folder)
    (folder / 'last_checkpoint').write_text(checkpoint)
    write_log(folder, [train(step, factor=0.1 * step, loss=1) for step in (1, 2, 3, 4)])
    command = ['factor', str(folder), '--num', '6', '--out', str(tmp_path / 'a.png')]
    assert main(command) == 0
    training, batch = drawn[0].axes
    np.testing.assert_allclose(training.lines[0].get_ydata(), [0.15, 0.35])
    dots, mean = batch.lines
    assert list(dots.get_xdata()) == [1, 2, 3, 4, 5, 6] and list(dots.get_ydata()) == [0.5] * 6  # as TransMix has it
    assert mean.get_ydata()[0] == 0.5 and smallest_text(drawn[0]) >= 7
    monkeypatch.setattr(factor_module, 'factors_of_a_batch', lambda *args: torch.tensor([0.9, 0.1, 0.5]))
    assert main(command) == 0
    np.testing.assert_allclose(drawn[1].axes[1].lines[0].get_ydata(), [0.1, 0.5, 0.9])
    np.testing.assert_allclose(drawn[1].axes[1].lines[1].get_ydata(), 0.5)


def test_factor_without_a_checkpoint_has_one_panel_and_says_so(tmp_path, drawn, capsys):
    write_log(tmp_path / 'run', [train(1, factor=0.5)])
    assert main(['factor', str(tmp_path / 'run'), '--out', str(tmp_path / 'a.png')]) == 0
    assert len(drawn[0].axes) == 1
    assert capsys.readouterr().err == (
        f'run is not in the panel of the mini-batch: {tmp_path / "run"} holds no config\n'
    )


def result(config, value, seed=0, **more):
    return dict(task='classification', metric='top1', config=config, value=value, seed=seed, **more)


def points(axes):
    return {c.get_label(): (list(c.lines[0].get_xdata()), list(c.lines[0].get_ydata())) for c in axes.containers}


def hollow(axes):
    return [
        (*line.get_xdata(), *line.get_ydata())
        for line in axes.lines
        if line.get_markerfacecolor() == 'none' and len(line.get_xdata())
    ]


def test_sweep_orders_values_and_cites_the_paper_where_the_data_are_the_same(tmp_path, drawn):
    ours, small = 'configs/ablation/figure5a_deit-small_scale-{}_8xb128_in1k.py', 'configs/digits/ablation/figure5'
    records = [result(ours.format(7), 80.0), result(ours.format(1), 79.0), result(ours.format(4), 81.0)]
    records += [result(small + 'b_deit-micro_beta-1_digits.py', value, i) for i, value in enumerate((97.0, 98.0))]
    records += [result(small + 'b_deit-micro_beta-0.5_digits.py', 96.0), result('configs/other.py', 1.0)]
    (tmp_path / 'results.json').write_text(json.dumps(dict(study={}, records=records)))
    assert main(['sweep', str(tmp_path), '--out', str(tmp_path / 'a.png')]) == 0
    scale, beta = drawn[0].axes
    assert points(scale) == {'deit-small': ([0, 1, 2], [79, 81, 80])}
    assert [text.get_text() for text in scale.get_xticklabels()] == ['1x', '4x', '7x']
    assert hollow(scale) == [(1, 81.3)]  # Figure 5 (a), 4x
    assert points(beta) == {'deit-micro': ([0, 1], [96, 97.5])}
    assert [text.get_text() for text in beta.get_xticklabels()] == ['0.5', '1']
    ends = beta.containers[0].lines[2][0].get_segments()[1]
    np.testing.assert_allclose(ends[:, 1], [97.5 - 0.5**0.5, 97.5 + 0.5**0.5])  # the deviation of 97 and 98
    assert not hollow(beta)
    assert [t.get_text() for t in drawn[0].legends[0].get_texts()] == ['deit-small', 'deit-micro', 'in the paper']


def test_sweep_reads_work_directories_old_results_and_published_numbers(tmp_path, drawn):
    for scale, score in ((2, 97.0), (4, 96.0)):
        folder = tmp_path / f'run{scale}'
        write_log(folder, [train(1, loss=1), {'accuracy/top1': 50.0, 'step': 1}, {'accuracy/top1': score, 'step': 2}])
        (folder / f'figure5a_deit-micro_scale-{scale}_digits.py').write_text('train_cfg = dict(max_epochs=2)')
    record = result('figure5a_deit-micro_scale-1_digits.py', 95.0, published=81.0)
    (tmp_path / 'old.json').write_text(json.dumps([record]))
    places = [str(tmp_path / name) for name in ('run4', 'run2', 'old.json')]
    assert main(['sweep', *places, '--out', str(tmp_path / 'a.png')]) == 0
    (axes,) = drawn[0].axes
    assert points(axes) == {'deit-micro': ([0, 1, 2], [95, 97, 96])} and hollow(axes) == [(0, 81)]


SCALE = 'figure5a_deit-micro_scale-{}_digits.py'


def sweep_run(folder, scale, score, epochs=2, seed=None, of=2):
    logged = [{'accuracy/top1': score, 'step': step} for step in range(1, epochs + 1)]
    write_log(folder, [train(1, loss=1), *logged])
    randomness = '' if seed is None else f'randomness = dict(seed={seed})'
    (folder / SCALE.format(scale)).write_text(f'train_cfg = dict(max_epochs={of})\n{randomness}')
    (folder / 'epoch_2.pth').write_bytes(str(score).encode())
    (folder / 'last_checkpoint').write_text(str(folder / 'epoch_2.pth'))
    return str(folder)


def test_sweep_leaves_out_what_is_not_finished(tmp_path, drawn, capsys):
    done, half = sweep_run(tmp_path / 'done', 4, 96.0), sweep_run(tmp_path / 'half', 2, 50.0, epochs=1)
    assert main(['sweep', done, half, '--out', str(tmp_path / 'a.png')]) == 0
    assert points(drawn[0].axes[0]) == {'deit-micro': ([0], [96])}
    assert capsys.readouterr().err == f'{half} is left out: its last top-1 is that of 1 of 2 epochs\n'
    mute = sweep_run(tmp_path / 'mute', 7, 50.0, of=None)
    assert main(['sweep', half, mute, '--out', str(tmp_path / 'b.png')]) == 1
    said = capsys.readouterr().err.splitlines()
    assert 'has neither max_epochs nor max_iters' in said[1] and 'none of these runs is finished' in said[2]
    assert not (tmp_path / 'b.png').exists()


def test_sweep_counts_a_run_once(tmp_path, drawn):
    folders = [sweep_run(tmp_path / f'scale{i}', i, 90.0 + i, seed=0) for i in (1, 2, 4)]
    second = sweep_run(tmp_path / 'scale4_s1', 4, 96.0, seed=1)
    hashes = [hashlib.sha256(str(90.0 + i).encode()).hexdigest() for i in (1, 2)]
    records = [
        result(SCALE.format(1), 91.0, seed=5, checkpoint_sha256=hashes[0]),  # the same by its checkpoint
        result(SCALE.format(2), 94.0, seed=0, checkpoint_sha256='f' * 64),  # another training with that seed
        result(SCALE.format(4), 94.0, seed=0),  # the same by its seed
    ]
    (tmp_path / 'results.json').write_text(json.dumps(records))
    places = [*folders, second, str(tmp_path / 'results.json'), folders[0]]
    for order in (places, places[::-1]):
        assert main(['sweep', *order, '--out', str(tmp_path / 'a.png')]) == 0
        (line,) = drawn[-1].axes[0].containers
        assert list(line.lines[0].get_ydata()) == [91, 93, 95]
        bars = line.lines[2][0].get_segments()
        heights = [bar[1][1] - bar[0][1] for bar in bars if len(bar) and np.isfinite(bar).all()]
        np.testing.assert_allclose(heights, [2 * 2**0.5] * 2)  # of 92 and 94, of 94 and 96; none where there is one run


@pytest.mark.parametrize(('key', 'value'), [('value', None), ('value', '97'), ('published', 'n/a')])
def test_sweep_names_what_is_no_number(tmp_path, capsys, key, value):
    record = result(SCALE.format(1), 95.0) | {key: value}
    (tmp_path / 'results.json').write_text(json.dumps([record]))
    assert main(['sweep', str(tmp_path), '--out', str(tmp_path / 'a.png')]) == 1
    said = f'results.json has {value!r} as {key} of the top-1 of {SCALE.format(1)}, which is no number\n'
    assert capsys.readouterr().err.endswith(said) and not (tmp_path / 'a.png').exists()


def test_occlusion_of_one_config_goes_by_the_checkpoints(tmp_path, capsys):
    curve = [dict(information_loss=x, top1=80 - 50 * x, std=None) for x in (0.0, 0.5)]
    content = dict(kind='occlusion', label='one', settings=dict(protocol='naseer', grid=8), curves=dict(random=curve))
    files = [tmp_path / 'lr=1' / 'a.json', tmp_path / 'b.json']  # a sign in a path is no name
    files[0].parent.mkdir()
    for file, name in zip(files, ('net_none_s0', 'net_mixpro_s0'), strict=True):
        file.write_text(json.dumps(content | dict(checkpoint=f'/w/{name}/epoch_2.pth')))
    assert main(['occlusion', *map(str, files), '--out', str(tmp_path / 'o.svg')]) == 0
    text = (tmp_path / 'o.svg').read_text()
    assert '<!-- no mixing -->' in text and '<!-- MixPro -->' in text and '<!-- one' not in text
    files[1].write_text(json.dumps(content | dict(settings={})))
    assert main(['occlusion', str(files[1]), '--out', str(tmp_path / 'p.svg')]) == 1
    assert capsys.readouterr().err.endswith('it lacks protocol and grid among its settings\n')


def test_occlusion_is_written_in_both_kinds_under_the_names_given(tmp_path, capsys):
    curve = [dict(information_loss=x, top1=80 - 50 * x, std=None) for x in (0.0, 0.5)]
    settings = dict(protocol='naseer', grid=14)
    for name in ('a', 'b'):
        content = dict(kind='occlusion', label=name, settings=settings, curves=dict(random=curve))
        (tmp_path / f'{name}.json').write_text(json.dumps(content))
    words = [str(tmp_path / 'a.json'), f'MixPro={tmp_path / "b.json"}', '--out', str(tmp_path / 'o')]
    assert main(['occlusion', *words]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / 'o.png'), str(tmp_path / 'o.svg')]
    text = (tmp_path / 'o.svg').read_text()
    assert '<!-- MixPro -->' in text and '<!-- b -->' not in text


@pytest.mark.parametrize(
    ('words', 'sentence'),
    [
        (['mixed', 'nowhere.py'], 'mixed: config nowhere.py cannot be read: '),
        (['mixed', '{none}'], 'mixed: this config mixes no images'),
        (['mixed', '{mix}', '--augment', 'CutMix'], 'mixed: this config has no augment CutMix; it has Mixup, MixPro'),
        (
            ['mixed', '{mix}', '--checkpoint', '{mix}'],
            'cannot be read: it is a text file that begins with',
        ),
        (['mixed', '{mix}', '--checkpoint', 'gone.pth'], 'mixed: Checkpoint gone.pth is not an existing file.'),
        (['mixed', '{mix}', '--num', '0'], 'mixed: --num 0: from 1 to 16 images have room'),
        (['mixed', '{mix}', '--out', 'a.jpg'], 'mixed: --out a.jpg must end in .png or .svg'),
        (['masks', '--patch', '15'], 'masks: patches of 15 px and cells of 4 of them do not tile an image of 224 px'),
        (['masks', '--lam', '1.5'], 'masks: the share 1.5 must lie in 0 to 1'),
        (['attention', 'a.png'], 'attention: there is no config (CONFIG.py:CHECKPOINT) in a.png'),
        (['attention', '{mix}'], 'comes without a checkpoint'),
        (['factor', '{folder}'], 'holds no log'),
        (['curves', 'nowhere'], 'curves: nowhere is not a folder'),
        (['occlusion', '{mix}'], 'is not the result of an occlusion test'),
        (['sweep', '{folder}'], 'holds neither results.json nor a log with top-1'),
        (['sweep', '{mix}'], 'holds no list of result records'),
    ],
)
def test_bad_input_is_one_sentence_and_no_file(config_file, tmp_path, monkeypatch, capsys, words, sentence):
    monkeypatch.chdir(tmp_path)
    known = dict(mix=config_file('mix'), folder=str(tmp_path))
    if '{none}' in words:
        known['none'] = config_file('none', 'model = dict(train_cfg=None)\n' + NO_HOOK)
    assert main([word.format(**known) for word in words]) == 1
    written = capsys.readouterr()
    assert sentence in written.err and written.err.count('\n') == 1 and written.out == ''
    assert not list(tmp_path.rglob('*.png')) and not Path('work_dirs').exists()


def test_a_checkpoint_of_another_model_is_refused(digits, tmp_path, capsys):
    config, _ = digits('deit')
    _, other = digits('pvt', base='pvt-micro_mixpro_digits.py')
    assert main(['attention', f'{config}:{other}', '--out', str(tmp_path / 'a.png')]) == 1
    assert 'does not fit the model of' in capsys.readouterr().err


def test_an_unknown_command_is_explained(capsys):
    with pytest.raises(SystemExit) as end:
        main(['movie'])
    assert end.value.code == 2 and 'sweep' in capsys.readouterr().err
