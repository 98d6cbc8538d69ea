"""Write docs/tables.md and configs/metafile.yml from configs: ``python docs/generate.py``.

The tables are those of the paper, from ``configs/_base_/paper.py``; the metafile is the index of ``mim search``.
"""

import re
import runpy
from pathlib import Path

import yaml

DOCS = Path(__file__).parent
ROOT = DOCS.parent
CONFIGS = ROOT / 'configs'
PAPER = runpy.run_path(str(CONFIGS / '_base_' / 'paper.py'))

INTRODUCTION = """# The tables of the paper

Find the config of any row of the paper, the command that runs it, and the number that the paper prints. Replace CONFIG
by the path in the table; the header of a config names the data it needs.

- None of these rows was trained here. [tools/report.py](study.md#reports-of-any-runs) shows your numbers beside
  those of the paper.
- [Protocol notes](protocol.md) list where paper and released code differ.
- Tables 1, 3, 4 and 5 are also [one study](study.md). [study_ablation.py](../configs/digits/study_ablation.py) runs
  Tables 2 and 6 to 10 on embedded digits,
  [study_fashion_ablation.py](../configs/fashion/study_fashion_ablation.py) Tables 6, 7 and 10 on Fashion-MNIST.
- The folders also contain configs for other checkpoints and model sizes.

This page is written by `python docs/generate.py` from `configs/_base_/paper.py`."""
TRAIN = 'mim train onedl-{} CONFIG --gpus {} --launcher pytorch'
PRETRAIN = 'data/imagenet, 8 GPUs, days', TRAIN.format('mmpretrain', 8)
CHECKPOINT = 'work_dirs/deit-small_mixpro_8xb128_in1k/epoch_300.pth'
TABLES = {  # title, needs and command
    'table1': ('Table 1: ImageNet-1k, top-1', *PRETRAIN),
    'table2': ('Table 2: mixing methods, DeiT-S, top-1', *PRETRAIN),
    'table3': (
        'Table 3: Pascal Context, 60 classes, mIoU at one scale and at several (`mim test` with `--tta`)',
        'data/VOCdevkit/VOC2010, 4 GPUs',
        TRAIN.format('mmsegmentation', 4),
    ),
    'table4': (
        'Table 4: COCO, Mask R-CNN 1x, box AP, AP50, AP75, mask AP, AP50, AP75',
        'data/coco, 8 GPUs',
        TRAIN.format('mmdetection', 8),
    ),
    'table5': (
        'Table 5: DeiT-S on ImageNet-A (top-1, calibration error, AURRA) and ImageNet-O (AUPR)',
        'data/imagenet-a, data/imagenet-o, data/imagenet and the checkpoint of a row of Table 1',
        f'mim test onedl-mmpretrain CONFIG --checkpoint {CHECKPOINT}',
    ),
    'table6': ('Table 6: parts of MixPro, DeiT-S, top-1', *PRETRAIN),
    'table7': ('Table 7: shape of the mask, labels by area, top-1', *PRETRAIN),
    'table8': ('Table 8: edges of masks and patches, DeiT-T, top-1', *PRETRAIN),
    'table9': ('Table 9: shuffled patches, DeiT-T, top-1', *PRETRAIN),
    'table10': ('Table 10: progressive factor, DeiT-T, top-1 error', *PRETRAIN),
    'figure5a': ('Figure 5 (a): scale of the mask, DeiT-S, top-1', *PRETRAIN),
    'figure5b': ('Figure 5 (b): beta, DeiT-S, top-1', *PRETRAIN),
}
WORDS = {'baseline': 'baseline', 'transmix': 'TransMix', 'mixpro': 'MixPro', 'top1': '', 'error': ''}
WORDS |= {'deit-tiny': 'DeiT-T', 'deit-small': 'DeiT-S', 'O_aupr': 'AUPR'}


def published(table: str, row: str, column: str | None) -> tuple:
    """Return the numbers that the paper prints for a cell, or None for a point that it only draws."""
    numbers = PAPER[table]
    if table == 'table5':
        numbers = numbers['deit-small'][row]
        return numbers[3:] if column == 'O_aupr' else numbers[:3]
    if column is None:
        model, method = row.split('/')
        return numbers[model][method]
    return (numbers[row][column],)


