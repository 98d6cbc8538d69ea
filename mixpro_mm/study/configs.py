"""The config of a stage: how it is run, what it needs, and what makes it another one."""

import copy
import functools
import hashlib
from pathlib import Path

from mmengine.config import Config

from mixpro_mm.utils.config_walk import data_paths, dicts, is_local, read_config, strings

__all__ = ['check_start', 'check_tests', 'files_needed', 'fingerprint', 'last_name', 'look_at', 'stage_config']

WHOLE = ('TimmClassifier', 'HuggingFaceClassifier')  # mmpretrain's models without a backbone, saved without a prefix
# where a stage runs and what it reports, which does not change its result
IGNORED = ('work_dir', 'resume', 'load_from', 'launcher')
IGNORED += ('visualizer', 'vis_backends', 'log_level', 'log_processor', 'experiment_name')
IGNORED_HOOKS = ('logger', 'visualization')  # of default_hooks


def look_at(path: str, options: dict | None = None) -> Config:
    """A config with ``cfg_options`` merged, for reading only.

    Raises:
        ValueError: if it cannot be read, or the options do not fit it.
    """
    return _merged(copy.deepcopy(_read_once(path)), options) if options else _read_once(path)


@functools.cache  # a config that inherits from a toolkit takes half a second
def _read_once(path: str) -> Config:
    return read_config(path)


def _merged(config: Config, options: dict | None) -> Config:
    try:
        if options:
            config.merge_from_dict(copy.deepcopy(options))  # mmengine removes ``_delete_`` from what it merges
    except Exception as error:
        message = ' '.join(str(error).split())
        raise ValueError(f'{config.filename}: cfg_options {options} do not fit: {message}') from error
    return config


def stage_config(path: str, work_dir: Path, seed: int, checkpoint: str | None, options: dict | None = None) -> Config:
    """The config that a stage runs: options merged, with its folder, its seed and the checkpoint of its backbone.

    Other settings of ``randomness`` stay: without ``diff_rank_seed`` all GPUs would draw the same masks.

    Raises:
        ValueError: if there is a checkpoint, but no part of the model can start from one; as :func:`look_at`.
    """
    config = _merged(read_config(path), options)
    config.work_dir = str(work_dir)
    own = {key: value for key, value in config.get('randomness', {}).items() if value}  # their defaults are False
    config.randomness = own | dict(seed=seed)
    if checkpoint:
        part, prefix = starting_part(config.model)
        part.init_cfg = dict(type='Pretrained', checkpoint=checkpoint) | (dict(prefix=prefix) if prefix else {})
    return config


def starting_part(model: dict) -> tuple[dict, str]:
    """The part of a model's config that starts from a checkpoint, and the prefix of its names there, which may be ''.

    Models in ``WHOLE`` start as one; their head too, if it has the same number of classes.

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
        f'model {name} has no backbone, so it cannot start from a checkpoint or be one; of models without a backbone '
        f'only {" and ".join(WHOLE)} are supported'
    )


def check_start(stage, parent) -> None:
    """Raise ValueError if a stage cannot start from the checkpoint of ``parent``: its tensors have other names."""
    try:
        needed, found = (starting_part(each.settings.get('model') or {})[1] for each in (stage, parent))
    except ValueError as error:
        raise ValueError(f'stage {stage.name}, which starts from {parent.name}: {error}') from None
    if needed != found:
        raise ValueError(
            f'stage {stage.name} cannot start from {parent.config}: its tensors have the prefix {found!r}, those of '
            f'{stage.config} {needed!r}; both models must have a backbone, or both be one of {" and ".join(WHOLE)}'
        )


def check_tests(config: Config, tta: bool) -> None:
    """Raise ValueError if a config does not define its test, or the second one with test-time augmentation."""
    keys = ['test_dataloader', 'test_evaluator', 'test_cfg'] + ['tta_model', 'tta_pipeline'] * tta
    missing = [key for key in keys if config.get(key) is None]
    if missing:
        raise ValueError(f'{config.filename} has no {" and no ".join(missing)}, which the test after training needs')


def files_needed(config: Config, starts: bool = False, parts: tuple[str, ...] = ('train', 'val', 'test')) -> list[Path]:
    """Local files and folders that a config reads: data, lists of data, and, for training, weights.

    Args:
        config: The config.
        starts: Whether its backbone starts from another stage, instead of from the weights that the config names.
        parts: Of train, val and test, those that run.
    """

    def values(node, *keys: str) -> list[str]:
        return [value for _, value in strings(node, '', *keys)]

    found = []
    for part in parts:
        for _, node in dicts(config.get(f'{part}_dataloader')):
            found += data_paths(node).values()
        found += values(config.get(f'{part}_evaluator'), 'ann_file') + values(config.get(f'{part}_cfg'), 'checkpoint')
    if 'train' in parts:
        model = config.get('model', {})
        replaced = values((model.get('backbone') or model).get('init_cfg'), 'checkpoint') if starts else []
        weights = [*values(model, 'checkpoint', 'pretrained'), config.get('load_from')]
        found += [path for path in weights if path not in replaced]
        found += [] if starts else values(config.get('custom_hooks'), 'checkpoint')  # such as TransferCheckHook
    return [Path(path) for path in dict.fromkeys(found) if is_local(path)]


def fingerprint(config: Config, checkpoint_sha256: str | None) -> str:
    """Hash of what the result depends on: the settings, and the content of the checkpoint it starts from."""
    return hashlib.sha256(repr(sorted(settings_of(config, checkpoint_sha256).items())).encode()).hexdigest()


def settings_of(config: Config, checkpoint_sha256: str | None) -> dict:
    """The settings that a result depends on, with the hash of the checkpoint in place of its path."""
    settings = {name: value for name, value in config.to_dict().items() if name not in IGNORED}
    hooks = settings.pop('default_hooks', None) or {}
    hooks = {name: hook for name, hook in hooks.items() if name not in IGNORED_HOOKS}
    settings |= {'default_hooks': hooks} if hooks else {}
    if checkpoint_sha256:
        starting_part(settings['model'])[0]['init_cfg']['checkpoint'] = checkpoint_sha256
    return settings


def last_name(config: Config) -> str:
    """File name of the last checkpoint of a run: 'epoch_300.pth', or 'iter_80000.pth' where it counts iterations."""
    epochs = config.train_cfg.get('max_epochs')
    return f'epoch_{epochs}.pth' if epochs else f'iter_{config.train_cfg.max_iters}.pth'
