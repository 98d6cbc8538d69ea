"""Check of a COCO instances file before training: ``python -m mixpro_mm.datasets.coco_check INSTANCES.json``."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from PIL import Image

from mixpro_mm.datasets.coco_shapes import has_size, is_finite, shape_problems, size_of

__all__ = ['check_coco', 'main']

SHOWN = 20  # messages per kind
PARTS = ('images', 'annotations', 'categories')
ORIENTATION = 274  # EXIF tag


def check_coco(ann_file: str | Path, images: str | Path | None = None) -> list[tuple[str, str]]:
    """Return the problems of a COCO instances file as (kind, message); each message names image and annotation.

    mmdet 3.3 silently drops annotations without an area, outside their image or of an unknown category, and raises a
    KeyError without context if a field is missing. Annotations without a ``segmentation`` are reported unless no
    annotation has one, because such a file trains boxes.

    Args:
        ann_file: The JSON file.
        images: Folder of the images. Reads their size and EXIF orientation, not their pixels.

    Raises:
        ValueError: The file is not a JSON object with the lists ``images``, ``annotations`` and ``categories``.
        OSError: The file cannot be read.
    """
    return list(_problems(*_read(ann_file), images))


def main(arguments=None) -> int:
    """Check a COCO instances file; the exit code is 1 if it has problems."""
    parser = argparse.ArgumentParser(prog='coco_check', description=main.__doc__)
    parser.add_argument('ann_file')
    parser.add_argument('--images', type=Path, help='folder of the images; compare their sizes, too')
    args = parser.parse_args(arguments)
    try:
        parts = _read(args.ann_file)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    counts = Counter()
    for kind, message in _problems(*parts, args.images):
        counts[kind] += 1
        if counts[kind] <= SHOWN:
            print(message)
    for kind, count in counts.items():
        if count > SHOWN:
            print(f'and {count - SHOWN} more: {kind}')
    images, annotations, categories = map(len, parts)
    found = f'{counts.total() or "no"} problems found in {images} images, {annotations} annotations'
    notes = [f'{args.ann_file}: {found}, {categories} categories']
    if annotations and not _has_outlines(parts[1]):
        notes.append('no annotation has a segmentation, so the file trains boxes only, no masks')
    notes += ['image files were not opened (--images FOLDER)'] * (args.images is None)
    print('; '.join(notes))
    return 1 if counts else 0


def _read(ann_file) -> list[list[dict]]:
    try:
        content = json.loads(Path(ann_file).read_text(encoding='utf-8'))
        parts = [content[key] for key in PARTS]
        for key, part in zip(PARTS, parts, strict=True):
            if not isinstance(part, list) or not all(isinstance(entry, dict) for entry in part):
                raise TypeError(f'{key} is no list of objects')
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'{ann_file} is no COCO file of instances: it needs images, annotations and categories ({error})'
        ) from None
    return parts


def _problems(images: list, annotations: list, categories: list, folder) -> Iterator[tuple[str, str]]:
    by_id, known = {}, {}
    for category in categories:
        if not _is_id(category.get('id')):
            yield 'no id', f'category {category} has no number for its id'
        elif category['id'] in known:
            first, second = known[category['id']].get('name'), category.get('name')
            yield 'id twice', f'two categories have the id {category["id"]}: {first} and {second}'
        else:
            known[category['id']] = category
    yield from (('no name', f'category {i} has no name') for i, category in known.items() if 'name' not in category)
    names = Counter(str(category['name']) for category in known.values() if 'name' in category)
    yield from (('name twice', f'{n} categories have the name {name}') for name, n in names.items() if n > 1)
    for image in images:
        missing = [key for key in ('id', 'file_name', 'width', 'height') if key not in image]
        if missing:
            yield 'image without fields', f'image {image} has no {" and no ".join(missing)}'
            continue
        if not _is_id(image['id']) or not isinstance(image['file_name'], str):
            yield 'no id', f'image {image} has no number for its id, or no text for its file_name'
            continue
        if image['id'] in by_id:
            yield 'id twice', f'two images have the id {image["id"]}'
        by_id[image['id']] = image
        if not has_size(image):
            size = f'width {image["width"]} and height {image["height"]}'
            yield 'no size', f'image {image["id"]} ({image["file_name"]}): {size} are not two finite numbers above 0'
        if folder is not None:
            yield from _file_problems(image, Path(folder, image['file_name']))
    files = Counter(image['file_name'] for image in by_id.values())
    yield from (('file name twice', f'{n} images have the file name {name}') for name, n in files.items() if n > 1)
    seen = Counter(annotation['id'] for annotation in annotations if _is_id(annotation.get('id')))
    yield from (('id twice', f'{n} annotations have the id {i}') for i, n in seen.items() if n > 1)
    if not annotations:
        yield 'nothing to train', f'there are no annotations, of {len(images)} images, so nothing trains'
    elif all(annotation.get('iscrowd') or annotation.get('ignore') for annotation in annotations):
        what = f'every annotation ({len(annotations)}) has iscrowd or ignore set, so nothing trains'
        yield 'nothing to train', f'{what}; set iscrowd=0 where it is one object'
    has_outlines = _has_outlines(annotations)
    for annotation in annotations:
        missing = [key for key in ('id', 'image_id', 'bbox', 'category_id', 'area') if key not in annotation]
        if has_outlines and annotation.get('segmentation') is None:
            missing.append('segmentation')
        name = f'annotation {annotation.get("id")} of image {annotation.get("image_id")}'
        wrong = [key for key in ('id', 'image_id', 'category_id') if not _is_id(annotation.get(key))]
        image = None if wrong else by_id.get(annotation['image_id'])
        if missing:
            yield 'annotation without fields', f'{name} has no {" and no ".join(missing)}'
        elif wrong:
            yield 'no id', f'{name} has no number for its {wrong[0]}: {annotation[wrong[0]]}'
        elif image is None:
            yield 'annotation without image', f'{name}: there is no such image'
        else:
            name += f' ({image["file_name"]})'
            if annotation['category_id'] not in known:
                yield 'unknown category', f'{name}: category {annotation["category_id"]} is not among the categories'
            yield from ((kind, f'{name}: {what}') for kind, what in shape_problems(annotation, image))


def _file_problems(image: dict, path: Path) -> Iterator[tuple[str, str]]:
    """Yield the problems of an image file; its size is the one mmcv reads by default (cv2, rotated by EXIF)."""
    if not path.is_file():
        yield 'image not there', f'image {image["id"]}: {path} is not there'
        return
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # only headers are read
    try:
        with Image.open(path) as file:
            width, height = file.size
            exif = Image.Exif()  # getexif() decodes a PNG without EXIF, and reads XMP, which OpenCV ignores
            if file.format in ('JPEG', 'MPO', 'PNG'):  # OpenCV does not rotate WebP; PIL rotates TIFF
                with suppress(Exception):  # OpenCV ignores unreadable EXIF, too
                    exif.load(file.info.get('exif', b''))
            orientation = exif.get(ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError) as error:
        yield 'image not opened', f'image {image["id"]}: {path} cannot be opened as an image by PIL ({error})'
        return
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    rotated = ''
    if orientation in (5, 6, 7, 8):
        width, height = height, width
        rotated = f' once it is rotated by its EXIF entry (orientation {orientation})'
    if has_size(image) and (width, height) != (image['width'], image['height']):
        says = f'the JSON says {size_of(image)}'
        yield 'other size', f'image {image["id"]}: {path} is {width} x {height}{rotated}, {says}'


def _has_outlines(annotations: list) -> bool:
    return any(annotation.get('segmentation') is not None for annotation in annotations)


def _is_id(value) -> bool:
    return isinstance(value, str) or is_finite(value)


if __name__ == '__main__':
    sys.exit(main())
