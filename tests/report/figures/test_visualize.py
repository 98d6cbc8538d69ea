"""Tests of the commands: data in the axes, text and files."""

import json
import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from mixpro_mm.report.figures import results
from mixpro_mm.report.figures.masks import make_masks
from mixpro_mm.report.figures.mixed import parse_words
from mixpro_mm.report.visualize import main

NO_HOOK = 'custom_hooks = []'
TOKENMIX = """augments = [dict(type='mixpro_mm.TokenMix', patch_size=4, teacher='ema')]
model = dict(train_cfg=dict(augments=augments, probs=[1.0]))
custom_hooks = [dict(type='EMAHook'), dict(type='mixpro_mm.LabelingHook', labeling='AreaLabeling')]"""
TRANSMIX = "custom_hooks = [dict(type='mixpro_mm.LabelingHook', labeling='AttentionLabeling')]"


def shown(axes):
    return np.asarray(axes.images[0].get_array())


def smallest_text(figure):
    return min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text())


def test_mixed_shows_what_went_in_and_what_came_out(digits, tmp_path, drawn, capsys):
    config, checkpoint = digits('mix')
    capsys.readouterr()
    assert main(['mixed', config, '--checkpoint', checkpoint, '--num', '3', '--out', str(tmp_path / 'a')]) == 0
    assert capsys.readouterr().out.split()[-2:] == [str(tmp_path / 'a.png'), str(tmp_path / 'a.svg')]
    for row in np.array(drawn[0].axes).reshape(3, 5):
        image, partner, mask, mixed, attention = map(shown, row)
        np.testing.assert_allclose(mixed, np.where(mask[..., None], image, partner), atol=1e-6)
        texts = [' '.join(axes.get_title().split('\n')) for axes in row]
        assert [text.split()[0] for text in texts] == ['image', 'partner', 'mask', 'mixed', 'attention']
        assert {text.split()[1] for text in texts[:2]} <= set('0123456789')
        area, (own, other), (attn, factor) = [[*map(float, re.findall(r'\d\.\d\d', text))] for text in texts[2:]]
        assert abs(area[0] - mask.mean()) < 0.0051 and abs(own + other - 1) < 0.011
        assert abs(attn - (attention * mask).sum() / attention.sum()) < 0.0051
        assert abs(own - (factor * attn + (1 - factor) * area[0])) < 0.011
    assert drawn[0].get_figwidth() == 3.25 and smallest_text(drawn[0]) >= 7


def test_mixed_without_a_checkpoint_shows_no_output_of_the_model(config_file, tmp_path, drawn):
    assert main(['mixed', config_file('mix'), '--out', str(tmp_path / 'a.png'), '--width', 'text']) == 0
    mask, mixed = (axes.get_title() for axes in np.array(drawn[0].axes).reshape(4, 4)[1, 2:])
    area, own, other = map(float, re.findall(r'\d\.\d\d', mask + mixed))
    assert area == own and abs(own + other - 1) < 0.011
    config = config_file('token', TOKENMIX)  # its teacher is untrained, too
    assert main(['mixed', config, '--out', str(tmp_path / 'c.png')]) == 0
    assert {axes.get_title() for axes in drawn[-1].axes[3::4]} == {'mixed'}


def test_masks_keep_whole_cells(tmp_path, drawn):
    region, block, random, scaled = make_masks(lam=0.5, seed=1).values()
    rows, columns = np.nonzero(~region.numpy())
    assert (~region).sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)  # one box
    assert block[::16, ::16].sum() == random[::16, ::16].sum() == 98  # of 196
    assert scaled[::64, ::64].sum() == 8  # of 16, those at the ends are cut
    assert main(['masks', '--scale', '2', '--lam', '0.25', '--seed', '5', '--out', str(tmp_path / 'a.svg')]) == 0
    titles = [axes.get_title().split('\n')[0] for axes in drawn[0].axes]
    assert titles == ['region', 'block', 'random', 'random, 2x'] and smallest_text(drawn[0]) >= 7
    for axes, mask in zip(drawn[0].axes, make_masks(scale=2, lam=0.25, seed=5).values(), strict=True):
        assert np.array_equal(shown(axes), mask)


