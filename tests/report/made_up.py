"""Synthetic results for tests of reports."""

import json
from pathlib import Path

from mixpro_mm.report.paper import METRICS, TASKS, read_paper

STUDY = dict(task='classification', backbone='X', pretraining='mixpro', metric='top1', value=80.0, seed=0)

BENCHMARK = dict(
    device='a CPU', threads=1, cores=2, date='2026-01-01', settings=dict(batch=8),
    records=[
        dict(section='step', part=part, method='CutMix', backbone='deit-small', images_per_s=speed,
             parameters_millions=22.0)
        for part, speed in (('forward and backward', 3.0), ('with optimizer', 2.0))
    ] + [dict(section='labelling', method='MixPro')],
)  # fmt: skip


def study_record(config='mine/vit', **changes):
    """Return a record of a study."""
    return STUDY | dict(config=f'configs/{config}.py') | changes


def paper_records(offset=0.0, seed=0):
    """Return a record for each published number, shifted by ``offset``, and for the rows of Figure 3."""
    paper, records = read_paper(), []
    rows = [*cells(), *(('figure3', name, None) for name in paper.tables['table5']['deit-small'])]
    for table, row, column in rows:
        metrics = METRICS.get(table, ('top1',))
        for metric in (column,) if column in metrics else metrics:
            number = paper.number(table, row, column or metric)
            if number is None and table in METRICS and table != 'figure3':
                continue
            value = 80.5 if number is None else 100 - number if column == 'error' else number
            named = dict(task=TASKS.get(table, 'classification'), cells=[(table, row, column)], metric=metric)
            named['pretraining'] = f'{table}_{row}'
            records.append(study_record(**named, value=value + offset, seed=seed))
    return records


def cells():
    """Return (table, row, column) -> config, as in configs/_base_/paper.py."""
    return {cell: config for config, found in configs().items() for cell in found}


def configs():
    root = Path(__file__).parents[2] / 'configs'
    names = {path.name: str(path.relative_to(root)) for path in root.rglob('*.py')}
    return {names[name]: found for name, found in read_paper().configs.items()}


def occlusion(config, label='mine', grid=14, checkpoint=None, whole=90.0):
    """Return the file of an occlusion test; the mean over occluded points is half of the accuracy on whole images."""
    points = [dict(information_loss=x, top1=whole * (1 - x), std=None) for x in (0.0, 0.25, 0.5, 0.75)]
    return dict(
        kind='occlusion', label=label, config=config, checkpoint=checkpoint, sha256=None,
        settings=dict(protocol='naseer', grid=grid), curves=dict.fromkeys(('random', 'salient', 'non-salient'), points),
    )  # fmt: skip


def stage(
    folder: Path, config, metrics=None, seed=0, load_from=None, tta=False, data='Digits', loop=None, start=0
) -> Path:
    """Write the logs of mmengine: a training with a validation, or with ``load_from`` a test."""
    model = 'dict(backbone=dict(type="ViT"), type="Model")'
    lines = [
        f'randomness = dict(seed={seed})', f'load_from = {load_from!r}', f'work_dir = {str(folder)!r}',
        f'test_cfg = dict(type={loop!r})', f'test_dataloader = dict(dataset=dict(type={data!r}))',
        f'model = {f"dict(module={model})" if tta else model}', '',
    ]  # fmt: skip
    stamp = f'20300101_0000{start:02d}'
    logs = folder / stamp / 'vis_data'
    logs.mkdir(parents=True)
    for copy in (logs / 'config.py', folder / f'{config}.py'):
        copy.write_text('\n'.join(lines), encoding='utf-8')
    if load_from:
        write(folder / stamp / f'{stamp}.json', metrics)
    else:
        scalars = [dict(iter=1, step=1, epoch=1, loss=1.0), dict(metrics or {}, step=1)]
        (logs / 'scalars.json').write_text('\n'.join(map(json.dumps, scalars)), encoding='utf-8')
    return folder


def write(path: Path, content) -> Path:
    """Write a JSON file and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding='utf-8')
    return path
