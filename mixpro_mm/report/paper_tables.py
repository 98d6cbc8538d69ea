"""Tables in the layout of the paper, with measured and published numbers."""

from collections.abc import Callable

import pandas as pd

from mixpro_mm.report.labels import in_order, label
from mixpro_mm.report.paper import COLUMNS, Paper
from mixpro_mm.report.tables import Cell, gather

__all__ = ['TITLES', 'paper_table', 'place', 'table_blocks']

TITLES = {
    'table1': 'Table 1. Top-1 accuracy by model, ImageNet-1k',
    'table2': 'Table 2. Mixing methods on DeiT-S: training speed and top-1 accuracy',
    'table3': 'Table 3. Semantic segmentation on Pascal Context',
    'table4': 'Table 4. Object detection and instance segmentation on COCO, Mask R-CNN',
    'table5': 'Table 5. DeiT-S on ImageNet-A and ImageNet-O',
    'figure3': 'Figure 3. Top-1 accuracy under occlusion, mean over the occluded points of a curve',
    'table6': 'Table 6. The parts of MixPro, DeiT-S',
    'table7': 'Table 7. Mask strategies, top-1 accuracy',
    'figure5a': 'Figure 5 (a). Scale of the mask patches, DeiT-S',
    'figure5b': 'Figure 5 (b). The parameter β, DeiT-S',
    'table8': 'Table 8. Borders of mask patches and image patches, DeiT-T',
    'table9': 'Table 9. More random patterns, DeiT-T',
    'table10': 'Table 10. Strategies for the factor \N{GREEK SMALL LETTER ALPHA}, DeiT-T',
}  # in the order of the paper
PARTS = ('CutMix', 'TransMix', 'MaskMix', 'PAL')
OURS = ('MixPro', 'PAL', 'MaskMix')
MODELS = {
    'deeplabv3plus_r101': 'ResNet101, DeepLabV3+', 'linear_deit-small': 'DeiT-S, linear',
    'segmenter_deit-small': 'DeiT-S, Segmenter', 'mask-rcnn_r50': 'ResNet50', 'mask-rcnn_r101': 'ResNet101',
    'mask-rcnn_pvt-small': 'PVT-S',
}  # fmt: skip
FIRST = dict(table7='Mask', table8='Method', table9='Model', figure5a='Scale', figure5b='β')  # title of the rows
# (row, column) -> the (row, column) that the paper compares it with
REFERENCES: dict[str, Callable] = {
    'table1': lambda row, column: (row, 'transmix') if column == 'mixpro' else None,
    'table2': lambda row, column: ('baseline', column) if column == 'top1' and row != 'baseline' else None,
    'table6': lambda row, column: ('cutmix', column) if row != 'cutmix' else None,
}


def place(records: list[dict], paper: Paper) -> tuple[dict[str, dict[str, dict]], list[dict]]:
    """Return data -> table -> (row, column) -> cell, and the records without a cell.

    Raises:
        ValueError: if two records of one cell and seed differ.
    """
    pairs, rest = [], []
    for record in records:
        cells = paper.cells(record)
        error = record | {'value': 100 - record['value']}
        pairs += [(cell, error if cell.column == 'error' else record) for cell in cells]
        rest += [record] * (not cells and record['task'] != 'benchmark')
    placed: dict[str, dict[str, dict[tuple, Cell]]] = {}
    for (data, table, row, column), cell in gather(pairs).items():
        placed.setdefault(data, {}).setdefault(table, {})[row, column] = cell
    return placed, rest


def table_blocks(data: str, tables: dict[str, dict], paper: Paper) -> list[tuple]:
    """Return the blocks of the tables measured on ``data``, in the order of the paper."""
    blocks = []
    for table in filter(tables.get, TITLES):
        title = f'{TITLES[table].partition(". ")[0]} on {data}' if data else TITLES[table]
        blocks += [('subheading', title), ('table', paper_table(table, tables[table], paper, not data))]
    return blocks


def paper_table(table: str, cells: dict[tuple[str, str], Cell], paper: Paper, published: bool = True) -> pd.DataFrame:
    """Return a table of the paper as text. Additional rows and columns come after those of the paper.

    Args:
        table: 'table1' to 'table10', 'figure3', 'figure5a' or 'figure5b'.
        cells: (row, column) -> measured cell.
        paper: The published numbers.
        published: Show all rows of the paper and its numbers, not only measured ones.
    """
    leads, titles = _leads(table, paper), COLUMNS.get(table, {'top1': 'top-1'})
    rows = [row for row in leads if published or any(row == cell[0] for cell in cells)]
    rows += in_order(row for row, _ in cells if row not in leads)
    reference = REFERENCES.get(table, lambda row, column: None)
    numbers = {(row, name): paper.number(table, row, name) for row in leads for name in titles if published}
    printed = {cell: Cell(number, None, 1, {}) for cell, number in numbers.items() if number is not None}
    columns = [name for name in titles if any(name == column for _, column in (*cells, *printed))]
    columns += in_order(column for _, column in cells if column not in titles)
    first = list(next(iter(leads.values()), {'Pre-training': ''}))
    frame = pd.DataFrame([leads.get(row) or dict.fromkeys(first, '-') | {first[0]: label(row)} for row in rows])
    for column in columns:
        for title, found in ((titles.get(column, label(column)), cells), ('paper', printed)):
            texts = [_text(column, found.get((row, column)), found.get(reference(row, column))) for row in rows]
            if title != 'paper' or set(texts) != {'-'}:
                frame.insert(frame.shape[1], title, texts, allow_duplicates=True)
    return frame


def _leads(table: str, paper: Paper) -> dict[str, dict[str, str]]:
    """Return row -> title -> text of the columns before the numbers."""
    rows = paper.tables.get(table, {})
    if table == 'table1':
        return {key: {'Models': row['name'], '#Params (M)': f'{row["params"]:g}', '#FLOPs (G)': f'{row["gflops"]:g}'}
                for key, row in rows.items()}  # fmt: skip
    if table in ('table3', 'table4'):
        return {
            f'{model}/{start}': {'Model': MODELS[model], 'Pre-training': label(start)}
            for model, starts in rows.items()
            for start in starts
        }
    if table in ('table5', 'figure3'):
        return {start: {'Pre-training': label(start)} for start in paper.tables['table5']['deit-small']}
    names = {key: row['name'].removeprefix('beta ') for key, row in rows.items()}
    if table == 'table6':
        return {key: {part: '✓' if part in name.split(' + ') else '-' for part in PARTS} for key, name in names.items()}
    names = {key: f'{name} (ours)' if name in OURS else name for key, name in names.items()}
    if table == 'table10':
        return {key: {'Strategy': name, 'Factor': rows[key]['factor']} for key, name in names.items()}
    return {key: {FIRST.get(table, 'Method'): name} for key, name in names.items()}


def _text(column: str, cell: Cell | None, other: Cell | None) -> str:
    if cell is None:
        return '-'
    if column in ('params', 'speed'):
        whole = cell.mean >= 100 or cell.mean == round(cell.mean)
        return f'{cell.mean:.0f}' if whole else f'{cell.mean:#.3g}'
    return cell.text(None if other is None else cell.mean - other.mean)
