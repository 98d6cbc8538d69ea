"""The tables of the paper as blocks: its rows, columns and order; beside each measured number the published one."""

from mixpro_mm.reporting.cells import Cells, Mean
from mixpro_mm.reporting.columns import ALPHA, AP, BESIDE5, BETA, CROSS, MIOU, NAMES, OCCLUSION, TABLE5
from mixpro_mm.reporting.digits_tables import DIGITS_TITLES, digits_table, in_order
from mixpro_mm.reporting.layout import table_block
from mixpro_mm.reporting.places import IMAGENET, RELEASED

__all__ = ['TITLES', 'paper_table']

TITLES = {
    'table1': 'Table 1. Top-1 accuracy by model, ImageNet-1k',
    'table2': 'Table 2. Mixing methods on DeiT-S: training speed and top-1 accuracy',
    'table3': 'Table 3. Semantic segmentation on Pascal Context',
    'table4': 'Table 4. Object detection and instance segmentation on COCO, Mask R-CNN',
    'table5': 'Table 5. DeiT-S on ImageNet-A and ImageNet-O',
    'figure3': 'Figure 3. Top-1 accuracy under occlusion, mean over the points of a curve',
    'table6': 'Table 6. The parts of MixPro, DeiT-S',
    'table7': 'Table 7. Mask strategies, top-1 accuracy',
    'figure5a': 'Figure 5 (a). Scale of the mask patches, DeiT-S',
    'figure5b': f'Figure 5 (b). The parameter {BETA}, DeiT-S',
    'table8': 'Table 8. Borders of mask patches and image patches, DeiT-T',
    'table9': 'Table 9. More random patterns, DeiT-T',
    'table10': f'Table 10. Strategies for the factor {ALPHA}, DeiT-T',
}  # in the order of the paper
ACCURACY, ERROR = 'top-1 Acc (%)', 'Top-1 Error (%)'


def paper_table(table: str, section: str, cells: Cells, published: dict[str, dict]) -> list[tuple]:
    """A subheading and a table; published numbers stand there on ImageNet only.

    Args:
        table: 'table1' to 'table10', 'figure3', 'figure5a', 'figure5b'.
        section: IMAGENET or DIGITS.
        cells: What was measured.
        published: Of ``published_tables``.
    """
    if section == IMAGENET:
        return [('subheading', TITLES[table]), _TABLES[table](table, cells, published)]
    title = f'{DIGITS_TITLES[table]} (layout of {TITLES[table].split(". ")[0]})'
    if _TABLES[table] in (_ablation, _matrix):
        return [('subheading', title), _TABLES[table](table, cells, published, with_paper=False)]
    return [('subheading', title), digits_table(table, cells)]


def _table1(table: str, cells: Cells, published: dict) -> tuple:
    paper = published[table]
    rows = {model: [row['name'], f'{row["params"]:g}M', f'{row["gflops"]:g}G'] for model, row in paper.items()}
    if RELEASED in cells:
        paper = paper | {RELEASED: dict(baseline=None, transmix=None, mixpro=paper['deit-small']['mixpro'])}
        rows = _after(rows, 'deit-small', RELEASED, ['DeiT-S, patch 14, released code', '-', '-'])
    columns = ('baseline', 'Top-1 Acc(%)'), ('transmix', '+TransMix'), ('mixpro', '+MixPro')
    return table_block(
        ['Models', 'Params', '#FLOPs'], rows, columns, cells,
        lambda row, column: paper[row][column],
        lambda row, column: (row, 'transmix') if column == 'mixpro' else None,
    )  # fmt: skip


def _ablation(table: str, cells: Cells, published: dict, with_paper: bool = True) -> tuple:
    """Tables 2, 6, 9 and 10 and the panels of Figure 5: a row is a config."""
    paper = published[table]
    first = next(iter(paper))
    backbone = 'DeiT-S' if with_paper else 'DeiT-micro'
    columns, gain = [('top1', ACCURACY)], None
    if table == 'table2':
        leads, lead = ['Method', 'Backbone'], lambda row: [_ours(row), backbone]
        columns, gain = [('params', '#Params'), ('speed', 'Speed (im/sec)'), *columns], first
    elif table == 'table6':
        parts = ['CutMix', 'TransMix', 'MaskMix', 'PAL']
        leads, gain = parts, first
        lead = lambda row: ['✓' if part in row['name'].split(' + ') else CROSS for part in parts]  # noqa: E731
    elif table == 'table9':
        leads, lead = ['model'], lambda row: [row['name']]
        columns = [('top1', 'results')]
    elif table == 'table10':
        leads, lead = ['strategy', ALPHA], lambda row: [_ours(row), row['factor']]
    else:
        leads, lead = ['scale' if table == 'figure5a' else BETA], lambda row: [row['name'].removeprefix('beta ')]
    rows = {name: lead(row) for name, row in paper.items()}
    if table == 'table2' and 'gridmix-local' in cells:
        rows = _after(rows, 'gridmix', 'gridmix-local', ['GridMix, local loss', backbone])
    if table in ('table10', 'figure5a', 'figure5b'):
        columns, cells = [('error', ERROR)], {row: {'error': _error(found['top1'])} for row, found in cells.items()}
    if table in ('figure5a', 'figure5b'):
        paper = {name: {'error': row['top1'] and 100 - row['top1']} for name, row in paper.items()}
    return table_block(
        leads, rows, columns, cells,
        (lambda row, column: paper[row.removesuffix('-local')][column]) if with_paper else None,
        lambda row, column: (first, column) if gain and row != first and column == 'top1' else None,
    )  # fmt: skip


