"""One stage of a study, as it is written in the list of stages."""

import json
from dataclasses import dataclass, field, replace
from inspect import formatannotation
from pathlib import Path
from types import UnionType
from typing import get_args, get_origin, get_type_hints

from mmengine.config import Config

from mixpro_mm.report.labels import canonical
from mixpro_mm.study.configs import look_at
from mixpro_mm.study.evaluate import EVALUATIONS, PUBLISHABLE
from mixpro_mm.utils.arguments import is_number, shown

__all__ = ['DONE', 'Stage', 'read_stage']

DONE = 'done.json'  # in the folder of a finished stage
TASKS = ('classification', 'segmentation', 'detection')


@dataclass(frozen=True)
class Stage:
    """One process of a study: it trains and tests a config, or runs a Python command.

    Args:
        name: Unique; also the name of its folder.
        config: The config to train and test.
        task: classification, segmentation or detection.
        backbone: Its name in the results.
        pretraining: What the backbone starts from or is trained with, as in the results: 'mixpro', 'scratch', ...
        checkpoint: Name of the stage whose last checkpoint its backbone starts from.
        command: Arguments for Python, instead of a config.
        needs: Names of stages to wait for, besides ``checkpoint``.
        creates: Path that a command writes; the stage is not finished while it does not exist.
        published: Published numbers, metric -> percent, shown beside the measured ones.
        tta: Test a second time with the config's ``tta_model`` and ``tta_pipeline`` (segmentation: 'mIoU (MS)').
        evaluations: Further tests of the trained model: one of ``EVALUATIONS`` -> config of a test.
        seeds: Repeat the stage with that many seeds.
        seed: Seed of one repetition; that of the study if omitted.
        gpus: Number of GPUs for which the config's batch size per GPU is meant, 1 if omitted. On another number of
            GPUs the batch size per GPU changes and the total stays.
        cfg_options: Merged into the config before training and testing: dotted key -> value. Configs of
            ``evaluations`` do not change.
        table, row, column: The cell of the paper that the stage reproduces, copied into its records.
        data: Name of the data, such as 'digits'; copied into its records.
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
    table: str | None = None
    row: str | None = None
    column: str | None = None
    data: str | None = None

    @property
    def waits_for(self) -> tuple[str, ...]:
        """Names of all stages that must be finished before it starts."""
        return (*self.needs, self.checkpoint) if self.checkpoint else self.needs

    @property
    def settings(self) -> Config:
        """Its config with ``cfg_options`` merged, for reading only."""
        return look_at(self.config, self.cfg_options)


def read_stage(entry, number: int, before: list[Stage], study: Path) -> Stage:
    """The stage that entry ``number`` of the list of stages describes; ``before`` are the earlier ones.

    Raises:
        ValueError: if an entry has an unknown key, a value of the wrong type, or values that contradict each other.
        FileNotFoundError: if one of its configs does not exist.
    """
    if not isinstance(entry, dict) or 'name' not in entry:
        raise ValueError(f'stage {number} of {study.name} is {shown(entry)}, not a dict with a name')
    where, kinds = f'stage {entry["name"]} of {study.name}', get_type_hints(Stage)
    del kinds['seed']  # of a repetition, not of an entry
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
    counts = [count for count in (stage.seeds, stage.gpus) if count is not None]
    missing = [name for name in stage.waits_for if name not in earlier]
    problems = {
        'needs either a config or a command': bool(stage.config) == bool(stage.command),
        f'has the task {stage.task!r}; known: {", ".join(TASKS)}': stage.config and stage.task not in TASKS,
        f'needs {" and ".join(lacking)}, the names of its row in the results': stage.config and lacking,
        f'is a command, which has no seeds: {stage.seeds}': stage.command and stage.seeds,
        f'has a number that is not above 0: seeds {stage.seeds}, gpus {stage.gpus}': any(count < 1 for count in counts),
        f'has published numbers of {unknown}; known: {", ".join(PUBLISHABLE)}': unknown,
        f'has evaluations {tests}; known: {", ".join(EVALUATIONS)}': tests,
        'has tta, which is for segmentation only': stage.tta and stage.task != 'segmentation',
        'has evaluations, which are for classification only': stage.evaluations and stage.task != 'classification',
        'cannot be the name of a folder': Path(stage.name).name != stage.name or stage.name == 'figures',
        'has the name of an earlier stage': stage.name in earlier,
        f'waits for {missing}, which does not come before it': missing,
        f'starts from {stage.checkpoint}, which trains nothing': start and not start.config,
    }
    for problem, found in problems.items():
        if found:
            raise ValueError(f'{where} {problem}')
    try:
        options = json.loads(json.dumps(stage.cfg_options))  # as the process of the stage gets them
    except TypeError as error:
        raise ValueError(f'{where}: cfg_options cannot be written as JSON: {error}') from None
    tests = {name: str((study.parent / path).resolve()) for name, path in stage.evaluations.items()}
    config = stage.config and str((study.parent / stage.config).resolve())
    for path in (config, *tests.values()):
        if path and not Path(path).is_file():
            raise FileNotFoundError(f'{where} names {path}, which does not exist')
    pretraining, published = stage.pretraining and canonical(stage.pretraining), dict(stage.published)
    paths = dict(config=config, evaluations=tests)
    return replace(stage, **paths, pretraining=pretraining, published=published, cfg_options=options)


def _fits(value, kind) -> bool:
    """Whether a value has the type of an annotation; lists may stand for tuples, and True is no number."""
    origin, args = get_origin(kind) or kind, get_args(kind)
    if origin is UnionType:
        return any(_fits(value, each) for each in args)
    if origin is tuple:
        return isinstance(value, list | tuple) and all(_fits(each, args[0]) for each in value)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(k, args[0]) and _fits(v, args[1]) for k, v in value.items())
    return is_number(value) if origin is float else type(value) is int if origin is int else isinstance(value, origin)
