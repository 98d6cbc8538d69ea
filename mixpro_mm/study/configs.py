"""The config of a stage: how it is modified, which files it needs, and its fingerprint."""

import copy
import functools
import hashlib
from pathlib import Path

from mmengine.config import Config

from mixpro_mm.utils.configs import data_paths, dicts, is_local, read_config, strings

__all__ = ['cached_config', 'check_start', 'check_tests', 'files_needed', 'fingerprint', 'stage_config']

NO_BACKBONE = ('TimmClassifier', 'HuggingFaceClassifier')  # these save tensors without the prefix 'backbone.'
# settings that do not change the result of a stage
IGNORED = ('work_dir', 'resume', 'load_from', 'launcher')
IGNORED += ('visualizer', 'vis_backends', 'log_level', 'log_processor', 'experiment_name')
IGNORED_HOOKS = ('logger', 'visualization')  # of default_hooks


@functools.cache  # a config that inherits from a toolkit takes half a second
def _read_cached(path: str) -> Config:
    return read_config(path)


def cached_config(path: str, options: dict | None = None) -> Config:
    """Return a cached config with ``cfg_options`` merged. Do not modify it.

    Raises:
        ValueError: if the config cannot be read, or the options do not fit it.
    """
    return _merge(copy.deepcopy(_read_cached(path)), options) if options else _read_cached(path)


def _merge(config: Config, options: dict | None) -> Config:
    try:
        if options:
            config.merge_from_dict(copy.deepcopy(options))  # mmengine removes ``_delete_`` from what it merges
    except Exception as error:
        message = ' '.join(str(error).split())
        raise ValueError(f'{config.filename}: cfg_options {options} do not fit: {message}') from error
    return config


def stage_config(path: str, work_dir: Path, seed: int, checkpoint: str | None, options: dict | None = None) -> Config:
    """Return the config of a stage, with its options, folder, seed and the checkpoint of its backbone.

    Other settings of ``randomness`` are kept: without ``diff_rank_seed``, all GPUs would draw the same masks.

    Raises:
        ValueError: if the model cannot start from a checkpoint; see also :func:`cached_config`.
    """
    config = _merge(read_config(path), options)
    config.work_dir = str(work_dir)
    own = {key: value for key, value in config.get('randomness', {}).items() if value}  # the defaults are False
    config.randomness = own | dict(seed=seed)
    if checkpoint:
        part, prefix = starting_part(config.model)
        part.init_cfg = dict(type='Pretrained', checkpoint=checkpoint) | (dict(prefix=prefix) if prefix else {})
    return config


def starting_part(model: dict) -> tuple[dict, str]:
    """Return the part of a model's config that starts from a checkpoint, and the prefix of its tensors there.

    This is the backbone, or the whole model for those of ``NO_BACKBONE``.

    Raises:
        ValueError: if the model has no such part.
    """
    kind = model.get('type')
    name = getattr(kind, '__name__', str(kind)).split('.')[-1]
    if isinstance(model.get('backbone'), dict):
        return model['backbone'], 'backbone.'
    if name in NO_BACKBONE:
        return model, ''
    raise ValueError(f'model {name} has no backbone; of such models, only {" and ".join(NO_BACKBONE)} are supported')


def check_start(stage, parent) -> None:
    """Raise ValueError if a stage cannot start from the checkpoint of ``parent``, whose tensors have other names."""
    try:
        needed, found = (starting_part(each.settings.get('model') or {})[1] for each in (stage, parent))
    except ValueError as error:
        raise ValueError(f'stage {stage.name}, which starts from {parent.name}: {error}') from None
    if needed != found:
        raise ValueError(
            f'stage {stage.name} cannot start from {parent.config}: its tensors have the prefix {found!r}, those of '
            f'{stage.config} {needed!r}'
        )


def check_tests(config: Config, tta: bool) -> None:
    """Raise ValueError if a config does not define its test, or its test with test-time augmentation."""
    keys = ['test_dataloader', 'test_evaluator', 'test_cfg'] + ['tta_model', 'tta_pipeline'] * tta
    missing = [key for key in keys if config.get(key) is None]
    if missing:
        raise ValueError(f'{config.filename} has no {" and no ".join(missing)}, which the test after training needs')


def files_needed(config: Config, starts: bool = False, parts: tuple[str, ...] = ('train', 'val', 'test')) -> list[Path]:
    """Return the local data, annotations and weights that a config reads.

    Args:
        config: The config.
        starts: Whether the backbone starts from another stage instead of the weights in the config.
        parts: Which of train, val and test run.
    """

    def values(node, *keys: str) -> list[str]:
        return [value for _, value in strings(node, '', *keys)]

    found = []
    probes = str((config.get('test_cfg') or {}).get('type')).endswith('ProbeTestLoop')  # reads the training images
    for part in dict.fromkeys([*parts, *(['train'] if 'test' in parts and probes else [])]):
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
    """Return a hash of the settings and of the checkpoint that determine the result of a stage."""
    return hashlib.sha256(repr(sorted(settings_of(config, checkpoint_sha256).items())).encode()).hexdigest()


def settings_of(config: Config, checkpoint_sha256: str | None) -> dict:
    """Return the settings that determine the result, with the path of the checkpoint replaced by its hash."""
    settings = {name: value for name, value in config.to_dict().items() if name not in IGNORED}
    hooks = settings.pop('default_hooks', None) or {}
    hooks = {name: hook for name, hook in hooks.items() if name not in IGNORED_HOOKS}
    settings |= {'default_hooks': hooks} if hooks else {}
    if checkpoint_sha256:
        starting_part(settings['model'])[0]['init_cfg']['checkpoint'] = checkpoint_sha256
    return settings
