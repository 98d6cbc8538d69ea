"""All checks of a config, its data and weights. This module needs mmengine and mmpretrain."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from mmengine.registry import DATASETS, DefaultScope

from mixpro_mm.datasets.coco_check import check_coco
from mixpro_mm.doctor import training
from mixpro_mm.doctor.environment import Finding, ok, one_line, problem, warning
from mixpro_mm.doctor.steps import TOOLKITS
from mixpro_mm.hooks.classes import first_difference, own_fault
from mixpro_mm.utils.checkpoint import read_checkpoint
from mixpro_mm.utils.configs import LOADERS, data_paths, dicts, is_local, read_config, strings

__all__ = ['check_config', 'check_contents', 'load', 'toolkits_of']

SAMPLES = 8  # loaded from each data set, evenly spaced
MANY_IMAGES = 10_000  # in a COCO file, above which image sizes are not checked
# folder -> command that writes it
COMMANDS = {
    name: f'python -m mixpro_mm.datasets.{name.replace("-", "_")} {{path}}'
    for name in ('digit_scenes', 'fashion-mnist', 'fashion_scenes')
}
COMMANDS |= dict(SegmentationClassContext='python tools/prepare_pascal_context.py {path.parent.parent}')


def check_paths(config: dict) -> Iterator[Finding]:
    """Check that the data of data sets and metrics exist. For a missing folder, only the outermost is reported."""
    found = {}
    for loader in LOADERS:
        for place, node in dicts(config.get(loader), loader):
            found |= {f'{place}.{key}': path for key, path in data_paths(node).items()}
        evaluator = loader.replace('dataloader', 'evaluator')
        found |= {
            place: path for place, path in strings(config.get(evaluator), evaluator, 'ann_file') if is_local(path)
        }
    missing = {Path(found[place]): place for place in reversed(found) if not os.path.exists(found[place])}
    for path, place in missing.items():
        if not set(path.parents) & set(missing):
            made = [COMMANDS[each.name].format(path=each) for each in (path, *path.parents) if each.name in COMMANDS]
            link = f'mkdir -p {path.parent} && ln -s /path/to/{path.name} {path}'
            yield problem('data', f'{path} does not exist ({place})', made[0] if made else link)


def check_weights(config: dict) -> Iterator[Finding]:
    """Check the checkpoints of ``init_cfg``, teachers, extractors and ``load_from``."""
    for place, node in dicts(config.get('model'), 'model'):
        if 'timm' in str(node.get('type')).lower() and node.get('pretrained') is True:
            found = f'{place}.pretrained: timm downloads {node.get("model_name")} unless it is cached'
            fix = f'--cfg-options {place}.pretrained=False {place}.checkpoint_path=/path/to/checkpoint.pth'
            yield warning('weights', found, fix)
    parts = ('model', 'custom_hooks', 'test_cfg')
    paths = [pair for part in parts for pair in strings(config.get(part), part, 'checkpoint', 'pretrained')]
    paths += [('load_from', config['load_from'])] if config.get('load_from') else []
    for place, path in paths:
        fix = f'--cfg-options {place}=/path/to/{os.path.basename(path) or "checkpoint.pth"}'
        if not is_local(path):
            yield warning('weights', f'{place}: {path} is downloaded unless it is cached', fix)
            continue
        try:
            yield ok('weights', f'{path}: {len(read_checkpoint(path).tensors)} tensors ({place})')
        except (ValueError, OSError) as error:
            yield problem('weights', f'{place}: {one_line(error)}', fix)


def check_data(config: dict) -> Iterator[Finding]:
    """Build each data set and check samples, classes, annotations and masks."""
    train, seen = None, []
    for loader in LOADERS:
        node = (config.get(loader) or {}).get('dataset')
        if not node or node in seen:
            continue
        seen.append(node)
        try:
            built = DATASETS.build(node)
            chosen = sorted({round(step * (len(built) - 1) / (SAMPLES - 1)) for step in range(SAMPLES)})
            inputs = [built[index]['inputs'] for index in chosen]
        except Exception as error:
            yield problem('data', f'{loader}: {type(error).__name__}: {one_line(error)}')
            continue
        yield ok('data', f'{loader}: {len(built)} samples, {len(chosen)} loaded')
        if loader == 'train_dataloader' and hasattr(inputs[0], 'shape'):
            yield from training.check_masks(config, tuple(inputs[0].shape[-2:]))
        for dataset in _inner(built):
            if fault := own_fault(dataset):
                yield problem('classes', f'{loader} {fault}')
            if classes := (getattr(dataset, 'metainfo', None) or {}).get('classes'):
                train = train or (dataset if loader == 'train_dataloader' else None)
                if train and (fault := first_difference(dataset, train, 'train_dataloader')):
                    yield problem('classes', f'{loader} has different classes: {fault}')
                for place, count in _counts(config) if loader == 'train_dataloader' else ():
                    if count != len(classes):
                        found = f'{loader} has {len(classes)} classes, but {place} has {count}'
                        yield problem('classes', found, f'--cfg-options {place}={len(classes)}')
            if hasattr(dataset, 'cat_ids') and str(getattr(dataset, 'ann_file', '')).endswith('.json'):
                yield _check_annotations(dataset)


def _counts(config: dict) -> Iterator[tuple[str, int]]:
    """Yield place and value of ``num_classes`` of preprocessors and of heads with one output for each class."""
    nodes = [pair for part in ('model', 'data_preprocessor') for pair in dicts(config.get(part), part)]
    for place, node in nodes:
        is_head = place.endswith(('head', 'data_preprocessor')) or '_head.' in place
        if is_head and not place.endswith(('rpn_head', 'semantic_head')) and node.get('num_classes'):
            yield f'{place}.num_classes', node['num_classes']


def _inner(dataset) -> list:
    """Return the data sets inside wrappers."""
    wrapped = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    return [inner for each in wrapped for inner in _inner(each)] if wrapped != [None] else [dataset]


def _check_annotations(dataset) -> Finding:
    folder = (getattr(dataset, 'data_prefix', None) or {}).get('img') if len(dataset) <= MANY_IMAGES else None
    faults = [sentence for _, sentence in check_coco(dataset.ann_file, folder)]
    command = f'python -m mixpro_mm.datasets.coco_check {dataset.ann_file}'
    if faults:
        return warning('annotations', f'{dataset.ann_file}: {len(faults)} problems, such as: {faults[0]}', command)
    more = '' if folder else f'; to check image sizes: {command} --images FOLDER'
    return ok('annotations', f'{dataset.ann_file}{more}')


CHECKS = (training.check_types, training.check_schedule, training.check_labels, training.check_workers)
CHECKS += (training.check_batch, training.check_deterministic, check_paths, check_weights)


def load(path: str) -> dict:
    """Return a config as plain dicts, with its path under ``filename``, a key that mmengine reserves."""
    return read_config(path).to_dict() | dict(filename=path)


def toolkits_of(config: dict) -> set[str]:
    """Return the toolkits that a config names as a scope."""
    scopes = [node[key] for _, node in dicts(config) for key in ('type', '_scope_') if isinstance(node.get(key), str)]
    return {scope.partition('.')[0] for scope in [config.get('default_scope') or '', *scopes]} & set(TOOLKITS)


def run(checks: tuple[Callable[[dict], Iterable[Finding]], ...], config: dict) -> list[Finding]:
    """Return the findings of checks, in the scope of the config."""
    with DefaultScope.overwrite_default_scope(config.get('default_scope') or 'mmengine'):
        return [finding for check in checks for finding in check(config)]


def check_config(path: str) -> list[Finding]:
    """Check a config without reading its data."""
    try:
        config = load(path)
    except ValueError as error:
        return [problem('config', str(error))]
    if not config.get('model') or not (config.get('train_dataloader') or config.get('test_dataloader')):
        return [problem('config', f'{path} has no model or no data')]
    return [ok('config', f'{path} loads'), *run(CHECKS, config)]


def check_contents(path: str) -> list[Finding]:
    """Check the data of a config, if all files exist."""
    config = load(path)
    return [] if run((check_paths,), config) else run((check_data,), config)
