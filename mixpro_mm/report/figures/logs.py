"""Logs of mmengine in work directories, and display names of runs."""

import contextlib
import json
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mixpro_mm.report.labels import label

__all__ = ['by_epoch', 'display_names', 'epoch_means', 'named_runs', 'read_scalars', 'series', 'split_name']


def read_scalars(stage_dir: str | Path) -> list[dict]:
    """Return the records of all ``<stage_dir>/<timestamp>/vis_data/scalars.json``, sorted by step.

    Each start of a run has its own folder, and replaces the records of earlier ones from its first step on. Incomplete
    lines of a killed run are skipped.
    """
    merged = []
    for file in sorted(Path(stage_dir).glob('*/vis_data/scalars.json')):
        records = []
        for line in file.read_text(encoding='utf-8', errors='replace').splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                records.append(json.loads(line))
        train = min((r['step'] for r in records if 'iter' in r), default=math.inf)
        # validations count epochs if training lines have an epoch
        val = min((r.get('epoch', r['step']) if 'iter' in r else r['step'] for r in records), default=math.inf)
        merged = [r for r in merged if r['step'] < (train if 'iter' in r else val)] + records
    return sorted(merged, key=lambda record: record['step'])


def series(records: list[dict], x: str, y: str) -> dict:
    """Return {value of ``x``: value of ``y``} over the records that have both."""
    return {record[x]: record[y] for record in records if x in record and y in record}


def by_epoch(records: list[dict]) -> bool:
    """Return whether the training lines of a run have an epoch."""
    return any('iter' in record and 'epoch' in record for record in records)


def epoch_means(records: list[dict], y: str) -> dict:
    """Return {epoch: mean of the finite ``y`` of its training lines}; iterations if the run has no epochs."""
    x = 'epoch' if by_epoch(records) else 'iter'
    pairs = [(record[x], record[y]) for record in records if x in record and y in record and math.isfinite(record[y])]
    return pd.DataFrame(pairs, columns=['x', 'y']).groupby('x')['y'].mean().to_dict()


def split_name(text: str) -> tuple[str | None, Path]:
    """Split ``[NAME=]PATH``; an existing path with ``=`` has no name."""
    name, sign, path = text.partition('=')
    return (name, Path(path)) if sign and not Path(text).exists() else (None, Path(text))


def named_runs(texts: Sequence[str]) -> list[tuple[str, Path, list[dict]]]:
    """Return name, folder and records of each ``[NAME=]WORK_DIR``. Folders that differ only in a seed share a name.

    Raises:
        ValueError: if a folder is missing or has no log, or if only some of the runs count epochs.
    """
    given, folders = zip(*map(split_name, texts), strict=True)
    logs = [read_scalars(folder) for folder in folders]
    if not all(logs):
        raise ValueError(f'{folders[logs.index([])]} has no log in <time>/vis_data/scalars.json')
    if len({by_epoch(records) for records in logs}) > 1:
        raise ValueError('some of these runs count epochs and some iterations; they share no axis')
    return list(zip(display_names(given, folders), folders, logs, strict=True))


def display_names(given: Sequence[str | None], paths: Sequence[Path]) -> list[str]:
    """Return the given names; others become the words in which the names of the paths differ, without a seed.

    Paths of one name become the parts below their common folder.
    """
    paths = [path.resolve().with_name(re.sub(r'_(s|seed-?)\d+$', '', path.name)) for path in paths]
    stems = [path.name for path in paths]
    if len(set(stems)) < len(set(paths)):
        common = os.path.commonpath([path.parent for path in paths])
        stems = [path.relative_to(common).as_posix() for path in paths]
    words = [re.split('[_/]', stem) for stem in stems]
    shared = set.intersection(*map(set, words))
    short = [', '.join(label(word) for word in row if word not in shared) for row in words]
    names = short if '' not in short and len(set(short)) == len(set(stems)) else map(label, stems)
    return [name or found for name, found in zip(given, names, strict=True)]