def tables() -> str:
    lines = [INTRODUCTION]
    for name, (title, needs, command) in TABLES.items():
        lines += ['', f'## {title}', '', f'<!-- needs: {needs} -->', '```bash', command, '```', '']
        lines += ['| row | config | paper |', '| --- | --- | --- |']
        for (table, row, column), config in PAPER['cells'].items():
            if table == name:
                model, _, method = row.rpartition('/')
                words = [model, PAPER[table].get(row, {}).get('name') or WORDS[method], WORDS.get(column, '')]
                numbers = ['drawn only' if number is None else f'{number}' for number in published(table, row, column)]
                label = ', '.join(word for word in words if word)
                lines.append(f'| {label} | [{Path(config).stem}](../configs/{config}) | {", ".join(numbers)} |')
    return '\n'.join([*lines, *hours()]) + '\n'


HOURS = """
## GPU hours of the study of the paper

Calculated, not measured: `configs/study/paper.py` pre-trains each of these models three times (42 of its 54 stages).
Hours of one training = 1,281,167 images x epochs / (images per second of DeiT-S x 4.7 / GFLOPs of the model). DeiT-S
trains at 322 images per second on a Tesla V100 (Table 2, without the update). On an H100 it is assumed to be as fast as
ViT-5-Small, of the same size, in [nvSubquadratic](https://github.com/NVIDIA-BioNeMo/nvSubquadratic): 7,716 images per
second in bf16 with fused kernels and synthetic data. The 12 trainings of segmentation and detection come on top.

| model | GFLOPs | epochs | V100 hours | H100 hours |
| --- | ---: | ---: | ---: | ---: |"""


def hours() -> list[str]:
    lines, total = HOURS.splitlines(), [0.0, 0.0]
    for model, row in PAPER['table1'].items():
        epochs = 400 if model.startswith(('cait', 'xcit')) else 300
        seconds = [1_281_167 * epochs * row['gflops'] / 4.7 / speed for speed in (322, 7716)]
        total = [before + 3 * now for before, now in zip(total, seconds, strict=True)]
        cells = row['name'], f'{row["gflops"]}', str(epochs), *(f'{each / 3600:,.0f}' for each in seconds)
        lines.append(f'| {" | ".join(cells)} |')
    sums = ' | '.join(f'{each / 3600:,.0f}' for each in total)
    return [*lines, f'| {3 * len(PAPER["table1"])} trainings |  |  | {sums} |']


METAFILE = """\
# The index of mim search and mim download, written by `python docs/generate.py`. Results are numbers of the paper, from
# configs/_base_/paper.py (Table 10: 100 - error); none was measured here. Parameters and FLOPs (multiply-adds at
# 224 px) are from docs/development/models.md. mim cannot download a config without Weights, and treats a value that
# ends with a slash as an existing folder.
"""
COLLECTIONS = (
    'MixPro',
    'TransMix',
    'Baseline',
    'SMMix',
    'DeepLabV3+',
    'Mask R-CNN',
    'Ablation',
    'Robustness',
    'Digits',
    'Fashion',
)
OF_THE_PAPER = 'https://arxiv.org/abs/2304.12043'
PAPERS = dict.fromkeys(('MixPro', 'Ablation', 'Robustness'), OF_THE_PAPER)
PAPERS['TransMix'] = 'https://arxiv.org/abs/2111.09833'
DATA = dict(pretrain='ImageNet-1k', ablation='ImageNet-1k', segmentation='Pascal Context', detection='COCO')
METRICS = {  # task, data set, metrics of what the paper prints
    'table3': [('Semantic Segmentation', 'Pascal Context', ('mIoU', 'mIoU(ms)'))],
    'table4': [
        ('Object Detection', 'COCO', ('box AP', 'box AP50', 'box AP75')),
        ('Instance Segmentation', 'COCO', ('mask AP', 'mask AP50', 'mask AP75')),
    ],
    'table5': [('Image Classification', 'ImageNet-A', ('Top 1 Accuracy', 'Calibration Error', 'AURRA'))],
    'O_aupr': [('Out-of-Distribution Detection', 'ImageNet-O', ('AUPR',))],
}
TOP1 = [('Image Classification', 'ImageNet-1k', ('Top 1 Accuracy',))]


