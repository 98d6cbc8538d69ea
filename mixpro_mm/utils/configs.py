"""Functions to find and read config files and to find dicts, strings and paths in a config."""

import contextlib
import difflib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ['LOADERS', 'data_paths', 'dicts', 'find_config', 'find_configs', 'is_local', 'read_config', 'strings']
__all__ += ['with_paths']

PACKAGE = Path(__file__).parents[1]
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def find_configs(package: Path = PACKAGE) -> Path:
    """Return the folder of the configs: ``.mim/configs`` if installed, ``configs`` in a checkout."""
    places = package / '.mim' / 'configs', package.parent / 'configs'
    for place in places:
        if (place / '_base_' / 'paper.py').is_file():
            return place
    raise FileNotFoundError(f'The published numbers are missing: no _base_/paper.py in {places[0]} or {places[1]}.')


def find_config(name: str) -> Path:
    """Return the path of a config, given its path or its file name in mixpro_mm, or raise a FileNotFoundError."""
    if Path(name).is_file():
        return Path(name)
    own = [path for path in find_configs().rglob('*.py') if '_base_' not in path.parts]
    found = [path for path in own if path.name == Path(name).name]
    if not found or name != Path(name).name:
        near = difflib.get_close_matches(Path(name).name, [path.name for path in found or own])
        raise FileNotFoundError(f'there is no config at {name}; similar names: {", ".join(near) or "none"}')
    return found[0]


def with_paths(arguments: Sequence[str]) -> list[str]:
    """Replace names of mixpro_mm configs in the arguments of a tool by paths; keep all other arguments."""
    arguments = list(arguments)
    for n, word in enumerate(arguments):
        if not word.startswith('-') and word.endswith('.py'):
            with contextlib.suppress(FileNotFoundError):
                arguments[n] = str(find_config(word))
    return arguments


def read_config(path: str | os.PathLike):
    """Return the mmengine ``Config`` of a file, or raise a ValueError; a config is code and may raise any exception."""
    from mmengine.config import Config  # the doctor finds configs without mmengine

    try:
        return Config.fromfile(path)
    except Exception as error:
        raise ValueError(f'{path} cannot be read: {type(error).__name__}: {" ".join(str(error).split())}') from error


def dicts(node, place: str = '') -> Iterator[tuple[str, dict]]:
    """Yield the dotted path and content of each dict, such as ``('model.heads.0', {...})``, the node included."""
    if isinstance(node, dict):
        yield place, node
    children = node.items() if isinstance(node, dict) else enumerate(node if isinstance(node, list | tuple) else ())
    for key, child in children:
        yield from dicts(child, f'{place}.{key}' if place else str(key))


def strings(node, place: str, *keys: str) -> Iterator[tuple[str, str]]:
    """Yield the dotted path and value of each string under one of ``keys``."""
    for where, found in dicts(node, place):
        chosen = {key: found[key] for key in keys if isinstance(found.get(key), str) and found[key]}
        yield from ((f'{where}.{key}' if where else key, value) for key, value in chosen.items())


def data_paths(dataset: dict) -> dict[str, str]:
    """Return the paths of a data set by key, joined like in the toolkits: root, list, image folders."""
    root, prefix = dataset.get('data_root') or '', dataset.get('data_prefix')
    each = {f'.{key}': part for key, part in prefix.items()} if isinstance(prefix, dict) else {'': prefix}
    inside = dict(ann_file=dataset.get('ann_file')) | {f'data_prefix{key}': part for key, part in each.items()}
    if not prefix and str(dataset.get('type')).rpartition('.')[2] in ('ImageNet', 'ImageNet1k'):
        inside['split'] = dataset.get('split')  # its folder; the list is optional
    paths = {key: dataset.get(key) for key in ('data_root', 'imagenet_root')}
    paths |= {key: os.path.join(root, part) for key, part in inside.items() if part and isinstance(part, str)}
    return {key: path for key, path in paths.items() if is_local(path)}


def is_local(path) -> bool:
    """Return whether ``path`` is a local path."""
    return isinstance(path, str) and bool(path) and '://' not in path
