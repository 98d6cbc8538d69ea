"""Records from work directories of ``mim train`` and ``mim test``: of each run the newest test, else validation."""

import ast
from collections.abc import Iterable, Iterator
from os.path import normpath
from pathlib import Path
from typing import NamedTuple

from mixpro_mm.evaluation.measures import METRIC_NAMES
from mixpro_mm.report.figures.logs import read_scalars
from mixpro_mm.utils.files import read_json

__all__ = ['Training', 'run_records', 'training_of']

ROBUSTNESS = {
    **{f'calibration/{name}': name for name in ('top1', 'rms_calibration_error', 'aurra', 'ece')},
    **{f'ood/{name}': name for name in ('aupr', 'auroc', 'fpr95')},
}
PREFIXES = {'ImageNetA': 'A_', 'DigitsA': 'A_', 'ImageNetO': 'O_', 'DigitsO': 'O_'}  # by the data of a test
ROBUST_LOOPS = ('RecordedTestLoop', 'OcclusionTestLoop')  # their accuracy is not the test of the training itself
LOGS = '*/vis_data/config.py'  # of every start of a run


class Training(NamedTuple):
    """The training of a checkpoint: its folder, and from the config there its name and seed."""

    folder: Path
    config: str | None = None
    seed: int | None = None

    @property
    def name(self) -> str:
        """Name of the folder without the ``_s0``, ``_s1``, ... that a study adds for seeds."""
        return self.folder.name.removesuffix(f'_s{self.seed}')

    @property
    def run(self) -> int | str:
        """The seed; the folder where there is none, because two trainings without a seed differ."""
        return str(self.folder) if self.seed is None else self.seed


def training_of(checkpoint: str | Path, near: Path, was: str | None = None) -> Training:
    """The training that wrote a checkpoint.

    Args:
        checkpoint: Its path at the time of the test.
        near: Folder of the test; folders that were moved or copied together are found from here.
        was: Path of that folder at the time of the test.
    """
    folder = _folder_of(Path(checkpoint).parent, near.resolve(), was)
    logs = list(folder.glob(LOGS))
    trained = [log for log in logs if log.with_name('scalars.json').is_file()]  # a test leaves none
    copies = [copy for copy in _copies(folder, trained) if not _robust(_settings(copy))] if logs else []
    if len(copies) != 1:
        return Training(folder)
    return Training(folder, copies[0].stem, _get(_settings(copies[0]), 'randomness', 'seed'))


def _copies(folder: Path, logs: Iterable[Path]) -> list[Path]:
    """The configs that mmengine copied into a folder; of several, those that are equal to one of the logged configs."""
    copies, texts = sorted(folder.glob('*.py')), {log.read_text('utf-8') for log in logs}
    same = [copy for copy in copies if copy.read_text('utf-8') in texts]
    return same if same and len(copies) > 1 else copies


def _folder_of(folder: Path, near: Path, was: str | None) -> Path:
    if was is not None and normpath(was) == normpath(folder):
        return near
    if near.parent.name == folder.name:
        return near.parent
    if not folder.is_dir():
        around = (near, near.parent, near.parent.parent)
        places = [place if place.name == folder.name else place / folder.name for place in around]
        folder = next(filter(Path.is_dir, places), folder)
    return folder.resolve()


def run_records(work_dir: Path) -> list[dict]:
    """The records of a work directory; ``[]`` where nothing was tested.

    Beside what ``report.records`` says they have ``key`` (results with one key replace each other), ``stamp`` (later is
    newer) and ``from`` ('test' or 'validation at step N').
    """
    newest = {}
    for stamp, log_dir, metrics, origin, source in sorted(_measured(work_dir), key=lambda found: found[:2]):
        settings, config = _settings(log_dir / 'vis_data' / 'config.py'), _config_of(work_dir, log_dir)
        checkpoint = settings.get('load_from') if origin == 'test' else None
        training = Training(work_dir.resolve(), config.stem)
        if checkpoint:
            training = training_of(checkpoint, work_dir, settings.get('work_dir'))
        if not checkpoint or training.config is None:  # only this log tells
            training = training._replace(seed=_get(settings, 'randomness', 'seed'))
        wrapped = 'module' in (settings.get('model') or {})  # a model of test-time augmentation
        for task, metric, value in _numbers(metrics, settings):
            metric += ' (MS)' * wrapped
            key = config.stem, str(training.folder), metric
            newest[key] = dict(
                task=task, metric=metric, value=value, seed=training.run, config=str(config), source=source,
                training=training.config, name=training.name, checkpoint=checkpoint, key=key, stamp=stamp,
                **{'from': origin},
            )  # fmt: skip
    return list(newest.values())


def _numbers(metrics: dict, settings: dict) -> Iterator[tuple[str, str, float]]:
    """Task, metric and value in percent of what a test or validation reported."""
    data = str(_get(settings, 'test_dataloader', 'dataset', 'type')).rpartition('.')[2]
    for reported, value in metrics.items():
        if reported in ROBUSTNESS:
            yield 'robustness', PREFIXES.get(data, '') + ROBUSTNESS[reported], round(value, 4)
        elif reported in METRIC_NAMES and not _robust(settings):
            task, metric, factor = METRIC_NAMES[reported]
            yield task, metric, round(value * factor, 4)


def _measured(work_dir: Path) -> Iterator[tuple]:
    """(time stamp, log folder, metrics, origin, file) of every test, and of the last validation."""
    log_dirs = sorted(config.parents[1] for config in work_dir.glob(LOGS))
    for log_dir in log_dirs:
        file = log_dir / f'{log_dir.name}.json'
        if isinstance(tested := read_json(file), dict):
            yield f'{log_dir.name} test', log_dir, tested, 'test', str(file)
    names = METRIC_NAMES.keys() | ROBUSTNESS.keys()
    validated = [line for line in read_scalars(work_dir) if 'iter' not in line and names & line.keys()]
    logs = [file for log_dir in log_dirs if (file := log_dir / 'vis_data' / 'scalars.json').is_file()]
    if validated and logs:
        log_dir, last = logs[-1].parents[1], validated[-1]
        yield log_dir.name, log_dir, last, f'validation at step {last["step"]}', str(logs[-1])


def _config_of(work_dir: Path, log_dir: Path) -> Path:
    """The copy of the config of a run.

    Raises:
        ValueError: there are several, and none is that of this run.
    """
    copies = _copies(work_dir, [log_dir / 'vis_data' / 'config.py'])
    if len(copies) > 1:
        names = ', '.join(copy.name for copy in copies)
        raise ValueError(f'{log_dir} may be a run of any of {names}: give each its own --work-dir')
    return copies[0] if copies else work_dir / f'{work_dir.name}.py'  # mim names the folder after the config


def _robust(settings: dict) -> bool:
    return str(_get(settings, 'test_cfg', 'type')).rpartition('.')[2] in ROBUST_LOOPS


def _settings(config: Path) -> dict:
    """The constants of a config as mmengine writes it, which is not executed."""
    nodes = [node for node in ast.parse(config.read_text('utf-8')).body if isinstance(node, ast.Assign)]
    return {node.targets[0].id: _value(node.value) for node in nodes if isinstance(node.targets[0], ast.Name)}


def _value(node: ast.expr):
    if isinstance(node, ast.Call):
        return {keyword.arg: _value(keyword.value) for keyword in node.keywords}
    return node.value if isinstance(node, ast.Constant) else None


def _get(settings, *path: str):
    for name in path:
        settings = settings.get(name) if isinstance(settings, dict) else None
    return settings
