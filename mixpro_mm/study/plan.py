"""The plan of a study, read from its config and validated before any stage runs."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from mixpro_mm.report.labels import canonical
from mixpro_mm.study.entries import Stage, read_stage
from mixpro_mm.study.processes import visible_gpus
from mixpro_mm.utils.arguments import positive_int, shown
from mixpro_mm.utils.configs import read_config

__all__ = ['Plan', 'Stage', 'read_plan', 'select']


@dataclass(frozen=True)
class Plan:
    """Stages in the order in which they start, the default seed, and the number of stages that run at a time.

    ``about`` is the text at the beginning of the report.
    """

    title: str
    stages: tuple[Stage, ...]
    seed: int
    jobs: int
    config: str
    about: str = ''

    def seed_of(self, stage: Stage) -> int:
        """Return the seed of a stage."""
        return self.seed if stage.seed is None else stage.seed

    def stage(self, name: str) -> Stage:
        """Return the stage of this name."""
        return next(stage for stage in self.stages if stage.name == name)


def read_plan(path: str | Path, seeds: int | None = None, methods: Sequence[str] | None = None) -> Plan:
    """Read a study config: ``title``, ``stages`` (a list of dicts) and, optionally, ``about``, ``seed`` (0), ``jobs``.

    ``jobs`` defaults to the number of visible GPUs, or of cores without a GPU. Paths of configs are relative to the
    study config. Other keys of the file are ignored.

    Args:
        path: Path of the study config.
        seeds: Number of repetitions of all stages that train, instead of those in the study config.
        methods: Pre-trainings to keep. Commands are always kept.

    Raises:
        FileNotFoundError: if the study config or a config of a stage does not exist.
        ValueError: if the file cannot be read, or a stage, the number of seeds or a method is invalid.
    """
    path = Path(path).resolve()
    if not path.is_file():
        raise FileNotFoundError(f'study config {path} does not exist')
    settings = read_config(path)
    kinds = ('title', str, None), ('stages', list, None), ('about', str, ''), ('seed', int, 0), ('jobs', int, 0)
    for key, kind, default in kinds:
        value = settings.get(key, default)
        if not isinstance(value, kind) or (key == 'jobs' and value < 0):
            raise ValueError(f'{path.name}: {key} is {shown(value)}, which is not a valid {kind.__name__}')
    if seeds is not None:
        positive_int('--seeds', seeds)
    stages: list[Stage] = []
    for number, entry in enumerate(settings.stages, 1):
        stages.append(read_stage(entry, number, stages, path))
    stages = _repeat(stages, settings.get('seed', 0), seeds, path.name)
    if methods is not None:
        wanted, known = [canonical(name) for name in methods], {stage.pretraining for stage in stages if stage.config}
        if not wanted or not known.issuperset(wanted):
            raise ValueError(f'{path.name} has the pre-trainings {", ".join(sorted(known))}, not all of {methods}')
        stages = [stage for stage in stages if stage.command or stage.pretraining in wanted]
    jobs = settings.get('jobs', 0) or len(visible_gpus()) or len(os.sched_getaffinity(0))
    return Plan(settings.title, tuple(stages), settings.get('seed', 0), jobs, str(path), settings.get('about', ''))


def _repeat(stages: list[Stage], seed: int, seeds: int | None, study: str) -> list[Stage]:
    """Repeat stages with ``seeds=n`` as NAME_s0 with the seed of the study, NAME_s1 with the next seed, and so on.

    A repetition waits for, and starts from, repetitions with its own seed. The order is seed by seed, so that methods
    can be compared after the first one.
    """
    counts = {stage.name: seeds or stage.seeds for stage in stages if stage.config and (seeds or stage.seeds)}
    for stage in stages:
        for name in stage.waits_for:
            if counts.get(name, math.inf) < counts.get(stage.name, math.inf):
                raise ValueError(
                    f'stage {stage.name} of {study} has more seeds than {name}, which it waits for ({counts[name]})'
                )
    result = []
    for number in range(max(counts.values(), default=1)):
        names = {name: f'{name}_s{seed + number}' for name in counts}
        for stage in stages:
            if number < counts.get(stage.name, 0):
                needs = tuple(names.get(name, name) for name in stage.needs)
                start = names.get(stage.checkpoint, stage.checkpoint)
                own = dict(name=names[stage.name], seed=seed + number, seeds=None)
                result.append(replace(stage, **own, needs=needs, checkpoint=start))
            elif number == 0:
                result.append(stage)
    names = [stage.name for stage in result]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f'two stages of {study} have the name {twice[0]}, one of them as a repetition with a seed')
    return result


def select(plan: Plan, patterns: list[str]) -> Plan:
    """Return the plan with the stages that match one of ``patterns``, as in a shell, and all that they wait for.

    Raises:
        ValueError: if a pattern matches no stage.
    """
    names, wanted = [stage.name for stage in plan.stages], set()
    for pattern in patterns:
        matching = [name for name in names if fnmatchcase(name, pattern)]
        if not matching:
            raise ValueError(f'no stage of {Path(plan.config).name} matches {pattern!r}; known: {", ".join(names)}')
        wanted.update(matching)
    for stage in reversed(plan.stages):  # a stage waits only for earlier ones
        if stage.name in wanted:
            wanted.update(stage.waits_for)
    return replace(plan, stages=tuple(stage for stage in plan.stages if stage.name in wanted))
