"""Tables as blocks, with published numbers beside the measured ones."""

from collections.abc import Callable, Iterable

from mixpro_mm.reporting.cells import Cells, Mean, cell_text, mean_of

__all__ = ['table_block']


def table_block(
    leads: list[str],
    rows: dict,
    columns: Iterable[tuple[str, str]],
    cells: Cells,
    paper: Callable | None = None,
    gain: Callable = lambda row, column: None,
) -> tuple:
    """A table as a block, with a column of published numbers beside each measured one.

    Args:
        leads: Titles of the columns before the numbers.
        rows: row -> their texts.
        columns: (key, title) of the numbers.
        cells: What was measured.
        paper: (row, column) -> the published number or None; without it there are no columns for them.
        gain: (row, column) -> the (row, column) that a cell is compared with, or None.
    """

    def texts(row, column: str) -> list[str]:
        measured, than = cells.get(row, {}).get(column), gain(row, column)
        text = _format(column, measured, than and cells.get(than[0], {}).get(than[1]))
        if paper is None:
            return [text]
        number = paper(row, column)
        return [text, _format(column, _number(number), _number(than and paper(*than)), printed=True)]

    columns = list(columns)
    header = [*leads, *(text for _, title in columns for text in ([title] if paper is None else [title, 'paper']))]
    body = [[*lead, *(text for column, _ in columns for text in texts(row, column))] for row, lead in rows.items()]
    return 'table', header, body, range(len(leads), len(header))


def _number(number: float | None) -> Mean | None:
    return None if number is None else mean_of([number])


def _format(column: str, cell: Mean | None, than: Mean | None, printed: bool = False) -> str:
    if cell is not None and column in ('params', 'speed'):
        text = f'{cell.value:.0f}' if printed or cell.value >= 100 else f'{cell.value:#.3g}'
        return f'{text}M' if column == 'params' else text
    return cell_text(cell, than)
