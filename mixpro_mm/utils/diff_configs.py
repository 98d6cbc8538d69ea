"""Settings of two runs, compared by their dotted names."""

import ast
from typing import Any, NamedTuple

__all__ = ['Difference', 'diff_configs', 'flat', 'flat_differences', 'settings_in', 'some_of']

SHOWN = 4


class Difference(NamedTuple):
    """One setting that is not the same."""

    name: str  # 'optim_wrapper.optimizer.lr'
    before: str  # as written in a config, or '(not set)'
    now: str

    def __str__(self) -> str:
        return f'{self.name} was {_short(self.before)} and is {_short(self.now)}'


def settings_in(text: str) -> dict[str, Any] | None:
    """The settings of a config as mmengine writes it (``Config.pretty_text``), without running it.

    Returns:
        Name -> value, values being numbers, strings, None, and lists and dicts of them; None if the text is not such.
    """
    try:
        lines = ast.parse(text).body
        return {line.targets[0].id: _value(line.value) for line in lines}
    except (SyntaxError, ValueError, AttributeError, RecursionError):
        return None


def diff_configs(before: dict, now: dict) -> list[Difference]:
    """What differs between two dicts of settings, down to the single value, in the order of names.

    A list that holds dicts or lists is compared item by item (``custom_hooks[0].type``), where an item that only one
    side has is not set on the other; any other list is one value.
    """
    return flat_differences(flat(before), flat(now))


def flat(settings: dict) -> dict[str, str]:
    """Dotted name -> value as written in a config."""
    return dict(_flat(settings))


def flat_differences(before: dict[str, str], now: dict[str, str]) -> list[Difference]:
    """As :func:`diff_configs`, of settings that are flat already."""
    names = sorted(
        name for name in {*before, *now} if name not in before or name not in now or before[name] != now[name]
    )
    return [Difference(name, before.get(name, '(not set)'), now.get(name, '(not set)')) for name in names]


def some_of(found: list[Difference]) -> str:
    """The first few as part of a sentence."""
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
    """A literal, or ``dict(...)`` or a container of such; ValueError for any other expression."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        parts = [_value(part) for part in node.args] + [{word.arg: _value(word.value)} for word in node.keywords]
        return {name: value for part in parts for name, value in part.items()}
    if isinstance(node, ast.Dict):
        return {_value(key): _value(value) for key, value in zip(node.keys, node.values, strict=True)}
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(part) for part in node.elts]
    return ast.literal_eval(node)
