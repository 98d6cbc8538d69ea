"""Renaming of checkpoint tensors by tables: which name becomes which, and what happens to the values.

A table is a tuple of rules. Nothing is lost in silence: a tensor without a rule, a tensor that its neighbours have and
one block has not, and a block between two others that is not there, each is an error. The messages are the second half
of a sentence whose first half names the file.

What a table cannot see is an end: a file cut off after a whole block is a smaller model without a fault. Where the
width is that of a published model and the depth is not, the command prints a note; see ``Family.published``.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache

from torch import Tensor, cat

__all__ = [
    'Renamed',
    'Rule',
    'both',
    'drop',
    'itself',
    'last_line',
    'prefixes',
    'rename',
    'saying',
    'some',
    'with_shape',
]


@dataclass(frozen=True)
class Rule:
    """What becomes of the tensors of one name; ``*`` in a name is a number.

    Args:
        source: Name in the file, such as ``'blocks.*.attn.qkv.weight'``.
        target: Name afterwards, with as many ``*``; several for a tensor that is split, none for one that is dropped.
        change: Tensor to tensor, or to as many tensors as there are targets.
        how: What ``change`` does (for each target, if they differ), or why the tensor is dropped, in few words.
        numbers: The numbers of the source name to those of the target name.
        part: Place among the tensors that are joined along their first dimension, where one target has several sources.
        together: Rules of one such name are there together or not at all; '' for tensors that must be there.
    """

    source: str
    target: tuple[str, ...] = ()
    change: Callable[[Tensor], Tensor | tuple[Tensor, ...]] | None = None
    how: str | tuple[str, ...] = ''
    numbers: Callable[..., tuple[int, ...]] | None = None
    part: int | None = None
    together: str = ''

    def match(self, name: str) -> tuple[int, ...] | None:
        """The numbers in a name that this rule is for, or None."""
        found = _pattern(self.source).fullmatch(name)
        return tuple(map(int, found.groups())) if found else None

    def targets(self, numbers: tuple[int, ...]) -> list[str]:
        """Names afterwards of the tensor with these numbers."""
        numbers = self.numbers(*numbers) if self.numbers else numbers
        return [_fill(target, numbers) for target in self.target]


@dataclass
class Renamed:
    """Tensors under their new names, and where they come from."""

    tensors: dict[str, Tensor]
    origins: dict[str, tuple[str, ...]]  # new name -> names in the file
    changed: dict[str, str] = field(default_factory=dict)  # new name -> how
    dropped: dict[str, str] = field(default_factory=dict)  # name in the file -> why

    @property
    def renamed(self) -> int:
        """Number of tensors that come from another name."""
        return sum(origin != (name,) for name, origin in self.origins.items())

    def then(self, rules: Iterable[Rule]) -> 'Renamed':
        """The same after one more table."""
        after = rename(self.tensors, rules, called=lambda name: self.origins[name][0])
        origins = {
            name: tuple(dict.fromkeys(first for middle in origin for first in self.origins[middle]))
            for name, origin in after.origins.items()
        }
        changed = {
            name: ', '.join(filter(None, [*(self.changed.get(middle) for middle in middles), after.changed.get(name)]))
            for name, middles in after.origins.items()
        }
        dropped = {first: why for middle, why in after.dropped.items() for first in self.origins[middle]}
        return Renamed(
            after.tensors, origins, {name: how for name, how in changed.items() if how}, self.dropped | dropped
        )


def both(source: str, target: str, **kwargs) -> tuple[Rule, Rule]:
    """The rules of a weight and its bias."""
    return tuple(Rule(f'{source}.{kind}', (f'{target}.{kind}',), **kwargs) for kind in ('weight', 'bias'))


def drop(why: str, *sources: str) -> tuple[Rule, ...]:
    """Rules of tensors that are left behind."""
    return tuple(Rule(source, how=why) for source in sources)


def itself(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """The table of a file that already has the names that ``rules`` lead to."""
    targets = {target: rule for rule in rules for target in rule.target}
    return tuple(Rule(target, (target,), together=rule.together) for target, rule in targets.items())


def rename(tensors: dict[str, Tensor], rules: Iterable[Rule], called: Callable[[str], str] = str) -> Renamed:
    """Apply a table.

    Args:
        tensors: Tensors under their names.
        rules: The table.
        called: What a name is called in messages.

    Raises:
        ValueError: ``lacks ...``, ``has ... without a place``, ``has ... for one place`` or ``has ... of shape ... that
            does not fit``, to follow the name of the file.
    """
    rules = tuple(rules)
    numbers_of: dict[Rule, set[tuple[int, ...]]] = {rule: set() for rule in rules}
    result, unplaced = Renamed({}, {}), []
    places: dict[str, dict[int | None, tuple[str, Tensor]]] = {}
    for name, tensor in tensors.items():
        rule, numbers = next(((rule, found) for rule in rules if (found := rule.match(name)) is not None), (None, ()))
        if rule is None:
            unplaced.append(name)
            continue
        numbers_of[rule].add(numbers)
        if not rule.target:
            result.dropped[name] = rule.how
            continue
        targets, values = rule.targets(numbers), _changed(tensor, rule, called(name))
        hows = rule.how if isinstance(rule.how, tuple) else [rule.how] * len(values)
        for target, value, how in zip(targets, values, hows, strict=True):
            place = places.setdefault(target, {})
            if rule.part in place:
                raise ValueError(f'has {called(place[rule.part][0])} and {called(name)} for one place ({target})')
            place[rule.part] = name, value
            result.origins[target] = (*result.origins.get(target, ()), name)
            if how:
                result.changed[target] = how
    if unplaced:
        raise ValueError(f'has {len(unplaced)} of {len(tensors)} tensors without a place: {some(unplaced)}')
    if lacking := _lacking(numbers_of):
        raise ValueError(f'lacks {some(lacking)}')
    for target, place in places.items():
        parts = [place[part] for part in sorted(place)]
        if len(parts) == 1:
            result.tensors[target] = parts[0][1]
            continue
        with saying(f'has {" and ".join(with_shape(called(name), value) for name, value in parts)} that do not fit'):
            result.tensors[target] = cat([value for _, value in parts])
    return replace(result, tensors={name: tensor.contiguous() for name, tensor in result.tensors.items()})


def prefixes(keys: Iterable[str], names: Iterable[str]) -> Counter[str]:
    """How many of ``names`` stand among ``keys`` under each prefix: '' or one that ends in a dot."""
    wanted = set(names)
    starts = ((key, [0, *(i + 1 for i, char in enumerate(key) if char == '.')]) for key in keys)
    return Counter(key[:i] for key, cuts in starts for i in cuts if key[i:] in wanted)


def some(names: Iterable[str]) -> str:
    """Up to three names, and how many more there are."""
    names = list(names)
    return ', '.join(names[:3]) + (f' and {len(names) - 3} more' if len(names) > 3 else '')


def with_shape(name: str, tensor: Tensor) -> str:
    """Name and shape of a tensor in a message."""
    return f'{name} of shape {tuple(tensor.shape)}'


@contextmanager
def saying(what: str):
    """Turn whatever torch, a toolkit or timm raises at odd tensors into a ValueError of one sentence."""
    try:
        yield
    except Exception as error:
        raise ValueError(f'{what}: {last_line(error)}') from error


def last_line(error: BaseException) -> str:
    """The end of a message, in 200 characters at most."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip().rstrip('.')[:200]