def test_arguments_of_attention_are_models_and_images():
    looks, images = parse_words(['a.py:x.pth', 'b.py', 'y.pth', 'ours=c.py:z.pth', 'i.png', 'j.jpg'])
    assert looks == [(None, 'a.py', 'x.pth'), (None, 'b.py', 'y.pth'), ('ours', 'c.py', 'z.pth')]
    assert images == ['i.png', 'j.jpg']


def test_attention_has_a_column_for_each_model(digits, tmp_path, drawn):
    words = [':'.join(digits('deit_mixpro_x')), f'PVT={":".join(digits("pvt", base="pvt-micro_mixpro_digits.py"))}']
    words += [':'.join(digits('deit_transmix_x', TRANSMIX)), '--num', '3', '--mixed']
    assert main(['attention', *words, '--out', str(tmp_path / 'a.png')]) == 0
    grid = np.array(drawn[0].axes).reshape(3, 5)
    names = [axes.get_title().replace('\n', '') for axes in grid[0]]
    assert names[:2] == ['image', 'mixed'] and names[-2] == 'PVT' and smallest_text(drawn[0]) >= 7
    assert all(axes.get_ylabel() in set('0123456789') for axes in grid[:, 0])
    image = shown(grid[0][1])
    heat = shown(grid[0][2]) - 0.3 * (image @ np.array([0.299, 0.587, 0.114]))[..., None]
    tokens = heat.reshape(8, 4, 8, 4, 3)
    np.testing.assert_allclose(tokens - tokens[:, :1, :, :1], 0, atol=1e-6)  # one color a token over the image
    hottest = 0.7 * np.array(matplotlib.colormaps['inferno'](1.0)[:3])
    np.testing.assert_allclose(heat.sum(-1).max(), hottest.sum(), atol=1e-6)


def test_attention_of_named_images(digits, tmp_path, drawn):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(tmp_path / 'noise.png')
    config, checkpoint = digits('deit')
    command = ['attention', f'{config}:{checkpoint}', str(tmp_path / 'noise.png'), '--out', str(tmp_path / 'a.png')]
    assert main(command) == 0
    assert drawn[0].axes[0].get_ylabel() == 'noise' and shown(drawn[0].axes[0]).shape == (32, 32, 3)


def record(row, value, seed=0, **more):
    found = dict(task='classification', metric='top1', backbone='DeiT-micro', pretraining='mixpro', config='a.py')
    table = f'figure5{"a" if row.startswith("scale") else "b"}'
    return found | dict(cells=[(table, row, None)], value=value, seed=seed, **more)


def test_sweep_shows_published_numbers_on_the_same_data(tmp_path, drawn):
    records = [record('scale-7', 80.0), record('scale-1', 79.0), record('scale-4', 81.0)]
    records += [record('beta-1', 97.0, 0, data='digits'), record('beta-1', 98.0, 1, data='digits')]
    records += [
        record('beta-0.5', 96.0, data='digits'),
        record('scale-1', 1.0) | dict(cells=[('table1', 'scale-1', None)]),
    ]
    (tmp_path / 'results.json').write_text(json.dumps(dict(study={}, records=records)))
    places = [f'Ours={tmp_path}', f'Ours={tmp_path / "results.json"}']  # records found twice count once
    assert main(['sweep', *places, '--out', str(tmp_path / 'a.png')]) == 0
    scale, beta = drawn[0].axes
    assert {line.get_label(): line.get_xydata().tolist() for line in scale.lines} == {
        'Ours': [[0, 79], [1, 81], [2, 80]], 'in the paper': [[1, 81.3]],
    }  # fmt: skip
    ticks = [[text.get_text() for text in axes.get_xticklabels()] for axes in (scale, beta)]
    assert ticks == [['1x', '4x', '7x'], ['0.5', '1']]
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ['Ours', 'in the paper']
    assert beta.lines[0].get_ydata().tolist() == [96, 97.5]
    edges = {y for x, y in beta.collections[0].get_paths()[0].vertices.tolist() if x == 1}
    np.testing.assert_allclose(sorted(edges), [97.5 - 0.5**0.5, 97.5 + 0.5**0.5])


