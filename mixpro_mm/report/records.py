"""Records from any number of folders: studies, runs, occlusion tests and benchmarks.

A record is a dict with ``task``, ``metric``, ``value`` (percent), ``seed``, ``config`` and ``source`` (its file).
Records of a study also have ``backbone`` and ``pretraining``, and may have ``table``, ``row``, ``column``, ``data`` and
``published``. Records of a run also have ``training`` and ``name``, config and folder of the training. ``curve`` is the
accuracy under occlusion, pairs (information loss in [0, 1], top-1 in percent).
"""

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path

from mixpro_mm.report.labels import canonical
from mixpro_mm.report.runs import run_records, training_of
from mixpro_mm.utils.files import read_json

__all__ = ['Collected', 'collect', 'normalised']

RESULTS, DONE = 'results.json', 'done.json'  # of a study, of a stage
LARGEST = 1 << 22  # bytes; larger JSON files are annotations
STEP = 'forward and backward'  # the part of a training step that Table 2 times
NEEDED = ('task', 'backbone', 'pretraining', 'metric', 'value')


@dataclass
class Collected:
    """Records, and ``results.json`` -> folders of finished stages without a record."""

    records: list[dict] = field(default_factory=list)
    unreported: dict[str, list[str]] = field(default_factory=dict)


def normalised(record: dict) -> dict:
    """Return the record with the key of its pre-training; the value of a curve is the mean over its occluded points.

    The point at loss 0, accuracy on whole images, has its own record.
    """
    occluded = [top1 for loss, top1 in record.get('curve') or () if loss > 0]
    value = math.fsum(occluded) / len(occluded) if occluded else record['value']
    name = record.get('pretraining')
    return record | {'value': value} | ({'pretraining': canonical(name)} if name else {})


def collect(paths: Iterable[str | Path]) -> Collected:
    """Search folders, or read JSON files. Files that are found twice count once.

    Stages below the ``results.json`` of a study are not read from their logs.

    Raises:
        ValueError: if a path does not exist, a file has no results, or nothing is found.
    """
    found, runs, seen, paths = Collected(), {}, set(), list(map(Path, paths))
    for path in paths:
        if path.is_dir():
            _search(path, found, runs, seen)
        elif not path.is_file():
            raise ValueError(f'no such file or folder: {path}')
        elif _read(path, found, seen) is None:
            raise ValueError(f'{path} has no results of a study, an occlusion test or a benchmark')
    newest = {record['key']: record for record in sorted(runs.values(), key=lambda record: record['stamp'])}
    found.records = [normalised(record) for record in (*found.records, *newest.values())]
    if not found.records:
        places = ', '.join(map(str, paths))
        raise ValueError(f'nothing to report in {places}: no results.json, occlusion.json, benchmark or log of a test')
    return found


def _search(top: Path, found: Collected, runs: dict, seen: set) -> None:
    studies = {}  # folder -> hashes of the checkpoints in its results
    for place, folders, files in os.walk(top):
        folders[:] = sorted(name for name in folders if not name.startswith('.') and name != 'vis_data')
        place = Path(place)
        study = next((parent for parent in place.parents if parent in studies), None)
        for name in sorted(files, key=lambda name: (name != RESULTS, name)):
            file = place / name
            if name.startswith('.') or not name.endswith('.json'):
                continue
            if name == RESULTS or file.stat().st_size <= LARGEST:
                records = _read(file, found, seen, in_study=study is not None)
                if name == RESULTS and records is not None:
                    studies[place] = {record.get('checkpoint_sha256') for record in records}
        if study is None:
            runs.update({(*record['key'], str(place.resolve())): record for record in run_records(place)})
            continue
        done = read_json(place / DONE)
        if isinstance(done, dict) and 'metrics' in done and done.get('checkpoint_sha256') not in studies[study]:
            stages = found.unreported.setdefault(str(study / RESULTS), [])
            stages += [str(place)] * (str(place) not in stages)


def _read(file: Path, found: Collected, seen: set, in_study: bool = False) -> list[dict] | None:
    """Add the records of a file to ``found`` and return them; None if it is not a result file."""
    content = read_json(file)
    if content is None and file.name == RESULTS:
        raise ValueError(f'{file} cannot be read: it is not complete JSON')
    records = content.get('records') if isinstance(content, dict) else content
    listed = isinstance(records, list) and all(isinstance(record, dict) for record in records)
    if isinstance(content, dict) and listed and 'device' in content:
        records = _speed_records(content)
    elif listed and (file.name == RESULTS or any('task' in record for record in records)):
        for record in records:
            if missing := [key for key in NEEDED if key not in record]:
                raise ValueError(f'{file} has a record without {", ".join(missing)}: {record!s:.120}')
            if not isinstance(record['value'], Real):
                raise ValueError(f'{file} has a record whose value is not a number: {record!s:.120}')
    elif isinstance(content, dict) and content.get('kind') == 'occlusion' and 'curves' in content:
        records = [] if in_study else _occlusion_records(content, file)
    else:
        return None
    if file.resolve() not in seen:
        seen.add(file.resolve())
        found.records += [record | {'source': str(file)} for record in records]
    return records


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
