"""Which cell of which table of the paper a record belongs to: its config's file name says so."""

import re
from pathlib import Path
from typing import NamedTuple

from mixpro_mm.reporting.columns import AP, BESIDE5, MIOU, OCCLUSION, PRETRAININGS, TABLE5

__all__ = ['DIGITS', 'IMAGENET', 'RELEASED', 'Place', 'place_of']

IMAGENET, DIGITS = 'imagenet', 'digits'  # what the paper measured, and the embedded data, which nothing there is
TRAININGS = {'mixup-cutmix': 'baseline', 'transmix': 'transmix', 'mixpro': 'mixpro'}  # in names of configs: in tables
ABLATION = re.compile(r'(table\d+|figure5[ab])_(deit-\w+)_([\w.-]+)_(8xb128_in1k|digits)')
PRETRAIN = re.compile(rf'([\w-]+?)_({"|".join(TRAININGS)})_8xb128_in1k')
TABLE3 = re.compile(r'(deeplabv3plus_r101|(?:linear|segmenter)_deit-small)(?:_(\w+))?_4xb4-\d+k_pascal-context-480x480')
TABLE4 = re.compile(r'(mask-rcnn_(?:r50|r101|pvt-small))(?:_(\w+))?_1x_coco')
MICRO = re.compile(r'(?:(?:segmenter|mask-rcnn)_)?(deit|pvt)-micro_([\w-]+)_(digits[\w-]*|digit-scenes[\w-]*)')
STAGE = re.compile(rf'[a-z]+_({"|".join(PRETRAININGS)})')  # of a study, such as pvt_mixpro
BACKBONES = {'deit': 'DeiT-micro', 'pvt': 'PVT-micro'}
COLUMNS = dict(table3=MIOU, table4=AP, table5=(*TABLE5, *BESIDE5), figure3=OCCLUSION)
METRICS = {table: [metric for metric, _ in columns] for table, columns in COLUMNS.items()}
MODELS = {'table2': 'deit-small', 'table6': 'deit-small', 'figure5a': 'deit-small', 'figure5b': 'deit-small',
          'table8': 'deit-tiny', 'table9': 'deit-tiny', 'table10': 'deit-tiny'}  # fmt: skip
RELEASED = 'deit-small-p14'  # DeiT-S as the released code trains it, a second row for one of Table 1
SPEED = {'attentivecutmix': 'attentive-cutmix'}  # what the benchmark calls it: what configs call it


class Place(NamedTuple):
    """A cell; ``section`` is IMAGENET or DIGITS, ``table`` one of table1 to table10, figure3, figure5a, figure5b."""

    section: str
    table: str
    row: str | tuple
    column: str


def place_of(record: dict, published: dict[str, dict]) -> Place | None:
    """The cell of a record, None for what the paper has no cell for.

    ImageNet's cells are taken by configs of ours only. On the digits, a row is (backbone, data) or, where each
    pre-training has its own, (backbone, data, pre-training); '' for data where a row has several.

    Args:
        record: As in ``results.json``; ``trained`` (names of configs and folders, the most telling first, or else the
            folder in ``checkpoint``) stands in for ``backbone`` and ``pretraining``, then ``name``.
        published: Of ``published_tables``, for the rows that there are.
    """
    place = _place(record)
    return place if place and _exists(place, published) else None


def _exists(place: Place, published: dict[str, dict]) -> bool:
    """Whether the paper has such a row and column; digits have rows of their own."""
    section, table, row, column = place
    if table in METRICS and column not in METRICS[table]:
        return False
    if table == 'figure3' or (section == DIGITS and table in ('table1', *METRICS)):
        return True
    paper = published[table]
    if table in ('table7', 'table8'):
        return column in paper and (section == DIGITS or row in ('top1', *paper[column]))
    if table == 'table5':
        return row in paper['deit-small']
    if table in ('table3', 'table4'):
        return row[0] in paper and (row[1] in paper[row[0]] or (table == 'table4' and row[1] == 'official'))
    return row.removesuffix('-local') in paper or row == RELEASED


