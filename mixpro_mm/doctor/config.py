"""All checks of a config. This module needs mmengine and mmpretrain and runs in the child process."""

import re
from collections.abc import Callable, Iterable

from mmengine.config import Config
from mmengine.registry import DefaultScope

from mixpro_mm.doctor import data, names, training
from mixpro_mm.doctor.finding import Finding, ok, one_line, problem
from mixpro_mm.doctor.steps import TOOLKITS
from mixpro_mm.utils.configs import dicts

__all__ = ['CHECKS', 'check_config', 'check_contents', 'load', 'run', 'toolkits_of']

CHECKS = (
    names.check_types,
    training.check_schedule,
    training.check_labels,
    training.check_workers,
    training.check_batch,
    training.check_deterministic,
    data.check_paths,
    data.check_weights,
)


def load(path: str) -> dict:
    """Return a config as plain dicts, with its path under ``filename``, a key that mmengine reserves."""
    return Config.fromfile(path).to_dict() | dict(filename=path)


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
    except Exception as error:  # a config is code
        # for 'mmseg::', mmengine needs a distribution named mmsegmentation
        prefixed = re.search('mm(segmentation|detection) is not installed', str(error))
        fix = f"_base_ = '/path/to/the/base.py' in {path}" if prefixed else None
        return [problem('config', f'{path} does not load: {type(error).__name__}: {one_line(error)}', fix)]
    if 'stages' in config and 'model' not in config:
        fix = f'python tools/study.py {path} --dry-run'
        return [problem('config', f'{path} is a study; check the configs of its stages', fix)]
    if not config.get('model') or not (config.get('train_dataloader') or config.get('test_dataloader')):
        return [problem('config', f'{path} has no model or no data')]
    return [ok('config', f'{path} loads'), *run(CHECKS, config)]


def check_contents(path: str) -> list[Finding]:
    """Check the data of a config, if all files exist."""
    config = load(path)
    return [] if run((data.check_paths,), config) else run((data.check_data,), config)
