"""Records from work directories of ``mim train`` and ``mim test``."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mixpro_mm.evaluation.measures import METRIC_NAMES
from mixpro_mm.report.figures.logs import read_scalars
from mixpro_mm.utils.files import read_json

__all__ = ['Training', 'logged_settings', 'run_records', 'training_of']

ROBUSTNESS = {
    **{f'calibration/{name}': name for name in ('top1', 'rms_calibration_error', 'aurra', 'ece')},
    **{f'ood/{name}': name for name in ('aupr', 'auroc', 'fpr95')},
}
PREFIXES = {'ImageNetA': 'A_', 'DigitsA': 'A_', 'ImageNetO': 'O_', 'DigitsO': 'O_'}  # by test data set
ROBUST_LOOPS = ('RecordedTestLoop', 'OcclusionTestLoop')  # their top-1 is not that of the standard test
LOGS = '*/vis_data/config.py'


class Training(NamedTuple):
    """Work directory of a training, and the name and seed of its config."""

    folder: Path
    config: str | None = None
    seed: int | None = None

    @property
    def name(self) -> str:
        """Name of the folder without the ``_s0``, ``_s1``, ... of a study."""
        return self.folder.name.removesuffix(f'_s{self.seed}')

    @property
    def run(self) -> int | str:
        """The seed; the folder if there is no seed, because two trainings without a seed differ."""
        return str(self.folder) if self.seed is None else self.seed


def training_of(checkpoint: str | Path, near: Path) -> Training:
    """Return the training that wrote a checkpoint.

    Args:
        checkpoint: Its path at the time of the test.
        near: Folder of the test. A training that was moved or copied with it is found relative to it.
    """
    folder, near = Path(checkpoint).parent.resolve(), near.resolve()
    around = near, *near.parents[:2]
    for place in (*(place for place in around if place.name == folder.name), folder, near.parent / folder.name):
        logs = [log for log in place.glob(LOGS) if log.with_name('scalars.json').is_file()]  # tests have none
        if logs and len(copies := _copies(place, logs)) == 1:
            return Training(place, copies[0].stem, _get(logged_settings(copies[0]), 'randomness', 'seed'))
    return Training(folder)


def run_records(work_dir: Path) -> Iterator[dict]:
    """Yield the records of all tests in a work directory, and of the last validation.

    Besides the keys listed in ``report.records``, each has ``key`` (newer records replace older ones with the same
    key), ``stamp`` (time) and ``from`` ('test' or 'validation at step N').
    """
    for stamp, log_dir, metrics, origin, source in _measured(work_dir):
        settings, copies = (
            logged_settings(log_dir / 'vis_data/config.py'),
            _copies(work_dir, [log_dir / 'vis_data/config.py']),
        )
        if len(copies) > 1:
            names = ', '.join(copy.name for copy in copies)
            raise ValueError(f'{log_dir} may be a run of any of {names}: use one --work-dir per config')
        config = [*copies, work_dir / f'{work_dir.name}.py'][0]  # mim names the folder after the config
        checkpoint = settings.get('load_from') if origin == 'test' else None
        training = training_of(checkpoint, work_dir) if checkpoint else Training(work_dir.resolve(), config.stem)
        if not checkpoint or training.config is None:
            training = training._replace(seed=_get(settings, 'randomness', 'seed'))
        tta = 'module' in (settings.get('model') or {})
        for task, metric, value in _numbers(metrics, settings):
            metric += ' (MS)' * tta
            yield dict(
                task=task, metric=metric, value=value, seed=training.run, config=str(config), source=source,
                training=training.config, name=training.name, checkpoint=checkpoint, stamp=stamp,
                key=(config.stem, str(training.folder), metric), **{'from': origin},
            )  # fmt: skip


def _numbers(metrics: dict, settings: dict) -> Iterator[tuple[str, str, float]]:
    """Yield task, metric and value in percent."""
    data = str(_get(settings, 'test_dataloader', 'dataset', 'type')).rpartition('.')[2]
    robust = str(_get(settings, 'test_cfg', 'type')).rpartition('.')[2] in ROBUST_LOOPS
    for reported, value in metrics.items():
        if reported in ROBUSTNESS:
            yield 'robustness', PREFIXES.get(data, '') + ROBUSTNESS[reported], round(value, 4)
        elif reported in METRIC_NAMES and not robust:
            task, metric, factor = METRIC_NAMES[reported]
            yield task, metric, round(value * factor, 4)


def _measured(work_dir: Path) -> Iterator[tuple]:
    """Yield (time, log folder, metrics, origin, file) of every test and of the last validation."""
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


def _copies(folder: Path, logs: list[Path]) -> list[Path]:
    """Return the configs that mmengine copied to a folder; of several, those equal to a logged config if any is."""
    copies, texts = sorted(folder.glob('*.py')), {log.read_text('utf-8') for log in logs}
    return [copy for copy in copies if len(copies) > 1 and copy.read_text('utf-8') in texts] or copies


def logged_settings(config: Path) -> dict:
    """Parse the constants of a config written by mmengine, without executing it."""
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
