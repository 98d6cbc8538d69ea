"""Checks of arguments from a config: each returns the value or raises an error that shows it."""

import math
from numbers import Integral, Real

__all__ = ['counted', 'distinct_labels', 'flag', 'fraction', 'is_number', 'not_negative', 'one_of', 'patterns']
__all__ += ['positive', 'positive_int', 'shown', 'within']


def shown(value) -> str:
    """Return ``repr(value)`` on one line, truncated to 100 characters."""
    text = ' '.join(repr(value).split())
    return text if len(text) <= 100 else f'{text[:97]}...'


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: ``'1 stage'``, ``'2 stages'``."""
    return f'{number} {noun}{"" if number == 1 else "s"}'


def is_number(value) -> bool:
    """Return whether ``value`` is a finite number in the range of float and not a bool."""
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # integer beyond the range of float
        return False


def _checked(name: str, value, valid: bool, what: str, error: type[Exception] = ValueError):
    if not valid:
        raise error(f'{name} must be {what}, got {shown(value)}')
    return value


def one_of(name: str, value, known) -> str:
    """Return ``value`` if it is one of ``known``, otherwise raise a ValueError that lists them."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f'{name} {shown(value)} is unknown; known: {", ".join(sorted(known))}')
    return value


def distinct_labels(name: str, value, count: int) -> list[int]:
    """Return ``value`` as a list if it has different labels from 0 to ``count`` - 1, otherwise raise a ValueError."""
    labels = list(value)
    valid = labels and len(set(labels)) == len(labels) and set(labels) <= set(range(count))
    return _checked(name, labels, valid, f'distinct labels from 0 to {count - 1}')


def patterns(name: str, value) -> tuple[str, ...]:
    """Return a pattern or a list of patterns as a tuple, otherwise raise a TypeError."""
    value = (value,) if isinstance(value, str) else value
    valid = isinstance(value, list | tuple) and all(isinstance(pattern, str) for pattern in value)
    return tuple(_checked(name, value, valid, 'a pattern or a list of patterns', TypeError))


def flag(name: str, value) -> bool:
    """Return ``value`` if it is a bool, otherwise raise a ValueError."""
    return _checked(name, value, isinstance(value, bool), 'True or False')


def positive(name: str, value) -> float:
    """Return ``value`` if it is a finite number above 0, otherwise raise a ValueError."""
    return _checked(name, value, is_number(value) and value > 0, 'a finite number above 0')


def not_negative(name: str, value) -> float:
    """Return ``value`` if it is a finite number of at least 0, otherwise raise a ValueError."""
    return _checked(name, value, is_number(value) and value >= 0, 'a finite number of at least 0')


def fraction(name: str, value) -> float:
    """Return ``value`` if it is in (0, 1], otherwise raise a ValueError."""
    return _checked(name, value, positive(name, value) <= 1, 'at most 1')


def within(name: str, value, low: float, high: float) -> float:
    """Return ``value`` if it is in [``low``, ``high``], otherwise raise a ValueError."""
    return _checked(name, value, is_number(value) and low <= value <= high, f'a number from {low:g} to {high:g}')


def positive_int(name: str, value, least: int = 1) -> int:
    """Return ``value`` if it is an integer of at least ``least``, otherwise raise a ValueError."""
    valid = isinstance(value, Integral) and not isinstance(value, bool) and value >= least
    return int(_checked(name, value, valid, f'a whole number of at least {least}'))
