"""What is wrong with the box and the outline of an annotation of COCO; for ``coco_check``."""

import sys
from collections.abc import Iterator

from mixpro_mm.datasets.rle import mask_bounds, read_runs

__all__ = ['has_size', 'is_finite', 'shape_problems', 'size_of']

OVERHANG = 2  # pixels; boxes and polygons of COCO itself overhang by fractions of one
MISFIT = 0.05  # of the side of the box, on top of the overhang


def shape_problems(annotation: dict, image: dict) -> Iterator[tuple[str, str]]:
    """What is wrong with box and outline of one annotation, as (kind, what).

    mmdet leaves out boxes that are less than a pixel wide. Boxes and polygons may overhang by 2 pixels, and a box may
    be another 5 % of its side off its outline; the outline of a crowd is not compared with its box.

    Args:
        annotation: With ``bbox`` and ``area``.
        image: Its image, with ``width`` and ``height``.
    """
    box, crowd = annotation['bbox'], annotation.get('iscrowd', 0)
    if crowd not in (0, 1):
        yield 'no iscrowd', f'iscrowd is {crowd!r}, neither 0 nor 1'
    if not (isinstance(box, list) and len(box) == 4 and all(is_finite(value) for value in box)):
        yield 'no box', f'box {box} is not four finite numbers x, y, width, height'
        return
    x, y, width, height = box
    bounds = (x, y, x + width, y + height)
    if width < 1 or height < 1 or not is_finite(annotation['area']) or annotation['area'] <= 0:
        yield 'empty box', f'box {box} with area {annotation["area"]} is empty, so it would be left out'
        bounds = None
    elif has_size(image) and (x >= image['width'] or y >= image['height'] or x + width <= 0 or y + height <= 0):
        yield 'box outside', f'box {box} lies outside of the image of {size_of(image)}'
        bounds = None
    elif _overhang(bounds, image) > OVERHANG:
        what = f'box {box} (x, y, width, height, not x1, y1, x2, y2) reaches to {x + width:g}, {y + height:g}'
        yield 'box beyond', f'{what}: {_overhang(bounds, image):g} pixels beyond the image of {size_of(image)}'
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
        yield 'polygon beyond', f'its outline reaches {beyond:g} pixels beyond the image of {size_of(image)}'
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
    if has_size(image) and (height, width) != (image['height'], image['width']):
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
    if not has_size(image):
        return 0
    return max(-bounds[0], -bounds[1], bounds[2] - image['width'], bounds[3] - image['height'])


def has_size(image: dict) -> bool:
    """Whether width and height are finite numbers above 0."""
    return all(is_finite(image[side]) and image[side] > 0 for side in ('width', 'height'))


def size_of(image: dict) -> str:
    """Width x height, as text."""
    return f'{image["width"]} x {image["height"]}'


def _is_polygon(part) -> bool:
    return isinstance(part, list) and len(part) >= 6 and len(part) % 2 == 0 and all(map(is_finite, part))


def is_finite(value) -> bool:
    """Whether this is a number, neither NaN nor infinite; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
