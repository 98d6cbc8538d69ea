"""Published numbers, and the cells of the paper's tables that a record belongs to."""

import runpy
from pathlib import Path
from typing import NamedTuple

from mixpro_mm.utils.configs import find_configs

__all__ = ['COLUMNS', 'ERRORS', 'METRICS', 'Cell', 'Paper', 'read_paper']

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


class Cell(NamedTuple):
    """A cell of a table. ``data`` is '' for the data of the paper."""

    data: str
    table: str
    row: str
    column: str


class Paper(NamedTuple):
    """Published numbers, and file name of a config -> list of (table, row, column)."""

    tables: dict[str, dict]
    configs: dict[str, list[tuple[str, str, str | None]]]

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

    def cells(self, record: dict) -> list[Cell]:
        """Return the cells of a record, named by its ``table``, ``row`` and ``column`` or otherwise by its config.

        The config of a robustness record is that of the test, so its row is the tested pre-training.
        """
        task, metric = record['task'], record['metric']
        if task == 'benchmark':
            rows = {row.replace('-', ''): row for row in self.tables['table2']}
            row = rows.get(record['pretraining'].lower().replace('-', ''))
            return [Cell('', 'table2', row, metric)] if row and record['backbone'] == ROBUST else []
        found = self.configs.get(Path(record['config']).name, ())
        if record.get('table'):
            found = [(record['table'], record.get('row') or record['pretraining'], record.get('column'))]
        elif task == 'robustness':
            trained = self.configs.get(f'{record.get("training")}.py', ())
            rows = [row for table, model, row in trained if (table, model) == ('table1', ROBUST)]
            rows += [record.get('pretraining')] * (record.get('backbone') == self.tables['table1'][ROBUST]['name'])
            found = [(table, row, None) for row in rows for table in ('table5', 'figure3')]
        return [
            Cell(record.get('data') or '', table, row, 'error' if table in ERRORS else column or metric)
            for table, row, column in found
            if TASKS.get(table, 'classification') == task and metric in METRICS.get(table, ('top1',))
        ]


def read_paper(configs: Path | None = None) -> Paper:
    """Read ``_base_/paper.py`` from a folder of configs, by default that of this package."""
    names = runpy.run_path(str((configs or find_configs()) / '_base_' / 'paper.py'))
    tables = {name: value for name, value in names.items() if name.startswith(('table', 'figure'))}
    found = {}
    for cell, config in names.get('cells', {}).items():
        found.setdefault(Path(config).name, []).append(cell)
    return Paper(tables, found)
