"""Short names for what is drawn, from the names of files and folders: no more of them than tells these apart."""

import re
from collections.abc import Sequence
from pathlib import Path

from mixpro_mm.reporting.labels import label

__all__ = ['short_names', 'tails']


def short_names(stems: Sequence[str], given: Sequence[str | None] | None = None) -> list[str]:
    """What tells names such as ``deit-micro_mixpro_digits`` apart: 'MixPro' where the others have another method.

    Args:
        stems: Of files or folders, words joined by ``_`` or ``/``.
        given: Names that the user gave instead, None where none.
    """
    words = [re.split('[_/]', stem) for stem in stems]
    found = list(stems)
    if len(set(stems)) > 1 and len({len(row) for row in words}) == 1:
        differ = [len(set(column)) > 1 for column in zip(*words, strict=True)]
        short = [', '.join(label(w) for w, d in zip(row, differ, strict=True) if d) for row in words]
        found = short if len(set(short)) == len(set(stems)) else found
    return [name or short for name, short in zip(given or [None] * len(found), found, strict=True)]


def tails(paths: Sequence[Path], least: int = 1) -> list[str]:
    """The last parts of paths, as few as tell different ones apart, of all the same number: 'a/deit' and 'b/deit'.

    Args:
        paths: In full: a tail of ``..`` says nothing.
        least: Parts to take at least.
    """
    parts = [path.parts for path in paths]
    depth = least
    while len({part[-depth:] for part in parts}) < len(set(parts)):
        depth += 1
    return [Path(*part[-depth:]).as_posix() for part in parts]
