"""What a study consists of: its stages, read and checked from a config before anything runs."""

import difflib
import os
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

from mixpro_mm.study.configs import read_config
from mixpro_mm.study.entries import checked_entry
from mixpro_mm.study.metrics import PUBLISHABLE

__all__ = ['Plan', 'Stage', 'read_plan', 'select']

TASKS = ('classification', 'segmentation', 'detection')
SHOWN = 5  # names of stages in a sentence


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
        published: Numbers others report for it, metric -> percent; they stand beside the measured ones.
        tta: Test a second time with the config's ``tta_model`` and ``tta_pipeline`` (segmentation: 'mIoU (MS)').
        gpus: Number of GPUs for which the config's batch size per GPU is meant, 1 if omitted; another number of GPUs
            changes the batch per GPU and leaves the total.
        gmacs: Multiply-adds (in 1e9) of one image at training size, forward, for an estimate of the cost.
        train_images: Images of an epoch, for the same; only where the config counts epochs.
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
    published: dict[str, float] = field(default_factory=dict)
    tta: bool = False
    gpus: int | None = None
    gmacs: float | None = None
    train_images: int | None = None

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

    Configs are named relative to the study's own file; its other keys are its own affair.

    Raises:
        FileNotFoundError: if the study or a config of a stage does not exist.
        ValueError: if the file cannot be read, a stage is incomplete or a value of it of the wrong kind, names are
            doubled, or one waits for a stage that does not come before it.
    """
    path = Path(path).resolve()
    if not path.is_file():
        raise FileNotFoundError(f'there is no study config at {path}')
    settings = read_config(path)
    missing = [key for key in ('title', 'stages') if key not in settings]
    jobs = settings.get('jobs', 0)
    if missing or not isinstance(jobs, int) or jobs < 0:
        raise ValueError(
            f'{path.name} needs a title, stages, and jobs of at least 0; it has no {missing or "such jobs"}'
        )
    for key, kind in (('title', str), ('stages', list), ('seed', int)):
        if not isinstance(settings.get(key, 0), kind):
            raise ValueError(f'{path.name}: {key} is {settings[key]!r}, not of type {kind.__name__}')
    stages = []
    for number, entry in enumerate(settings.stages, 1):
        stage = Stage(**checked_entry(entry, number, path.name))
        if stage.config:
            config = (path.parent / stage.config).resolve()
            if not config.is_file():
                raise FileNotFoundError(f'stage {stage.name} of {path.name} names {config}, which does not exist')
            stage = replace(stage, config=str(config))
        _check(stage, stages, path.name)
        stages.append(stage)
    jobs = jobs or len(os.sched_getaffinity(0))
    return Plan(settings.title, tuple(stages), settings.get('seed', 0), jobs, str(path))


def select(plan: Plan, patterns: list[str]) -> Plan:
    """The stages whose names match one of ``patterns`` (``*`` and ``?`` as in a shell), and those they wait for.

    Raises:
        ValueError: if a pattern matches no stage.
    """
    by_name = {stage.name: stage for stage in plan.stages}
    wanted = set()
    for pattern in patterns:
        matching = [name for name in by_name if fnmatchcase(name, pattern)]
        if not matching:
            raise ValueError(f'no stage of {Path(plan.config).name} matches {pattern!r}; {_near(pattern, [*by_name])}')
        wanted.update(matching)
    for stage in reversed(plan.stages):  # a stage waits only for earlier ones
        if stage.name in wanted:
            wanted.update(stage.waits_for)
    return replace(plan, stages=tuple(stage for stage in plan.stages if stage.name in wanted))


def _near(pattern: str, names: list[str]) -> str:
    """What may have been meant, or else what there is."""
    meant = pattern.strip('*?')

    def likeness(name: str) -> float:  # of the whole, or of the beginning
        return max(difflib.SequenceMatcher(None, meant, part).ratio() for part in (name, name[: len(meant)]))

    near = [name for name in sorted(names, key=likeness, reverse=True) if likeness(name) >= 0.75]
    if near:
        return f'near it are {", ".join(near[:SHOWN])}'
    more = f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''
    return f'it has {", ".join(names[:SHOWN])}{more}'


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
    unknown = [name for name in stage.published if name not in PUBLISHABLE]
    if unknown:
        raise ValueError(
            f'stage {stage.name} of {study} has a published {unknown[0]!r}; known: {", ".join(PUBLISHABLE)}'
        )
    if stage.tta and stage.task != 'segmentation':
        raise ValueError(f'stage {stage.name} of {study} asks for tta, which is there for segmentation only')
    for key in ('gpus', 'gmacs', 'train_images'):
        value = getattr(stage, key)
        if value is not None and value <= 0:
            raise ValueError(f'stage {stage.name} of {study}: {key} is {value}, not above 0')
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