def collection(folder: str, name: str) -> str:
    if folder in ('ablation', 'robustness', 'digits', 'fashion'):
        return folder.capitalize()
    if name.startswith('deeplab'):
        return 'DeepLabV3+'
    if name.startswith('mask-rcnn_r'):
        return 'Mask R-CNN'
    return next(
        (word for word in ('MixPro', 'TransMix', 'SMMix') if word.lower() in re.split('[_-]', name)), 'Baseline'
    )


def results() -> dict[str, tuple[list[dict], list[str]]]:
    """Map a config to its results and their tables. Rows of Table 5 belong to the tested model."""
    found = {}
    for (table, row, column), config in PAPER['cells'].items():
        numbers = published(table, row, column)
        if table == 'table5':
            config = PAPER['cells']['table1', 'deit-small', row]
        if column == 'error':
            numbers = (round(100 - numbers[0], 1),)
        if numbers[0] is None:
            continue
        entries, names = found.setdefault(config, ([], []))
        numbers = iter(numbers)
        for task, data, metrics in METRICS.get(column, METRICS.get(table, TOP1)):
            entry = dict(Task=task, Dataset=data, Metrics=dict(zip(metrics, numbers, strict=False)))
            if entry not in entries:  # tables may print the same number of one model
                entries.append(entry)
        names.append(table)
    return found


def metafile() -> str:
    counted = re.findall(
        r'\| (\S+)_mixup-cutmix_\S+ \| ([\d,]+) \| [^|]+ \| ([\d.]+) \|',
        (DOCS / 'development' / 'models.md').read_text(encoding='utf-8'),
    )
    sizes = {
        model: dict(Parameters=int(parameters.replace(',', '')), FLOPs=round(float(gmacs) * 1e9))
        for model, parameters, gmacs in counted
    }
    published_results, models = results(), []
    for path in sorted(CONFIGS.rglob('*.py')):
        name, (folder, *_) = path.stem, path.relative_to(CONFIGS).parts
        if folder in ('_base_', 'study') or name.startswith('study_'):
            continue
        images, scenes = ('Fashion-MNIST', 'Fashion scenes') if 'fashion' in name else ('Digits', 'Digit scenes')
        small = scenes if name.endswith('-scenes') else images
        data = 'ImageNet-1k' if folder == 'robustness' and '-micro' not in name else DATA.get(folder, small)
        data = 'ADE20K' if 'ade20k' in name else data
        entries, names = published_results.get(path.relative_to(CONFIGS).as_posix(), ([], []))
        about = {'Training Data': data} | (sizes.get(name.partition('_')[0], {}) if folder == 'pretrain' else {})
        if names:
            titles = dict.fromkeys(TABLES[name][0].split(' (')[0].split(':')[0] for name in TABLES if name in names)
            about['Numbers'] = f'{", ".join(titles)} of the paper: not measured here'
        model = {'Name': name, 'In Collection': collection(folder, name), 'Config': path.relative_to(ROOT).as_posix()}
        model |= {'Weights': 'none published/', 'Metadata': about} | ({'Results': entries} if entries else {})
        models.append(model)
    collections = [dict(Name=name) | (dict(Paper=PAPERS[name]) if name in PAPERS else {}) for name in COLLECTIONS]
    content = dict(Collections=collections, Models=models)
    return METAFILE + yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=1000)


def pages() -> dict[Path, str]:
    """Map the path of each generated file to its content."""
    return {DOCS / 'tables.md': tables(), CONFIGS / 'metafile.yml': metafile()}


def main() -> None:
    for path, content in pages().items():
        path.write_text(content, encoding='utf-8')


if __name__ == '__main__':
    main()
