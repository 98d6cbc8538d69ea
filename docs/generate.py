"""Write the pages that follow from code and configs: ``python docs/generate.py`` (a test holds them to it).

docs/tables.md: every row of the paper with its config and its number. docs/api: a page for each room of the package.
"""

import ast
import itertools
import re
from pathlib import Path

from mixpro_mm.reporting.paper import published_tables

DOCS = Path(__file__).parent
ROOT = DOCS.parent
PACKAGE, CONFIGS = ROOT / 'mixpro_mm', ROOT / 'configs'

ROOMS = (  # in the order of the house; others follow by name
    'mixing', 'labeling', 'attention', 'augments', 'backbones', 'losses', 'transfer', 'datasets', 'robustness',
    'reporting', 'visualize', 'study', 'benchmark',
)  # fmt: skip
SEE = {
    'augments': 'How to write one: [your own mixing method](../own_method.md).',
    'transfer': 'How to use it: [hand over](../hand_over.md), [checkpoints from elsewhere](../checkpoints.md).',
    'robustness': 'How to use it: [the tables of the paper](../tables.md).',
    'reporting': 'How to use it: [results in the tables of the paper](../report.md).',
    'visualize': 'How to use it: [pictures](../pictures.md).',
    'study': 'How to write one: [a study](../study.md).',
    'doctor': 'How to use it: [doctor](../doctor.md).',
}

INTRODUCTION = """# The tables of the paper

Every row of every table: its config, the command that runs it, and the number that the paper prints. Nothing of this
was trained here; measured numbers of your own come to stand beside these with [tools/report.py](report.md). CONFIG is
the path of the file in the table, from the top of the repository. Which data a row needs is in the header of its file;
where paper and released code differ, see the [protocol notes](protocol.md). Tables 1, 3, 4 and 5 are also
[one study](study.md).

Written by `python docs/generate.py` from `configs/_base_/paper.py` and the headers of the configs."""
TRAIN = 'mim train onedl-{} CONFIG --gpus {} --launcher pytorch'
TEST = 'mim test onedl-mmpretrain CONFIG --checkpoint {}'
TABLE1 = (('baseline', 'mixup-cutmix'), ('transmix', 'transmix'), ('mixpro', 'mixpro'))
NAMES = dict(baseline='baseline', transmix='TransMix', mixpro='MixPro')
SIZES = {'deit-tiny': 'DeiT-T', 'deit-small': 'DeiT-S'}
KEYS = r'(Paper|Needs|Data|Run|Test|Read|Draw|Result|Others|Check|Unverified)\b.*:'
AP = ('box AP', 'AP50', 'AP75', 'mask AP', 'AP50', 'AP75')


def header(path: Path) -> list[str]:
    """Lines of the comment on top of a config."""
    lines = path.read_text(encoding='utf-8').splitlines()
    return [line[2:] for line in itertools.takewhile(lambda line: line.startswith('# '), lines)]


def link(path: Path) -> str:
    return f'[{path.stem}](../{path.relative_to(ROOT).as_posix()})'


def table(head: tuple, rows: list) -> list[str]:
    return [f'| {" | ".join(map(str, row))} |' for row in (head, ['---'] * len(head), *rows)]


def block(needs: str, command: str) -> list[str]:
    return [f'<!-- needs: {needs} -->', '```bash', command, '```', '']


def checked(path: Path, number: str, command: str) -> str:
    """The link to a config whose header has this number and this command.

    Raises:
        ValueError: if it has not.
    """
    lines = header(path)
    run = command.replace('CONFIG', path.relative_to(ROOT).as_posix())
    for wanted, key in ((number, 'Paper'), (run, 'Run')):
        said = [line.split(':', 1)[1].strip() for line in lines if line.startswith(f'{key}:')]
        if not any(wanted in line for line in said):
            raise ValueError(f'{path}: its header says {key} {said}, not {wanted!r}')
    return link(path)


def ablation(name: str, row: str, model: str = 'deit-small') -> Path:
    return CONFIGS / 'ablation' / f'{name}_{model}_{row}_8xb128_in1k.py'


def pretraining(paper: dict) -> list[str]:
    command = TRAIN.format('mmpretrain', 8)
    lines = ['## Table 1: ImageNet-1k, top-1', '', *block('data/imagenet, 8 GPUs, days', command)]
    rows = []
    for model, numbers in paper['table1'].items():
        for method, files in TABLE1:
            path = CONFIGS / 'pretrain' / f'{model}_{files}_8xb128_in1k.py'
            rows.append(
                (numbers['name'], NAMES[method], checked(path, f'top-1 {numbers[method]}', command), numbers[method])
            )
    return [*lines, *table(('model', 'pre-training', 'config', 'top-1'), rows)]


