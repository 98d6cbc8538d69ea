"""Checks of what a config hands a class: the value comes back, or one sentence that shows it."""

import math
from numbers import Integral, Real

__all__ = [
    'counted',
    'flag',
    'format_duration',
    'fraction',
    'is_number',
    'not_negative',
    'one_of',
    'patterns',
    'positive',
    'positive_int',
    'shown',
    'within',
]

LONGEST = 100  # characters of a value in a sentence


def shown(value) -> str:
    """``repr(value)`` on one line, cut where it is long."""
    text = ' '.join(repr(value).split())
    return text if len(text) <= LONGEST else f'{text[: LONGEST - 3]}...'


def counted(number: int, noun: str) -> str:
    """A number with its noun: ``'1 stage'``, ``'2 stages'``."""
    return f'{number} {noun}{"" if number == 1 else "s"}'


def format_duration(seconds: float) -> str:
    """``125`` -> ``2:05``."""
    minutes, seconds = divmod(round(seconds), 60)
    return f'{minutes}:{seconds:02d}'


def is_number(value) -> bool:
    """Whether ``value`` is a finite number that a float can hold; True and False are none."""
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # of a whole number
        return False


def one_of(name: str, value, known) -> str:
    """``value`` if it is one of ``known``, else a ValueError that lists them."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f'{name} {shown(value)} is unknown; known: {", ".join(sorted(known))}')
    return value


def patterns(name: str, value) -> tuple[str, ...]:
    """A pattern, or a list of them, as a tuple; a TypeError that shows it if it is neither."""
    value = (value,) if isinstance(value, str) else value
    if not isinstance(value, list | tuple) or not all(isinstance(pattern, str) for pattern in value):
        raise TypeError(f'{name} must be a pattern or a list of patterns, got {shown(value)}')
    return tuple(value)


def flag(name: str, value) -> bool:
    """``value`` if it is True or False, else a ValueError that shows it: 'False' would count as true."""
    if not isinstance(value, bool):
        raise ValueError(f'{name} must be True or False, got {shown(value)}')
    return value


def positive(name: str, value) -> float:
    """``value`` if it is a finite number above zero, else a ValueError that shows it."""
    if not is_number(value) or value <= 0:
        raise ValueError(f'{name} must be a finite number above 0, got {shown(value)}')
    return value


def not_negative(name: str, value) -> float:
    """``value`` if it is a finite number of at least zero, else a ValueError that shows it."""
    if not is_number(value) or value < 0:
        raise ValueError(f'{name} must be a finite number of at least 0, got {shown(value)}')
    return value


def fraction(name: str, value) -> float:
    """``value`` if it is a number above 0 and at most 1, else a ValueError that shows it."""
    if positive(name, value) > 1:
        raise ValueError(f'{name} must be at most 1, got {shown(value)}')
    return value


def within(name: str, value, low: float, high: float) -> float:
    """``value`` if it is a number from ``low`` to ``high``, else a ValueError that shows it."""
    if not is_number(value) or not low <= value <= high:
        raise ValueError(f'{name} must be a number from {low:g} to {high:g}, got {shown(value)}')
    return value


def positive_int(name: str, value, least: int = 1) -> int:
    """``value`` if it is a whole number of at least ``least``, else a ValueError that shows it."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f'{name} must be a whole number of at least {least}, got {shown(value)}')
    return int(value)
