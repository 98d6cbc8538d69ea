"""Data and weights of a config: do the files exist, and are classes, images and annotations those of the model?"""

import os
from collections.abc import Iterator
from pathlib import Path

from mmengine.registry import DATASETS
from torch import hub

from mixpro_mm.checkpoint import read_checkpoint
from mixpro_mm.config_walk import LOADERS, data_paths, dicts, is_local, strings
from mixpro_mm.datasets.coco_check import check_coco
from mixpro_mm.doctor.finding import Finding, ok, one_line, problem, warning
from mixpro_mm.guard.class_names import first_difference, own_fault

__all__ = ['check_data', 'check_paths', 'check_weights', 'data_places']

SAMPLES = 8  # loaded of every data set, evenly spaced
MANY_IMAGES = 10_000  # of a COCO file: their sizes are not read
COUNT_OTHERS = ('rpn_head', 'semantic_head')  # object or not; stuff
# folder -> command that makes the data in it
MADE_BY = {
    'digit_scenes': 'python -m mixpro_mm.datasets.digit_scenes {path}',
    'SegmentationClassContext': 'python tools/prepare_pascal_context.py {path.parent.parent}',
}


def data_places(config: dict) -> dict[str, str]:
    """Path -> place of everything that data sets and metrics read, joined as the toolkits do it."""
    found = {}
    for loader in LOADERS:
        for place, node in dicts(config.get(loader), loader):
            for key, path in data_paths(node).items():
                found.setdefault(os.path.normpath(path), f'{place}.{key}')
    for evaluator in ('val_evaluator', 'test_evaluator'):
        for place, path in strings(config.get(evaluator), evaluator, 'ann_file'):
            if is_local(path):
                found.setdefault(os.path.normpath(path), place)
    return found


def check_paths(config: dict) -> Iterator[Finding]:
    """Folders and lists of the data sets; of a missing folder only the outermost is named."""
    places = data_places(config)
    missing = [path for path in places if not os.path.exists(path)]
    for path in missing:
        if not any(Path(other) in Path(path).parents for other in missing):
            yield problem('data', f'{path} does not exist ({places[path]})', _command_for(Path(path)))
    if places and not missing:
        yield ok('data', f'all {len(places)} folders and lists exist: {", ".join(list(places)[:2])}, ...')


def _command_for(path: Path) -> str:
    """The command that makes the data, or links to where they are."""
    for folder in (path, *path.parents):
        if folder.name in MADE_BY:
            return MADE_BY[folder.name].format(path=folder)
    return f'mkdir -p {path.parent} && ln -s /path/to/{path.name} {path}'


def check_weights(config: dict) -> Iterator[Finding]:
    """Checkpoints of ``init_cfg``, teachers, extractors and ``load_from``: the names of their tensors are read."""
    nodes = dict(dicts(config.get('model'), 'model'))
    for place, node in nodes.items():
        if 'timm' in str(node.get('type')).lower() and node.get('pretrained') is True:
            found = f'{place}.pretrained: weights of timm {node.get("model_name")} are downloaded unless they are cached'
            fix = f'--cfg-options {place}.pretrained=False {place}.checkpoint_path=/path/to/checkpoint.pth'
            yield warning('weights', found, fix)
    paths = [*strings(config.get('model'), 'model', 'checkpoint', 'pretrained'), *strings(config, '', 'load_from')]
    for part in ('custom_hooks', 'test_cfg'):
        paths += strings(config.get(part), part, 'checkpoint')
    for place, path in paths:
        own = nodes.get(place.rpartition('.')[0], {})
        yield _check_checkpoint(place, path, own.get('prefix') if own.get('type') == 'Pretrained' else None)


