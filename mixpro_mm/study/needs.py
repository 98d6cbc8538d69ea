"""What a stage reads from disk, as its config names it: folders and lists of data, and weights. Nothing is opened."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from mmengine.config import Config

from mixpro_mm.study.plan import Stage

__all__ = ['files_needed', 'files_of_test']


def files_needed(stage: Stage, config: Config) -> list[Path]:
    """Local paths that must exist before a stage: folders and lists of data, weights that no other stage makes."""
    paths: dict[str, None] = {}
    for part in ('train', 'val', 'test'):
        for node in _dicts(config.get(f'{part}_dataloader')):
            paths |= dict.fromkeys(_data_paths(node))
        paths |= dict.fromkeys(_values(config.get(f'{part}_evaluator'), 'ann_file'))
    model = config.get('model', {})
    weights = [*_values(model, 'checkpoint'), config.get('load_from')]
    if stage.checkpoint:  # in place of the config's own
        weights = [path for path in weights if path not in _values(model.get('backbone'), 'checkpoint')]
    paths |= dict.fromkeys(weights)
    return _local(paths)


def files_of_test(config: Config) -> list[Path]:
    """Local paths that must exist before a test: its data and, in its loop, the weights of further models."""
    paths: dict[str, None] = {}
    for node in _dicts(config.get('test_dataloader')):
        paths |= dict.fromkeys(_data_paths(node))
    paths |= dict.fromkeys(_values(config.get('test_cfg'), 'checkpoint'))
    return _local(paths)


def _local(paths: Iterable[str | None]) -> list[Path]:
    return list(dict.fromkeys(Path(path) for path in paths if path and '://' not in path))


def _data_paths(dataset: dict) -> list[str]:
    """What a dataset reads from, joined as the toolkits do it: its root, its list of images, its folders of images."""
    root, prefix = dataset.get('data_root') or '', dataset.get('data_prefix')
    parts = [dataset.get('ann_file'), *(prefix.values() if isinstance(prefix, dict) else [prefix])]
    if not prefix and str(dataset.get('type')).rpartition('.')[2] in ('ImageNet', 'ImageNet1k'):
        parts.append(dataset.get('split'))  # its folder; the list of it is optional
    return [
        root,
        dataset.get('imagenet_root'),
        *(os.path.join(root, part) for part in parts if part and isinstance(part, str)),
    ]


def _dicts(node) -> Iterator[dict]:
    """Every dict at any depth, the node itself included."""
    if isinstance(node, dict):
        yield node
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list | tuple) else ()
    for child in children:
        yield from _dicts(child)


def _values(node, key: str) -> list[str]:
    """Every string under ``key``, at any depth."""
    return [found[key] for found in _dicts(node) if isinstance(found.get(key), str)]
