"""Records from any number of folders: studies, runs, occlusion tests and benchmarks.

A record is a dict with ``task``, ``metric``, ``value`` (percent), ``seed``, ``config`` and ``source`` (its file).
Records of a study also have ``backbone`` and ``pretraining``, and may have ``cells`` (triples (table, row, column)),
``data`` and ``published``. Records of a run also have ``training`` and ``name``, config and folder of the training.
``curve`` is the accuracy under occlusion, pairs (information loss in [0, 1], top-1 in percent).
"""

import ast
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from mixpro_mm.evaluation.measures import METRIC_NAMES, PROBE
from mixpro_mm.report.figures.logs import read_scalars
from mixpro_mm.report.labels import canonical
from mixpro_mm.utils.files import read_json

__all__ = ['Training', 'collect', 'logged_settings', 'normalised', 'run_records', 'training_of', 'unreported']

RESULTS = 'results.json'  # of a study
LARGEST = 1 << 22  # bytes; larger JSON files in a folder are data
NEEDED = ('task', 'backbone', 'pretraining', 'metric', 'value')
ROBUSTNESS = {
    **{f'calibration/{name}': name for name in ('top1', 'rms_calibration_error', 'aurra', 'ece')},
    **{f'ood/{name}': name for name in ('aupr', 'auroc', 'fpr95')},
}
# by test data set
PREFIXES = {f'{data}{kind}': f'{kind}_' for data in ('ImageNet', 'Digits', 'Fashion') for kind in 'AO'}
# loops whose top-1 is not that of the standard test
ROBUST_LOOPS = ('RecordedTestLoop', 'OcclusionTestLoop', 'ProbeTestLoop')
LOGS = '*/vis_data/config.py'


def normalised(record: dict) -> dict:
    """Return the record with the key of its pre-training; the value of a curve is the mean over its occluded points.

    The point at loss 0, accuracy on whole images, has its own record.
    """
    occluded = [top1 for loss, top1 in record.get('curve') or () if loss > 0]
    value, name = fmean(occluded) if occluded else record['value'], record.get('pretraining')
    return record | dict(value=value) | (dict(pretraining=canonical(name)) if name else {})


def collect(paths: Iterable[str | Path]) -> list[dict]:
    """Search folders, or read JSON files. Files that are found twice count once.

    Stages below the ``results.json`` of a study are not read from their logs.

    Raises:
        ValueError: if a path does not exist, a file has no results, or nothing is found.
    """
    files, runs, paths = {}, [], list(map(Path, paths))
    for path in paths:
        if not path.exists():
            raise ValueError(f'no such file or folder: {path}')
        for place in _places(path) if path.is_dir() else [path]:
            if place.is_dir():
                runs += run_records(place)
            elif (records := _read(place)) is not None:
                files.setdefault(place.resolve(), records)
            elif place == path:
                raise ValueError(f'{path} has no results of a study, an occlusion test or a benchmark')
    newest = {record['key']: record for record in sorted(runs, key=lambda record: record['stamp'])}
    found = [normalised(record) for records in (*files.values(), newest.values()) for record in records]
    if not found:
        given = ', '.join(map(str, paths))
        raise ValueError(f'nothing to report in {given}: no results, occlusion test, benchmark or log')
    return found


def unreported(paths: Iterable[str | Path]) -> list[str]:
    """Return the folders of finished stages whose checkpoints are not in the ``results.json`` of their study."""
    found = []
    for file in (file for path in paths for file in sorted(Path(path).rglob(RESULTS))):
        known = {record.get('checkpoint_sha256') for record in _read(file) or ()}
        stages = [(done.parent, read_json(done) or {}) for done in sorted(file.parent.glob('*/done.json'))]
        found += [str(folder) for folder, s in stages if 'metrics' in s and s.get('checkpoint_sha256') not in known]
    return list(dict.fromkeys(found))


def _places(top: Path) -> Iterator[Path]:
    """Yield the JSON files and folders that may have results; a study has them in one file."""
    for place, folders, names in os.walk(top):
        folders[:] = [] if RESULTS in names else sorted(f for f in folders if f[0] != '.' and f != 'vis_data')
        files = [Path(place, name) for name in sorted(names) if name.endswith('.json') and name[0] != '.']
        yield from (f for f in files if f.name == RESULTS or (f.is_file() and f.stat().st_size <= LARGEST))
        yield Path(place)


