"""What a study would do: every command, what it waits for, what it may cost and what is missing. Nothing is started."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config

from mixpro_mm.study.estimate import RULE, gpu_hours
from mixpro_mm.study.launch import Launch, look_at, stage_command
from mixpro_mm.study.plan import Plan, Stage
from mixpro_mm.study.runner import is_finished
from mixpro_mm.study.tta import check_tta

__all__ = ['describe', 'files_needed']


def describe(plan: Plan, work_dir: Path, launch: Launch) -> Iterator[str]:
    """The lines of a dry run: a shell script, for what is not a command is a comment.

    Run one by one, the commands do what the study does, and it can take over at any point.

    Args:
        plan: The study.
        work_dir: Its folder, absolute; need not exist.
        launch: How stages would be started. That the launcher or its GPUs are not on this machine is no error here.
    """
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
                for path in files_needed(stage, config):
                    if not path.exists():
                        missing.setdefault(str(path), []).append(stage.name)
                if stage.tta:
                    check_tta(config)
        except Exception as error:  # of any kind: a config is code
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
        yield '# nothing is missing: every config can be read, and the data they name are there'


def files_needed(stage: Stage, config: Config) -> list[Path]:
    """Local paths that must exist before a stage: data roots, and weights that no other stage of the study makes."""
    paths = {}
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        paths |= dict.fromkeys(_values(config.get(loader), 'data_root'))
    model = config.get('model', {})
    weights = [*_values(model, 'checkpoint'), config.get('load_from')]
    if stage.checkpoint:  # in place of the config's own
        weights = [path for path in weights if path not in _values(model.get('backbone'), 'checkpoint')]
    paths |= dict.fromkeys(weights)
    return [Path(path) for path in paths if path and '://' not in path]


def _values(node, key: str) -> list[str]:
    """Every string under ``key``, at any depth."""
    if isinstance(node, dict):
        own = [node[key]] if isinstance(node.get(key), str) else []
        return own + [value for child in node.values() for value in _values(child, key)]
    return [value for child in node for value in _values(child, key)] if isinstance(node, list | tuple) else []


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
    return ' '.join(f'{type(error).__name__}: {error}'.split())[:300]