def ablations(paper: dict, name: str, title: str, model: str, key: str = 'top1', words: str = 'top-1') -> list[str]:
    command = TRAIN.format('mmpretrain', 8)
    lines = [f'## {title}', '', *block('data/imagenet, 8 GPUs, days', command)]
    rows = []
    for row, numbers in paper[name].items():
        number, path = numbers[key], ablation(name, row, model)
        said = 'no number printed' if number is None else f'{words} {number}'
        rows.append((numbers['name'], checked(path, '' if number is None else said, command), number or 'drawn only'))
    return [*lines, *table(('row', 'config', words), rows)]


def segmentation(paper: dict) -> list[str]:
    command = TRAIN.format('mmsegmentation', 4)
    lines = ['## Table 3: Pascal Context, 60 classes, mIoU', '', *block('data/VOCdevkit/VOC2010, 4 GPUs', command)]
    rows = []
    for decoder, methods in paper['table3'].items():
        for method, (single, several) in methods.items():
            name = f'{decoder}_4xb4-40k' if decoder.startswith('deeplab') else f'{decoder}_{method}_4xb4-80k'
            path = CONFIGS / 'segmentation' / f'{name}_pascal-context-480x480.py'
            config = checked(path, f'mIoU {single}, (MS) {several}', command)
            rows.append((NAMES[method], config, single, several))
    after = ['', 'The last column is a test at several scales: `mim test` with `--tta`, as the headers say.']
    return [*lines, *table(('pre-training', 'config', 'mIoU', 'mIoU (MS)'), rows), *after]


def detection(paper: dict) -> list[str]:
    command = TRAIN.format('mmdetection', 8)
    lines = ['## Table 4: COCO, Mask R-CNN, 1x', '', *block('data/coco, 8 GPUs', command)]
    rows = []
    for model, methods in paper['table4'].items():
        for method, numbers in methods.items():
            name = f'{model}_{method}' if 'pvt' in model else model
            path = CONFIGS / 'detection' / f'{name}_1x_coco.py'
            rows.append((NAMES[method], checked(path, f'box AP {numbers[0]}, mask AP {numbers[3]}', command), *numbers))
    return [*lines, *table(('pre-training', 'config', *AP), rows)]


def robustness(paper: dict) -> list[str]:
    start = 'work_dirs/deit-small_mixpro_8xb128_in1k/epoch_300.pth'
    command = TEST.format(start)
    files = [CONFIGS / 'robustness' / f'deit-small_imagenet-{letter}.py' for letter in 'ao']
    lines = ['## Table 5: ImageNet-A and ImageNet-O, DeiT-S', '']
    lines += block('data/imagenet-a, data/imagenet-o, data/imagenet and the checkpoint of a row of Table 1', command)
    rows = []
    for method, (top1, error, aurra, aupr) in paper['table5']['deit-small'].items():
        a = checked(files[0], f'top-1 {top1}, calibration error {error}, AURRA {aurra}', command)
        o = checked(files[1], f'AUPR {aupr}', command)
        rows.append((NAMES[method], a, top1, error, aurra, o, aupr))
    head = ('pre-training', 'config', 'top-1', 'calibration error', 'AURRA', 'config', 'AUPR')
    lines += [
        *table(head, rows),
        '',
        'The three rows are one config each, with the checkpoint of that pre-training.',
        '',
    ]
    occlusion = CONFIGS / 'robustness' / 'deit-small_occlusion_in1k.py'
    lines += ['## Figure 3: occlusion, DeiT-S', '']
    lines += block(
        'data/imagenet, a checkpoint of Table 1 and DINO DeiT-S/16', f'{command} --work-dir work_dirs/occlusion/mixpro'
    )
    config = checked(occlusion, 'Figure 3, curves only', f'{command} --work-dir work_dirs/occlusion/mixpro')
    return [*lines, *table(('curves', 'config', 'number'), [('random, salient, non-salient', config, 'drawn only')])]


def shapes(paper: dict) -> list[str]:
    command = TRAIN.format('mmpretrain', 8)
    lines = ['## Table 7: shape of the mask, labels by area', '', *block('data/imagenet, 8 GPUs, days', command)]
    rows = []
    for row, numbers in paper['table7'].items():
        for model, words in SIZES.items():
            config = checked(ablation('table7', row, model), f'top-1 {numbers[model]}', command)
            rows.append((numbers['name'], words, config, numbers[model]))
    return [*lines, *table(('mask', 'model', 'config', 'top-1'), rows)]


