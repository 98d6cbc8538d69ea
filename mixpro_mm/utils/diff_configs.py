"""Differences between the settings of two runs, by dotted name."""

import ast
from typing import Any, NamedTuple

__all__ = ['Difference', 'diff_configs', 'flat', 'flat_differences', 'settings_in', 'some_of']

SHOWN = 4


class Difference(NamedTuple):
    """A setting with different values."""

    name: str  # 'optim_wrapper.optimizer.lr'
    before: str  # source text, or '(not set)'
    now: str

    def __str__(self) -> str:
        return f'{self.name} was {_short(self.before)} and is {_short(self.now)}'


def settings_in(text: str) -> dict[str, Any] | None:
    """Parse ``Config.pretty_text`` of mmengine without running it.

    Returns:
        Settings by name, made of numbers, strings, None, lists and dicts; None for any other text.
    """
    try:
        lines = ast.parse(text).body
        return {line.targets[0].id: _value(line.value) for line in lines}
    except (SyntaxError, ValueError, AttributeError, RecursionError):
        return None


def diff_configs(before: dict, now: dict) -> list[Difference]:
    """Return the differences between two nested dicts of settings, sorted by name.

    A list with dicts or lists is compared item by item (``custom_hooks[0].type``); any other list is one value.
    """
    return flat_differences(flat(before), flat(now))


def flat(settings: dict) -> dict[str, str]:
    """Return the source text of each value by dotted name."""
    return dict(_flat(settings))


def flat_differences(before: dict[str, str], now: dict[str, str]) -> list[Difference]:
    """Return the differences between two results of :func:`flat`."""
    names = sorted(
        name for name in {*before, *now} if name not in before or name not in now or before[name] != now[name]
    )
    return [Difference(name, before.get(name, '(not set)'), now.get(name, '(not set)')) for name in names]


def some_of(found: list[Difference]) -> str:
    """Return the first four differences and the number of others as text."""
    rest = len(found) - SHOWN
    return '; '.join(map(str, found[:SHOWN])) + (f'; and {rest} more' if rest > 0 else '')


def _flat(value, name: str = ''):
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _flat(part, f'{name}.{key}' if name else str(key))
    elif isinstance(value, list | tuple) and any(isinstance(part, dict | list | tuple) for part in value):
        for index, part in enumerate(value):
            yield from _flat(part, f'{name}[{index}]')
    else:
        yield name, repr(list(value) if isinstance(value, tuple) else value)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f'{text[:57]}...'


def _value(node: ast.expr):
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        parts = [_value(part) for part in node.args] + [{word.arg: _value(word.value)} for word in node.keywords]
        return {name: value for part in parts for name, value in part.items()}
    if isinstance(node, ast.Dict):
        return {_value(key): _value(value) for key, value in zip(node.keys, node.values, strict=True)}
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(part) for part in node.elts]
    return ast.literal_eval(node)
