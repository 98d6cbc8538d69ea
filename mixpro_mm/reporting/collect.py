"""Everything that was measured, from any number of folders: records of studies and runs, occlusion, benchmarks."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path

from mixpro_mm.files import read_json
from mixpro_mm.reporting.runs import run_records

__all__ = ['Collected', 'collect']

LARGEST = 1 << 22  # bytes; no results are longer, annotations of data sets are
STEP = 'forward and backward'  # what Table 2 times
NEEDED = ('task', 'backbone', 'pretraining', 'metric', 'value')


@dataclass
class Collected:
    """What was found.

    ``records`` are as in ``results.json``, each with its file as ``source``; ``occlusions`` and ``benchmarks`` are
    whole files, likewise with ``source``.
    """

    records: list[dict] = field(default_factory=list)
    occlusions: list[dict] = field(default_factory=list)
    benchmarks: list[dict] = field(default_factory=list)


def collect(paths: Iterable[str | Path]) -> Collected:
    """Search folders; a path may also be one JSON file. What is found twice by overlapping folders counts once.

    Below a folder with the ``results.json`` of a study, stages are not read again from their logs.

    Raises:
        ValueError: a path that does not exist, a file that is not what its name says, or nothing found at all.
    """
    found, runs, seen = Collected(), {}, set()
    for path in map(Path, paths):
        if path.is_file():
            if not _take(path, found, seen, spoken_for=False):
                raise ValueError(f'{path} holds no results: neither a study, nor an occlusion test, nor a benchmark.')
        elif path.is_dir():
            _search(path, found, runs, seen)
        else:
            raise ValueError(f'There is no file or folder {path}.')
    newest = {}
    for record in runs.values():
        newest[record['key']] = max(record, newest.get(record['key'], record), key=lambda each: each['stamp'])
    found.records += newest.values()
    if not (found.records or found.occlusions or found.benchmarks):
        places = ', '.join(map(str, paths))
        raise ValueError(f'Nothing to report in {places}: no results.json, occlusion.json, benchmark or log of a test.')
    found.records += [record for content in found.occlusions for record in _occlusion_records(content)]
    found.records += [record for content in found.benchmarks for record in _speed_records(content)]
    return found


def _search(top: Path, found: Collected, runs: dict, seen: set) -> None:
    """Everything below a folder, in the order of names."""
    studies = []
    for place, folders, files in os.walk(top):
        folders[:] = sorted(name for name in folders if not name.startswith('.') and name != 'vis_data')
        place = Path(place)
        spoken_for = any(study in place.parents for study in studies)
        for name in sorted(files, key=lambda name: (name != 'results.json', name)):
            file = place / name
            if name == 'results.json' and _take(file, found, seen, spoken_for=False):
                studies.append(place)
            elif name.endswith('.json') and not name.startswith('.') and file.stat().st_size <= LARGEST:
                _take(file, found, seen, spoken_for)
        if not spoken_for:
            for record in run_records(place):
                runs[(*record['key'], str(place.resolve()))] = record


def _take(file: Path, found: Collected, seen: set, spoken_for: bool) -> bool:
    """Keep a file if it is one of ours; whether it is."""
    content = read_json(file)
    if content is None and file.name == 'results.json':
        raise ValueError(f'{file} cannot be read: it is not whole.')
    records = content.get('records') if isinstance(content, dict) else content
    study = isinstance(records, list) and all(isinstance(record, dict) for record in records)
    if study and (file.name == 'results.json' or any('task' in record for record in records)):
        kind = [dict(_checked(record, file), source=str(file)) for record in records]
    elif not isinstance(content, dict):
        return False
    elif content.get('kind') == 'occlusion' and 'curves' in content:
        kind = found.occlusions
    elif study and {'bars', 'device'} <= content.keys():
        kind = found.benchmarks
    else:
        return False
    if file.resolve() in seen or (spoken_for and kind is found.occlusions):
        return True
    seen.add(file.resolve())
    if kind is found.occlusions or kind is found.benchmarks:
        kind.append(dict(content, source=str(file)))
    else:
        found.records += kind
    return True


def _checked(record: dict, file: Path) -> dict:
    missing = [key for key in NEEDED if key not in record]
    if missing:
        raise ValueError(f'{file} has a record without {", ".join(missing)}: {record!s:.120}')
    if not isinstance(record['value'], Real):
        raise ValueError(f'{file} has a record whose value is no number: {record!s:.120}')
    return record


def _occlusion_records(content: dict) -> list[dict]:
    """The mean over the points of each curve, each point in percent."""
    records = []
    protocol = content['settings']['protocol']
    other = '' if protocol == 'naseer' else f' ({protocol})'  # of other drops, not to be put beside these
    run = str(Path(content['checkpoint']).parent) if content['checkpoint'] else content['source']
    for mode, points in content['curves'].items():
        curve = [[point['information_loss'], point['top1']] for point in points]
        if curve:
            records.append(
                dict(
                    task='robustness', metric=f'occlusion_{mode}{other}', value=sum(y for _, y in curve) / len(curve),
                    curve=curve, name=content['label'], seed=run, config=content['config'] or '-',
                    checkpoint=content['checkpoint'], checkpoint_sha256=content['sha256'], source=content['source'],
                )
            )  # fmt: skip
    return records


def _speed_records(content: dict) -> list[dict]:
    """Images per second and parameters of every method that was timed in training."""
    return [
        dict(task='benchmark', backbone=record['backbone'], pretraining=record['method'], metric=metric, seed=0,
             value=record[key], config=f'tools/benchmark.py, {content["device"]}', source=content['source'],
             **{'from': 'benchmark'})
        for record in content['records'] if record['section'] == 'step' and record['part'] == STEP
        for metric, key in (('speed', 'images_per_s'), ('params', 'parameters_millions'))
    ]  # fmt: skip
