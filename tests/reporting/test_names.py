from pathlib import Path

from mixpro_mm.reporting.names import short_names, tails


def test_names_tell_apart_what_differs():
    stems = ['deit-micro_mixpro_digits-8', 'deit-micro_transmix_digits-8', 'deit-micro_none_digits-8']
    assert short_names(stems) == ['MixPro', 'TransMix', 'no mixing']
    assert short_names(stems[:2], [None, 'theirs']) == ['MixPro', 'theirs']
    assert short_names(['a_b', 'a_b']) == ['a_b', 'a_b']
    assert short_names(['a_b', 'a_b_c']) == ['a_b', 'a_b_c']
    assert short_names(['deit_mixpro', 'pvt_cutmix']) == ['deit, MixPro', 'pvt, CutMix']


def test_folders_are_words_and_different_stems_stay_different():
    assert short_names(['demo/deit_mixpro', 'other/deit_mixpro']) == ['demo', 'other']
    assert short_names(['deit_none', 'deit_no mixing']) == ['deit_none', 'deit_no mixing']  # one word for both


def test_as_many_parts_of_a_path_as_tell_it_apart():
    paths = [Path(path) for path in ('/w/a/x/run', '/w/b/x/run', '/w/a/x/other')]
    assert tails(paths) == ['a/x/run', 'b/x/run', 'a/x/other']
    assert tails(paths[1:]) == ['run', 'other'] and tails(paths[1:], least=2) == ['x/run', 'x/other']
    assert tails([paths[0], paths[0]]) == ['run', 'run'] and tails([]) == []
    assert tails([Path('/run'), Path('/w/run')]) == ['/run', 'w/run']
