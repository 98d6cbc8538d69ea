"""The embedded digits in the layouts of the paper: their own rows, and no published numbers."""

from collections.abc import Iterable

from mixpro_mm.reporting.cells import Cells
from mixpro_mm.reporting.columns import ALPHA, AP, BESIDE5, BETA, MIOU, NAMES, OCCLUSION, PRETRAININGS, TABLE5
from mixpro_mm.reporting.layout import table_block

__all__ = ['DATA', 'DIGITS_TITLES', 'digits_table', 'in_order']

DATA = {'digits': 'digits 0 to 9', 'digits-8': 'digits 0 to 7', 'digit-scenes': 'digit scenes'}
DIGITS_TITLES = {
    'table1': 'Top-1 accuracy by model and pre-training',
    'table2': 'Mixing methods',
    'table3': 'Semantic segmentation',
    'table4': 'Object detection and instance segmentation',
    'table5': 'DigitsA and DigitsO',
    'figure3': 'Top-1 accuracy under occlusion, mean over the points of a curve',
    'table6': 'The parts of MixPro',
    'table7': 'Mask strategies, top-1 accuracy',
    'figure5a': 'Scale of the mask patches',
    'figure5b': f'The parameter {BETA}',
    'table8': 'Borders of mask patches and image patches',
    'table9': 'More random patterns',
    'table10': f'Strategies for the factor {ALPHA}',
}


def digits_table(table: str, cells: Cells) -> tuple:
    """What is not an ablation: a row is a backbone and its data, in Tables 3 to 5 also its pre-training."""
    backbones = list(dict.fromkeys(row[0] for row in cells))
    data = list(dict.fromkeys(row[1] for row in cells))
    if table == 'table1':
        names = in_order({column for found in cells.values() for column in found})
        columns = [(name, NAMES.get(name, name)) for name in names]
        return table_block(
            ['Models', 'Data'], {row: [row[0], DATA.get(row[1], row[1])] for row in cells}, columns, cells
        )
    names = in_order({row[2] for row in cells})
    ordered = sorted(cells, key=lambda row: (backbones.index(row[0]), data.index(row[1]), names.index(row[2])))
    columns = dict(table3=MIOU, table4=AP, figure3=OCCLUSION).get(table)
    if columns is None:
        columns = [*TABLE5, *(item for item in BESIDE5 if any(item[0] in found for found in cells.values()))]
    if table == 'table5':
        return table_block(
            ['pretrained', 'Backbone'], {row: [NAMES.get(row[2], row[2]), row[0]] for row in ordered}, columns, cells
        )
    rows = {row: [NAMES.get(row[2], row[2]), row[0], DATA.get(row[1], row[1])] for row in ordered}
    return table_block(['pretrained', 'Backbone', 'Data'], rows, columns, cells)


def in_order(names: Iterable[str]) -> list[str]:
    """Pre-trainings from none to MixPro, others at the end by name."""
    return sorted(names, key=lambda name: (name not in PRETRAININGS, (*PRETRAININGS, name).index(name), name))
