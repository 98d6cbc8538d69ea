"""The config of a stage: read, made the stage's own, and told apart from others."""

import functools
import hashlib
from pathlib import Path

from mmengine.config import Config

__all__ = ['fingerprint', 'last_name', 'look_at', 'read_config', 'settings_of', 'stage_config', 'without_reporting']

REPORTING_HOOKS = ('logger', 'visualization')
REPORTING = ('vis', 'log_level', 'log_processor', 'experiment_name') + tuple(
    f'default_hooks.{name}'
    for name in REPORTING_HOOKS  # as a flat name
)


def read_config(path: str | Path) -> Config:
    """A config from its file.

    Raises:
        ValueError: if it cannot be read, for any reason: a config is code.
    """
    try:
        return Config.fromfile(path)
    except Exception as error:
        said = ' '.join(f'{type(error).__name__}: {error}'.split())[:300]
        raise ValueError(f'{path} cannot be read: {said}') from error


@functools.cache
def look_at(path: str) -> Config:
    """A config to look at, not to change; read once, for one that inherits from a toolkit takes half a second."""
    return read_config(path)


def stage_config(path: str, work_dir: Path, seed: int, checkpoint: str | None) -> Config:
    """The config as the stage runs it: in its own folder, seeded, its backbone loaded from ``checkpoint`` if any.

    What else the config says of randomness stays: without its ``diff_rank_seed`` all GPUs would draw the same masks.
    """
    config = read_config(path)
    config.work_dir = str(work_dir)
    own = {key: value for key, value in config.get('randomness', {}).items() if value}  # unset is False for them all
    config.randomness = own | dict(seed=seed)
    if checkpoint:
        config.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.')
    return config


def fingerprint(config: Config, checkpoint_sha256: str | None) -> str:
    """What the result depends on: the whole config and the content of the checkpoint it starts from.

    Where it runs, how it is started and what it reports make no difference.
    """
    return hashlib.sha256(repr(sorted(settings_of(config, checkpoint_sha256).items())).encode()).hexdigest()


def settings_of(config: Config, checkpoint_sha256: str | None) -> dict:
    """What the fingerprint is taken of: the settings, and the hash of the checkpoint in place of its path."""
    settings = without_reporting(config.to_dict())
    for where in ('work_dir', 'resume', 'load_from', 'launcher'):
        settings.pop(where, None)
    if checkpoint_sha256:
        settings['model']['backbone']['init_cfg']['checkpoint'] = checkpoint_sha256
    return settings


def without_reporting(settings: dict) -> dict:
    """Settings, nested or flat, less those that say what a run reports and change no result."""
    kept = {name: value for name, value in settings.items() if not any(map(name.startswith, REPORTING))}
    hooks = kept.pop('default_hooks', None) or {}
    hooks = {name: hook for name, hook in hooks.items() if name not in REPORTING_HOOKS}
    return kept | ({'default_hooks': hooks} if hooks else {})


def last_name(config: Config) -> str:
    """File name of the last checkpoint of a run: 'epoch_300.pth', or 'iter_80000.pth' where it counts iterations."""
    epochs = config.train_cfg.get('max_epochs')
    return f'epoch_{epochs}.pth' if epochs else f'iter_{config.train_cfg.max_iters}.pth'
