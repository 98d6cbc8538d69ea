"""Training runs as they lie in their work directories: log, config and last checkpoint."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mixpro_mm.reporting.curves import read_scalars
from mixpro_mm.visualize.names import short_names

__all__ = ['Run', 'checkpoint_of', 'config_of', 'read_runs', 'split_name']


SEED = re.compile(r'_(s|seed-?)\d+$')  # as a study names the stages that differ in nothing else


class Run(NamedTuple):
    """A run with the name it goes by; runs of one name are repetitions of each other."""

    name: str
    folder: Path
    records: list[dict]


def split_name(text: str) -> tuple[str | None, Path]:
    """``[NAME=]PATH``; a path that exists is no name, whatever is in it."""
    name, sign, path = text.partition('=')
    return (name, Path(path)) if sign and not Path(text).exists() else (None, Path(text))


def read_runs(texts: Sequence[str]) -> list[Run]:
    """The logged runs of ``[NAME=]WORK_DIR`` each; a seed at the end of a folder's name is no part of the run's.

    Raises:
        ValueError: if one is no folder, or holds no log.
    """
    split = [split_name(text) for text in texts]
    for _, folder in split:
        if not folder.is_dir():
            raise ValueError(f'{folder} is not a folder')
    stems = [SEED.sub('', folder.resolve().name) for _, folder in split]
    names = short_names(stems, [name for name, _ in split])
    runs = [Run(name, folder, read_scalars(folder)) for name, (_, folder) in zip(names, split, strict=True)]
    for run in runs:
        if not run.records:
            raise ValueError(f'{run.folder} holds no log: nothing in <time>/vis_data/scalars.json')
    return runs


def config_of(folder: Path) -> Path:
    """The config that mmengine wrote into a work directory, the newest if there are several.

    Raises:
        ValueError: if there is none.
    """
    found = sorted(folder.glob('*.py'), key=lambda path: (path.stat().st_mtime, path.name))
    if not found:
        raise ValueError(f'{folder} holds no config')
    return found[-1]


def checkpoint_of(folder: Path) -> Path:
    """The last checkpoint of a work directory, which may have been moved since.

    Raises:
        ValueError: if there is none.
    """
    note = folder / 'last_checkpoint'
    named = Path(note.read_text(encoding='utf-8').strip()) if note.is_file() else None
    for path in (named, named and folder / named.name):
        if path and path.is_file():
            return path
    raise ValueError(f'{folder} holds no checkpoint')
