"""Training runs as they lie in their work directories: log, config and last checkpoint."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mixpro_mm.reporting.curves import read_scalars
from mixpro_mm.reporting.names import short_names, tails

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

    Repetitions are runs of one given name, or folders that differ in the seed. Other folders of one name have their
    parents in front.

    Raises:
        ValueError: if one is no folder, holds no log, is named twice, or goes by the name given to another.
    """
    split = [split_name(text) for text in texts]
    for _, folder in split:
        if not folder.is_dir():
            raise ValueError(f'{folder} is not a folder')
    full = [folder.resolve() for _, folder in split]
    for place, (name, folder) in enumerate(split):
        if (name, full[place]) in [(other, full[i]) for i, (other, _) in enumerate(split[:place])]:
            raise ValueError(f'{folder} is named twice: one run is no repetition of itself')
    given = {name for name, _ in split if name}
    names = short_names(_stems(full), [name for name, _ in split])
    for (name, folder), found in zip(split, names, strict=True):
        if not name and found in given:
            raise ValueError(f'{folder} goes by {found}, the name given to another run: give it one, too')
    runs = [Run(name, folder, read_scalars(folder)) for name, (_, folder) in zip(names, split, strict=True)]
    for run in runs:
        if not run.records:
            raise ValueError(f'{run.folder} holds no log: nothing in <time>/vis_data/scalars.json')
    return runs


def _stems(folders: Sequence[Path]) -> list[str]:
    """Names of folders without the seed at their end, where all that would be one by this have a seed."""
    whole = tails(folders)
    bare = [SEED.sub('', name) for name in whole]
    return [name if short in whole else short for name, short in zip(whole, bare, strict=True)]


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
    """The last checkpoint of a work directory, which may have been moved or copied since: its own comes first.

    Raises:
        ValueError: if there is none.
    """
    note = folder / 'last_checkpoint'
    named = Path(note.read_text(encoding='utf-8').strip()) if note.is_file() else None
    for path in (named and folder / named.name, named):
        if path and path.is_file():
            return path
    raise ValueError(f'{folder} holds no checkpoint')
