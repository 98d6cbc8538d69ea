"""Configs of this package, by name, wherever it is installed."""

import contextlib
import difflib
from collections.abc import Sequence
from pathlib import Path

__all__ = ['find_config', 'find_configs', 'with_paths']

PACKAGE = Path(__file__).parents[1]


def find_configs(package: Path = PACKAGE) -> Path:
    """The folder of our configs: ``.mim/configs`` inside an installed package, ``configs`` beside it in a checkout.

    Raises:
        FileNotFoundError: it is at neither place.
    """
    places = package / '.mim' / 'configs', package.parent / 'configs'
    for place in places:
        if (place / '_base_' / 'paper.py').is_file():
            return place
    raise FileNotFoundError(f'The published numbers are missing: no _base_/paper.py in {places[0]} or {places[1]}.')


def find_config(name: str) -> Path:
    """A config by its path, or one of mixpro_mm's own by its bare name, wherever that is installed.

    Only our own configs are searched, not all that lies beside them: copies that runs leave behind do not count. A path
    that is not there stands for no other file.

    Raises:
        FileNotFoundError: if there is none; the sentence has the names nearest to it.
        ValueError: if there are several of that name.
    """
    if Path(name).is_file():
        return Path(name)
    own = [path for path in find_configs().rglob('*.py') if '_base_' not in path.parts]
    found = [path for path in own if path.name == Path(name).name]
    if found and name != Path(name).name:
        raise FileNotFoundError(
            f'there is no config at {name}; for that of mixpro_mm give the name alone: {found[0].name}'
        )
    if len(found) > 1:
        raise ValueError(
            f'mixpro_mm has {len(found)} configs named {name}; give the path: {", ".join(map(str, found))}'
        )
    if not found:
        near = difflib.get_close_matches(Path(name).name, [path.name for path in own])
        hint = f'; near it are {", ".join(near)}' if near else ''
        raise FileNotFoundError(f'there is no config at {name}, nor one of that name in mixpro_mm{hint}')
    return found[0]


def with_paths(arguments: Sequence[str]) -> list[str]:
    """Arguments of a tool with the names of our own configs made paths, so that it runs from any directory.

    What is a file, an option, or no config of ours stays as it is: the tool has its own sentence for that.
    """
    arguments = list(arguments)
    for n, word in enumerate(arguments):
        if not word.startswith('-') and word.endswith('.py'):
            with contextlib.suppress(FileNotFoundError, ValueError):
                arguments[n] = str(find_config(word))
    return arguments