def _place(record: dict) -> Place | None:
    stem, metric = Path(record['config']).stem, record['metric']
    if record['task'] == 'benchmark':
        row = record['pretraining'].lower()
        return Place(IMAGENET, 'table2', SPEED.get(row, row), metric) if record['backbone'] == 'deit-small' else None
    if metric == 'top1' and (found := ABLATION.fullmatch(stem)):
        table, model, row, data = found.groups()
        section = DIGITS if data == 'digits' else IMAGENET
        if section == IMAGENET and table in MODELS and model != MODELS[table]:
            return None
        columns = dict(table7=(model, row), table8=('top1', row))  # there a column is a config, elsewhere a row
        return Place(section, table, *columns.get(table, (row, 'top1')))
    if 'digit' in stem:
        return _digits(record, stem, metric)
    if metric == 'top1' and (found := PRETRAIN.fullmatch(stem)):
        return Place(IMAGENET, 'table1', found[1], TRAININGS[found[2]])
    if metric == 'top1' and stem == 'deit-small-p14_mixpro-released-code_8xb128_in1k':
        return Place(IMAGENET, 'table1', RELEASED, 'mixpro')
    for task, table, pattern in (('segmentation', 'table3', TABLE3), ('detection', 'table4', TABLE4)):
        if record['task'] == task and (found := pattern.fullmatch(stem)):
            return Place(IMAGENET, table, (found[1], found[2] or 'baseline'), metric)
    return _robustness(record, stem, metric) if record['task'] == 'robustness' else None


def _robustness(record: dict, stem: str, metric: str) -> Place | None:
    """Table 5 and Figure 3 on ImageNet: every row of them is one config with another checkpoint."""
    start = next(filter(None, map(PRETRAIN.fullmatch, _trained(record))), None)
    method = TRAININGS[start[2]] if start else record.get('pretraining')
    model = start[1] if start else stem.partition('_')[0]
    if model != 'deit-small' or not re.search(r'imagenet|in1k', stem):
        return None
    if metric.startswith('occlusion_'):
        return Place(IMAGENET, 'figure3', method or record.get('name') or _folder(record, stem), metric)
    return Place(IMAGENET, 'table5', method, metric) if method in TRAININGS.values() else None


def _digits(record: dict, stem: str, metric: str) -> Place | None:
    """The same layouts for the embedded digits; backbone and pre-training as the record or names of files have them."""
    own = [] if record['task'] == 'robustness' else [stem]  # its config is that of the test, one for all
    others = [] if record['task'] == 'classification' else _trained(record)
    start = next(filter(None, map(MICRO.fullmatch, own + others)), None)
    stage = next(filter(None, map(STAGE.fullmatch, others)), None)
    backbone = record.get('backbone') or _backbone(start or re.search('(deit|pvt)-micro', stem))
    method = record.get('pretraining') or (start and start[2]) or record.get('name') or (stage and stage[1])
    if record['task'] == 'classification' and not method:
        return None  # a model of somebody's own
    method = method or _folder(record, stem)
    data = stem.rpartition('_')[2]
    if metric.startswith('occlusion_'):
        return Place(DIGITS, 'figure3', (backbone, data, method), metric)
    if record['task'] == 'robustness':
        return Place(DIGITS, 'table5', (backbone, '', method), metric)
    tables = dict(classification='table1', segmentation='table3', detection='table4')
    if record['task'] not in tables:
        return None
    table = tables[record['task']]
    if table == 'table1':
        return Place(DIGITS, table, (backbone, data), method) if metric == 'top1' else None
    return Place(DIGITS, table, (backbone, data, method), metric)


def _trained(record: dict) -> list[str]:
    return record.get('trained') or [Path(record.get('checkpoint') or '').parent.name]


def _folder(record: dict, stem: str) -> str:
    """The folder of what was tested, for a row that nothing else gives a name; not the one that the config gave it."""
    return next((name for name in reversed(_trained(record)) if name not in ('', stem)), '-')


def _backbone(found: re.Match | None) -> str:
    return BACKBONES[found[1]] if found else '-'
