import pytest

from mixpro_mm.study.seeds import repeated

DATA = dict(name='data', command=('x',))
PRE = dict(name='pre', config='pre.py', seeds=3)
SEG = dict(name='seg', config='seg.py', checkpoint='pre', needs=('data', 'pre'), seeds=2)
ONCE = dict(name='once', config='once.py', needs=('data',))


def test_seeds_come_one_after_the_other_and_keep_to_themselves():
    stages = repeated([DATA, PRE, SEG, ONCE], 7, None, 's.py')
    assert [stage['name'] for stage in stages] == ['data', 'pre_s7', 'seg_s7', 'once', 'pre_s8', 'seg_s8', 'pre_s9']
    assert [stage.get('seed') for stage in stages] == [None, 7, 7, None, 8, 8, 9]
    later = stages[5]
    assert (later['checkpoint'], later['needs'], later['config']) == ('pre_s8', ('data', 'pre_s8'), 'seg.py')
    assert not any('seeds' in stage for stage in stages)
    assert PRE['name'] == 'pre' and SEG['checkpoint'] == 'pre'  # what was given stays as it is


def test_without_seeds_nothing_changes():
    entries = [DATA, dict(PRE, seeds=None), ONCE]
    assert [stage['name'] for stage in repeated(entries, 0, None, 's.py')] == ['data', 'pre', 'once']
    assert all('seed' not in stage for stage in repeated(entries, 0, None, 's.py'))


def test_a_number_for_all_that_train():
    names = [stage['name'] for stage in repeated([DATA, PRE, SEG, ONCE], 0, 1, 's.py')]
    assert names == ['data', 'pre_s0', 'seg_s0', 'once_s0']
    assert len(repeated([DATA, PRE, SEG, ONCE], 0, 4, 's.py')) == 1 + 3 * 4


@pytest.mark.parametrize(
    ('entries', 'seeds', 'sentence'),
    [
        ([dict(PRE, seeds=0)], None, 'stage pre of s.py: seeds is 0, not above 0'),
        ([PRE], -1, 'stage pre of s.py: seeds is -1, not above 0'),
        ([dict(DATA, seeds=2)], None, 'stage data of s.py is a command, which has no seeds'),
        (
            [PRE, dict(SEG, seeds=4)],
            None,
            'stage seg of s.py has more seeds than pre, which it waits for and which has 3',
        ),
    ],
)
def test_what_cannot_be_repeated(entries, seeds, sentence):
    with pytest.raises(ValueError, match=sentence):
        repeated(entries, 0, seeds, 's.py')
