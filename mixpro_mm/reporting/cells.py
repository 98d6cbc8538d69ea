"""Records to the cells of tables: every seed once, their mean and deviation, and where each number is from."""

import math
import statistics
from collections.abc import Iterable
from typing import NamedTuple

from mixpro_mm.reporting.places import Place, place_of
from mixpro_mm.reporting.tables import signed

__all__ = ['Cells', 'Mean', 'cell_text', 'cells_of', 'mean_of']


class Mean(NamedTuple):
    """Mean and sample standard deviation (None for a single seed) over ``count`` seeds."""

    value: float
    std: float | None
    count: int


Cells = dict[str | tuple, dict[str, Mean]]  # of one table: row -> column -> cell


def mean_of(values: list[float]) -> Mean:
    """A run that gave no number makes all of them none."""
    if not all(map(math.isfinite, values)):
        return Mean(math.nan, math.nan if len(values) > 1 else None, len(values))
    return Mean(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


def cells_of(records: Iterable[dict], published: dict[str, dict]) -> tuple[dict[tuple[str, str], Cells], list[dict]]:
    """Cells by (section, table), in the order of the records, and the records that no table has a cell for.

    Args:
        records: As in ``results.json``, each with its file as ``source``.
        published: Of ``published_tables``, for the rows that there are.

    Raises:
        ValueError: two records for one cell and seed that say different things, from whatever files.
    """
    places: dict[Place, dict] = {}
    rest = {}
    for record in records:
        place = place_of(record, published)
        key = place or (record['config'], record.get('backbone'), record.get('pretraining'), record['metric'],
                        record.get('checkpoint'))  # fmt: skip
        seeds = (places if place else rest).setdefault(key, {})
        seed = record.get('seed')
        if seed in seeds and not math.isclose(seeds[seed]['value'], record['value'], rel_tol=1e-6):
            raise ValueError(_twice(place, seeds[seed], record))
        seeds.setdefault(seed, record)  # a test done twice says the same twice
    tables: dict[tuple[str, str], Cells] = {}
    for place, seeds in places.items():
        row = tables.setdefault((place.section, place.table), {}).setdefault(place.row, {})
        row[place.column] = mean_of([record['value'] for record in seeds.values()])
    return tables, [record for seeds in rest.values() for record in seeds.values()]


def _twice(place: Place | None, first: dict, second: dict) -> str:
    """One sentence that names both files."""
    files = first['source'], second['source']
    where = files[0] if files[0] == files[1] else f'{files[0]} and {files[1]}'
    what = f'{second["metric"]} of {second["config"]} with seed {second.get("seed")}'
    row = place and (place.row if isinstance(place.row, str) else ', '.join(filter(None, place.row)))
    cell = f' ({place.table}, {row}, {place.column})' if place else ''
    return f'{where}: two records for {what}{cell}, {first["value"]:g} and {second["value"]:g}; give only one of them.'


def cell_text(cell: Mean | None, than: Mean | None = None) -> str:
    """``81.3``, ``81.3 ± 0.1 (n=3)``, with the gain over another cell in the same brackets; ``-`` for None."""
    if cell is None:
        return '-'
    gain = [] if than is None else [signed(cell.value - than.value)]
    seeds = [] if cell.std is None else [f'n={cell.count}']
    spread = '' if cell.std is None else f' ± {cell.std:.1f}'
    brackets = f' ({", ".join(seeds + gain)})' if seeds or gain else ''
    return f'{cell.value:.1f}{spread}{brackets}'
