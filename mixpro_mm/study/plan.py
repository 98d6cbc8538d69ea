"""What a study consists of: its stages, read and checked from a config before anything runs."""

import os
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

__all__ = ['Plan', 'Stage', 'read_plan']

TASKS = ('classification', 'segmentation', 'detection')


@dataclass(frozen=True)
class Stage:
    """One process of a study: it trains and tests a config, or runs a Python command.

    Args:
        name: Unique; also the name of its folder and log.
        config: The config to train and test.
        task: classification, segmentation or detection.
        backbone: Its name in the results.
        pretraining: What the backbone starts from or is trained with, as in the results: 'mixpro', 'scratch', ...
        checkpoint: Name of the stage whose last checkpoint its backbone starts from.
        command: Arguments for Python, instead of a config.
        needs: Names of stages to wait for, beside that of ``checkpoint``.
        creates: Path a command writes; without it the stage is not finished, whatever an earlier run noted.
        cost: Expected share of the study's time, in any unit; only the display of the time left depends on it.
    """

    name: str
    config: str | None = None
    task: str | None = None
    backbone: str | None = None
    pretraining: str | None = None
    checkpoint: str | None = None
    command: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    creates: str | None = None
    cost: float = 1.0

    @property
    def waits_for(self) -> tuple[str, ...]:
        """Names of all the stages that must be finished first."""
        return (*self.needs, self.checkpoint) if self.checkpoint else tuple(self.needs)


@dataclass(frozen=True)
class Plan:
    """A study: its stages in order of preference, how many run at a time, and the seed they share."""

    title: str
    stages: tuple[Stage, ...]
    seed: int
    jobs: int
    config: str


def read_plan(path: str | Path) -> Plan:
    """Read a study config: ``title``, ``stages`` (a list of dicts), and optionally ``seed`` and ``jobs``.

    Configs are named relative to the study's own file.

    Raises:
        FileNotFoundError: if the study or a config of a stage does not exist.
        ValueError: if a stage is incomplete, names are doubled, or one waits for a stage that does not come before it.
    """
    path = Path(path).resolve()
    if not path.is_file():
        raise FileNotFoundError(f'there is no study config at {path}')
    settings = Config.fromfile(path)
    missing = [key for key in ('title', 'stages') if key not in settings]
    if missing or int(settings.get('jobs', 0)) < 0:
        raise ValueError(
            f'{path.name} needs a title, stages, and jobs of at least 0; it has no {missing or "such jobs"}'
        )
    stages = []
    for entry in settings.stages:
        entry = dict(entry)
        try:
            stage = Stage(**{k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()})
        except TypeError as error:
            raise ValueError(f'stage {entry.get("name", entry)} of {path.name}: {error}') from None
        if stage.config:
            config = (path.parent / stage.config).resolve()
            if not config.is_file():
                raise FileNotFoundError(f'stage {stage.name} of {path.name} names {config}, which does not exist')
            stage = Stage(**{**vars(stage), 'config': str(config)})
        _check(stage, stages, path.name)
        stages.append(stage)
    jobs = int(settings.get('jobs', 0)) or len(os.sched_getaffinity(0))
    return Plan(settings.title, tuple(stages), int(settings.get('seed', 0)), jobs, str(path))


def _check(stage: Stage, before: list[Stage], study: str) -> None:
    if bool(stage.config) == bool(stage.command):
        raise ValueError(f'stage {stage.name} of {study} needs either a config or a command')
    if stage.config and stage.task not in TASKS:
        raise ValueError(f'stage {stage.name} of {study}: task {stage.task!r} is unknown; known: {", ".join(TASKS)}')
    lacking = [key for key in ('backbone', 'pretraining') if stage.config and getattr(stage, key) is None]
    if lacking:
        raise ValueError(
            f'stage {stage.name} of {study} needs {" and ".join(lacking)}, the names of its row in the results'
        )
    if stage.name == 'figures' or Path(stage.name).name != stage.name:
        raise ValueError(f'stage {stage.name!r} of {study} cannot be the name of its own folder')
    if any(stage.name == other.name for other in before):
        raise ValueError(f'{study} has two stages named {stage.name}')
    missing = [name for name in stage.waits_for if name not in {other.name for other in before}]
    if missing:
        raise ValueError(f'stage {stage.name} of {study} waits for {missing[0]}, which does not come before it')
    if stage.checkpoint and not next(other for other in before if other.name == stage.checkpoint).config:
        raise ValueError(
            f'stage {stage.name} of {study} wants a checkpoint of {stage.checkpoint}, which trains nothing'
        )
