"""What the paper reports, read from ``configs/_base_/paper.py``, where it stands once."""

import runpy
from pathlib import Path

__all__ = ['find_configs', 'published_tables']

PACKAGE = Path(__file__).parents[1]


def find_configs(package: Path = PACKAGE) -> Path:
    """The folder of our configs: ``.mim/configs`` inside an installed package, ``configs`` beside it in a checkout.

    Raises:
        FileNotFoundError: it is at neither place.
    """
    places = package / '.mim' / 'configs', package.parent / 'configs'
    for place in places:
        if (place / '_base_' / 'paper.py').is_file():
            return place
    raise FileNotFoundError(f'The published numbers are missing: no _base_/paper.py in {places[0]} or {places[1]}.')


def published_tables(configs: Path | None = None) -> dict[str, dict]:
    """``table1`` to ``table10``, ``figure5a`` and ``figure5b``: what each row has, in percent.

    Args:
        configs: The folder of our configs; None looks for it.
    """
    names = runpy.run_path(str((configs or find_configs()) / '_base_' / 'paper.py'))
    return {name: value for name, value in names.items() if name.startswith(('table', 'figure'))}
