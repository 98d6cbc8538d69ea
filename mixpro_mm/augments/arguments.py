"""Checks of what a config hands a mixing method: the value comes back, or one sentence that shows it."""

import math
from numbers import Integral, Real

__all__ = ['one_of', 'positive', 'share', 'whole']


def one_of(name: str, value, known) -> str:
    """``value`` if it is one of ``known``, else a ValueError that lists them."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f'{name} {value!r} is unknown; known: {", ".join(sorted(known))}')
    return value


def positive(name: str, value) -> float:
    """``value`` if it is a finite number above zero, else a ValueError that shows it."""
    if isinstance(value, bool) or not isinstance(value, Real) or not (math.isfinite(value) and value > 0):
        raise ValueError(f'{name} must be a finite number above 0, got {value!r}')
    return value


def share(name: str, value) -> float:
    """``value`` if it is a number above 0 and at most 1, else a ValueError that shows it."""
    if positive(name, value) > 1:
        raise ValueError(f'{name} must be at most 1, got {value!r}')
    return value


def whole(name: str, value, least: int = 1) -> int:
    """``value`` if it is a whole number of at least ``least``, else a ValueError that shows it."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f'{name} must be a whole number of at least {least}, got {value!r}')
    return int(value)
