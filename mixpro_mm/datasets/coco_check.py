"""Whether a COCO file of instances can be trained on, annotation by annotation, before training.

mmdet leaves out in silence what has no width, height or area, lies outside of its image or is of an unknown category
(mmdet 3.3, ``datasets/coco.py``), and ends in a KeyError that names no annotation where a field is missing. Of an RLE
that is cut short, pycocotools fills the rest of the mask with whatever the memory holds.
Run as ``python -m mixpro_mm.datasets.coco_check INSTANCES.json [--images FOLDER]``.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from PIL import Image

from mixpro_mm.datasets.rle import mask_bounds, read_runs

__all__ = ['check_coco', 'main']

SHOWN = 20  # sentences of one kind
PARTS = ('images', 'annotations', 'categories')
OVERHANG = 2  # pixels; boxes and polygons of COCO itself overhang by fractions of one
ORIENTATION = 274  # EXIF tag
MISFIT = 0.05  # of the side of the box, on top of the overhang


def check_coco(ann_file: str | Path, images: str | Path | None = None) -> list[tuple[str, str]]:
    """What is wrong with a file of instances, as (kind, sentence); each sentence names image and annotation.

    Annotations without a ``segmentation`` are named unless no annotation has one: such a file trains boxes.

    Args:
        ann_file: The JSON file.
        images: Folder of the images; their sizes are read there (headers, and orientation by EXIF), not their pixels.

    Raises:
        ValueError: The file is no JSON object with ``images``, ``annotations`` and ``categories``, lists of objects.
        OSError: It cannot be read.
    """
    return list(_problems(*_read(ann_file), images))


def main(arguments=None) -> int:
    """Look at a COCO file of instances; exit code 1 if something in it would not train as it is meant."""
    parser = argparse.ArgumentParser(prog='coco_check', description=main.__doc__)
    parser.add_argument('ann_file')
    parser.add_argument('--images', type=Path, help='look for every image in this folder and compare its size, too')
    args = parser.parse_args(arguments)
    try:
        parts = _read(args.ann_file)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    counts = Counter()
    for kind, sentence in _problems(*parts, args.images):
        counts[kind] += 1
        if counts[kind] <= SHOWN:
            print(sentence)
    for kind, count in counts.items():
        if count > SHOWN:
            print(f'and {count - SHOWN} more: {kind}')
    print(_closing(args.ann_file, *parts, args.images, counts.total()))
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


def _closing(ann_file, images: list, annotations: list, categories: list, folder, number: int) -> str:
    """What was looked at, and what was not."""
    if not annotations:
        outlines = 'there are no boxes or outlines to look at'
    elif _has_outlines(annotations):
        outlines = 'boxes and outlines were looked at'
    else:
        outlines = 'boxes were looked at; no annotation has a segmentation, so the file trains boxes only, no masks'
    files = 'image files were not opened (--images FOLDER)'
    if folder is not None:
        files = 'of the image files the size was read, not the pixels'
    return (
        f'{ann_file}: {number or "no"} {"problem" if number == 1 else "problems"} found in {len(images)} images, '
        f'{len(annotations)} annotations and {len(categories)} categories; {outlines}; {files}; '
        'whether the annotations are those of the pictures was not looked at'
    )


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
        if not _has_size(image):
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
            yield from ((kind, f'{name}: {what}') for kind, what in _shape_problems(annotation, image))


def _file_problems(image: dict, path: Path) -> Iterator[tuple[str, str]]:
    """What is wrong with the file of an image: its size is what mmcv reads by default (cv2, turned as EXIF says)."""
    if not path.is_file():
        yield 'image not there', f'image {image["id"]}: {path} is not there'
        return
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # headers only: no image is too large
    try:
        with Image.open(path) as file:
            width, height = file.size
            exif = Image.Exif()  # not getexif(): it decodes a PNG without EXIF, and reads XMP, which OpenCV does not
            if file.format in ('JPEG', 'MPO', 'PNG'):  # OpenCV turns no WebP; of a TIFF, PIL gives the turned size
                with suppress(Exception):  # OpenCV, too, goes on without EXIF that cannot be read
                    exif.load(file.info.get('exif', b''))
            orientation = exif.get(ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError) as error:
        yield 'image not opened', f'image {image["id"]}: {path} cannot be opened as an image by PIL ({error})'
        return
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    turned = ''
    if orientation in (5, 6, 7, 8):
        width, height = height, width
        turned = f' once it is rotated by its EXIF entry (orientation {orientation})'
    if _has_size(image) and (width, height) != (image['width'], image['height']):
        says = f'the JSON says {image["width"]} x {image["height"]}'
        yield 'other size', f'image {image["id"]}: {path} is {width} x {height}{turned}, {says}'


def _shape_problems(annotation: dict, image: dict) -> Iterator[tuple[str, str]]:
    """What is wrong with box and outline of one annotation; mmdet leaves out boxes that are less than a pixel wide."""
    box, crowd = annotation['bbox'], annotation.get('iscrowd', 0)
    if crowd not in (0, 1):
        yield 'no iscrowd', f'iscrowd is {crowd!r}, neither 0 nor 1'
    if not (isinstance(box, list) and len(box) == 4 and all(_is_finite(value) for value in box)):
        yield 'no box', f'box {box} is not four finite numbers x, y, width, height'
        return
    x, y, width, height = box
    bounds = (x, y, x + width, y + height)
    if width < 1 or height < 1 or not _is_finite(annotation['area']) or annotation['area'] <= 0:
        yield 'empty box', f'box {box} with area {annotation["area"]} is empty, so it would be left out'
        bounds = None
    elif _has_size(image) and (x >= image['width'] or y >= image['height'] or x + width <= 0 or y + height <= 0):
        yield 'box outside', f'box {box} lies outside of the image of {image["width"]} x {image["height"]}'
        bounds = None
    elif _overhang(bounds, image) > OVERHANG:
        what = f'box {box} is x, y, width, height, so it ends at {x + width:g}, {y + height:g}'
        yield 'box beyond', f'{what}, beyond the image of {image["width"]} x {image["height"]}; is it x1, y1, x2, y2?'
        bounds = None
    around = yield from _outline_problems(annotation.get('segmentation'), image)
    if around and bounds and not crowd:
        off = [abs(ours - theirs) for ours, theirs in zip(bounds, around, strict=True)]
        if any(way > OVERHANG + MISFIT * side for way, side in zip(off, (width, height) * 2, strict=True)):
            left, top, right, bottom = around
            fits = [round(value, 2) for value in (left, top, right - left, bottom - top)]
            yield 'box of another outline', f'box {box} is not the one of its outline, {fits}: {max(off):g} pixels off'


def _outline_problems(outline, image: dict):
    """Yields what is wrong with an outline, and returns x1, y1, x2, y2 around it (None where it has a fault)."""
    if outline is None:
        return None
    if isinstance(outline, dict):
        return (yield from _rle_problems(outline, image))
    if not isinstance(outline, list):
        yield 'no outline', f'its outline is of type {type(outline).__name__}, neither polygons (a list) nor an RLE'
        return None
    if not outline:
        yield 'empty outline', 'its outline is empty'
        return None
    count = sum(not _is_polygon(part) for part in outline)
    if count:
        are = 'polygon of its outline is' if count == 1 else 'polygons of its outline are'
        yield 'no polygon', f'{count} {are} not three or more pairs x, y'
        return None
    xs, ys = ([value for part in outline for value in part[axis::2]] for axis in (0, 1))
    around = (min(xs), min(ys), max(xs), max(ys))
    if (beyond := _overhang(around, image)) > OVERHANG:
        size = f'{image["width"]} x {image["height"]}'
        yield 'polygon beyond', f'its outline reaches {beyond:g} pixels beyond the image of {size}'
        return None
    return around


def _rle_problems(rle: dict, image: dict):
    size, counts = rle.get('size'), rle.get('counts')
    if not isinstance(size, list) or len(size) != 2 or not all(type(n) is int and n > 0 for n in size):
        keys = f'an object with {", ".join(rle) or "nothing"}' if 'size' not in rle else f'an RLE of size {size}'
        what = 'polygons (a list) nor an RLE (counts and size [height, width], whole numbers)'
        yield 'no RLE', f'its outline is {keys}, neither {what}'
        return None
    try:
        runs = read_runs(counts)
    except ValueError as error:
        yield 'no RLE', f'its outline is no RLE: {error}'
        return None
    height, width = size
    if _has_size(image) and (height, width) != (image['height'], image['width']):
        swapped = '; width and height are swapped' if (width, height) == (image['height'], image['width']) else ''
        what = f'its RLE has size {size}, the image [height, width] [{image["height"]}, {image["width"]}]'
        yield 'RLE of another size', what + swapped
        return None
    if sum(runs) != height * width:
        cut = 'cut short' if sum(runs) < height * width else 'too long'
        yield 'RLE cut', f'its RLE has counts of {sum(runs)} pixels for {height} x {width} = {height * width}: {cut}'
        return None
    around = mask_bounds(runs, height)
    if around is None:
        yield 'empty outline', 'its RLE has no pixel'
    return around


def _overhang(bounds, image: dict) -> float:
    """How far x1, y1, x2, y2 reach beyond the image, in pixels."""
    if not _has_size(image):
        return 0
    return max(-bounds[0], -bounds[1], bounds[2] - image['width'], bounds[3] - image['height'])


def _has_outlines(annotations: list) -> bool:
    return any(annotation.get('segmentation') is not None for annotation in annotations)


def _has_size(image: dict) -> bool:
    return all(_is_finite(image[side]) and image[side] > 0 for side in ('width', 'height'))


def _is_polygon(part) -> bool:
    return isinstance(part, list) and len(part) >= 6 and len(part) % 2 == 0 and all(map(_is_finite, part))


def _is_finite(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_id(value) -> bool:
    return isinstance(value, str) or _is_finite(value)


if __name__ == '__main__':
    sys.exit(main())
