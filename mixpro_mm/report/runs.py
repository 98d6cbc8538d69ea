"""Records from work directories of ``mim train`` and ``mim test``: of each run the newest test, else validation."""

import ast
from collections.abc import Iterator
from os.path import normpath
from pathlib import Path
from typing import NamedTuple

from mixpro_mm.files import read_json
from mixpro_mm.measures import REPORTED
from mixpro_mm.reporting.curves import read_scalars

__all__ = ['Training', 'run_records', 'training_of']

ROBUSTNESS = {
    **{f'calibration/{name}': name for name in ('top1', 'rms_calibration_error', 'aurra', 'ece')},
    **{f'ood/{name}': name for name in ('aupr', 'auroc', 'fpr95')},
}
PREFIXES = {'ImageNetA': 'A_', 'DigitsA': 'A_', 'ImageNetO': 'O_', 'DigitsO': 'O_'}  # by the data of a test
ROBUST_LOOPS = ('RecordedTestLoop', 'OcclusionTestLoop')  # their accuracy is not the test of the training itself
TRANSFER = 'transfer.json'  # of TransferCheckHook: the checkpoint that a backbone really started from
LOGS = '*/vis_data/config.py'  # of every start of a run


class Training(NamedTuple):
    """The training of a checkpoint: its folder, and from the config there its name, seed and initial checkpoint."""

    folder: Path
    config: str | None = None
    seed: int | None = None
    start: str | None = None

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
        was: Path of the test's folder at the time of the test.
    """
    folder = _folder_of(Path(checkpoint).parent, near.resolve(), was)
    copies = {copy: _settings(copy) for copy in sorted(folder.glob('*.py'))}
    copies = {copy: settings for copy, settings in copies.items() if not _robust(settings)}
    if len(copies) > 1:  # a training leaves scalars.json beside its config, a test does not
        texts = {log.read_text('utf-8') for log in folder.glob(LOGS) if log.with_name('scalars.json').is_file()}
        copies = {copy: settings for copy, settings in copies.items() if copy.read_text('utf-8') in texts}
    if len(copies) != 1:
        return Training(folder, start=_start(folder))
    ((copy, settings),) = copies.items()
    return Training(folder, copy.stem, _get(settings, 'randomness', 'seed'), _start(folder, settings))


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
    """The records of a work directory, in the form of ``report.records``; ``[]`` where nothing was tested.

    They have further ``key`` (equal for results of one run that replace each other), ``stamp`` (later is newer),
    ``from`` ('test' or 'validation at step N'), ``training`` and ``name`` (config and folder of the training).
    """
    newest = {}
    for stamp, log_dir, metrics, origin, source in sorted(_measured(work_dir), key=lambda found: found[:2]):
        settings, config = _settings(log_dir / 'vis_data' / 'config.py'), _config_of(work_dir, log_dir)
        checkpoint = settings.get('load_from') if origin == 'test' else None
        training = Training(work_dir.resolve(), config.stem)
        if checkpoint:
            training = training_of(checkpoint, work_dir, settings.get('work_dir'))
        if not checkpoint or training.config is None:  # only this log tells
            start = _start(work_dir, settings)
            training = training._replace(seed=_get(settings, 'randomness', 'seed'), start=start)
        wrapped = 'module' in (settings.get('model') or {})  # a model of test-time augmentation
        for task, metric, value in _numbers(metrics, settings):
            metric += ' (MS)' * wrapped
            key = config.stem, str(training.folder), metric
            newest[key] = dict(
                task=task, metric=metric, value=value, seed=training.run, config=str(config), source=source,
                training=training.config, name=training.name, checkpoint=checkpoint, start=training.start, key=key,
                stamp=stamp, **{'from': origin},
            )  # fmt: skip
    return list(newest.values())


def _numbers(metrics: dict, settings: dict) -> Iterator[tuple[str, str, float]]:
    """Task, metric and value in percent of what a test or validation reported."""
    data = str(_get(settings, 'test_dataloader', 'dataset', 'type')).rpartition('.')[2]
    for reported, value in metrics.items():
        if not isinstance(value, int | float):
            continue
        if reported in ROBUSTNESS:
            yield 'robustness', PREFIXES.get(data, '') + ROBUSTNESS[reported], round(value, 4)
        elif reported in REPORTED and not _robust(settings):
            task, metric, factor = REPORTED[reported]
            yield task, metric, round(value * factor, 4)


def _measured(work_dir: Path) -> Iterator[tuple]:
    """(time stamp, log folder, metrics, origin, file) of every test, and of the last validation."""
    log_dirs = sorted(config.parents[1] for config in work_dir.glob(LOGS))
    for log_dir in log_dirs:
        file = log_dir / f'{log_dir.name}.json'
        tested = read_json(file)
        if isinstance(tested, dict):
            yield f'{log_dir.name} test', log_dir, tested, 'test', str(file)
    names = REPORTED.keys() | ROBUSTNESS.keys()
    validated = [line for line in read_scalars(work_dir) if 'iter' not in line and names & line.keys()]
    logs = [file for log_dir in log_dirs if (file := log_dir / 'vis_data' / 'scalars.json').is_file()]
    if validated and logs:
        file, last = logs[-1], validated[-1]
        yield file.parents[1].name, file.parents[1], last, f'validation at step {last["step"]}', str(file)


def _start(folder: Path, settings: dict | None = None) -> str | None:
    """The checkpoint a backbone started from: what TransferCheckHook found in the model, else what the config says."""
    found = read_json(folder / TRANSFER)
    if isinstance(found, dict) and found.get('checkpoint'):
        return found['checkpoint']
    model = (settings or {}).get('model') or {}
    return _get(model.get('module', model), 'backbone', 'init_cfg', 'checkpoint')


def _config_of(work_dir: Path, log_dir: Path) -> Path:
    """The copy of the config that mmengine leaves in the work directory.

    Raises:
        ValueError: there are several, and none is that of this run.
    """
    copies = sorted(work_dir.glob('*.py'))
    if len(copies) > 1:
        wanted = (log_dir / 'vis_data' / 'config.py').read_text('utf-8')
        copies = [copy for copy in copies if copy.read_text('utf-8') == wanted] or copies
    if len(copies) > 1:
        names = ', '.join(copy.name for copy in copies)
        raise ValueError(f'{log_dir} may be a run of any of {names}: give each its own --work-dir')
    return copies[0] if copies else work_dir / f'{work_dir.name}.py'  # mim names the folder after the config


def _robust(settings: dict) -> bool:
    return str(_get(settings, 'test_cfg', 'type')).rpartition('.')[2] in ROBUST_LOOPS


def _settings(config: Path) -> dict:
    """The settings of a config as mmengine writes it, constants in dicts, without executing it."""
    found = {}
    for node in ast.parse(config.read_text('utf-8')).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = _value(node.value)
    return found


def _value(node: ast.expr):
    if isinstance(node, ast.Call):
        return {keyword.arg: _value(keyword.value) for keyword in node.keywords}
    return node.value if isinstance(node, ast.Constant) else None


def _get(settings, *path: str):
    for name in path:
        settings = settings.get(name) if isinstance(settings, dict) else None
    return settings
