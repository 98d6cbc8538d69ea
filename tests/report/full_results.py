"""Made-up results for every cell of the paper's tables, for tests of the report."""

import json
from pathlib import Path

from mixpro_mm.reporting.columns import AP, MIOU, OCCLUSION, TABLE5
from mixpro_mm.report.paper import published_tables

METHODS = dict(baseline='mixup-cutmix', transmix='transmix', mixpro='mixpro')
TINY = ('table8', 'table9', 'table10')


def paper_records(offset=0.0, seed=0):
    """A record for every number of the paper, as far from it as ``offset`` says."""
    paper, records = published_tables(), []

    def add(task, metric, config, value, backbone='DeiT-S', pretraining='mixpro'):
        records.append(
            dict(task=task, backbone=backbone, pretraining=pretraining, metric=metric, value=value + offset, seed=seed,
                 config=f'configs/{config}.py', checkpoint_sha256=f'{len(records):064x}')
        )  # fmt: skip

    for model, row in paper['table1'].items():
        for method, file in METHODS.items():
            add('classification', 'top1', f'pretrain/{model}_{file}_8xb128_in1k', row[method])
    for table in ('table2', 'table6', 'figure5a', 'figure5b', *TINY):
        for name, row in paper[table].items():
            config = f'ablation/{table}_deit-{"tiny" if table in TINY else "small"}_{name}_8xb128_in1k'
            add('classification', 'top1', config, 100 - row['error'] if 'error' in row else row['top1'] or 80.5)
    for name, row in paper['table7'].items():
        for model in ('deit-tiny', 'deit-small'):
            add('classification', 'top1', f'ablation/table7_{model}_{name}_8xb128_in1k', row[model])
    transfer = (
        ('table3', 'segmentation', MIOU, '4xb4-80k_pascal-context-480x480'),
        ('table4', 'detection', AP, '1x_coco'),
    )
    for table, task, columns, end in transfer:
        for model, starts in paper[table].items():
            for start, numbers in starts.items():
                name = f'{model}_{end}' if len(starts) == 1 else f'{model}_{start}_{end}'
                for (metric, _), value in zip(columns, numbers, strict=True):
                    add(task, metric, f'{task}/{name}', value)
    for start, numbers in paper['table5']['deit-small'].items():
        for (metric, _), value in zip(TABLE5, numbers, strict=True):
            add('robustness', metric, f'robustness/deit-small_imagenet-{metric[0].lower()}', value, pretraining=start)
        for metric, _ in OCCLUSION:
            add('robustness', metric, 'robustness/deit-small_occlusion_in1k', 50.0, pretraining=start)
    return records


def occlusion(config, label='mine', grid=14, checkpoint=None, whole=90.0):
    """What an occlusion test writes."""
    points = [dict(information_loss=x, top1=whole * (1 - x), std=None) for x in (0.0, 0.25, 0.5, 0.75)]
    return dict(
        kind='occlusion', label=label, config=config, checkpoint=checkpoint, sha256=None,
        settings=dict(protocol='naseer', grid=grid), curves=dict.fromkeys(('random', 'salient', 'non-salient'), points),
    )  # fmt: skip


def stage(folder: Path, config, metrics=None, seed=0, start=None, load_from=None, tta=False) -> Path:
    """What mmengine leaves of a run that was only tested, or, without metrics, of one that only trained."""
    backbone = f'dict(init_cfg=dict(checkpoint={start!r}, type="Pretrained"))' if start else 'dict(type="ViT")'
    model = f'dict(backbone={backbone}, type="Model")'
    lines = f'randomness = dict(seed={seed})', f'load_from = {load_from!r}'
    text = '\n'.join([*lines, f'model = {f"dict(module={model})" if tta else model}', ''])
    stamp = f'20300101_0000{1 if metrics else 0:02d}'
    data = folder / stamp / 'vis_data'
    data.mkdir(parents=True)
    (data / 'config.py').write_text(text, encoding='utf-8')
    (folder / f'{config}.py').write_text(text, encoding='utf-8')
    if metrics:
        write(folder / stamp / f'{stamp}.json', metrics)
    else:
        (data / 'scalars.json').write_text('{"iter": 1, "step": 1, "epoch": 1, "loss": 1.0}\n', encoding='utf-8')
    return folder


def write(path: Path, content) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding='utf-8')
    return path