def beside(lines: list[str]) -> list[str]:
    """What the folders hold beyond the rows of the tables, each with the first sentence of its header."""
    named = set(re.findall(r'\]\(\.\./(configs/[^)]+)\)', '\n'.join(lines)))
    rows = []
    for folder in ('pretrain', 'ablation', 'segmentation', 'detection', 'robustness'):
        for path in sorted((CONFIGS / folder).glob('*.py')):
            if path.relative_to(ROOT).as_posix() not in named:
                story = ' '.join(itertools.takewhile(lambda line: not re.match(KEYS, line), header(path)))
                rows.append((link(path), re.split(r'(?<=\w{3})[.:;] |; |\.$', story)[0].replace('|', '/')))
    text = 'Variants and other starting points. Each file has its story, its data and its command in its header.'
    return ['## Beside the tables', '', text, '', *table(('config', 'what it is'), rows)]


def tables() -> str:
    paper = published_tables()
    parts = [
        pretraining(paper),
        ablations(paper, 'table2', 'Table 2: mixing methods, DeiT-S', 'deit-small'),
        segmentation(paper),
        detection(paper),
        robustness(paper),
        ablations(paper, 'table6', 'Table 6: parts of MixPro, DeiT-S', 'deit-small'),
        shapes(paper),
        ablations(paper, 'table8', 'Table 8: borders of masks and patches, DeiT-T', 'deit-tiny'),
        ablations(paper, 'table9', 'Table 9: shuffled patches, DeiT-T', 'deit-tiny'),
        ablations(paper, 'table10', 'Table 10: progressive factor, DeiT-T', 'deit-tiny', 'error', 'top-1 error'),
        ablations(paper, 'figure5a', 'Figure 5 (a): scale of the mask, DeiT-S', 'deit-small'),
        ablations(paper, 'figure5b', 'Figure 5 (b): beta, DeiT-S', 'deit-small'),
    ]
    lines = list(itertools.chain.from_iterable([*part, ''] for part in parts))
    return '\n'.join([INTRODUCTION, '', *lines, *beside(lines)]) + '\n'


def public(path: Path) -> list[str]:
    """What ``__all__`` of a file lists."""
    for node in ast.parse(path.read_text(encoding='utf-8')).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', None) == '__all__':
            return ast.literal_eval(node.value)
    return []


def bound(path: Path) -> set[str]:
    """Names that a file imports or defines at its top; those it makes when first asked for are not seen by autodoc."""
    body = ast.parse(path.read_text(encoding='utf-8')).body
    imported = {alias.asname or alias.name for node in body if isinstance(node, ast.ImportFrom) for alias in node.names}
    return imported | {node.name for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef)}


def automodule(name: str, without: list[str] = ()) -> list[str]:
    options = [f'   :exclude-members: {", ".join(without)}'] if without else []
    return ['```{eval-rst}', f'.. automodule:: {name}', *options, '```', '']


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def room_page(room: str) -> str:
    """The public names of a room, then what its modules have besides."""
    front = PACKAGE / room / '__init__.py'
    top = [name for name in public(front) if name in bound(front)]
    lines = [f'# {room}', '', *([SEE[room], ''] if room in SEE else []), *automodule(f'mixpro_mm.{room}')]
    for path in sorted((PACKAGE / room).rglob('*.py')):
        names = public(path)
        if path != front and path.stem != '__main__' and set(names) - set(top):
            name = module_name(path)
            lines += [f'## {name.split(".", 2)[2]}', '', *automodule(name, [each for each in names if each in top])]
    return '\n'.join(lines).rstrip() + '\n'


def reference() -> dict[Path, str]:
    found = sorted(path.parent.name for path in PACKAGE.glob('*/__init__.py') if path.parent.name.isidentifier())
    rooms = sorted(found, key=lambda room: (ROOMS.index(room) if room in ROOMS else len(ROOMS), room))
    pages = {DOCS / 'api' / f'{room}.md': room_page(room) for room in rooms}
    single = [path for path in sorted(PACKAGE.glob('*.py')) if public(path) and path.stem != '__init__']
    lines = ['# Single modules', '', 'What every room may use; each is a file of its own.', '']
    for path in single:
        lines += [f'## {path.stem}', '', *automodule(module_name(path))]
    pages[DOCS / 'api' / 'modules.md'] = '\n'.join(lines).rstrip() + '\n'
    lines = [
        '# Reference',
        '',
        'What every class and function takes, returns and refuses: a page for each room of the package, from the',
        'docstrings, in the order of the [house](../design.md).',
        '',
        *(f'- [{room}]({room}.md)' for room in rooms),
        '- [single modules](modules.md)',
        '',
        '```{toctree}',
        ':hidden:',
        '',
        *rooms,
        'modules',
        '```',
    ]
    pages[DOCS / 'api' / 'index.md'] = '\n'.join(lines) + '\n'
    return pages


def pages() -> dict[Path, str]:
    """All of them, path -> content."""
    return {DOCS / 'tables.md': tables(), **reference()}


def main() -> None:
    wanted = pages()
    for path in {*(DOCS / 'api').glob('*.md')} - set(wanted):
        path.unlink()
    for path, content in wanted.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding='utf-8')


if __name__ == '__main__':
    main()
