"""Records from any number of folders: studies, runs, occlusion tests and benchmarks.

A record is a dict with ``task``, ``metric``, ``value`` (percent), ``seed``, ``config`` and ``source`` (its file).
Records of a study also have ``backbone`` and ``pretraining``, and may have ``table``, ``row``, ``column``, ``data`` and
``published``. Records of a run also have ``training`` and ``name``, config and folder of the training. ``curve`` is the
accuracy under occlusion, pairs (information loss in [0, 1], top-1 in percent).
"""

import os
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean

from mixpro_mm.report.labels import canonical
from mixpro_mm.report.runs import run_records, training_of
from mixpro_mm.utils.files import read_json

__all__ = ['collect', 'normalised']

RESULTS = 'results.json'  # of a study
STEP = 'forward and backward'  # the part of a training step that Table 2 times
NEEDED = ('task', 'backbone', 'pretraining', 'metric', 'value')


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
        if path.is_dir():
            _search(path, files, runs)
        elif not path.is_file():
            raise ValueError(f'no such file or folder: {path}')
        elif (records := _read(path)) is None:
            raise ValueError(f'{path} has no results of a study, an occlusion test or a benchmark')
        else:
            files.setdefault(path.resolve(), records)
    newest = {record['key']: record for record in sorted(runs, key=lambda record: record['stamp'])}
    found = [normalised(record) for records in (*files.values(), newest.values()) for record in records]
    if not found:
        places = ', '.join(map(str, paths))
        raise ValueError(f'nothing to report in {places}: no results.json, occlusion.json, benchmark or log of a test')
    return found


def _search(top: Path, files: dict, runs: list) -> None:
    """Add the records below a folder to ``files`` (resolved path -> records) and ``runs``."""
    for place, folders, names in os.walk(top):
        folders[:] = sorted(name for name in folders if not name.startswith('.') and name != 'vis_data')
        place = Path(place)
        for name in sorted(name for name in names if name.endswith('.json') and not name.startswith('.')):
            if (records := _read(place / name)) is not None:
                files.setdefault((place / name).resolve(), records)
        if RESULTS in names:
            folders.clear()  # the stages of a study
        runs += run_records(place)


def _read(file: Path) -> list[dict] | None:
    """Return the records of a file, or None if it is not a result file."""
    content = read_json(file)
    if content is None and file.name == RESULTS:
        raise ValueError(f'{file} cannot be read: it is not complete JSON')
    records = content.get('records') if isinstance(content, dict) else content
    listed = isinstance(records, list) and all(isinstance(record, dict) for record in records)
    if isinstance(content, dict) and listed and 'device' in content:
        records = _speed_records(content)
    elif isinstance(content, dict) and content.get('kind') == 'occlusion' and 'curves' in content:
        records = _occlusion_records(content, file)
    elif not (listed and (file.name == RESULTS or any('task' in record for record in records))):
        return None
    elif faults := [(record, key) for record in records for key in NEEDED if key not in record]:
        raise ValueError(f'{file} has a record without {", ".join(key for _, key in faults)}: {faults[0][0]!s:.120}')
    return [record | {'source': str(file)} for record in records]


def _occlusion_records(content: dict, file: Path) -> list[dict]:
    """Return a record per curve, named by its label, or by its training if the label is the name of the config."""
    config, checkpoint, settings = content['config'] or '-', content['checkpoint'], content['settings']
    training = training_of(checkpoint, file.parent) if checkpoint else None
    given = None if checkpoint and content['label'] == Path(config).stem else content['label']
    other = '' if settings['protocol'] == 'naseer' else f' ({settings["protocol"]})'
    origin = dict(
        task='robustness', name=given or training.name, training=training and training.config,
        seed=training.run if training else str(file.resolve()), config=config, checkpoint=checkpoint,
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
        if record.get('section') == 'step' and record.get('part') == STEP
        for metric, key in (('speed', 'images_per_s'), ('params', 'parameters_millions'))
    ]  # fmt: skip
