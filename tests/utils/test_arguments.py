import math
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from mixpro_mm.utils import arguments

HUGE = 10**400  # beyond float


def test_numbers_are_finite_and_in_the_range_of_float():
    assert all(map(arguments.is_number, [0, -1, 2.5, 10**300, Fraction(1, 3), np.float32(0.5), np.int64(2)]))
    assert not any(
        map(arguments.is_number, [True, np.bool_(True), math.nan, math.inf, HUGE, 1j, '1', None, torch.ones(())])
    )


@pytest.mark.parametrize(
    ('check', 'taken', 'refused'),
    [
        (
            arguments.positive,
            [1, 5e-324, 1e300, np.float32(2)],
            [0, -0.0, -1, math.nan, math.inf, HUGE, True, '1', None, [1]],
        ),
        (arguments.not_negative, [0, -0.0, 1e300], [-1e-9, math.nan, math.inf, HUGE, False, '0', None]),
        (arguments.fraction, [1, 1e-9, 0.5], [0, 1.0000001, -0.5, math.nan, True, '0.5', None]),
        (partial(arguments.within, low=2, high=5), [2, 5.0], [1.999, 5.001, math.nan, True, '3', None, HUGE]),
        (arguments.positive_int, [1, 7, np.int64(3), HUGE], [0, -1, 1.0, True, '1', None, math.nan]),
        (partial(arguments.positive_int, least=0), [0, 2], [-1]),
        (arguments.flag, [True, False], [0, 1, 'False', None, np.bool_(True), []]),
        (arguments.patterns, [('a', 'b'), ()], [None, True, 3, {}, ['a', 1], [None], {'a'}]),
    ],
)
def test_each_check_returns_what_it_takes_and_shows_what_it_refuses(check, taken, refused):
    for value in taken:
        assert check('size', value) == value
    for value in refused:
        with pytest.raises((ValueError, TypeError), match=r'^size must be .+') as caught:
            check('size', value)
        assert str(caught.value).endswith(f'got {arguments.shown(value)}')
        assert caught.type is (TypeError if check is arguments.patterns else ValueError)


def test_a_choice_is_one_of_the_known_names():
    assert arguments.one_of('kind', 'flip', dict(roll=1, flip=2)) == 'flip'
    for value in ('Flip', None, ['flip']):
        with pytest.raises(ValueError, match=r'^kind .+ is unknown; known: flip, roll$'):
            arguments.one_of('kind', value, ('roll', 'flip'))


def test_patterns_become_a_tuple_and_values_are_shown_on_one_line_of_100_characters():
    assert arguments.patterns('allow', 'ln1.*') == ('ln1.*',) and arguments.patterns('allow', ['a', 'b']) == ('a', 'b')
    assert arguments.shown('16') == "'16'"
    assert '\n' not in arguments.shown(nn.Sequential(nn.Identity(), nn.Identity()))
    assert len(arguments.shown(HUGE)) == 100 and arguments.shown(HUGE).startswith('1000')
