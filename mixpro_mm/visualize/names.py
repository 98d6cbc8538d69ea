"""Short names for runs and configs, and a colour for each: that of its method where it has one."""

import re
from collections.abc import Sequence

from mixpro_mm.reporting.figures import KNOWN, cycle
from mixpro_mm.reporting.labels import label

__all__ = ['method_of', 'run_colors', 'short_names']

PALETTE = ('#D55E00', '#0072B2', '#009E73', '#E69F00', '#CC79A7', '#56B4E9', '#000000')  # Okabe-Ito


def short_names(stems: Sequence[str], given: Sequence[str | None] | None = None) -> list[str]:
    """What tells names such as ``deit-micro_mixpro_digits`` apart: 'MixPro' where the others have another method.

    Args:
        stems: Of files or folders, words joined by ``_``.
        given: Names that the user gave instead, None where none.
    """
    words = [stem.split('_') for stem in stems]
    found = list(stems)
    if len(set(stems)) > 1 and len({len(row) for row in words}) == 1:
        differ = [len(set(column)) > 1 for column in zip(*words, strict=True)]
        found = [', '.join(label(w) for w, d in zip(row, differ, strict=True) if d) for row in words]
    return [name or short for name, short in zip(given or [None] * len(found), found, strict=True)]


def method_of(name: str) -> str | None:
    """The method with a colour of its own that a name speaks of, the last one if several; None if there is none."""
    words = re.split(r'[^a-z0-9]+', name.lower().replace('no mixing', 'none'))
    return next((word for word in reversed(words) if word in KNOWN), None)


def run_colors(names: Sequence[str]) -> dict[str, str]:
    """A colour for every different name: its method's, if all of them speak of methods of different colours."""
    unique = list(dict.fromkeys(names))
    colors = {name: KNOWN.get(method_of(name)) for name in unique}
    if None in colors.values() or len(set(colors.values())) < len(unique):
        return cycle(unique, PALETTE)
    return colors
