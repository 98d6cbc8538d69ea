"""Pascal Context on disk: VOC 2010 and its annotations converted to the layout of mmseg, and a check of that layout.

The class maps are drawn by mmseg's own converter, which needs the Detail API. It writes into a temporary folder beside
the target; what appears under VOC2010 is complete and checked.
"""

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ['check', 'convert', 'main']

CLASSES = 60  # with the background, which is 0
MAPS, LISTS = 'SegmentationClassContext', Path('ImageSets', 'SegmentationContext')
EXPECTED = dict(train=4996, val=5104)  # what the merged annotations hold; VOC 2010 has 4998 and 5105 images
SHOWN = 5  # complaints of one kind that are spelled out


def check(devkit: str | Path) -> dict[str, int]:
    """Check that every image of both lists has its file and a class map of its size with ids 0 to 59.

    Args:
        devkit: Folder that holds ``VOC2010``.

    Returns:
        Images in each list, as ``dict(train=..., val=...)``.

    Raises:
        ValueError: A sentence on each line says what is missing or wrong; of each kind, the first few by name.
    """
    voc = Path(devkit, 'VOC2010')
    names = {split: _names(voc / LISTS / f'{split}.txt') for split in EXPECTED}
    kinds: dict[str, list[str]] = {}
    for kind, sentence in _problems(voc, names):
        kinds.setdefault(kind, []).append(sentence)
    lines = []
    for sentences in kinds.values():
        rest = len(sentences) - SHOWN
        lines += sentences[:SHOWN] + ([f'and {rest} more of that kind'] if rest > 0 else [])
    if lines:
        raise ValueError('\n'.join(lines))
    return {split: len(listed) for split, listed in names.items()}


def convert(devkit: str | Path, annotations: str | Path | None = None) -> dict[str, int]:
    """Write class maps and lists with mmseg's converter, in this Python, completely or not at all.

    Args:
        devkit: Folder that holds ``VOC2010/JPEGImages``.
        annotations: The file ``trainval_merged.json``; by default that in ``VOC2010``.

    Returns:
        Images in each list, as :func:`check` returns them.

    Raises:
        FileNotFoundError: Something that converting needs is missing; one sentence on each line.
        FileExistsError: There are class maps or lists already.
        RuntimeError: The converter failed; the sentence ends with its last line.
        ValueError: What it wrote does not pass :func:`check`. It is kept, and the last line says where.
    """
    annotations = Path(annotations or Path(devkit, 'VOC2010', 'trainval_merged.json'))
    if missing := _missing(Path(devkit), annotations):
        raise FileNotFoundError('\n'.join(missing))
    voc = Path(devkit, 'VOC2010').resolve()
    taken = [path for path in (voc / MAPS, voc / LISTS) if path.exists()]
    if taken:
        raise FileExistsError(f'{taken[0]} is there already: look at it with --check, or remove it to convert again')
    draft, keep = Path(tempfile.mkdtemp(dir=voc.parent, prefix='.pascal-context-')), False
    try:
        _draw(draft, voc / 'JPEGImages', annotations.resolve())
        try:
            counts = check(draft)
        except ValueError as error:
            keep = True
            raise ValueError(f'{error}\nwhat was drawn is kept in {draft}: look at it, then remove it') from None
        (voc / LISTS).parent.mkdir(exist_ok=True)
        (draft / 'VOC2010' / MAPS).rename(voc / MAPS)
        (draft / 'VOC2010' / LISTS).rename(voc / LISTS)  # last: without lists there is no data set
    finally:
        if not keep:
            shutil.rmtree(draft)
    return counts


