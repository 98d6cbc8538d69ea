import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from mixpro_mm.utils import arguments
from mixpro_mm.utils.arguments import is_number, one_of, patterns, positive_int, shown, within

HUGE = 10**400  # beyond float


def test_numbers_are_finite_and_in_the_range_of_float():
    assert all(map(is_number, [0, -1, 2.5, 10**300, Fraction(1, 3), np.float32(0.5), np.int64(2)]))
    assert not any(map(is_number, [True, np.bool_(True), math.nan, math.inf, HUGE, 1j, '1', None, torch.ones(())]))


@pytest.mark.parametrize(
    ('check', 'taken', 'refused'),
    [
        ('positive', [1, 5e-324, 1e300, np.float32(2)], [0, -0.0, -1, math.nan, math.inf, HUGE, True, '1', None, [1]]),
        ('not_negative', [0, -0.0, 1e300], [-1e-9, math.nan, math.inf, HUGE, False, '0', None]),
        ('fraction', [1, 1e-9, 0.5], [0, 1.0000001, -0.5, math.nan, True, '0.5', None]),
        ('positive_int', [1, 7, np.int64(3), HUGE], [0, -1, 1.0, True, '1', None, math.nan]),
        ('flag', [True, False], [0, 1, 'False', None, np.bool_(True), []]),
    ],
)
def test_each_check_returns_what_it_takes_and_shows_what_it_refuses(check, taken, refused):
    for value in taken:
        assert getattr(arguments, check)('size', value) == value
    for value in refused:
        with pytest.raises(ValueError, match=r'^size must be .+') as caught:
            getattr(arguments, check)('size', value)
        assert str(caught.value).endswith(f'got {shown(value)}')


def test_bounds_belong_to_a_range():
    assert within('size', 2, 2, 5) == 2
    assert within('size', 5.0, 2, 5) == 5.0
    for value in (1.999, 5.001, math.nan, True, '3', None, HUGE):
        with pytest.raises(ValueError, match=r'^size must be a number from 2 to 5, got '):
            within('size', value, 2, 5)
    assert positive_int('size', 0, least=0) == 0
    with pytest.raises(ValueError, match=r'^size must be a whole number of at least 3, got 2$'):
        positive_int('size', 2, least=3)


def test_a_choice_is_one_of_the_known_names():
    assert one_of('kind', 'flip', dict(roll=1, flip=2)) == 'flip'
    for value in ('Flip', None, ['flip']):
        with pytest.raises(ValueError, match=r'^kind .+ is unknown; known: flip, roll$'):
            one_of('kind', value, ('roll', 'flip'))


def test_one_pattern_or_several_become_a_tuple():
    assert patterns('allow', 'ln1.*') == ('ln1.*',)
    assert patterns('allow', ['a', 'b']) == ('a', 'b')
    assert patterns('allow', ()) == ()
    for value in (None, True, 3, {}, ['a', 1], [None], {'a'}):
        with pytest.raises(TypeError, match=r'^allow must be a pattern or a list of patterns, got '):
            patterns('allow', value)


def test_a_value_is_shown_on_one_line_and_not_at_any_length():
    assert shown('16') == "'16'"
    assert '\n' not in shown(nn.Sequential(nn.Identity(), nn.Identity()))
    assert len(shown(HUGE)) == 100
    assert shown(HUGE).startswith('1000')
