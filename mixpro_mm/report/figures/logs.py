"""Read what mmengine logged: the scalars of one stage, resumed or not, as one list."""

import json
import math
from pathlib import Path

__all__ = ['by_epoch', 'epoch_means', 'read_scalars', 'series']


def read_scalars(stage_dir: str | Path) -> list[dict]:
    """All records of ``<stage_dir>/<timestamp>/vis_data/scalars.json``, sorted by step; ``[]`` where there is no log.

    Every start of a stage leaves a folder of its own. A later folder supersedes what earlier ones logged from its first
    step on: those weights were thrown away when the run went back to its checkpoint. Lines that are not a whole JSON
    object (a run killed while writing) are left out.
    """
    merged = []
    for file in sorted(Path(stage_dir).glob('*/vis_data/scalars.json')):
        records = [
            record for record in map(_parse, file.read_text(encoding='utf-8', errors='replace').splitlines()) if record
        ]
        train = [record for record in records if _is_train(record)]
        first_train = min((record['step'] for record in train), default=math.inf)
        # validation is counted in epochs where training lines carry one, in iterations otherwise
        first_val = min((record.get('epoch', record['step']) for record in train), default=math.inf)
        first_val = min([first_val, *(record['step'] for record in records if not _is_train(record))])
        kept = [record for record in merged if record['step'] < (first_train if _is_train(record) else first_val)]
        merged = kept + records
    return sorted(merged, key=lambda record: record['step'])


def series(records: list[dict], x: str, y: str) -> tuple[list, list]:
    """The values of keys ``x`` and ``y`` over the records that hold both, in the order of the records."""
    pairs = [(record[x], record[y]) for record in records if x in record and y in record]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def by_epoch(records: list[dict]) -> bool:
    """Whether the run counted epochs (its training lines carry ``epoch``, its validation steps are epochs)."""
    return any('epoch' in record for record in records if _is_train(record))


def epoch_means(records: list[dict], y: str) -> tuple[list, list]:
    """Mean of ``y`` over each epoch's training lines; a run that counts iterations only is returned as logged."""
    if not by_epoch(records):
        return series(records, 'iter', y)
    values = {}
    for epoch, value in zip(*series(records, 'epoch', y), strict=True):
        if math.isfinite(value):
            values.setdefault(epoch, []).append(value)
    return sorted(values), [sum(values[epoch]) / len(values[epoch]) for epoch in sorted(values)]


def _parse(line: str) -> dict | None:
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        return None
    return record if isinstance(record, dict) and 'step' in record else None


def _is_train(record: dict) -> bool:
    return 'iter' in record
