"""Whether a COCO file of instances can be trained on, annotation by annotation, before training.

mmdet leaves out in silence what has no width, height or area, lies outside of its image or is of an unknown category
(mmdet 3.3, ``datasets/coco.py``), and ends in a KeyError that names no annotation where a field is missing.
Run as ``python -m mixpro_mm.datasets.coco_check INSTANCES.json [--images FOLDER]``.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

__all__ = ['check_coco', 'main']

SHOWN = 20  # sentences of one kind
PARTS = ('images', 'annotations', 'categories')


def check_coco(ann_file: str | Path, images: str | Path | None = None) -> list[tuple[str, str]]:
    """What is wrong with a file of instances, as (kind, sentence); each sentence names image and annotation.

    Args:
        ann_file: The JSON file.
        images: Folder of the images; they are looked for there, not opened.

    Raises:
        ValueError: The file is no JSON object with ``images``, ``annotations`` and ``categories``, lists of objects.
        OSError: It cannot be read.
    """
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
    return list(_problems(*parts, images))


def main(arguments=None) -> int:
    """Look at a COCO file of instances; exit code 1 if an annotation cannot train anything."""
    parser = argparse.ArgumentParser(prog='coco_check', description=main.__doc__)
    parser.add_argument('ann_file')
    parser.add_argument('--images', type=Path, help='look for every image in this folder, too')
    args = parser.parse_args(arguments)
    try:
        problems = check_coco(args.ann_file, args.images)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    counts = Counter()
    for kind, sentence in problems:
        counts[kind] += 1
        if counts[kind] <= SHOWN:
            print(sentence)
    for kind, count in counts.items():
        if count > SHOWN:
            print(f'and {count - SHOWN} more: {kind}')
    if not problems:
        print(f'{args.ann_file} is sound')
    return 1 if problems else 0


def _problems(images: list, annotations: list, categories: list, folder) -> Iterator[tuple[str, str]]:
    by_id, known = {}, set()
    for category in categories:
        if _is_id(category.get('id')):
            known.add(category['id'])
        else:
            yield 'no id', f'category {category} has no number for its id'
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
        if not _has_size(image):
            size = f'width {image["width"]} and height {image["height"]}'
            yield 'no size', f'image {image["id"]} ({image["file_name"]}): {size} are not two finite numbers above 0'
        if folder is not None and not Path(folder, image['file_name']).is_file():
            yield 'image not there', f'image {image["id"]}: {Path(folder, image["file_name"])} is not there'
    seen = Counter(annotation['id'] for annotation in annotations if _is_id(annotation.get('id')))
    yield from (('id twice', f'{n} annotations have the id {i}') for i, n in seen.items() if n > 1)
    for annotation in annotations:
        missing = [key for key in ('id', 'image_id', 'bbox', 'category_id', 'area') if key not in annotation]
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
            yield from ((kind, f'{name}: {what}') for kind, what in _shape_problems(annotation, image))


def _shape_problems(annotation: dict, image: dict) -> Iterator[tuple[str, str]]:
    """What is wrong with box and outline of one annotation; mmdet leaves out boxes that are less than a pixel wide."""
    box, outline = annotation['bbox'], annotation.get('segmentation')
    if not (isinstance(box, list) and len(box) == 4 and all(_is_finite(value) for value in box)):
        yield 'no box', f'box {box} is not four finite numbers x, y, width, height'
        return
    x, y, width, height = box
    if width < 1 or height < 1 or not _is_finite(annotation['area']) or annotation['area'] <= 0:
        yield 'empty box', f'box {box} with area {annotation["area"]} is empty, so it would be left out'
    elif _has_size(image) and (x >= image['width'] or y >= image['height'] or x + width <= 0 or y + height <= 0):
        yield 'box outside', f'box {box} lies outside of the image of {image["width"]} x {image["height"]}'
    if outline == []:
        yield 'empty outline', 'its outline is empty'
    elif isinstance(outline, list):
        count = sum(not _is_polygon(part) for part in outline)
        if count:
            are = 'polygon of its outline is' if count == 1 else 'polygons of its outline are'
            yield 'no polygon', f'{count} {are} not three or more pairs x, y'


def _has_size(image: dict) -> bool:
    return all(_is_finite(image[side]) and image[side] > 0 for side in ('width', 'height'))


def _is_polygon(part) -> bool:
    return isinstance(part, list) and len(part) >= 6 and len(part) % 2 == 0 and all(map(_is_finite, part))


def _is_finite(value) -> bool:
    return isinstance(value, int | float) and abs(value) <= sys.float_info.max


def _is_id(value) -> bool:
    return isinstance(value, int | float | str)


if __name__ == '__main__':
    sys.exit(main())
