"""Published numbers, the cells of the paper that a record belongs to, and tables in the layout of the paper."""

import runpy
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from mixpro_mm.report.labels import PRETRAININGS, in_order, label
from mixpro_mm.report.tables import Cell, gather
from mixpro_mm.utils.configs import find_configs

__all__ = ['COLUMNS', 'ERRORS', 'METRICS', 'Paper', 'is_method', 'paper_table', 'place', 'read_paper', 'table_blocks']

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
# titles of the first column; others are 'Method'
FIRST = dict(table1='Models', table3='Model', table4='Model', table5='Pre-training', figure3='Pre-training',
             table7='Mask', table9='Model', table10='Strategy', figure5a='Scale', figure5b='β')  # fmt: skip
# rows that the others are compared with
REFERENCE_ROWS = dict(table2='baseline', table6='cutmix', table7='region', table10='pal', figure5a='scale-4',
                      figure5b='beta-1')  # fmt: skip
ERRORS = ('table10', 'figure5a', 'figure5b')  # report the top-1 error, 100 - top-1
# table -> column -> title; other tables have one column, top-1. The paper does not have the last three of Table 5.
COLUMNS = {
    'table1': {'baseline': 'baseline', 'transmix': '+TransMix', 'mixpro': '+MixPro'},
    'table2': {'params': '#Params (M)', 'speed': 'Speed (im/sec)', 'top1': 'top-1'},
    'table3': {'mIoU': 'mIoU', 'mIoU (MS)': '+MS'},
    'table4': {
        'bbox_mAP': 'APᵇ', 'bbox_mAP_50': 'APᵇ₅₀', 'bbox_mAP_75': 'APᵇ₇₅',
        'segm_mAP': 'APᵐ', 'segm_mAP_50': 'APᵐ₅₀', 'segm_mAP_75': 'APᵐ₇₅',
    },
    'table5': {
        'A_top1': 'Top1-Acc', 'A_rms_calibration_error': 'Calib-Error', 'A_aurra': 'AURRAC', 'O_aupr': 'AUPRC',
        'O_auroc': 'AUROC', 'O_fpr95': 'FPR95', 'ece': 'ECE',
    },
    'figure3': {f'occlusion_{mode}': mode for mode in ('random', 'salient', 'non-salient')},
    'table7': {'deit-tiny': 'DeiT-T', 'deit-small': 'DeiT-S'},
    **{table: {'error': 'top-1 error'} for table in ERRORS},
}  # fmt: skip
METRICS = {table: tuple(COLUMNS[table]) for table in ('table3', 'table4', 'table5', 'figure3')}  # columns are metrics
TASKS = {'table3': 'segmentation', 'table4': 'detection', 'table5': 'robustness', 'figure3': 'robustness'}
ROBUST = 'deit-small'  # the model of Table 5 and Figure 3


class Paper(NamedTuple):
    """Published numbers, file name of a config -> list of (table, row, column), and ``claims`` of the file."""

    tables: dict[str, dict]
    configs: dict[str, list[tuple[str, str, str | None]]]
    claims: dict[tuple, tuple]

    def number(self, table: str, row: str, column: str) -> float | None:
        """Return the published number of a cell, or None."""
        numbers = self.tables.get(table, {})
        for key in (ROBUST, row) if table == 'table5' else row.split('/'):
            numbers = numbers.get(key, {})
        if isinstance(numbers, tuple):
            return dict(zip(METRICS[table], numbers, strict=False)).get(column)
        if column == 'error' and numbers.get('top1') is not None:
            return 100 - numbers['top1']
        return numbers.get(column)

    def gain(self, backbone: str, places: tuple) -> float | None:
        """Return the published difference of two cells of DeiT-S or PVT-S, or that of ``backbone`` if there is one.

        None if it is not printed, or if ``backbone`` has a note after a comma.
        """
        small = f'{backbone.partition("-")[0].lower()}-small'
        own = [key for key, row in self.tables['table1'].items() if row['name'] == backbone]
        for model in (*own, small) if ',' not in backbone else ():
            numbers = [self.number(*(part.replace(small, model) for part in place)) for place in places]
            if None not in numbers:
                return round(numbers[0] - numbers[1], 1)
        return None

    def rows(self, table: str) -> dict[str, str]:
        """Return the rows of a table in the order of the paper, and their titles."""
        if table in ('table5', 'figure3'):
            return {start: label(start) for start in self.tables['table5'][ROBUST]}
        if table in ('table3', 'table4'):
            starts = [(model, start) for model, numbers in self.tables[table].items() for start in numbers]
            return {f'{model}/{start}': f'{model}, {label(start)}' for model, start in starts}
        return {key: row['name'] for key, row in self.tables.get(table, {}).items()}

    def cells(self, record: dict) -> list[tuple[str, str, str, str]]:
        """Return the cells of a record, its ``cells`` (table, row, column) or otherwise those of its config.

        The config of a robustness record is that of the test, so its row is the tested pre-training.

        Returns:
            Tuples (data, table, row, column); data is '' for the data of the paper.
        """
        task, metric = record['task'], record['metric']
        if task == 'benchmark':
            rows = {row.replace('-', ''): row for row in self.tables['table2']}
            row = rows.get(record['pretraining'].lower().replace('-', ''))
            return [('', 'table2', row, metric)] if row and record['backbone'] == ROBUST else []
        found = self.configs.get(Path(record['config']).name, ())
        if record.get('cells'):
            found = record['cells']
        elif task == 'robustness':
            trained = self.configs.get(f'{record.get("training")}.py', ())
            rows = [row for table, model, row in trained if (table, model) == ('table1', ROBUST)]
            rows += [record.get('pretraining')] * (record.get('backbone') == self.tables['table1'][ROBUST]['name'])
            found = [(table, row, None) for row in rows for table in ('table5', 'figure3')]
        return [
            (record.get('data') or '', table, row, 'error' if table in ERRORS else column or metric)
            for table, row, column in found
            if TASKS.get(table, 'classification') == task and metric in METRICS.get(table, ('top1',))
        ]


