"""Functions to read a config file and to find dicts, strings and paths in a config."""

from __future__ import annotations

import os
from collections.abc import Iterator

__all__ = ['LOADERS', 'data_paths', 'dicts', 'is_local', 'read_config', 'strings']

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def read_config(path: str | os.PathLike):
    """Return the mmengine ``Config`` of a file.

    Raises:
        ValueError: If the file cannot be read; a config is code and may raise any exception.
    """
    from mmengine.config import Config  # the doctor uses this module without mmengine

    try:
        return Config.fromfile(path)
    except Exception as error:
        message = ' '.join(f'{type(error).__name__}: {error}'.split())[:300]
        raise ValueError(f'{path} cannot be read: {message}') from error


def dicts(node, place: str = '') -> Iterator[tuple[str, dict]]:
    """Yield the dotted path and content of each dict, such as ``('model.heads.0', {...})``, the node included."""
    if isinstance(node, dict):
        yield place, node
        children = node.items()
    else:
        children = enumerate(node) if isinstance(node, (list, tuple)) else ()
    for key, child in children:
        yield from dicts(child, f'{place}.{key}' if place else str(key))


def strings(node, place: str, *keys: str) -> Iterator[tuple[str, str]]:
    """Yield the dotted path and value of each string under one of ``keys``."""
    for where, found in dicts(node, place):
        for key in keys:
            if isinstance(found.get(key), str) and found[key]:
                yield f'{where}.{key}' if where else key, found[key]


def data_paths(dataset: dict) -> dict[str, str]:
    """Return the paths of a data set by key, joined like in the toolkits: root, list, image folders."""
    root, prefix = dataset.get('data_root') or '', dataset.get('data_prefix')
    inside = dict(ann_file=dataset.get('ann_file'))
    if isinstance(prefix, dict):
        inside |= {f'data_prefix.{key}': value for key, value in prefix.items()}
    else:
        inside['data_prefix'] = prefix
    if not prefix and str(dataset.get('type')).rpartition('.')[2] in ('ImageNet', 'ImageNet1k'):
        inside['split'] = dataset.get('split')  # its folder; the list is optional
    paths = {key: dataset.get(key) for key in ('data_root', 'imagenet_root')}
    paths |= {key: os.path.join(root, part) for key, part in inside.items() if part and isinstance(part, str)}
    return {key: path for key, path in paths.items() if is_local(path)}


def is_local(path) -> bool:
    """Return whether ``path`` is a local path."""
    return isinstance(path, str) and bool(path) and '://' not in path
