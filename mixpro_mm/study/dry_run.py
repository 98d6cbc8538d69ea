"""What a study would do: every command, what it waits for, what it may cost and what is missing. Nothing is started."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from mixpro_mm.arguments import counted
from mixpro_mm.study.configs import check_start, look_at
from mixpro_mm.study.estimate import RULE, gpu_hours
from mixpro_mm.study.launch import Launch, stage_command
from mixpro_mm.study.needs import files_needed, files_of_test
from mixpro_mm.study.plan import Plan, Stage
from mixpro_mm.study.runner import is_finished
from mixpro_mm.study.tta import check_tta

__all__ = ['describe']


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
    launch.check_fit(stage for stage in plan.stages if stage.config and _can_be_read(stage))
    made = [Path(stage.creates).absolute() for stage in plan.stages if stage.creates]
    missing: dict[str, list[str]] = {}
    total, without = 0.0, []
    yield f'# {plan.title}: {counted(len(plan.stages), "stage")}, {_how(plan, launch)}; a dry run, nothing is started'
    for stage in plan.stages:
        command, hours = None, None
        notes = [f'after {", ".join(stage.waits_for)}'] if stage.waits_for else []
        try:
            command = stage_command(plan, stage, work_dir, launch)
            if stage.config:
                config = look_at(stage.config, stage.cfg_options)
                if stage.checkpoint:
                    check_start(stage, plan.stage(stage.checkpoint))
                hours = gpu_hours(stage, config)
                needed = dict.fromkeys(files_needed(stage, config))
                for test in stage.evaluations.values():
                    needed |= dict.fromkeys(files_of_test(look_at(test)))
                for path in _outermost(path for path in needed if not path.exists()):
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


def _outermost(paths) -> list[Path]:
    """Without those that lie below another."""
    paths = list(paths)
    return [path for path in paths if not any(other in path.parents for other in paths)]


def _can_be_read(stage: Stage) -> bool:
    try:
        look_at(stage.config, stage.cfg_options)
    except ValueError:
        return False
    return True


def _how(plan: Plan, launch: Launch) -> str:
    if launch.launcher == 'none':
        return f'{plan.jobs} at a time, each one process'
    counts = sorted({launch.processes(stage) for stage in plan.stages if stage.config})
    gpus = f'{" or ".join(map(str, counts))} GPU{"s" * (counts != [1])}'
    return f'{plan.jobs} at a time, by {launch.launcher}, on {gpus} each'


def _number(hours: float) -> str:
    return f'{hours:,.0f}' if hours >= 10 else f'{hours:.1f}' if hours >= 0.1 else f'{hours:.2g}'


def _without(names: list[str]) -> str:
    return f' ({counted(len(names), "stage")} without gmacs not counted)' if names else ''


def _stages(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f'{len(names)} stages, the first {names[0]}'


def _one_line(error: Exception) -> str:
    kind = '' if isinstance(error, ValueError) else f'{type(error).__name__}: '
    return ' '.join(f'{kind}{error}'.split())[:300]