def test_sweep_of_finished_work_directories(write_log, tmp_path, drawn, monkeypatch, capsys):
    configs = {f'figure5a_scale-{i}.py': [('figure5a', f'scale-{i}', None)] for i in (2, 4)}
    paper = results.read_paper()._replace(configs=configs)
    monkeypatch.setattr(results, 'read_paper', lambda: paper)
    places = []
    for scale, steps in ((4, 2), (2, 1)):
        scores = [(step, {'accuracy/top1': 90.0 + step}) for step in range(1, 1 + steps)]
        folder = write_log(f'run{scale}', [(1, 1, dict(loss=1))], scores)
        for config in (f'{folder}/figure5a_scale-{scale}.py', f'{folder}/1/vis_data/config.py'):
            Path(config).write_text('train_cfg = dict(max_epochs=2)')
        places.append(folder)
    assert main(['sweep', *places, '--out', str(tmp_path / 'a.png')]) == 0
    assert [line.get_xydata().tolist() for line in drawn[0].axes[0].lines] == [[[0, 92]], [[0, 81.3]]]
    assert 'run2/1/vis_data/scalars.json is skipped: its last top-1 is from step 1 of 2' in capsys.readouterr().err
    assert main(['sweep', places[1], '--out', str(tmp_path / 'b.png')]) == 1 and not (tmp_path / 'b.png').exists()


@pytest.mark.parametrize(
    ('words', 'sentence'),
    [
        (['mixed', 'nowhere.py'], 'mixed: nowhere.py cannot be read: '),
        (['mixed', '{none}'], 'no augmentation of mixpro_mm that mixes images in this config; found: none'),
        (
            ['mixed', '{mix}', '--augment', 'CutMix'],
            'mixed: no augmentation CutMix of mixpro_mm that mixes images in this config; found: MixPro',
        ),
        (['mixed', '{mix}', '--checkpoint', '{mix}'], 'cannot be read: it is a text file that starts with'),
        (['mixed', '{mix}', '--num', '1'], '--num 1: must be 2 to 16'),
        (['mixed', '{mix}', '--out', 'a.jpg'], 'mixed: --out a.jpg must be a file that ends in .png or .svg'),
        (['masks', '--patch', '15'], 'patches of 15 px and cells of 4 of them do not fit an image of 224 px'),
        (['masks', '--lam', '1.5'], 'lam is 1.5'),
        (['attention', 'a.png'], 'no config (CONFIG.py:CHECKPOINT) in a.png'),
        (['attention', '{mix}'], 'has no checkpoint'),
        (['curves', 'nowhere'], 'curves: nowhere has no log'),
        (['factor', 'nowhere', '--num', '-1'], 'factor: --num -1: must be 2 or more'),
        (['occlusion', '{mix}'], 'has no results of a study, an occlusion test'),
        (['sweep', '{mix}'], 'sweep: '),
    ],
)
def test_invalid_input_prints_one_line_and_writes_no_file(config_file, tmp_path, monkeypatch, capsys, words, sentence):
    monkeypatch.chdir(tmp_path)
    known = dict(mix=config_file('mix'))
    if '{none}' in words:
        known['none'] = config_file('none', 'model = dict(train_cfg=None)\n' + NO_HOOK)
    assert main([word.format(**known) for word in words]) == 1
    written = capsys.readouterr()
    assert sentence in written.err and written.err.count('\n') == 1 and written.out == ''
    assert not list(tmp_path.rglob('*.png')) and not Path('work_dirs').exists()
