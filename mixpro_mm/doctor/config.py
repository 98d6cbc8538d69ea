"""A config before its training: does it load, do its types resolve, is there what it reads?

Runs in the child process, where mmengine imports. Nothing is built, trained or written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mixpro_mm.config_walk import LOADERS, dicts
from mixpro_mm.doctor.finding import Finding, ok, one_line, problem, warning

__all__ = ['examine', 'load', 'needs_of']


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
    from mixpro_mm.doctor.config_types import check_labels, check_types

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
    yield from check_labels(config)
    yield from check_data(config)
    yield from check_weights(config)
    yield from check_workers(config)
    yield from check_batch(path, config, gpus)


def _unreadable(path: str, said: str) -> Finding:
    """Why a config does not load: an inherited file, a package, or its own Python."""
    base = re.search(r"No such file or directory: '(.+?)'|file \"(.+?)\" does not exist", said)
    if base:
        missing = base[1] or base[2]
        place = _mentions(path, Path(missing).name)
        return problem('config', f'{path} inherits from {missing}, which does not exist', f"_base_ = '...' in {place}")
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
    """torch refuses to keep workers that there are none of."""
    for name in LOADERS:
        loader = config.get(name) or {}
        if loader.get('persistent_workers') and not loader.get('num_workers'):
            found = f'{name} keeps its workers (persistent_workers) but has none (num_workers 0), which torch refuses'
            yield problem('workers', found, f'--cfg-options {name}.persistent_workers=False')


def check_batch(path: str, config: dict, gpus: int) -> Iterator[Finding]:
    """A name with 8xb128, or else ``auto_scale_lr``, says for how many images a step the learning rate was chosen."""
    named = re.search(r'(?:^|_)(\d+)xb(\d+)', Path(path).stem)
    base = (config.get('auto_scale_lr') or {}).get('base_batch_size')
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
    device = f'{gpus} GPU{"s" * (gpus > 1)} x {batch}' if gpus else f'the CPU with {batch}'
    found = f'{text}; {device} here would take {here * batch} if started as it is'
    yield warning('batch', found, '--auto-scale-lr' if base == meant else mend)
