"""Differences between the settings of two runs, by dotted name."""

import ast
from typing import Any, NamedTuple

__all__ = ['Difference', 'diff_configs', 'flat', 'flat_differences', 'settings_in', 'some_of']


class Difference(NamedTuple):
    """A setting with different values."""

    name: str  # 'optim_wrapper.optimizer.lr'
    before: str  # source text, or '(not set)'
    now: str

    def __str__(self) -> str:
        before, now = (text if len(text) <= 60 else f'{text[:57]}...' for text in self[1:])
        return f'{self.name} was {before} and is {now}'


def settings_in(text: str) -> dict[str, Any] | None:
    """Return the settings in ``Config.pretty_text`` of mmengine without running it, or None for any other text."""
    try:
        return {line.targets[0].id: _value(line.value) for line in ast.parse(text).body}
    except (SyntaxError, ValueError, AttributeError, RecursionError):
        return None


def diff_configs(before: dict, now: dict) -> list[Difference]:
    """Return the differences between two nested dicts of settings, sorted by name.

    A list with dicts or lists is compared item by item (``custom_hooks[0].type``); any other list is one value.
    """
    return flat_differences(flat(before), flat(now))


def flat(value, name: str = '') -> dict[str, str]:
    """Return the source text of each value in a nested dict of settings by dotted name."""
    if isinstance(value, dict) and value:
        parts = {f'{name}.{key}' if name else str(key): part for key, part in value.items()}
    elif isinstance(value, list | tuple) and any(isinstance(part, dict | list | tuple) for part in value):
        parts = {f'{name}[{index}]': part for index, part in enumerate(value)}
    else:
        return {name: repr(list(value) if isinstance(value, tuple) else value)}
    return {key: text for place, part in parts.items() for key, text in flat(part, place).items()}


def flat_differences(before: dict[str, str], now: dict[str, str]) -> list[Difference]:
    """Return the differences between two results of :func:`flat`."""
    pairs = [(name, before.get(name, '(not set)'), now.get(name, '(not set)')) for name in sorted({*before, *now})]
    return [Difference(*pair) for pair in pairs if pair[1] != pair[2]]


def some_of(found: list[Difference]) -> str:
    """Return the first four differences and the number of others as text."""
    rest = [f'and {len(found) - 4} more'] if len(found) > 4 else []
    return '; '.join([*map(str, found[:4]), *rest])


def _value(node: ast.expr):
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        parts = [_value(part) for part in node.args] + [{word.arg: _value(word.value)} for word in node.keywords]
        return {name: value for part in parts for name, value in part.items()}
    if isinstance(node, ast.Dict):
        return {_value(key): _value(value) for key, value in zip(node.keys, node.values, strict=True)}
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(part) for part in node.elts]
    return ast.literal_eval(node)