def read_paper() -> Paper:
    """Read ``_base_/paper.py`` from the configs of this package."""
    names = runpy.run_path(str(find_configs() / '_base_' / 'paper.py'))
    tables = {name: value for name, value in names.items() if name.startswith(('table', 'figure'))}
    found = {}
    for cell, config in names['cells'].items():
        found.setdefault(Path(config).name, []).append(cell)
    return Paper(tables, found, names['claims'])


def is_method(record: dict) -> bool:
    """Return whether the ``cells`` of a record are of a whole method, not of a part or a setting."""
    return bool(record.get('cells')) and record['pretraining'] in PRETRAININGS


def place(records: list[dict], paper: Paper, named_only: bool = False) -> tuple[dict[str, dict[str, dict]], list[dict]]:
    """Return data -> table -> (row, column) -> cell, and the records of the results outside these tables.

    These are the records without a cell (``named_only``: without ``cells``), and those with ``cells`` of known
    pre-trainings: the rows of a table that are whole methods.

    Raises:
        ValueError: if two records of one cell and seed differ.
    """
    pairs, rest, placed = [], [], {}
    for record in records:
        cells = paper.cells(record) if record.get('cells') or not named_only else []
        error = record | {'value': 100 - record['value']}
        pairs += [(cell, error if cell[-1] == 'error' else record) for cell in cells]
        if record['task'] != 'benchmark' and (not cells or is_method(record)):
            rest.append(record)
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
    """Return 'table1' to 'table10', 'figure3', 'figure5a' or 'figure5b' with measured cells (row, column) -> cell.

    Additional rows and columns come after those of the paper. With ``published``, all rows and numbers of the paper are
    shown, not only measured ones.
    """
    names, titles = paper.rows(table), COLUMNS.get(table, {'top1': 'top-1'})
    rows = [row for row in names if published or any(row == measured for measured, _ in cells)]
    rows += in_order(row for row, _ in cells if row not in names)
    columns = [*titles, *in_order(column for _, column in cells if column not in titles)]
    numbers = {(row, name): paper.number(table, row, name) for row in names for name in titles if published}
    printed = {cell: Cell(number, None, {}) for cell, number in numbers.items() if number is not None}
    frame = pd.DataFrame({FIRST.get(table, 'Method'): [names.get(row, label(row)) for row in rows]})
    for column in columns:
        for title, found in ((titles.get(column, label(column)), cells), ('paper', printed)):
            texts = [_text(found, row, column, _reference(table, row, column)) for row in rows]
            if set(texts) != {'-'} or (title != 'paper' and any(column == name for _, name in printed)):
                frame.insert(frame.shape[1], title, texts, allow_duplicates=True)
    return frame


def _reference(table: str, row: str, column: str) -> tuple[str, str]:
    """Return the row and column that a cell is compared with."""
    if table == 'table1' and column == 'mixpro':
        return row, 'transmix'
    return REFERENCE_ROWS.get(table, row), column


def _text(cells: dict[tuple[str, str], Cell], row: str, column: str, reference: tuple[str, str]) -> str:
    if (row, column) not in cells:
        return '-'
    cell, other = cells[row, column], cells.get(reference)
    if column in ('params', 'speed'):
        return f'{cell.mean:.0f}' if cell.mean >= 100 or cell.mean == round(cell.mean) else f'{cell.mean:#.3g}'
    return cell.text(cell.gain(other) if other and reference != (row, column) else None)
