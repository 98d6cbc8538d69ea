"""Logs of mmengine in work directories, and display names of runs."""

import json
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

from mixpro_mm.report.labels import label

__all__ = ['by_epoch', 'display_names', 'epoch_means', 'named_runs', 'read_scalars', 'series', 'split_name']


def read_scalars(stage_dir: str | Path) -> list[dict]:
    """Return the records of all ``<stage_dir>/<timestamp>/vis_data/scalars.json``, sorted by step.

    Each start of a run has its own folder. When a run resumes, later weights are discarded, so a later folder replaces
    the records of earlier ones from its first step on. Incomplete lines of a killed run are skipped.
    """
    merged = []
    for file in sorted(Path(stage_dir).glob('*/vis_data/scalars.json')):
        records = [*filter(None, map(_parse, file.read_text(encoding='utf-8', errors='replace').splitlines()))]
        train = [record for record in records if 'iter' in record]
        first_train = min((record['step'] for record in train), default=math.inf)
        # validations count epochs if training lines have an epoch, otherwise iterations
        first_val = min((record.get('epoch', record['step']) for record in train), default=math.inf)
        first_val = min([first_val, *(record['step'] for record in records if 'iter' not in record)])
        kept = [record for record in merged if record['step'] < (first_train if 'iter' in record else first_val)]
        merged = kept + records
    return sorted(merged, key=lambda record: record['step'])


def _parse(line: str) -> dict | None:
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        return None
    return record if isinstance(record, dict) and 'step' in record else None


def series(records: list[dict], x: str, y: str) -> dict:
    """Return {value of ``x``: value of ``y``} over the records that have both."""
    return {record[x]: record[y] for record in records if x in record and y in record}


def by_epoch(records: list[dict]) -> bool:
    """Return whether the training lines of a run have an epoch."""
    return any('iter' in record and 'epoch' in record for record in records)


def epoch_means(records: list[dict], y: str) -> dict:
    """Return {epoch: mean of the finite ``y`` of its training lines}; iterations if the run has no epochs."""
    values, x = {}, 'epoch' if by_epoch(records) else 'iter'
    for record in records:
        if x in record and y in record and math.isfinite(record[y]):
            values.setdefault(record[x], []).append(record[y])
    return {place: sum(values[place]) / len(values[place]) for place in sorted(values)}


def split_name(text: str) -> tuple[str | None, Path]:
    """Split ``[NAME=]PATH``; an existing path with ``=`` has no name."""
    name, sign, path = text.partition('=')
    return (name, Path(path)) if sign and not Path(text).exists() else (None, Path(text))


def named_runs(texts: Sequence[str]) -> list[tuple[str, Path, list[dict]]]:
    """Return name, folder and records of each ``[NAME=]WORK_DIR``. Folders that differ only in a seed share a name.

    Raises:
        ValueError: if a folder is missing, has no log or is given twice, if a given name equals the short name of
            another run, or if only some of the runs count epochs.
    """
    given, folders = zip(*map(split_name, texts), strict=True)
    if missing := [folder for folder in folders if not folder.is_dir()]:
        raise ValueError(f'{missing[0]} is not a folder')
    logs = [read_scalars(folder) for folder in folders]
    if not all(logs):
        raise ValueError(f'{folders[logs.index([])]} has no log in <time>/vis_data/scalars.json')
    if len({by_epoch(records) for records in logs}) > 1:
        raise ValueError('some of these runs count epochs and some iterations; they share no axis')
    pairs = [(name, folder.resolve()) for name, folder in zip(given, folders, strict=True)]
    if twice := [str(folder) for name, folder in pairs if pairs.count((name, folder)) > 1]:
        raise ValueError(f'{twice[0]} is given twice')
    whole = _tails([folder for _, folder in pairs])
    bare = [re.sub(r'_(s|seed-?)\d+$', '', name) for name in whole]
    names = display_names(given, [name if short in whole else short for name, short in zip(whole, bare, strict=True)])
    if taken := [name for name, own in zip(names, given, strict=True) if not own and name in given]:
        raise ValueError(f'{taken[0]} is the given name of one run and the short name of another: name both')
    return list(zip(names, folders, logs, strict=True))


def display_names(given: Sequence[str | None], stems: Sequence[str], paths: Sequence[Path | None] = ()) -> list[str]:
    """Return the given names. Others become the words in which the stems differ, or the paths if stems are equal."""
    if len(set(stems)) < len(stems) and paths and all(paths):
        stems = _tails(paths)
    words, found = [re.split('[_/]', stem) for stem in stems], list(map(label, stems))
    if len(set(stems)) > 1 and len({len(row) for row in words}) == 1:
        differ = [len(set(column)) > 1 for column in zip(*words, strict=True)]
        short = [', '.join(label(word) for word, d in zip(row, differ, strict=True) if d) for row in words]
        found = short if len(set(short)) == len(set(stems)) else found
    return [name or short for name, short in zip(given, found, strict=True)]


def _tails(paths: Sequence[Path]) -> list[str]:
    common = os.path.commonpath([path.parent for path in paths])
    return [path.relative_to(common).as_posix() for path in paths]


def config_of(folder: Path) -> Path:
    """Return the newest config in a work directory. Raises ValueError without one."""
    found = sorted(folder.glob('*.py'), key=lambda path: (path.stat().st_mtime, path.name))
    if not found:
        raise ValueError(f'{folder} has no config')
    return found[-1]


def checkpoint_of(folder: Path) -> Path | None:
    """Return the last checkpoint of a work directory, or None. In a copied directory, its own file comes first."""
    note = folder / 'last_checkpoint'
    named = Path(note.read_text(encoding='utf-8').strip()) if note.is_file() else Path('none')
    return next(filter(Path.is_file, (folder / named.name, named)), None)
