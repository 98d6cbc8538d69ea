"""Colours and markers of methods and runs, one for each everywhere: colour-blind safe (Okabe-Ito)."""

import re
from collections.abc import Sequence

from mixpro_mm.reporting.labels import label

__all__ = ['COLORS', 'KNOWN', 'MARKERS', 'SHAPES', 'cycle', 'method_of', 'run_colors']

KNOWN = {
    'scratch': '#000000', 'mixpro': '#D55E00', 'cutmix': '#0072B2', 'transmix': '#009E73', 'mixup': '#E69F00',
    'baseline': '#56B4E9', 'official': '#7F7F7F',
    # maskmix is never in one figure with mixup, whose colour it has; a lighter grey is green to some eyes
    'maskmix': '#E69F00', 'none': '#595959', 'tokenmix': '#CC79A7',
}  # fmt: skip
COLORS = ('#0072B2', '#E69F00', '#009E73', '#CC79A7', '#56B4E9')
PALETTE = (*COLORS, KNOWN['mixpro'], KNOWN['scratch'])
MARKERS = {'scratch': 'o', 'mixpro': 'D', 'none': 'P', 'transmix': '^', 'tokenmix': 'v', 'maskmix': 'X'}
SHAPES = 'oDs^vPX'  # markers of lines by their number


def method_of(name: str) -> str | None:
    """The method with a colour of its own that a name speaks of, the last one if several; None if there is none."""
    words = re.split(r'[^a-z0-9]+', name.lower().replace('no mixing', 'none'))
    return next((word for word in reversed(words) if word in KNOWN), None)


def run_colors(names: Sequence[str]) -> dict[str, str]:
    """A colour for every different name, in their order: that of its method, else one that is left.

    Of several names that speak of one method, the method's own name has its colour, else the first of them.
    """
    unique, taken = dict.fromkeys(names), {}
    for name in sorted(unique, key=lambda name: label(name.lower()) != label(method_of(name) or '')):
        if method := method_of(name):
            taken.setdefault(KNOWN[method], name)
    own = {name: color for color, name in taken.items()}
    return unique | own | cycle([n for n in unique if n not in own], [c for c in PALETTE if c not in taken] or PALETTE)


def cycle(names, colors) -> dict[str, str]:
    """A colour for every different name, from the first on again where there are more names."""
    return {name: colors[i % len(colors)] for i, name in enumerate(dict.fromkeys(names))}
