"""Run-length encoded masks of COCO, read without pycocotools, which leaves memory unset where counts are cut short."""

__all__ = ['mask_bounds', 'read_runs']


def read_runs(counts: str | list) -> list[int]:
    """Lengths of the runs in pixels, column by column, background first.

    Args:
        counts: The compressed string (pycocotools, ``rleFrString``) or the list of lengths.

    Raises:
        ValueError: They are no run lengths; the message says why.
    """
    if isinstance(counts, str):
        runs = _decompress(counts)
    elif isinstance(counts, list):
        runs = counts
    else:
        raise ValueError(f'counts are of type {type(counts).__name__}, neither a string nor a list')
    for number, run in enumerate(runs):
        if isinstance(run, bool) or not isinstance(run, int | float) or not run >= 0 or run % 1 != 0:
            raise ValueError(f'counts hold {run!s:.40} at place {number}, which is no length of a run')
    return [int(run) for run in runs]


def mask_bounds(runs: list[int], height: int) -> tuple[int, int, int, int] | None:
    """Box x1, y1, x2, y2 around the mask in pixels, its end exclusive; None for an empty mask."""
    ends, columns, rows = 0, [], []
    for number, run in enumerate(runs):
        start, ends = ends, ends + run
        if number % 2 and run:
            first, last = start // height, (ends - 1) // height
            columns += first, last
            rows += (start % height, (ends - 1) % height) if first == last else (0, height - 1)
    return (min(columns), min(rows), max(columns) + 1, max(rows) + 1) if columns else None


def _decompress(text: str) -> list[int]:
    """Groups of five bits, lowest first, a sixth for "more follow"; from the fourth run on differences."""
    runs, value, shift = [], 0, 0
    for place, character in enumerate(text):
        code = ord(character) - 48
        if not 0 <= code < 64:
            raise ValueError(f'counts hold {character!r} at place {place}, which no compressed RLE has')
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            if code & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError('counts end within a number, so they are cut short')
    return runs
