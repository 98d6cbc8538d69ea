"""Conversion of VOC 2010 and the Pascal Context annotations to the layout of mmseg, and a check of that layout."""

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
EXPECTED = dict(train=4996, val=5104)  # merged annotations; VOC 2010 has 4998 and 5105 images
SHOWN = 5  # messages per kind


def check(devkit: str | Path) -> dict[str, int]:
    """Check that every image of both lists has its file and a class map of its size with ids 0 to 59.

    Args:
        devkit: Folder with ``VOC2010``.

    Returns:
        The number of images in each list, ``dict(train=..., val=...)``.

    Raises:
        ValueError: Something is missing or wrong; one line per problem, five lines per kind.
    """
    voc = Path(devkit, 'VOC2010')
    lists = {split: voc / LISTS / f'{split}.txt' for split in EXPECTED}
    names = {split: path.read_text('utf-8').split() if path.is_file() else [] for split, path in lists.items()}
    kinds: dict[str, list[str]] = {}
    for kind, message in _problems(voc, names):
        kinds.setdefault(kind, []).append(message)
    lines = []
    for messages in kinds.values():
        rest = len(messages) - SHOWN
        lines += messages[:SHOWN] + ([f'and {rest} more of that kind'] if rest > 0 else [])
    if lines:
        raise ValueError('\n'.join(lines))
    return {split: len(listed) for split, listed in names.items()}


def convert(devkit: str | Path, annotations: str | Path | None = None) -> dict[str, int]:
    """Write class maps and lists with mmseg's converter, which needs the Detail API; the result is complete or absent.

    Args:
        devkit: Folder with ``VOC2010/JPEGImages``.
        annotations: The file ``trainval_merged.json``; default: the one in ``VOC2010``.

    Returns:
        The number of images in each list, see :func:`check`.

    Raises:
        FileNotFoundError: Images, annotations or the Detail API are missing; one line each.
        FileExistsError: Class maps or lists exist.
        RuntimeError: The converter failed.
        ValueError: The result does not pass :func:`check`. The last line names the folder that keeps it.
    """
    annotations = Path(annotations or Path(devkit, 'VOC2010', 'trainval_merged.json'))
    if missing := _missing(Path(devkit), annotations):
        raise FileNotFoundError('\n'.join(missing))
    voc = Path(devkit, 'VOC2010').resolve()
    taken = [path for path in (voc / MAPS, voc / LISTS) if path.exists()]
    if taken:
        raise FileExistsError(f'{taken[0]} exists: check it with --check, or remove it to convert again')
    draft, keep = Path(tempfile.mkdtemp(dir=voc.parent, prefix='.pascal-context-')), False
    try:
        _draw(draft, voc / 'JPEGImages', annotations.resolve())
        try:
            counts = check(draft)
        except ValueError as error:
            keep = True
            raise ValueError(f'{error}\nthe result is kept in {draft}: remove it after inspection') from None
        (voc / LISTS).parent.mkdir(exist_ok=True)
        (draft / 'VOC2010' / MAPS).rename(voc / MAPS)
        (draft / 'VOC2010' / LISTS).rename(voc / LISTS)  # last: without lists there is no data set
    finally:
        if not keep:
            shutil.rmtree(draft)
    return counts


def main(arguments=None) -> int:
    """Convert the class maps of Pascal Context, and check them."""
    parser = argparse.ArgumentParser(prog='prepare_pascal_context.py', description=main.__doc__)
    parser.add_argument('devkit', nargs='?', default='data/VOCdevkit', help='folder with VOC2010 (%(default)s)')
    parser.add_argument('--annotations', metavar='JSON', help='trainval_merged.json (that in VOC2010)')
    parser.add_argument('--check', action='store_true', help='only check existing files')
    args = parser.parse_args(arguments)
    try:
        counts = check(args.devkit) if args.check else convert(args.devkit, args.annotations)
    except KeyboardInterrupt:
        print('interrupted; no data set was written', file=sys.stderr)
        return 130
    except (OSError, RuntimeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    note = 'as in' if counts == EXPECTED else f'expected are {EXPECTED["train"]} and {EXPECTED["val"]} of'
    found = f'{counts["train"]} training and {counts["val"]} test images'
    print(f'{Path(args.devkit, "VOC2010")} is complete: {found}, {note} the merged annotations')
    return 0


def _missing(devkit: Path, annotations: Path) -> list[str]:
    images, problems = devkit / 'VOC2010' / 'JPEGImages', []
    if not any(images.glob('*.jpg')):
        problems.append(f'{images} has no images: unpack VOCtrainval_03-May-2010.tar, whose VOCdevkit is {devkit}')
    if not annotations.is_file():
        problems.append(f'{annotations} is missing: download trainval_merged.json of the Detail API (about 590 MB)')
    if importlib.util.find_spec('detail') is None:
        problems.append(
            'The Detail API (module detail) is not installed: build it from github.com/zhanghang1989/detail-api, or '
            'write the class maps with another tool and check them with --check'
        )
    return problems


def _draw(draft: Path, images: Path, annotations: Path) -> None:
    (draft / 'VOC2010').mkdir()
    os.symlink(images, draft / 'VOC2010' / 'JPEGImages')
    mmseg = Path(importlib.util.find_spec('mmseg').origin).parent
    converter = mmseg / '.mim' / 'tools' / 'dataset_converters' / 'pascal_context.py'
    command = [sys.executable, converter, draft, annotations]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        last = ([line for line in done.stderr.splitlines() if line.strip()] or ['no output'])[-1]
        raise RuntimeError(f'the converter of mmseg stopped with exit code {done.returncode}: {last.strip()}')


def _problems(voc: Path, names: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    for split, listed in names.items():
        if not listed:
            yield 'no list', f'{voc / LISTS / split}.txt is missing or empty'
        for name, times in Counter(listed).items():
            if times > 1:
                yield f'repeated in {split}', f'{name} is listed {times} times in {split}.txt'
    for name in sorted({*names['train']} & {*names['val']}):
        yield 'in both', f'{name} is listed in both train.txt and val.txt'
    for name in dict.fromkeys(names['train'] + names['val']):
        image, class_map = voc / 'JPEGImages' / f'{name}.jpg', voc / MAPS / f'{name}.png'
        missing = [path for path in (image, class_map) if not path.is_file()]
        yield from ((f'no {path.suffix}', f'{path} is missing') for path in missing)
        if missing:
            continue
        try:
            with Image.open(image) as picture, Image.open(class_map) as ids_file:
                size, ids = picture.size, np.asarray(ids_file)
        except OSError as error:
            yield 'unreadable', f'{name} cannot be read: {error}'
            continue
        if ids.shape != size[::-1]:
            yield 'size', f'{class_map} has the shape {ids.shape}, its image is {size[1]} x {size[0]}'
        elif ids.max() >= CLASSES:
            yield 'ids', f'{class_map} has the id {ids.max()}; ids are 0 to {CLASSES - 1}'
