"""Functions to find the configs of this package by name."""

import contextlib
import difflib
from collections.abc import Sequence
from pathlib import Path

__all__ = ['find_config', 'find_configs', 'with_paths']

PACKAGE = Path(__file__).parents[1]


def find_configs(package: Path = PACKAGE) -> Path:
    """Return the folder of the configs: ``.mim/configs`` in an installed package, ``configs`` in a checkout.

    Raises:
        FileNotFoundError: If neither folder exists.
    """
    places = package / '.mim' / 'configs', package.parent / 'configs'
    for place in places:
        if (place / '_base_' / 'paper.py').is_file():
            return place
    raise FileNotFoundError(f'The published numbers are missing: no _base_/paper.py in {places[0]} or {places[1]}.')


def find_config(name: str) -> Path:
    """Return the path of a config, given its path or the file name of a config of mixpro_mm.

    Raises:
        FileNotFoundError: If there is no such config; the message has similar names.
        ValueError: If several configs have this name.
    """
    if Path(name).is_file():
        return Path(name)
    own = [path for path in find_configs().rglob('*.py') if '_base_' not in path.parts]
    found = [path for path in own if path.name == Path(name).name]
    if found and name != Path(name).name:
        raise FileNotFoundError(
            f'there is no config at {name}; for the config of mixpro_mm, give its name: {found[0].name}'
        )
    if len(found) > 1:
        raise ValueError(
            f'mixpro_mm has {len(found)} configs named {name}; give the path: {", ".join(map(str, found))}'
        )
    if not found:
        near = difflib.get_close_matches(Path(name).name, [path.name for path in own])
        hint = f'; similar names: {", ".join(near)}' if near else ''
        raise FileNotFoundError(f'there is no config at {name} and none with this name in mixpro_mm{hint}')
    return found[0]


def with_paths(arguments: Sequence[str]) -> list[str]:
    """Replace names of mixpro_mm configs in the arguments of a tool by paths; keep all other arguments."""
    arguments = list(arguments)
    for n, word in enumerate(arguments):
        if not word.startswith('-') and word.endswith('.py'):
            with contextlib.suppress(FileNotFoundError, ValueError):
                arguments[n] = str(find_config(word))
    return arguments
