"""Renaming of checkpoint tensors by tables of patterns."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from torch import Tensor, cat

__all__ = [
    'Operation',
    'Renamed',
    'inverse',
    'last_line',
    'one_line',
    'prefixes',
    'rename',
    'some',
    'with_shape',
    'without_place',
]


class Operation(NamedTuple):
    """Change of the values of a tensor."""

    how: str = ''  # for the report
    change: Callable[[Tensor], Tensor | tuple[Tensor, ...]] = lambda tensor: tensor  # returns one tensor per target
    part: int = 0  # position among the tensors of one target, which are concatenated along the first dimension


@dataclass
class Renamed:
    """Tensors under their new names, with their origins."""

    tensors: dict[str, Tensor]
    origins: dict[str, tuple[str, ...]]  # new name -> names in the file
    changed: dict[str, str] = field(default_factory=dict)  # new name -> how
    dropped: dict[str, str] = field(default_factory=dict)  # name in the file -> why


def rename(file: Renamed, table: Sequence[tuple]) -> Renamed:
    """Rename every tensor by the first matching row of ``table``.

    A row is ``(pattern, replacement)`` or ``(pattern, replacement, operation)``. A pattern matches the start of a name;
    ``*`` is a number, and the rest of the name is kept. The replacement has the same numbers as ``*``, ``*+1``,
    ``*-1``, ``*/2`` or ``*x2``. A tuple of replacements splits a tensor; None with a reason drops it.

    Raises:
        ValueError: ``has ... without a place``, ``has ... for one place`` or ``has ... that does not fit``.
    """
    result, unplaced = Renamed({}, {}, {}, dict(file.dropped)), []
    places: dict[str, dict[int, tuple[str, Tensor]]] = {}
    for name, tensor in file.tensors.items():
        called = file.origins[name][0]
        rows = ((match, *row) for pattern, *row in table if (match := regex(pattern).match(name)))
        match, replacement, *operation = next(rows, (None, None))
        if match is None:
            unplaced.append(called)
            continue
        if replacement is None:
            result.dropped |= dict.fromkeys(file.origins[name], *operation)
            continue
        how, change, part = operation[0] if operation else Operation()
        split = isinstance(replacement, tuple)
        targets = replacement if split else (replacement,)
        does_not_fit = f'has {with_shape(called, tensor)} that does not fit'
        with one_line(does_not_fit):
            values = change(tensor) if split else (change(tensor),)
        if len(values) != len(targets):
            raise ValueError(does_not_fit)
        for target, value in zip(targets, values, strict=True):
            target = _fill(target, match.groups()) + name[match.end() :]
            place = places.setdefault(target, {})
            if part in place:
                raise ValueError(f'has {place[part][0]} and {called} for one place ({target})')
            place[part] = called, value
            result.origins[target] = (*result.origins.get(target, ()), *file.origins[name])
            if how := how or file.changed.get(name):
                result.changed[target] = how
    if unplaced:
        raise without_place(unplaced, file)
    for target, place in places.items():
        parts = [place[part] for part in sorted(place)]
        with one_line(f'has {" and ".join(with_shape(*part) for part in parts)} that do not fit'):
            result.tensors[target] = cat([value for _, value in parts]) if len(parts) > 1 else parts[0][1].contiguous()
    return result


def inverse(table: Sequence[tuple]) -> tuple[tuple[str, str], ...]:
    """Return the rows of a table in the other direction, without those that drop, split or change tensors."""
    rows = [row for row in table if len(row) == 2 and isinstance(row[1], str)]
    opposite = {'': '*', '+1': '*-1', '-1': '*+1', '/2': '*x2'}
    found = []
    for pattern, replacement in rows:
        steps = iter(re.findall(r'\*(\+1|-1|/2|)', replacement))
        back = re.sub(r'\*', lambda _, steps=steps: opposite[next(steps)], pattern)
        found.append((re.sub(r'\*(\+1|-1|/2)', '*', replacement), back))
    return tuple(found)


def without_place(names: Sequence[str], file: Renamed) -> ValueError:
    """Return the error about tensors of the file that have no name in the model."""
    return ValueError(f'has {len(names)} of {len(file.tensors)} tensors without a place: {some(names)}')


def prefixes(keys: Iterable[str], names: Iterable[str]) -> Counter[str]:
    """Count the ``names`` among ``keys`` under each prefix, which is '' or ends in a dot."""
    wanted = set(names)
    starts = ((key, [0, *(i + 1 for i, char in enumerate(key) if char == '.')]) for key in keys)
    return Counter(key[:i] for key, cuts in starts for i in cuts if key[i:] in wanted)


def some(names: Iterable[str]) -> str:
    """Return up to three names and the number of the others."""
    names = list(names)
    return ', '.join(names[:3]) + (f' and {len(names) - 3} more' if len(names) > 3 else '')


def with_shape(name: str, tensor: Tensor) -> str:
    """Return name and shape of a tensor for a message."""
    return f'{name} of shape {tuple(tensor.shape)}'


@contextmanager
def one_line(what: str):
    """Convert any exception to a one-line ValueError that starts with ``what``."""
    try:
        yield
    except Exception as error:
        raise ValueError(f'{what}: {last_line(error)}') from error


def last_line(error: BaseException) -> str:
    """Return the last line of a message, at most 200 characters of it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip().rstrip('.')[:200]


@cache
def regex(pattern: str) -> re.Pattern:
    """Compile a pattern in which ``*`` is a number."""
    return re.compile(re.escape(pattern).replace(r'\*', r'(\d+)'))


def _fill(replacement: str, numbers: Iterable[str]) -> str:
    numbers = map(int, numbers)
    steps = {
        None: lambda n: n,
        '+1': lambda n: n + 1,
        '-1': lambda n: n - 1,
        '/2': lambda n: n // 2,
        'x2': lambda n: 2 * n,
    }
    return re.sub(r'\*(\+1|-1|/2|x2)?', lambda found: str(steps[found[1]](next(numbers))), replacement)
