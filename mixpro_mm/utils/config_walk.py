"""Reading a config file, and finding dicts, strings and paths in a config.

Imports mmengine only to read a file: the doctor uses the rest when nothing else can be imported.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

__all__ = ['LOADERS', 'data_paths', 'dicts', 'is_local', 'read_config', 'strings']

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def read_config(path: str | os.PathLike):
    """The mmengine ``Config`` in a file.

    Raises:
        ValueError: if it cannot be read, for any reason: a config is code.
    """
    from mmengine.config import Config

    try:
        return Config.fromfile(path)
    except Exception as error:
        message = ' '.join(f'{type(error).__name__}: {error}'.split())[:300]
        raise ValueError(f'{path} cannot be read: {message}') from error


def dicts(node, place: str = '') -> Iterator[tuple[str, dict]]:
    """``('model.backbone', {...})`` at any depth, the node itself included; lists count as model.heads.0."""
    if isinstance(node, dict):
        yield place, node
        children = node.items()
    else:
        children = enumerate(node) if isinstance(node, (list, tuple)) else ()
    for key, child in children:
        yield from dicts(child, f'{place}.{key}' if place else str(key))


def strings(node, place: str, *keys: str) -> Iterator[tuple[str, str]]:
    """Place and value of every string under one of ``keys``, at any depth."""
    for where, found in dicts(node, place):
        for key in keys:
            if isinstance(found.get(key), str) and found[key]:
                yield f'{where}.{key}' if where else key, found[key]


def data_paths(dataset: dict) -> dict[str, str]:
    """Key and path of what a data set reads, joined as the toolkits do it: root, list, folders of images."""
    root, prefix = dataset.get('data_root') or '', dataset.get('data_prefix')
    inside = dict(ann_file=dataset.get('ann_file'))
    if isinstance(prefix, dict):
        inside |= {f'data_prefix.{key}': value for key, value in prefix.items()}
    else:
        inside['data_prefix'] = prefix
    if not prefix and str(dataset.get('type')).rpartition('.')[2] in ('ImageNet', 'ImageNet1k'):
        inside['split'] = dataset.get('split')  # its folder; the list of it is optional
    paths = {key: dataset.get(key) for key in ('data_root', 'imagenet_root')}
    paths |= {key: os.path.join(root, part) for key, part in inside.items() if part and isinstance(part, str)}
    return {key: path for key, path in paths.items() if is_local(path)}


def is_local(path) -> bool:
    """Whether this is a path, and no address."""
    return isinstance(path, str) and bool(path) and '://' not in path
