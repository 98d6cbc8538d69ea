"""What the paper reports and which config is which of its cells, from ``configs/_base_/paper.py``."""

import runpy
from pathlib import Path
from typing import NamedTuple

__all__ = ['ERRORS', 'METRICS', 'CellKey', 'Paper', 'find_configs', 'published_tables', 'read_paper']

PACKAGE = Path(__file__).parents[1]
# metrics of the tables with several, in the order of the paper; the last three of Table 5 are not in the paper
METRICS = {
    'table3': ('mIoU', 'mIoU (MS)'),
    'table4': ('bbox_mAP', 'bbox_mAP_50', 'bbox_mAP_75', 'segm_mAP', 'segm_mAP_50', 'segm_mAP_75'),
    'table5': ('A_top1', 'A_rms_calibration_error', 'A_aurra', 'O_aupr', 'O_auroc', 'O_fpr95', 'ece'),
    'figure3': ('occlusion_random', 'occlusion_salient', 'occlusion_non-salient'),
}
TASKS = {'table3': 'segmentation', 'table4': 'detection', 'table5': 'robustness', 'figure3': 'robustness'}
ERRORS = ('table10', 'figure5a', 'figure5b')  # have the top-1 error, 100 - top-1
ROBUST = 'deit-small'  # the model of Table 5 and Figure 3


class CellKey(NamedTuple):
    """Where a cell is: ``data`` is '' for what the paper trains on, else the name of other data."""

    data: str
    table: str
    row: str
    column: str


class Paper(NamedTuple):
    """``tables``: the published numbers; ``configs``: file name of a config -> its (table, row, column)."""

    tables: dict[str, dict]
    configs: dict[str, list[tuple[str, str, str | None]]]

    def number(self, table: str, row: str, column: str) -> float | None:
        """The published number of a cell in the unit of the paper; None where the paper prints none."""
        numbers = self.tables.get(table, {})
        for key in (ROBUST, row) if table == 'table5' else row.split('/'):
            numbers = numbers.get(key, {})
        if isinstance(numbers, tuple):
            return dict(zip(METRICS[table], numbers, strict=False)).get(column)
        if column == 'error' and numbers.get('top1') is not None:
            return 100 - numbers['top1']
        return numbers.get(column)

    def cells(self, record: dict) -> list[CellKey]:
        """The cells of a record: that of its ``table``, ``row`` and ``column``, else those of its config.

        Records of robustness belong to the row of the pre-training that was tested; their config is that of the test.
        """
        task, metric = record['task'], record['metric']
        if task == 'benchmark':
            rows = {row.replace('-', ''): row for row in self.tables['table2']}
            row = rows.get(record['pretraining'].lower().replace('-', ''))
            return [CellKey('', 'table2', row, metric)] if row and record['backbone'] == ROBUST else []
        found = self.configs.get(Path(record['config']).name, ())
        if record.get('table'):
            found = [(record['table'], record.get('row') or record['pretraining'], record.get('column'))]
        elif task == 'robustness':
            trained = self.configs.get(f'{record.get("training")}.py', ())
            rows = [row for table, model, row in trained if (table, model) == ('table1', ROBUST)]
            rows += [record.get('pretraining')] * (record.get('backbone') == self.tables['table1'][ROBUST]['name'])
            found = [(table, row, None) for row in rows for table in ('table5', 'figure3')]
        return [
            CellKey(record.get('data') or '', table, row, 'error' if table in ERRORS else column or metric)
            for table, row, column in found
            if TASKS.get(table, 'classification') == task and metric in METRICS.get(table, ('top1',))
        ]


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


def read_paper(configs: Path | None = None) -> Paper:
    """Published numbers and cells from the folder of our configs, which is looked for if None."""
    names = runpy.run_path(str((configs or find_configs()) / '_base_' / 'paper.py'))
    tables = {name: value for name, value in names.items() if name.startswith(('table', 'figure'))}
    found = {}
    for cell, config in names.get('cells', {}).items():
        found.setdefault(Path(config).name, []).append(cell)
    return Paper(tables, found)


def published_tables(configs: Path | None = None) -> dict[str, dict]:
    """``table1`` to ``table10``, ``figure5a`` and ``figure5b``: what each row has, in percent."""
    return read_paper(configs).tables
