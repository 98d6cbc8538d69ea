"""Data and weights that a config names: is each of them there?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mixpro_mm.config_walk import LOADERS, data_paths, dicts, is_local, strings
from mixpro_mm.doctor.finding import Finding, ok, one_line, problem, warning

__all__ = ['check_data', 'check_weights', 'places_of_data']

EVALUATORS = ('val_evaluator', 'test_evaluator')
# commands that make data rather than fetch it, by a folder of the path
MADE_BY = {
    'digit_scenes': 'python -m mixpro_mm.datasets.digit_scenes {path}',
    'SegmentationClassContext': 'python tools/prepare_pascal_context.py {devkit}',
}


def check_data(config: dict) -> Iterator[Finding]:
    """Folders and lists of the data sets, those inside others too; of a missing folder only the outermost is named."""
    places: dict[str, list[str]] = {}
    for place, path in places_of_data(config):
        places.setdefault(os.path.normpath(path), []).append(place)
    missing = {path: where for path, where in places.items() if not os.path.exists(path)}
    for path, where in missing.items():
        if any(Path(other) in Path(path).parents for other in missing):
            continue
        more = f' and {len(where) - 1} more' if len(where) > 1 else ''
        yield problem('data', f'{path} does not exist ({where[0]}{more})', _brings(path))
    if places and not missing:
        first = ', '.join(list(places)[:2]) + (', ...' if len(places) > 2 else '')
        yield ok('data', f'all {len(places)} folders and lists exist: {first}')


def places_of_data(config: dict) -> Iterator[tuple[str, str]]:
    """Place and path of what data sets and metrics read, joined as the toolkits do it."""
    for loader in LOADERS:
        for place, node in dicts(config.get(loader), loader):
            yield from ((f'{place}.{key}', path) for key, path in data_paths(node).items())
    for evaluator in EVALUATORS:
        found = strings(config.get(evaluator), evaluator, 'ann_file')
        yield from ((place, path) for place, path in found if is_local(path))


def check_weights(config: dict) -> Iterator[Finding]:
    """Checkpoints: of ``init_cfg``, teachers, extractors, ``load_from``. Each is read as far as its tensors' names."""
    found = [*strings(config.get('model'), 'model', 'checkpoint', 'pretrained')]
    for part in ('custom_hooks', 'test_cfg'):
        found += strings(config.get(part), part, 'checkpoint')
    nodes = dict(dicts(config.get('model'), 'model'))
    if config.get('load_from'):
        found.append(('load_from', config['load_from']))
    for place, node in nodes.items():
        name = str(node.get('type')).rpartition('.')[2]
        if name in ('TIMMBackbone', 'TimmClassifier') and node.get('pretrained') is True:
            model = f'{place}.pretrained: the weights of timm {node.get("model_name")}'
            mend = f'--cfg-options {place}.pretrained=False {place}.checkpoint_path=/path/to/checkpoint.pth'
            yield warning('weights', f'{model} are downloaded at the start unless cached: it takes a network', mend)
    for place, path in found:
        own = nodes.get(place.rpartition('.')[0], {})
        yield _weights(place, path, own.get('prefix') if own.get('type') == 'Pretrained' else None)


def _weights(place: str, path: str, prefix: str | None) -> Finding:
    mend = f'--cfg-options {place}=/path/to/{path.rpartition("/")[2] or "checkpoint.pth"}'
    if '://' in path:
        if _cached(path):
            return ok('weights', f'{place}: {path} was downloaded before')
        return warning('weights', f'{place}: {path} is downloaded at the start, and not at all without a network', mend)
    if not os.path.isfile(os.path.expanduser(path)):
        return problem('weights', f'{path} does not exist ({place})', mend)
    from mixpro_mm.checkpoint import read_checkpoint

    try:
        names = read_checkpoint(path).tensors
    except (ValueError, OSError) as error:
        return problem('weights', f'{place}: {one_line(error)}', mend)
    if prefix and not any(name.startswith(prefix) for name in names):
        first = next(iter(names))
        found = f"{path} holds no tensor that begins with '{prefix}' ({place}); its first is '{first}'"
        return problem('weights', found, f'--cfg-options {place.rpartition(".")[0]}.prefix={first.partition(".")[0]}.')
    return ok('weights', f'{path}: {len(names)} tensors ({place})')


def _cached(address: str) -> bool:
    from torch import hub

    return os.path.exists(os.path.join(hub.get_dir(), 'checkpoints', address.rpartition('/')[2]))


def _brings(path: str) -> str:
    """The command that makes the data, or links what lies elsewhere to where the config looks."""
    parent, name = os.path.split(path)
    for made, command in MADE_BY.items():
        for folder in (Path(path), *Path(path).parents):
            if folder.name == made:
                return command.format(path=folder, devkit=folder.parent.parent)
    link = f'ln -s /path/to/{name} {path}'
    return link if not parent or os.path.isdir(parent) else f'mkdir -p {parent} && {link}'
