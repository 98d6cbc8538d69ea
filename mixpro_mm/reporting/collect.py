"""Everything that was measured, from any number of folders: records of studies and runs, occlusion, benchmarks."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path

from mixpro_mm.files import read_json
from mixpro_mm.reporting.labels import canonical
from mixpro_mm.reporting.runs import Training, run_records, training_of

__all__ = ['Collected', 'collect']

RESULTS, DONE = 'results.json', 'done.json'  # of a study, of a stage
LARGEST = 1 << 22  # bytes; no results are longer, annotations of data sets are
STEP = 'forward and backward'  # what Table 2 times
NEEDED = ('task', 'backbone', 'pretraining', 'metric', 'value')


@dataclass
class Collected:
    """What was found.

    ``records`` are as in ``results.json``, each with its file as ``source``; ``occlusions`` and ``benchmarks`` are
    whole files, likewise with ``source``. ``untold`` are stages of a study that its ``results.json`` has no record of:
    that file -> their folders.
    """

    records: list[dict] = field(default_factory=list)
    occlusions: list[dict] = field(default_factory=list)
    benchmarks: list[dict] = field(default_factory=list)
    untold: dict[str, list[str]] = field(default_factory=dict)


def collect(paths: Iterable[str | Path]) -> Collected:
    """Search folders; a path may also be one JSON file. What is found twice by overlapping folders counts once.

    Below a folder with the ``results.json`` of a study, stages are not read again from their logs; those that it has
    no record of, because it is older, are named in ``untold``.

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
    studies = {}  # folder -> hashes of the checkpoints that its results are of
    for place, folders, files in os.walk(top):
        folders[:] = sorted(name for name in folders if not name.startswith('.') and name != 'vis_data')
        place = Path(place)
        study = next((parent for parent in place.parents if parent in studies), None)
        spoken_for = study is not None
        if spoken_for:
            _note_untold(place, study / RESULTS, studies[study], found)
        for name in sorted(files, key=lambda name: (name != RESULTS, name)):
            file = place / name
            if name == RESULTS and _take(file, found, seen, spoken_for=False):
                studies[place] = {record.get('checkpoint_sha256') for record in _records(read_json(file))}
            elif name.endswith('.json') and not name.startswith('.') and file.stat().st_size <= LARGEST:
                _take(file, found, seen, spoken_for)
        if not spoken_for:
            for record in run_records(place):
                runs[(*record['key'], str(place.resolve()))] = record


def _note_untold(place: Path, results: Path, told: set, found: Collected) -> None:
    """Remember a finished stage if the results of its study have no record of its checkpoint."""
    done = read_json(place / DONE)
    if isinstance(done, dict) and 'metrics' in done and done.get('checkpoint_sha256') not in told:
        stages = found.untold.setdefault(str(results), [])
        stages += [str(place)] * (str(place) not in stages)


def _records(content) -> list | None:
    """Of the results of a study, old form or new; None of anything else."""
    return content.get('records') if isinstance(content, dict) else content


def _take(file: Path, found: Collected, seen: set, spoken_for: bool) -> bool:
    """Keep a file if it is one of ours; whether it is."""
    content = read_json(file)
    if content is None and file.name == RESULTS:
        raise ValueError(f'{file} cannot be read: it is not whole.')
    records = _records(content)
    study = isinstance(records, list) and all(isinstance(record, dict) for record in records)
    if study and (file.name == RESULTS or any('task' in record for record in records)):
        kind = [dict(_checked(record, file), source=str(file)) for record in records]
    elif not isinstance(content, dict):
        return False
    elif content.get('kind') == 'occlusion' and 'curves' in content:
        kind = found.occlusions
    elif study and {'settings', 'device'} <= content.keys():
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
    return dict(record, pretraining=canonical(record['pretraining'])) if record['pretraining'] else record


def _occlusion_records(content: dict) -> list[dict]:
    """The mean over the points of each curve, each point in percent; a label that is only the config's is none."""
    records = []
    source, config = Path(content['source']).resolve(), content['config'] or '-'
    checkpoint = content['checkpoint']
    training = training_of(checkpoint, source.parent) if checkpoint else Training(source)
    name = None if checkpoint and content['label'] == Path(config).stem else content['label']
    trained = [each for each in (training.config, training.name) if each] if checkpoint else []
    protocol = content['settings']['protocol']
    other = '' if protocol == 'naseer' else f' ({protocol})'  # of other drops, not to be put beside these
    for mode, points in content['curves'].items():
        curve = [[point['information_loss'], point['top1']] for point in points]
        if curve:
            records.append(
                dict(
                    task='robustness', metric=f'occlusion_{mode}{other}', value=sum(y for _, y in curve) / len(curve),
                    curve=curve, name=name, trained=trained, seed=training.run, config=config,
                    checkpoint=checkpoint, checkpoint_sha256=content['sha256'], source=content['source'],
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