def main(arguments=None) -> int:
    """Draw the class maps of Pascal Context, and check them."""
    parser = argparse.ArgumentParser(prog='prepare_pascal_context.py', description=main.__doc__)
    parser.add_argument('devkit', nargs='?', default='data/VOCdevkit', help='folder with VOC2010 (%(default)s)')
    parser.add_argument('--annotations', metavar='JSON', help='trainval_merged.json (that in VOC2010)')
    parser.add_argument('--check', action='store_true', help='only check what is there')
    args = parser.parse_args(arguments)
    try:
        counts = check(args.devkit) if args.check else convert(args.devkit, args.annotations)
    except KeyboardInterrupt:
        print('interrupted; no data set was written', file=sys.stderr)
        return 130
    except (OSError, RuntimeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    found = f'{Path(args.devkit, "VOC2010")} is whole: {counts["train"]} images to train, {counts["val"]} to test'
    expected = f'{EXPECTED["train"]} and {EXPECTED["val"]}'
    same = 'as many as the merged annotations hold'
    other = f'the merged annotations hold {expected}, the lists of VOC 2010 4998 and 5105'
    print(f'{found}, {same}' if counts == EXPECTED else f'{found}; {other}')
    return 0


def _missing(devkit: Path, annotations: Path) -> list[str]:
    """A sentence for everything that converting needs and that is not there."""
    images, problems = devkit / 'VOC2010' / 'JPEGImages', []
    if not any(images.glob('*.jpg')):
        problems.append(f'{images} holds no images: unpack VOCtrainval_03-May-2010.tar, whose VOCdevkit is {devkit}')
    if not annotations.is_file():
        problems.append(
            f'{annotations} is missing: it is the file trainval_merged.json of the Detail API, about 590 MB'
        )
    if importlib.util.find_spec('detail') is None:
        problems.append(
            'The Detail API (module detail) is not installed: build it from github.com/zhanghang1989/detail-api, or '
            'make the class maps without it as docs/hand_over.md says, and look at them with --check'
        )
    return problems


def _draw(draft: Path, images: Path, annotations: Path) -> None:
    """Let mmseg's converter write class maps and lists into ``draft``, which gets the layout of a devkit."""
    (draft / 'VOC2010').mkdir()
    os.symlink(images, draft / 'VOC2010' / 'JPEGImages')
    command = [sys.executable, _converter(), draft, annotations]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        last = ([line for line in done.stderr.splitlines() if line.strip()] or ['it said nothing'])[-1]
        raise RuntimeError(f'the converter of mmseg stopped with exit code {done.returncode}: {last.strip()}')


def _converter() -> Path:
    """The script that comes with mmseg."""
    package = Path(importlib.util.find_spec('mmseg').origin).parent
    return package / '.mim' / 'tools' / 'dataset_converters' / 'pascal_context.py'


def _names(path: Path) -> list[str]:
    return path.read_text(encoding='utf-8').split() if path.is_file() else []


def _problems(voc: Path, names: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    """What is wrong with the lists and with their images, as (kind, sentence)."""
    for split, listed in names.items():
        if not listed:
            yield 'no list', f'{voc / LISTS / split}.txt is missing or empty'
        for name, times in Counter(listed).items():
            if times > 1:
                yield f'repeated in {split}', f'{name} is listed {times} times in {split}.txt'
    for name in sorted({*names['train']} & {*names['val']}):
        yield 'in both', f'{name} is listed both to train and to test'
    for name in dict.fromkeys(names['train'] + names['val']):
        yield from _problems_of(voc, name)


def _problems_of(voc: Path, name: str) -> Iterator[tuple[str, str]]:
    """What is wrong with one image of a list, as (kind, sentence)."""
    image, class_map = voc / 'JPEGImages' / f'{name}.jpg', voc / MAPS / f'{name}.png'
    missing = [path for path in (image, class_map) if not path.is_file()]
    yield from ((f'no {path.suffix}', f'{path} is missing') for path in missing)
    if missing:
        return
    try:
        with Image.open(image) as picture, Image.open(class_map) as drawn:
            size, ids = picture.size, np.asarray(drawn)
    except OSError as error:
        yield 'unreadable', f'{name} cannot be read: {error}'
        return
    if ids.shape != size[::-1]:
        yield 'size', f'{class_map} has the shape {ids.shape}, its image is {size[1]} x {size[0]}'
    elif ids.max() >= CLASSES:
        yield 'ids', f'{class_map} holds the id {ids.max()}; they go from 0 to {CLASSES - 1}'
