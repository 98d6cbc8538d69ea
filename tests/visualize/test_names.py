from pathlib import Path

import pytest
from matplotlib.figure import Figure

from mixpro_mm.visualize.names import method_of, run_colors, short_names
from mixpro_mm.visualize.paper import fit, legend_above, outputs, panels
from mixpro_mm.visualize.runs import checkpoint_of, config_of, read_runs, split_name


def test_names_tell_apart_what_differs():
    stems = ['deit-micro_mixpro_digits-8', 'deit-micro_transmix_digits-8', 'deit-micro_none_digits-8']
    assert short_names(stems) == ['MixPro', 'TransMix', 'no mixing']
    assert short_names(stems[:2], [None, 'theirs']) == ['MixPro', 'theirs']
    assert short_names(['a_b', 'a_b']) == ['a_b', 'a_b']
    assert short_names(['a_b', 'a_b_c']) == ['a_b', 'a_b_c']
    assert short_names(['deit_mixpro', 'pvt_cutmix']) == ['deit, MixPro', 'pvt, CutMix']


def test_methods_have_their_colours_where_these_tell_the_runs_apart():
    assert [method_of(name) for name in ('DeiT, MixPro', 'no mixing', 'deit', 'mixup_cutmix')] == [
        'mixpro', 'none', None, 'cutmix',
    ]  # fmt: skip
    assert run_colors(['TransMix', 'MixPro', 'TransMix']) == {'TransMix': '#009E73', 'MixPro': '#D55E00'}
    same = run_colors(['deit MixPro', 'pvt MixPro'])
    assert len(set(same.values())) == 2
    assert len(set(run_colors(['MixPro', 'mine']).values())) == 2


def test_a_suffix_names_the_kind_and_none_means_both(tmp_path):
    assert outputs(None, 'masks') == [Path('work_dirs/pictures/masks.png'), Path('work_dirs/pictures/masks.svg')]
    assert outputs('a/b', 'masks') == [Path('a/b.png'), Path('a/b.svg')]
    assert outputs('a/b.SVG', 'masks') == [Path('a/b.SVG')]
    with pytest.raises(ValueError, match=r'a\.pdf must end in \.png or \.svg'):
        outputs('a.pdf', 'masks')
    with pytest.raises(ValueError, match='is a folder'):
        outputs(tmp_path, 'masks')


def test_texts_fit_into_their_inches():
    text = fit('a rather long name of a class', 0.7)
    lines = text.split('\n')
    assert len(lines) == 2 and lines[-1].endswith('…') and max(map(len, lines)) <= 13
    assert fit('cat', 0.7) == 'cat'


def test_panels_are_stacked_in_a_column_and_abreast_in_the_text():
    for width, inches in (('column', 3.25), ('text', 6.75)):
        figure, axes = panels(2, width)
        assert figure.get_figwidth() == inches
        stacked = axes[0].get_position().y0 > axes[1].get_position().y1
        assert stacked == (width == 'column')


def test_a_legend_has_as_many_columns_as_fit():
    def columns(width):
        figure = Figure(figsize=(width, 2), layout='constrained')
        for i in range(6):
            figure.add_subplot().plot([0, 1], label=f'a name of 20 signs {i}')
        return legend_above(figure).legends[0]._ncols

    assert (columns(3.25), columns(6.75)) == (2, 4)


def test_a_name_before_the_path_unless_the_path_is_there(tmp_path):
    assert split_name('ours=a/b') == ('ours', Path('a/b'))
    assert split_name('a/b') == (None, Path('a/b'))
    (tmp_path / 'lr=1').mkdir()
    assert split_name(f'{tmp_path}/lr=1') == (None, tmp_path / 'lr=1')


def test_config_and_checkpoint_of_a_work_directory_that_was_moved(tmp_path):
    for find, what in ((config_of, 'config'), (checkpoint_of, 'checkpoint')):
        with pytest.raises(ValueError, match=f'holds no {what}'):
            find(tmp_path)
    (tmp_path / 'a.py').touch()
    (tmp_path / 'last_checkpoint').write_text('/gone/epoch_2.pth')
    with pytest.raises(ValueError, match='holds no checkpoint'):
        checkpoint_of(tmp_path)
    (tmp_path / 'epoch_2.pth').touch()
    assert (config_of(tmp_path), checkpoint_of(tmp_path)) == (tmp_path / 'a.py', tmp_path / 'epoch_2.pth')


def test_seeds_are_no_part_of_a_name(tmp_path):
    folders = [tmp_path / name for name in ('deit_none_s0', 'deit_none_s1', 'deit_mixpro_s0', 'deit_mixpro_seed-12')]
    for folder in folders:
        (folder / '1' / 'vis_data').mkdir(parents=True)
        (folder / '1' / 'vis_data' / 'scalars.json').write_text('{"iter": 1, "step": 1, "loss": 1}')
    assert [run.name for run in read_runs(map(str, folders))] == ['no mixing', 'no mixing', 'MixPro', 'MixPro']


def test_folders_without_a_log_are_named(tmp_path):
    with pytest.raises(ValueError, match='nowhere is not a folder'):
        read_runs([str(tmp_path / 'nowhere')])
    with pytest.raises(ValueError, match=f'{tmp_path} holds no log'):
        read_runs([str(tmp_path)])
