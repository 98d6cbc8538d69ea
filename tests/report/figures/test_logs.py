from pathlib import Path

import matplotlib
import pytest
from matplotlib.figure import Figure

from mixpro_mm.visualize.paper import PRINT, fit, legend_above, outputs, panels
from mixpro_mm.visualize.runs import checkpoint_of, config_of, read_runs, split_name


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


@matplotlib.rc_context(PRINT)
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


def test_a_copied_run_has_its_own_checkpoint(tmp_path):
    original, copy = tmp_path / 'original', tmp_path / 'copy'
    for folder in (original, copy):
        folder.mkdir()
        (folder / 'epoch_2.pth').touch()
        (folder / 'last_checkpoint').write_text(str(original / 'epoch_2.pth'))
    assert checkpoint_of(copy) == copy / 'epoch_2.pth'
    (copy / 'epoch_2.pth').unlink()
    assert checkpoint_of(copy) == original / 'epoch_2.pth'  # as where checkpoints are written elsewhere


@pytest.fixture
def names(tmp_path):
    """The names of runs that are folders below each other."""

    def read(*texts):
        split = [text.rpartition('=') for text in texts]
        for _, _, folder in split:
            (tmp_path / folder / '1' / 'vis_data').mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / '1' / 'vis_data' / 'scalars.json').write_text('{"iter": 1, "step": 1, "loss": 1}')
        return [run.name for run in read_runs([f'{name}{sign}{tmp_path / folder}' for name, sign, folder in split])]

    return read


def test_seeds_are_no_part_of_a_name(names):
    folders = ('deit_none_s0', 'deit_none_s1', 'deit_mixpro_s0', 'deit_mixpro_seed-12')
    assert names(*folders) == ['no mixing', 'no mixing', 'MixPro', 'MixPro']


def test_only_seeds_and_given_names_make_repetitions(names):
    assert names('demo/deit_mixpro', 'other/deit_mixpro') == ['demo', 'other']
    found = names('demo/deit_mixpro', 'other/deit_mixpro', 'demo/deit_cutmix')
    assert found == ['demo, MixPro', 'other, MixPro', 'demo, CutMix']
    found = names('demo/net_s0', 'demo/net_s1', 'other/net_s0', 'other/net_s1')
    assert found == ['demo', 'demo', 'other', 'other']
    assert len(set(names('net', 'net_s0', 'net_s1'))) == 3  # who knows what the first has for a seed
    assert names('Ours=demo/a', 'Ours=other/b', 'other/a') == ['Ours', 'Ours', 'other, a']


def test_a_run_is_no_repetition_of_itself_nor_of_one_that_was_given_its_name(names):
    with pytest.raises(ValueError, match='demo/a is named twice'):
        names('demo/a', 'b', 'demo/a')
    with pytest.raises(ValueError, match='demo/a is named twice'):
        names('X=demo/a', 'X=demo/a')
    with pytest.raises(ValueError, match='deit_mixpro goes by MixPro, the name given to another run'):
        names('MixPro=deit_mine', 'deit_mixpro')


def test_folders_without_a_log_are_named(tmp_path):
    with pytest.raises(ValueError, match='nowhere is not a folder'):
        read_runs([str(tmp_path / 'nowhere')])
    with pytest.raises(ValueError, match=f'{tmp_path} holds no log'):
        read_runs([str(tmp_path)])
