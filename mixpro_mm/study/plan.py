"""What a study consists of: its stages, read and checked from a config before anything runs."""

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

from mixpro_mm.reporting.labels import canonical
from mixpro_mm.study.configs import read_config
from mixpro_mm.study.entries import checked_entry
from mixpro_mm.study.gpus import visible_gpus
from mixpro_mm.study.metrics import EVALUATIONS, PUBLISHABLE
from mixpro_mm.study.seeds import repeated

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
        evaluations: Further tests of what it has trained: name, one of ``EVALUATIONS``, -> config of a test.
        seed: Its own, where the study repeats it; that of the study if omitted.
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
    evaluations: dict[str, str] = field(default_factory=dict)
    seed: int | None = None
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

    def seed_of(self, stage: Stage) -> int:
        """The seed with which a stage runs."""
        return self.seed if stage.seed is None else stage.seed

    def stage(self, name: str) -> Stage:
        """The stage of that name."""
        return next(stage for stage in self.stages if stage.name == name)


def read_plan(path: str | Path, seeds: int | None = None, methods: Sequence[str] | None = None) -> Plan:
    """Read a study config: ``title``, ``stages`` (a list of dicts), and optionally ``seed`` and ``jobs``.

    Without ``jobs``, or with 0, as many stages run at a time as this process sees GPUs, or cores where it sees none.
    Configs are named relative to the study's own file; its other keys are its own affair. A stage with ``seeds=n``
    becomes n stages, see :func:`repeated`.

    Args:
        path: Of the config.
        seeds: Repeat every stage that trains so often, whatever the study says.
        methods: Keep only these pre-trainings (and the commands); all if omitted.

    Raises:
        FileNotFoundError: if the study or a config of a stage does not exist.
        ValueError: if the file cannot be read, a stage is incomplete or a value of it of the wrong kind, names are
            doubled, one waits for a stage that does not come before it, or a method does not occur.
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
    entries = [checked_entry(entry, number, path.name) for number, entry in enumerate(settings.stages, 1)]
    stages = []
    for entry in repeated(entries, settings.get('seed', 0), seeds, path.name):
        stage = Stage(**entry)
        if stage.config:
            stage = replace(stage, config=_file(stage.config, stage, path))
        found = {name: _file(config, stage, path) for name, config in stage.evaluations.items()}
        stage = replace(stage, evaluations=found)
        _check(stage, stages, path.name)
        stages.append(stage)
    if methods is not None:
        stages = _with_methods(stages, methods, path.name)
    jobs = jobs or len(visible_gpus()) or len(os.sched_getaffinity(0))
    return Plan(settings.title, tuple(stages), settings.get('seed', 0), jobs, str(path))


def _file(config: str, stage: Stage, study: Path) -> str:
    """Where a config of a stage is."""
    path = (study.parent / config).resolve()
    if not path.is_file():
        raise FileNotFoundError(f'stage {stage.name} of {study.name} names {path}, which does not exist')
    return str(path)


def _with_methods(stages: list[Stage], methods: Sequence[str], study: str) -> list[Stage]:
    there = list(dict.fromkeys(stage.pretraining for stage in stages if stage.config))
    methods = [canonical(name) for name in methods]
    unknown = [name for name in methods if name not in there]
    if unknown or not methods:
        raise ValueError(f'no stage of {study} has the pre-training {unknown[:1]}; it has {", ".join(there)}')
    return [stage for stage in stages if stage.command or stage.pretraining in methods]


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
    unknown = [name for name in stage.evaluations if name not in EVALUATIONS]
    if unknown:
        raise ValueError(
            f'stage {stage.name} of {study} has an evaluation {unknown[0]!r}; known: {", ".join(EVALUATIONS)}'
        )
    if stage.evaluations and stage.task != 'classification':
        raise ValueError(f'stage {stage.name} of {study} asks for evaluations, which are there for classification only')
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