def _check_checkpoint(place: str, path: str, prefix: str | None) -> Finding:
    name = path.rpartition('/')[2]
    fix = f'--cfg-options {place}=/path/to/{name or "checkpoint.pth"}'
    if '://' in path:
        if os.path.exists(os.path.join(hub.get_dir(), 'checkpoints', name)):
            return ok('weights', f'{place}: {path} is cached')
        return warning('weights', f'{place}: {path} is downloaded at the start', fix)
    if not os.path.isfile(os.path.expanduser(path)):
        return problem('weights', f'{path} does not exist ({place})', fix)
    try:
        tensors = read_checkpoint(path).tensors
    except (ValueError, OSError) as error:
        return problem('weights', f'{place}: {one_line(error)}', fix)
    if prefix and not any(name.startswith(prefix) for name in tensors):
        first = next(iter(tensors))
        found = f"{path} has no tensor that begins with '{prefix}' ({place}); its first is '{first}'"
        return problem('weights', found, f'--cfg-options {place.rpartition(".")[0]}.prefix={first.partition(".")[0]}.')
    return ok('weights', f'{path}: {len(tensors)} tensors ({place})')


def check_data(config: dict) -> Iterator[Finding]:
    """Build every data set: compare its classes with the model's, load some samples, check its annotations."""
    counts = {}
    for place, node in [*dicts(config.get('model'), 'model'), *dicts(config.get('data_preprocessor'), 'data_preprocessor')]:
        if isinstance(node.get('num_classes'), int) and not any(part in place for part in COUNT_OTHERS):
            if any(part.endswith(('head', 'preprocessor')) for part in place.split('.')):
                counts[place] = node['num_classes']
    train, seen = None, []
    for loader in LOADERS:
        node = (config.get(loader) or {}).get('dataset')
        if not node or node in seen:
            continue
        seen.append(node)
        try:
            built = DATASETS.build(node)
            number = len(built)
            for index in sorted({round(step * (number - 1) / (SAMPLES - 1)) for step in range(SAMPLES)}):
                built[index]
        except Exception as error:
            yield problem('data', f'{loader}: {type(error).__name__}: {one_line(error)}')
            continue
        yield ok('data', f'{loader}: {number} samples; {min(number, SAMPLES)} of them were loaded')
        for dataset in _inner(built):
            classes = (getattr(dataset, 'metainfo', None) or {}).get('classes') or ()
            if fault := own_fault(dataset):
                yield problem('classes', f'{loader} {fault}')
            if train and classes and (fault := first_difference(dataset, train, 'train_dataloader')):
                yield problem('classes', f'{loader} has other classes: {fault}')
            train = train or (dataset if loader == 'train_dataloader' and classes else None)
            for place, count in counts.items() if classes and train else ():
                if count != len(classes):
                    found = f'{loader} has {len(classes)} classes, but {place} has num_classes={count}'
                    yield problem('classes', found, f'--cfg-options {place}.num_classes={len(classes)}')
            if hasattr(dataset, 'cat_ids') and str(getattr(dataset, 'ann_file', '')).endswith('.json'):
                yield _check_annotations(dataset)


def _inner(dataset) -> Iterator:
    """The data sets inside wrappers."""
    wrapped = getattr(dataset, 'datasets', None) or [inner for inner in [getattr(dataset, 'dataset', None)] if inner]
    for inner in wrapped:
        yield from _inner(inner)
    if not wrapped:
        yield dataset


def _check_annotations(dataset) -> Finding:
    folder = (getattr(dataset, 'data_prefix', None) or {}).get('img')
    folder = folder if folder and len(dataset) <= MANY_IMAGES else None
    faults = [sentence for _, sentence in check_coco(dataset.ann_file, folder)]
    command = f'python -m mixpro_mm.datasets.coco_check {dataset.ann_file}'
    if faults:
        return warning('annotations', f'{len(faults)} in {dataset.ann_file}, such as: {faults[0]}', command)
    return ok('annotations', f'{dataset.ann_file}' + ('' if folder else f'; {command} --images FOLDER reads the sizes'))
