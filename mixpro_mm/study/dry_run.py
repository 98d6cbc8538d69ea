"""What a study would do: every command, what it waits for, what it may cost and what is missing. Nothing is started."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config

from mixpro_mm.study.configs import look_at
from mixpro_mm.study.estimate import RULE, gpu_hours
from mixpro_mm.study.launch import Launch, stage_command
from mixpro_mm.study.plan import Plan, Stage
from mixpro_mm.study.runner import is_finished
from mixpro_mm.study.tta import check_tta

__all__ = ['describe', 'files_needed']


def describe(plan: Plan, work_dir: Path, launch: Launch) -> Iterator[str]:
    """The lines of a dry run: a shell script, for what is not a command is a comment.

    Run one by one, the commands do what the study does, and it can take over at any point; stages that train are then
    finished or gone on with, those that are commands it runs again, for only the study itself notes that they are done.

    Args:
        plan: The study.
        work_dir: Its folder, absolute; need not exist.
        launch: How stages would be started. That the launcher or its GPUs are not on this machine is no error here.

    Raises:
        ValueError: if the launcher's options do not fit the stages, see ``Launch.check_fit``.
    """
    launch.check_fit(stage for stage in plan.stages if stage.config and _can_be_read(stage.config))
    made = [Path(stage.creates).absolute() for stage in plan.stages if stage.creates]
    missing: dict[str, list[str]] = {}
    total, without = 0.0, []
    yield f'# {plan.title}: {len(plan.stages)} stages, {_how(plan, launch)}; a dry run, nothing is started'
    for stage in plan.stages:
        command, hours = None, None
        notes = [f'after {", ".join(stage.waits_for)}'] if stage.waits_for else []
        try:
            command = stage_command(plan, stage, work_dir, launch)
            if stage.config:
                config = look_at(stage.config)
                hours = gpu_hours(stage, config)
                tests = [_test_of(look_at(path)) for path in stage.evaluations.values()]
                needed = [path for part in (config, *tests) for path in files_needed(stage, part)]
                for path in _outermost(path for path in dict.fromkeys(needed) if not path.exists()):
                    if not any(path.absolute().is_relative_to(other) for other in made):
                        missing.setdefault(str(path), []).append(stage.name)
                if stage.tta:
                    check_tta(config)
        except Exception as error:  # of any kind: what is asked of the config may not be in it
            missing.setdefault(f'a config that can be used: {_one_line(error)}', []).append(stage.name)
        if is_finished(stage, work_dir):
            notes.append('finished already')
        if stage.config and hours is None:
            without.append(stage.name)
        elif hours is not None:
            total += hours
            notes.insert(0, f'about {_number(hours)} GPU hours')
        yield f'# {stage.name}' + (f': {", ".join(notes)}' if notes else '')
        if command:
            yield shlex.join(command)
    if total:
        yield f'# about {_number(total)} GPU hours in all{_without(without)}; {RULE}'
    for what, names in missing.items():
        yield f'# missing: {what} ({_stages(names)})'
    if not missing:
        yield (
            '# nothing is missing: every config can be read, and the folders, lists and weights they name exist; '
            'none was opened'
        )


def files_needed(stage: Stage, config: Config) -> list[Path]:
    """Local paths that must exist before a stage: folders and lists of data, weights that no other stage makes."""
    paths: dict[str, None] = {}
    for part in ('train', 'val', 'test'):
        for node in _dicts(config.get(f'{part}_dataloader')):
            paths |= dict.fromkeys(_data_paths(node))
        paths |= dict.fromkeys(_values(config.get(f'{part}_evaluator'), 'ann_file'))
    model = config.get('model', {})
    weights = [*_values(model, 'checkpoint'), *_values(config.get('test_cfg'), 'checkpoint'), config.get('load_from')]
    if stage.checkpoint:  # in place of the config's own
        weights = [path for path in weights if path not in _values(model.get('backbone'), 'checkpoint')]
    paths |= dict.fromkeys(weights)
    return list(dict.fromkeys(Path(path) for path in paths if path and '://' not in path))


def _test_of(config: Config) -> dict:
    """What a test by a config reads: its data and, in its loop, the weights of further models."""
    return {key: config[key] for key in ('test_dataloader', 'test_evaluator', 'test_cfg') if config.get(key)}


def _data_paths(dataset: dict) -> list[str]:
    """What a dataset reads from, joined as the toolkits do it: its root, its list of images, its folders of images."""
    root, prefix = dataset.get('data_root') or '', dataset.get('data_prefix')
    parts = [dataset.get('ann_file'), *(prefix.values() if isinstance(prefix, dict) else [prefix])]
    if not prefix and str(dataset.get('type')).rpartition('.')[2] in ('ImageNet', 'ImageNet1k'):
        parts.append(dataset.get('split'))  # its folder; the list of it is optional
    return [root, *(os.path.join(root, part) for part in parts if part and isinstance(part, str))]


def _outermost(paths) -> list[Path]:
    """Without those that lie below another."""
    paths = list(paths)
    return [path for path in paths if not any(other in path.parents for other in paths)]


def _can_be_read(path: str) -> bool:
    try:
        look_at(path)
    except ValueError:
        return False
    return True


def _dicts(node) -> Iterator[dict]:
    """Every dict at any depth, the node itself included."""
    if isinstance(node, dict):
        yield node
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list | tuple) else ()
    for child in children:
        yield from _dicts(child)


def _values(node, key: str) -> list[str]:
    """Every string under ``key``, at any depth."""
    return [found[key] for found in _dicts(node) if isinstance(found.get(key), str)]


def _how(plan: Plan, launch: Launch) -> str:
    if launch.launcher == 'none':
        return f'{plan.jobs} at a time, each one process'
    counts = sorted({launch.processes(stage) for stage in plan.stages if stage.config})
    return f'{plan.jobs} at a time, by {launch.launcher}, on {" or ".join(map(str, counts))} GPUs each'


def _number(hours: float) -> str:
    return f'{hours:,.0f}' if hours >= 10 else f'{hours:.1f}' if hours >= 0.1 else f'{hours:.2g}'


def _without(names: list[str]) -> str:
    return f' ({len(names)} stages not counted, for they give no gmacs)' if names else ''


def _stages(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f'{len(names)} stages, the first {names[0]}'


def _one_line(error: Exception) -> str:
    kind = '' if isinstance(error, ValueError) else f'{type(error).__name__}: '
    return ' '.join(f'{kind}{error}'.split())[:300]
