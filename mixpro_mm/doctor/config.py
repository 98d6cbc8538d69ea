"""All checks of one config. Runs in the child process, where mmengine and mmpretrain import."""

import re
from collections.abc import Callable, Iterator

from mmengine.config import Config
from mmengine.registry import DefaultScope

from mixpro_mm.config_walk import dicts
from mixpro_mm.doctor import data, names, training
from mixpro_mm.doctor.finding import PROBLEM, Finding, ok, one_line, problem
from mixpro_mm.doctor.steps import HOSTS

__all__ = ['CHECKS', 'check_config', 'check_contents', 'hosts_of', 'load', 'run']

Check = Callable[[dict], Iterator[Finding]]
CHECKS: tuple[Check, ...] = (
    names.check_types,
    names.check_packages,
    names.check_arguments,
    training.check_schedule,
    training.check_labels,
    training.check_masks,
    training.check_workers,
    training.check_batch,
    training.check_deterministic,
    data.check_paths,
    data.check_weights,
)


def load(path: str) -> dict:
    """A config as plain dicts, with its path as ``filename``, a key that mmengine reserves.

    Raises:
        ValueError: whatever stops mmengine, in one sentence, as a config is code.
    """
    try:
        return Config.fromfile(path).to_dict() | dict(filename=path)
    except Exception as error:
        raise ValueError(one_line(f'{type(error).__name__}: {error}')) from error


def hosts_of(config: dict) -> set[str]:
    """Toolkits that a config names as a scope."""
    scopes = [config.get('default_scope') or '']
    for _, node in dicts(config):
        scopes += [node[key].partition('.')[0] for key in ('type', '_scope_') if isinstance(node.get(key), str)]
    return set(scopes) & set(HOSTS)


def run(checks: tuple[Check, ...], config: dict) -> list[Finding]:
    """Findings of some checks, in the scope of the config."""
    with DefaultScope.overwrite_default_scope(config.get('default_scope') or 'mmengine'):
        return [finding for check in checks for finding in check(config)]


def check_config(path: str) -> list[Finding]:
    """Everything that is known without reading data."""
    try:
        config = load(path)
    except ValueError as error:
        named = re.search(r'(mmsegmentation|mmdetection) is not installed', str(error))
        if named:  # mmengine looks 'mmseg::' up in a distribution of the original name
            found = f'{path}: {named[1]} is not installed by this name, so its configs are not found by a prefix'
            return [problem('config', found, f"_base_ = '/path/to/the/base.py' in {path}")]
        return [problem('config', f'{path} cannot be loaded: {error}')]
    if 'stages' in config and 'model' not in config:
        fix = f'python tools/study.py {path} --dry-run'
        return [problem('config', f'{path} is a study, whose stages have configs of their own', fix)]
    missing = [part for part in ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper') if not config.get(part)]
    if missing and not (config.get('model') and config.get('test_dataloader')):
        return [problem('config', f'{path} has no {missing[0]}', f'{missing[0]} = dict(...) in {path}')]
    more = f'; only for testing, without {missing[0]}' if missing else ''
    return [ok('config', f'{path} loads{more}'), *run(CHECKS, config)]


def check_contents(path: str) -> list[Finding]:
    """Data sets are built and read, if all their files exist."""
    config = load(path)
    missing = any(finding.status == PROBLEM for finding in run((data.check_paths,), config))
    return [] if missing else run((data.check_data,), config)
