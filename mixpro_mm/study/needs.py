"""What a stage reads from disk, as its config names it: folders and lists of data, and weights. Nothing is opened."""

from collections.abc import Iterable
from pathlib import Path

from mmengine.config import Config

from mixpro_mm.config_walk import data_paths, dicts, is_local, strings
from mixpro_mm.study.plan import Stage

__all__ = ['files_needed', 'files_of_test']


def files_needed(stage: Stage, config: Config) -> list[Path]:
    """Local paths that must exist before a stage: folders and lists of data, weights that no other stage makes."""
    paths: dict[str, None] = {}
    for part in ('train', 'val', 'test'):
        for _, node in dicts(config.get(f'{part}_dataloader')):
            paths |= dict.fromkeys(data_paths(node).values())
        paths |= dict.fromkeys(_values(config.get(f'{part}_evaluator'), 'ann_file'))
    model = config.get('model', {})
    weights = [*_values(model, 'checkpoint'), *_values(model, 'pretrained'), config.get('load_from')]
    if stage.checkpoint:  # in place of the config's own
        replaced = _values((model.get('backbone') or model).get('init_cfg'), 'checkpoint')
        weights = [path for path in weights if path not in replaced]
    else:
        weights += _values(config.get('custom_hooks'), 'checkpoint')  # what TransferCheckHook is to compare with
    paths |= dict.fromkeys(weights)
    return _local(paths)


def files_of_test(config: Config) -> list[Path]:
    """Local paths that must exist before a test: its data and, in its loop, the weights of further models."""
    paths: dict[str, None] = {}
    for _, node in dicts(config.get('test_dataloader')):
        paths |= dict.fromkeys(data_paths(node).values())
    paths |= dict.fromkeys(_values(config.get('test_cfg'), 'checkpoint'))
    return _local(paths)


def _local(paths: Iterable[str | None]) -> list[Path]:
    return list(dict.fromkeys(Path(path) for path in paths if is_local(path)))


def _values(node, key: str) -> list[str]:
    """Every string under ``key``, at any depth."""
    return [value for _, value in strings(node, '', key)]