def _after(rows: dict, row: str, new: str, lead: list[str]) -> dict:
    """The rows with a new one, of ours, below that of the paper."""
    items = list(rows.items())
    items.insert(list(rows).index(row) + 1, (new, lead))
    return dict(items)


def _ours(row: dict) -> str:
    return f'{row["name"]} (Ours)' if row['name'] in ('MixPro', 'PAL', 'MaskMix') else row['name']


def _error(top1: Mean) -> Mean:
    return top1._replace(value=100 - top1.value)


def _table3(table: str, cells: Cells, published: dict) -> tuple:
    paper, rows = published[table], {}
    for model, starts in paper.items():
        for start in starts:
            name = 'ResNet101' if model == 'deeplabv3plus_r101' else 'DeiT-S'
            decoder = {'deeplabv3plus_r101': 'Deeplabv3+', 'linear_deit-small': 'Linear'}.get(model, 'Segmenter')
            rows[model, start] = [name if start == 'baseline' else f'+{NAMES[start]}', name, decoder]
    keys = [key for key, _ in MIOU]
    number = lambda row, column: paper[row[0]][row[1]][keys.index(column)]  # noqa: E731
    return table_block(['pretrained', 'Backbone', 'Decoder'], rows, MIOU, cells, number)


def _table4(table: str, cells: Cells, published: dict) -> tuple:
    paper, rows = published[table], {}
    for model, starts in paper.items():
        name = {'mask-rcnn_r50': 'ResNet50', 'mask-rcnn_r101': 'ResNet101'}.get(model, 'PVT-S')
        for start in starts:
            rows[model, start] = [name if start == 'baseline' else f'{NAMES[start]}-{name}']
            official = model, 'official'
            if start == 'baseline' and official in cells:
                rows[official] = [f'{name}, official weights']
    keys = [key for key, _ in AP]

    def number(row, column):
        model, start = row
        return paper[model]['baseline' if start == 'official' else start][keys.index(column)]

    return table_block(['Backbone'], rows, AP, cells, number)


def _table5(table: str, cells: Cells, published: dict) -> tuple:
    paper, keys = published[table]['deit-small'], [key for key, _ in TABLE5]
    rows = {start: ['DeiT-S' if start == 'baseline' else f'{NAMES[start]}-DeiT-S'] for start in paper}
    number = lambda row, column: paper[row][keys.index(column)]  # noqa: E731
    kind, header, body, _ = table_block(['Models'], rows, TABLE5, cells, number)
    beside = [column for column in BESIDE5 if any(column[0] in found for found in cells.values())]
    _, more, numbers, _ = table_block([], {row: [] for row in rows}, beside, cells)
    body = [[*left, *right] for left, right in zip(body, numbers, strict=True)]
    return kind, [*header, *more], body, range(1, len(header) + len(more))


def _figure3(table: str, cells: Cells, published: dict) -> tuple:
    rows = {row: [f'DeiT-S, {NAMES.get(row, row)}'] for row in in_order(cells)}
    return table_block(['Models'], rows, OCCLUSION, cells)


def _matrix(table: str, cells: Cells, published: dict, with_paper: bool = True) -> tuple:
    """Tables 7 and 8: a column is a config."""
    paper = published[table]
    columns = [(name, _ours(row) if table == 'table8' else row['name']) for name, row in paper.items()]
    if table == 'table8':
        rows, number = {'top1': ['Top-1 Acc (%)']}, lambda row, column: paper[column]['top1']
    else:
        models = {'deit-tiny': 'Deit-T', 'deit-small': 'Deit-S'} if with_paper else {'deit-micro': 'DeiT-micro'}
        rows, number = {model: [name] for model, name in models.items()}, lambda row, column: paper[column][row]
    return table_block(
        ['method' if table == 'table8' else 'model'], rows, columns, cells, number if with_paper else None
    )


_TABLES = dict.fromkeys(('table2', 'table6', 'table9', 'table10', 'figure5a', 'figure5b'), _ablation) | dict(
    table1=_table1, table3=_table3, table4=_table4, table5=_table5, figure3=_figure3, table7=_matrix, table8=_matrix
)
