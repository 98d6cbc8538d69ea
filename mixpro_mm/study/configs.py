"""The config of a stage: read, made the stage's own, and told apart from others."""

import copy
import functools
import hashlib
import re
from pathlib import Path

from mmengine.config import Config

__all__ = [
    'WHOLE',
    'check_start',
    'fingerprint',
    'last_name',
    'look_at',
    'read_config',
    'settings_of',
    'stage_config',
    'starting_part',
    'without_reporting',
]

WHOLE = ('TimmClassifier', 'HuggingFaceClassifier')  # of mmpretrain: without a backbone, saved under the names inside
REPORTING_HOOKS = ('logger', 'visualization')
REPORTING = re.compile(  # names of settings, or the beginning of flat ones
    rf'(visualizer|vis_backends|log_level|log_processor|experiment_name|default_hooks\.({"|".join(REPORTING_HOOKS)}))'
    r'($|[.\[])'
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


def look_at(path: str, options: dict | None = None) -> Config:
    """A config to look at, not to change, with ``cfg_options`` merged if there are any.

    Raises:
        ValueError: as :func:`read_config` and :func:`merge`.
    """
    return merge(copy.deepcopy(_read_once(path)), options) if options else _read_once(path)


@functools.cache  # a config that inherits from a toolkit takes half a second
def _read_once(path: str) -> Config:
    return read_config(path)


def merge(config: Config, options: dict | None) -> Config:
    """Merge ``cfg_options`` (dotted key -> value) into ``config`` and return it.

    Raises:
        ValueError: if an option does not fit the config.
    """
    try:
        if options:
            config.merge_from_dict(copy.deepcopy(options))  # mmengine removes ``_delete_`` from what it merges
    except Exception as error:
        said = ' '.join(str(error).split())
        raise ValueError(f'{config.filename}: cfg_options {options} do not fit: {said}') from error
    return config


def stage_config(path: str, work_dir: Path, seed: int, checkpoint: str | None, options: dict | None = None) -> Config:
    """The config as the stage runs it: ``cfg_options`` merged, in its own folder, seeded, its backbone loaded from
    ``checkpoint`` if any.

    What else the config says of randomness stays: without its ``diff_rank_seed`` all GPUs would draw the same masks.

    Raises:
        ValueError: if there is a checkpoint, and the model has no part that starts from one; as :func:`merge`.
    """
    config = merge(read_config(path), options)
    config.work_dir = str(work_dir)
    own = {key: value for key, value in config.get('randomness', {}).items() if value}  # unset is False for them all
    config.randomness = own | dict(seed=seed)
    if checkpoint:
        part, prefix = starting_part(config.model)
        part.init_cfg = dict(type='Pretrained', checkpoint=checkpoint) | (dict(prefix=prefix) if prefix else {})
    return config


def starting_part(model: dict) -> tuple[dict, str]:
    """The part of a model's config that starts from a checkpoint, and the prefix of its names there ('' for none).

    A model of ``WHOLE`` starts as one, its head too if it has as many classes.

    Raises:
        ValueError: if there is no such part.
    """
    kind = model.get('type')
    name = getattr(kind, '__name__', str(kind)).split('.')[-1]
    if isinstance(model.get('backbone'), dict):
        return model['backbone'], 'backbone.'
    if name in WHOLE:
        return model, ''
    raise ValueError(
        f'model {name} cannot start from a checkpoint or be one: it has no backbone, and of models without one only '
        f'{" and ".join(WHOLE)} are supported'
    )


def check_start(stage, parent) -> None:
    """See before anything runs whether a stage can start from what its parent saves.

    Args:
        stage: The stage.
        parent: The stage it starts from.

    Raises:
        ValueError: if one of the models has no part for that, or their names differ.
    """
    prefixes = []
    for model in (stage, parent):
        try:
            prefixes.append(starting_part(look_at(model.config, model.cfg_options).get('model') or {})[1])
        except ValueError as error:
            raise ValueError(f'stage {stage.name}, {model.config}: {error}') from None
    if prefixes[0] != prefixes[1]:
        needs, holds = (f'names with {prefix!r}' if prefix else 'names without a prefix' for prefix in prefixes)
        raise ValueError(
            f'stage {stage.name} cannot start from a checkpoint of {parent.config}: it holds {holds}, and '
            f'{stage.config} needs {needs}; '
            f'both models must have a backbone, or both be one of {" and ".join(WHOLE)}'
        )


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
        starting_part(settings['model'])[0]['init_cfg']['checkpoint'] = checkpoint_sha256
    return settings


def without_reporting(settings: dict) -> dict:
    """Settings, nested or flat, less those that say what a run reports and change no result."""
    kept = {name: value for name, value in settings.items() if not REPORTING.match(name)}
    hooks = kept.pop('default_hooks', None) or {}
    hooks = {name: hook for name, hook in hooks.items() if name not in REPORTING_HOOKS}
    return kept | ({'default_hooks': hooks} if hooks else {})


def last_name(config: Config) -> str:
    """File name of the last checkpoint of a run: 'epoch_300.pth', or 'iter_80000.pth' where it counts iterations."""
    epochs = config.train_cfg.get('max_epochs')
    return f'epoch_{epochs}.pth' if epochs else f'iter_{config.train_cfg.max_iters}.pth'