def _changed(tensor: Tensor, rule: Rule, name: str) -> tuple[Tensor, ...]:
    """What a rule makes of a tensor, one for each target."""
    if rule.change is None:
        return (tensor,)
    does_not_fit = f'has {with_shape(name, tensor)} that does not fit'
    with saying(does_not_fit):
        values = rule.change(tensor)
    values = values if isinstance(values, tuple) else (values,)
    if len(values) != len(rule.target):
        raise ValueError(does_not_fit)
    return values


def _lacking(numbers_of: dict[Rule, set[tuple[int, ...]]]) -> list[str]:
    """Names that the rest of the file calls for."""
    rules = [rule for rule in numbers_of if rule.target]
    stems = {rule: _stem(rule.source) for rule in rules}
    there = {stem: set() for stem in stems.values()}
    for rule, stem in stems.items():
        there[stem] |= numbers_of[rule]
    bound = {  # where a set of rules that come together is present
        (stems[rule], rule.together, numbers[:-1]) for rule in rules for numbers in numbers_of[rule]
    }
    gaps, lacking = [], []
    for rule, stem in stems.items():
        wanted = there[stem] if '*' in rule.source else {()}
        after = rule.target[0] if rule.numbers else rule.source  # XCiT counts 0, 2, 4, 6 where others count 0, 1, 2, 3
        counted = {rule.numbers(*numbers) for numbers in wanted} if rule.numbers else wanted
        gaps += [f'{_fill(_stem(after), gap)}.*' for gap in _gaps(counted)]
        if rule.together:
            wanted = {numbers for numbers in wanted if (stem, rule.together, numbers[:-1]) in bound}
        elif not wanted:
            lacking.append(rule.source)
        lacking += [_fill(rule.source, numbers) for numbers in sorted(wanted - numbers_of[rule])]
    return [*dict.fromkeys(gaps), *lacking]


def _gaps(counted: set[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Numbers missing at any place of the tuples, where a count goes up by one and always from the same start."""
    gaps = []
    for place in range(max(map(len, counted), default=0)):
        values: dict[tuple[int, ...], set[int]] = {}
        for numbers in counted:
            values.setdefault(numbers[:place], set()).add(numbers[place])
        first = min(map(min, values.values()))
        for leading, own in values.items():
            gaps += [(*leading, number) for number in range(first, max(own)) if number not in own]
    return gaps


def _stem(name: str) -> str:
    """'blocks.*' of 'blocks.*.norm1.weight', '' of a name without numbers."""
    return re.sub('[^*]*$', '', name)


@cache
def _pattern(source: str) -> re.Pattern:
    return re.compile(re.escape(source).replace(r'\*', r'(\d+)'))


def _fill(name: str, numbers: tuple[int, ...]) -> str:
    """The name with numbers for ``*``; it ends where there are no more numbers."""
    *texts, end = name.split('*')
    filled = ''.join(f'{text}{number}' for text, number in zip(texts, numbers, strict=False))
    return filled + (end if len(numbers) == len(texts) else '')
