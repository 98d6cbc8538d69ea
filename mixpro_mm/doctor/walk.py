"""Every dict of a config with the place it stands at, as ``--cfg-options`` names it."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ['LOADERS', 'dicts', 'strings']

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


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
