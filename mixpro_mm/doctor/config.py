"""A config before its training: does it load, do its types resolve, is there what it reads?

Runs in the child process, where mmengine imports. Nothing is built, trained or written.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator
from pathlib import Path

from mixpro_mm.config_walk import LOADERS, dicts
from mixpro_mm.doctor.finding import Finding, ok, one_line, problem, warning

__all__ = ['examine', 'load', 'needs_of']

WORKSPACES = (':4096:8', ':16:8')  # of cuBLAS, with which it is deterministic


def load(path: str) -> dict:
    """A config as plain dicts; ``ValueError`` in one sentence for whatever stops it, as a config is code."""
    from mmengine.config import Config

    try:
        return Config.fromfile(path).to_dict()
    except Exception as error:
        raise ValueError(one_line(f'{type(error).__name__}: {error}')) from error


def needs_of(config: dict) -> dict:
    """What other checks have to know: hosts that are used, the most workers, the folder of the checkpoints."""
    text = [config.get('default_scope') or '']
    for _, node in dicts(config):
        text += [node[key] for key in ('type', '_scope_') if isinstance(node.get(key), str)]
    named = {value.partition('.')[0] for value in text}
    workers = [(config.get(loader) or {}).get('num_workers', 0) for loader in LOADERS]
    hosts = sorted(named & {'mmpretrain', 'mmseg', 'mmdet'})
    return dict(hosts=hosts, workers=max(workers), work_dir=config.get('work_dir'))


def examine(path: str, gpus: int = 0) -> Iterator[Finding]:
    """Findings about one config.

    Args:
        path: The config.
        gpus: How many GPUs training would see.
    """
    from mixpro_mm.doctor.config_files import check_data, check_weights
    from mixpro_mm.doctor.config_masks import check_masks
    from mixpro_mm.doctor.config_packages import check_packages
    from mixpro_mm.doctor.config_types import check_labels, check_types
    from mixpro_mm.doctor.config_values import check_arguments, check_values

    try:
        config = load(path)
    except ValueError as error:
        yield _unreadable(path, str(error))
        return
    if 'stages' in config and 'model' not in config:
        found = f'{path} is a study, whose stages have configs of their own'
        yield problem('config', found, f'python tools/study.py {path} --dry-run')
        return
    lacking = [part for part in ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper') if not config.get(part)]
    if lacking and (config.get('model') is None or not config.get('test_dataloader')):
        yield problem('config', f'{path} trains nothing: it has no {lacking[0]}', f'{lacking[0]} = dict(...) in {path}')
    elif lacking:
        yield ok('config', f'{path} loads; it tests only, for it has no {lacking[0]}')
    else:
        yield ok('config', f'{path} loads, default scope {config.get("default_scope") or "mmengine"}')
    yield from check_types(config)
    yield from check_packages(config)
    yield from check_values(config)
    if not isinstance(config.get('custom_hooks'), dict):
        yield from check_labels(config)
    yield from check_arguments(config)
    yield from check_masks(config)
    yield from check_data(config)
    yield from check_weights(config)
    yield from check_workers(config)
    yield from check_batch(path, config, gpus)
    yield from check_deterministic(config, gpus)


def _unreadable(path: str, said: str) -> Finding:
    """Why a config does not load: an inherited file, a package, or its own Python."""
    base = re.search(r"No such file or directory: '(.+?)'|file \"(.+?)\" does not exist", said)
    if base:
        missing = base[1] or base[2]
        place = _mentions(path, Path(missing).name)
        return problem('config', f'{path} inherits from {missing}, which does not exist', f"_base_ = '...' in {place}")
    host = re.search(r'(mm\w+) is not installed', said)
    if host:
        found = (
            f"{path} inherits from '{host[1]}::...' or its like, which mmengine looks up in a distribution named "
            f'{host[1]}; that of the onedl- family has another name'
        )
        module = dict(mmsegmentation='mmseg', mmdetection='mmdet').get(host[1], host[1])
        spec = importlib.util.find_spec(module)
        folder = Path(spec.origin).parent if spec and spec.origin else f'/path/to/{module}'
        return problem('config', found, f"_base_ = '{folder}/.mim/configs/...' in {path}")
    module = re.search(r"No module named '([\w.]+)'|custom modules from .*?\['([\w.]+)'", said)
    if module:
        name = module[1] or module[2]
        mend = f"custom_imports = dict(imports=['...']) in {_mentions(path, name)}, or PYTHONPATH=/folder/of/it"
        return problem('config', f'{path} imports {name}, which cannot be imported', mend)
    return problem('config', f'{path} cannot be read: {said}', f'python {path}')


def _mentions(path: str, text: str) -> str:
    """The file to change: the config itself where it says so, else one that it inherits from."""
    return path if text in Path(path).read_text(encoding='utf-8', errors='replace') else f'a base of {path}'


def check_workers(config: dict) -> Iterator[Finding]:
    """torch refuses to keep workers, or to prefetch, without any; mmpretrain's tools/train.py keeps them by default."""
    by_default = config.get('default_scope') == 'mmpretrain'
    for name in LOADERS:
        loader = config.get(name)
        if not loader or loader.get('num_workers'):
            continue
        if loader.get('persistent_workers', by_default):
            whose = '' if 'persistent_workers' in loader else ", as mmpretrain's tools/train.py sets it"
            found = f'{name} has num_workers 0 and persistent_workers True{whose}, which torch refuses'
            yield problem('workers', found, f'--cfg-options {name}.persistent_workers=False')
        if loader.get('prefetch_factor') is not None:
            found = f'{name} has num_workers 0 and prefetch_factor {loader["prefetch_factor"]}, which torch refuses'
            yield problem('workers', found, f'--cfg-options {name}.prefetch_factor=None')


def check_deterministic(config: dict, gpus: int = 0) -> Iterator[Finding]:
    """cuBLAS is deterministic with one of two workspaces only, and torch raises at the first product without them."""
    workspace = os.environ.get('CUBLAS_WORKSPACE_CONFIG')
    if gpus and (config.get('randomness') or {}).get('deterministic') and workspace not in WORKSPACES:
        found = f'randomness.deterministic is True and CUBLAS_WORKSPACE_CONFIG is {workspace or "not set"}: torch stops'
        yield problem('deterministic', found, f'export CUBLAS_WORKSPACE_CONFIG={WORKSPACES[0]}')


def check_batch(path: str, config: dict, gpus: int) -> Iterator[Finding]:
    """A name with 8xb128, or else ``auto_scale_lr``, says for how many images a step the learning rate was chosen."""
    named = re.search(r'(?:^|_)(\d+)xb(\d+)', Path(path).stem)
    scaled = config.get('auto_scale_lr') or {}
    base = scaled.get('base_batch_size')
    batch = (config.get('train_dataloader') or {}).get('batch_size')
    if not batch or not (named or base):
        return
    meant = int(named[1]) * int(named[2]) if named else base
    text = f'learning rate is for {f"{named[1]} GPUs x {named[2]} = " if named else ""}{meant} images a step'
    here = max(gpus, 1)
    if here * batch == meant:
        yield ok('batch', text)
        return
    mend = f'--cfg-options train_dataloader.batch_size={max(meant // here, 1)}'
    if scaled.get('enable') and base == meant:
        yield ok('batch', f'{text}; auto_scale_lr scales it to the {here * batch} of this machine')
        return
    device = f'{gpus} GPU{"s" * (gpus > 1)} x {batch}' if gpus else f'the CPU with {batch}'
    found = f'{text}; {device} here would take {here * batch} if started as it is'
    yield warning('batch', found, '--auto-scale-lr' if base == meant else mend)
