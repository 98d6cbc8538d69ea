"""A stage of a study and its validation."""

import json
from dataclasses import dataclass, field, replace
from inspect import formatannotation
from pathlib import Path
from types import UnionType
from typing import get_args, get_origin, get_type_hints

from mmengine.config import Config

from mixpro_mm.report.labels import canonical
from mixpro_mm.study.configs import cached_config
from mixpro_mm.study.evaluate import EVALUATIONS, PUBLISHABLE
from mixpro_mm.utils.arguments import is_number, shown

__all__ = ['DONE', 'Stage', 'read_stage']

DONE = 'done.json'  # marks a finished stage
TASKS = ('classification', 'segmentation', 'detection')


@dataclass(frozen=True)
class Stage:
    """One process of a study, which trains and tests a config or runs a Python command.

    Args:
        name: Unique name, also of its folder.
        config: Config to train and test.
        task: classification, segmentation or detection.
        backbone: Name of the backbone in the results.
        pretraining: Pre-training of the backbone in the results, such as 'mixpro' or 'scratch'.
        checkpoint: Name of the stage from whose last checkpoint the backbone starts.
        command: Arguments of Python, instead of a config.
        needs: Names of other stages to wait for.
        creates: Path that a command writes. The stage is unfinished while it does not exist.
        published: Published values in percent for each metric, shown beside the measured ones.
        tta: Whether to test again with the config's ``tta_model`` and ``tta_pipeline`` (segmentation: 'mIoU (MS)').
        evaluations: Test configs for further evaluations of the trained model, which replaces their ``model``; the keys
            are from ``EVALUATIONS``.
        seeds: Number of repetitions with different seeds.
        seed: Seed of one repetition. Default: the seed of the study.
        gpus: Number of GPUs the config's batch size is meant for. Default: 1. On another number of GPUs, the batch
            size per GPU is changed to keep the total.
        cfg_options: Dotted keys and values merged into the config, but not into the configs of ``evaluations``.
        cells: Cells of the paper that the stage's own test reproduces, (table, row, column), copied into its records.
            Column None is the metric.
        data: Name of the data, such as 'digits', copied into its records.
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
    published: dict[str, float] = field(default_factory=dict)
    tta: bool = False
    evaluations: dict[str, str] = field(default_factory=dict)
    seeds: int | None = None
    seed: int | None = None
    gpus: int | None = None
    cfg_options: dict[str, object] = field(default_factory=dict)
    cells: tuple[tuple[str | None, ...], ...] = ()
    data: str | None = None

    @property
    def waits_for(self) -> tuple[str, ...]:
        """Names of the stages that must be finished before this one starts."""
        return (*self.needs, self.checkpoint) if self.checkpoint else self.needs

    @property
    def settings(self) -> Config:
        """The cached config with ``cfg_options`` merged. Do not modify it."""
        return cached_config(self.config, self.cfg_options)


def read_stage(entry, number: int, before: list[Stage], study: Path) -> Stage:
    """Return the stage that entry ``number`` of a study's list describes; ``before`` are the stages before it.

    Raises:
        ValueError: if an entry has an unknown key, a value of the wrong type, or contradictory values.
        FileNotFoundError: if a config does not exist.
    """
    if not isinstance(entry, dict) or 'name' not in entry:
        raise ValueError(f'stage {number} of {study.name} is {shown(entry)}, not a dict with a name')
    where, kinds = f'stage {entry["name"]} of {study.name}', get_type_hints(Stage)
    del kinds['seed']  # set by Plan
    for key, value in entry.items():
        if key not in kinds:
            raise ValueError(f'{where} has an unknown key {key!r}; known: {", ".join(kinds)}')
        if not _fits(value, kinds[key]):
            raise ValueError(f'{where}: {key} is {shown(value)}, not {formatannotation(kinds[key])}')
    stage = Stage(**{key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()})
    earlier = {other.name: other for other in before}
    start = earlier.get(stage.checkpoint)
    lacking = [key for key in ('backbone', 'pretraining') if getattr(stage, key) is None]
    unknown = [name for name in stage.published if name not in PUBLISHABLE]
    tests = [name for name in stage.evaluations if name not in EVALUATIONS]
    numbers = [number for number in (stage.seeds, stage.gpus) if number is not None]
    missing = [name for name in stage.waits_for if name not in earlier]
    problems = {
        'needs either a config or a command': bool(stage.config) == bool(stage.command),
        f'has the task {stage.task!r}; known: {", ".join(TASKS)}': stage.config and stage.task not in TASKS,
        f'needs {" and ".join(lacking)} for the results': stage.config and lacking,
        f'is a command and cannot have seeds: {stage.seeds}': stage.command and stage.seeds,
        f'needs positive numbers, got seeds {stage.seeds}, gpus {stage.gpus}': any(number < 1 for number in numbers),
        f'has published values of {unknown}; known: {", ".join(PUBLISHABLE)}': unknown,
        f'has evaluations {tests}; known: {", ".join(EVALUATIONS)}': tests,
        'has tta, which is for segmentation only': stage.tta and stage.task != 'segmentation',
        'has evaluations, which are for classification only': stage.evaluations and stage.task != 'classification',
        'cannot be the name of a folder': Path(stage.name).name != stage.name or stage.name in ('figures', 'jobs'),
        f'has cells {stage.cells}, not triples (table, row, column)': any(len(cell) != 3 for cell in stage.cells),
        'has the name of an earlier stage': stage.name in earlier,
        f'waits for {missing}, which must come before it': missing,
        f'starts from {stage.checkpoint}, which trains nothing': start and not start.config,
    }
    for problem, found in problems.items():
        if found:
            raise ValueError(f'{where} {problem}')
    try:
        options = json.loads(json.dumps(stage.cfg_options))  # as the process of the stage receives them
    except TypeError as error:
        raise ValueError(f'{where}: cfg_options cannot be written as JSON: {error}') from None
    tests = {name: str((study.parent / path).resolve()) for name, path in stage.evaluations.items()}
    config = stage.config and str((study.parent / stage.config).resolve())
    for path in (config, *tests.values()):
        if path and not Path(path).is_file():
            raise FileNotFoundError(f'{where} names {path}, which does not exist')
    changes = dict(config=config, evaluations=tests, published=dict(stage.published), cfg_options=options)
    return replace(stage, pretraining=stage.pretraining and canonical(stage.pretraining), **changes)


def _fits(value, kind) -> bool:
    """Return whether a value has an annotated type. Lists count as tuples; bools do not count as numbers."""
    origin, args = get_origin(kind) or kind, get_args(kind)
    if origin is UnionType:
        return any(_fits(value, each) for each in args)
    if origin is tuple:
        return isinstance(value, list | tuple) and all(_fits(each, args[0]) for each in value)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(k, args[0]) and _fits(v, args[1]) for k, v in value.items())
    return is_number(value) if origin is float else type(value) is int if origin is int else isinstance(value, origin)