def _read(file: Path) -> list[dict] | None:
    """Return the records of a file, or None if it is not a result file."""
    content = read_json(file)
    if content is None and file.name == RESULTS:
        raise ValueError(f'{file} cannot be read: it is not complete JSON')
    records = content.get('records') if isinstance(content, dict) else content
    listed = isinstance(records, list) and all(isinstance(record, dict) for record in records)
    speed = isinstance(content, dict) and listed and 'device' in content
    if speed or (isinstance(content, dict) and content.get('kind') == 'occlusion' and 'curves' in content):
        try:
            records = _speed_records(content) if speed else _occlusion_records(content, file)
        except KeyError as error:
            raise ValueError(f'{file} is incomplete: it has no {error}') from error
    elif not (listed and (file.name == RESULTS or any('task' in record for record in records))):
        return None
    elif faults := [(record, key) for record in records for key in NEEDED if key not in record]:
        missing = ', '.join(dict.fromkeys(key for _, key in faults))
        raise ValueError(f'{file} has a record without {missing}: {faults[0][0]!s:.120}')
    return [record | {'source': str(file)} for record in records]


def _occlusion_records(content: dict, file: Path) -> list[dict]:
    """Return a record per curve, named by its label, or by its training if the label is the name of the config."""
    config, checkpoint, settings = content['config'] or '-', content['checkpoint'], content['settings']
    training = training_of(checkpoint, file.parent) if checkpoint else None
    given = None if checkpoint and content['label'] == Path(config).stem else content['label']
    other = '' if settings['protocol'] == 'naseer' else f' ({settings["protocol"]})'
    origin = dict(
        task='robustness', name=given or training.name, place=given or training.folder, checkpoint=checkpoint,
        training=training and training.config, seed=training.run if training else str(file.resolve()), config=config,
        checkpoint_sha256=content['sha256'], protocol=f'{settings["protocol"]}, {settings["grid"]} patches a side',
    )  # fmt: skip
    curves = {mode: [(p['information_loss'], p['top1']) for p in points] for mode, points in content['curves'].items()}
    return [
        origin | dict(metric=f'occlusion_{mode}{other}', value=curve[0][1], curve=curve)
        for mode, curve in curves.items()
        if curve
    ]


def _speed_records(content: dict) -> list[dict]:
    setting = f'{content["device"]}, {content["threads"]} of {content["cores"]} cores, {content["date"]}'
    setting += f', batches of {content["settings"].get("batch", "-")}'
    return [
        dict(task='benchmark', backbone=record['backbone'], pretraining=record['method'], metric=metric, seed=0,
             value=record[key], config=f'tools/benchmark.py: {setting}', **{'from': 'benchmark'})
        for record in content['records']
        if record.get('section') == 'step' and record.get('part') == 'forward and backward'  # as in Table 2
        for metric, key in (('speed', 'images_per_s'), ('params', 'parameters_millions'))
    ]  # fmt: skip


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


def training_of(checkpoint: str | Path, near: Path, was: str | None = None) -> Training:
    """Return the training that wrote a checkpoint; one that was moved with the test in ``near`` is found beside it.

    ``was`` is the path of ``near`` at the time of the test.
    """
    folder, near = Path(checkpoint).parent, near.resolve()
    folder = near if was and Path(was) == folder else folder.resolve()
    around = near, *near.parents[:2]
    for place in (*(place for place in around if place.name == folder.name), folder, near.parent / folder.name):
        logs = [log for log in place.glob(LOGS) if log.with_name('scalars.json').is_file()]  # tests have none
        if logs and len(copies := _copies(place, logs)) == 1:
            return Training(place, copies[0].stem, _get(logged_settings(copies[0]), 'randomness', 'seed'))
    return Training(folder)


def run_records(work_dir: Path) -> Iterator[dict]:
    """Yield the records of all tests in a work directory, and of the last validation.

    Each also has ``key`` (newer records replace older ones), ``stamp`` (time) and ``from`` ('test' or 'validation at
    step N').
    """
    for stamp, log_dir, metrics, origin, source in _measured(work_dir):
        log = log_dir / 'vis_data' / 'config.py'
        settings, copies = logged_settings(log), _copies(work_dir, [log])
        if len(copies) > 1:
            names = ', '.join(copy.name for copy in copies)
            raise ValueError(f'{log_dir} may be a run of any of {names}: use one --work-dir per config')
        config = [*copies, work_dir / f'{work_dir.name}.py'][0]  # mim names the folder after the config
        checkpoint = settings.get('load_from') if origin == 'test' else None
        training = Training(work_dir.resolve(), config.stem)
        if checkpoint:
            training = training_of(checkpoint, work_dir, settings.get('work_dir'))
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
        elif reported.startswith(PROBE) and '/random/' not in reported:
            yield 'probe', reported.removeprefix(PROBE), round(value, 4)
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
