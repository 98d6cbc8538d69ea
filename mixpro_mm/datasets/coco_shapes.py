"""Checks of the boxes, polygons and run-length encoded masks of COCO annotations."""

import sys
from collections.abc import Iterator

from pycocotools import mask as coco_mask

__all__ = ['has_size', 'is_finite', 'read_runs', 'shape_problems', 'size_of']

OVERHANG = 2  # pixels; boxes and polygons of COCO itself overhang by fractions of a pixel
MISFIT = 0.05  # share of the box side, added to the overhang


def shape_problems(annotation: dict, image: dict) -> Iterator[tuple[str, str]]:
    """Yield the problems of the box and the outline of an annotation as (kind, text).

    mmdet drops boxes that are less than a pixel wide. Boxes and polygons may overhang the image by 2 pixels. A box may
    differ from its outline by another 5 % of its side; the box of a crowd is not compared.

    Args:
        annotation: Annotation with ``bbox`` and ``area``.
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
    fault = True
    if width < 1 or height < 1 or not is_finite(annotation['area']) or annotation['area'] <= 0:
        yield 'empty box', f'box {box} with area {annotation["area"]} is empty, so it would be left out'
    elif has_size(image) and (x >= image['width'] or y >= image['height'] or x + width <= 0 or y + height <= 0):
        yield 'box outside', f'box {box} lies outside of the image of {size_of(image)}'
    elif (beyond := _overhang(bounds, image)) > OVERHANG:
        what = f'box {box} (x, y, width, height, not x1, y1, x2, y2) reaches to {x + width:g}, {y + height:g}'
        yield 'box beyond', f'{what}: {beyond:g} pixels beyond the image of {size_of(image)}'
    else:
        fault = False
    around = yield from _outline_problems(annotation.get('segmentation'), image)
    if around and not fault and not crowd:
        off = [abs(ours - theirs) for ours, theirs in zip(bounds, around, strict=True)]
        if any(way > OVERHANG + MISFIT * side for way, side in zip(off, (width, height) * 2, strict=True)):
            left, top, right, bottom = around
            fits = [round(value, 2) for value in (left, top, right - left, bottom - top)]
            yield 'box of another outline', f'box {box} is not the one of its outline, {fits}: {max(off):g} pixels off'


def _outline_problems(outline, image: dict):
    """Yield the problems of an outline; return its bounds x1, y1, x2, y2, or None if it has a problem."""
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
    count = sum(
        not (isinstance(part, list) and len(part) >= 6 and len(part) % 2 == 0 and all(map(is_finite, part)))
        for part in outline
    )
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
    size = rle.get('size')
    if not isinstance(size, list) or len(size) != 2 or not all(type(n) is int and n > 0 for n in size):
        keys = f'an object with {", ".join(rle) or "nothing"}' if 'size' not in rle else f'an RLE of size {size}'
        what = 'polygons (a list) nor an RLE (counts and size [height, width], whole numbers)'
        yield 'no RLE', f'its outline is {keys}, neither {what}'
        return None
    try:
        runs = read_runs(rle.get('counts'))
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
    if not any(runs[1::2]):
        yield 'empty outline', 'its RLE has no pixel'
        return None
    box = coco_mask.toBbox(coco_mask.frPyObjects(dict(size=size, counts=runs), height, width))
    left, top, wide, tall = box.astype(int).tolist()
    return left, top, left + wide, top + tall


def read_runs(counts: str | list) -> list[int]:
    """Return the run lengths of a COCO mask in pixels, column by column, background first.

    pycocotools leaves memory uninitialised where counts are cut short; this reader does not use it.

    Args:
        counts: The compressed string (``rleFrString`` of pycocotools) or the list of lengths.

    Raises:
        ValueError: ``counts`` are not run lengths.
    """
    if not isinstance(counts, str | list):
        raise ValueError(f'counts are of type {type(counts).__name__}, neither a string nor a list')
    runs = _decompress(counts) if isinstance(counts, str) else counts
    for number, run in enumerate(runs):
        if isinstance(run, bool) or not isinstance(run, int | float) or not run >= 0 or run % 1 != 0:
            raise ValueError(f'counts hold {run!s:.40} at place {number}, which is no length of a run')
    return [int(run) for run in runs]


def _decompress(text: str) -> list[int]:
    """Decode groups of five bits, lowest first, and a continuation bit; runs are differences from the fourth on."""
    runs, value, shift = [], 0, 0
    for place, character in enumerate(text):
        code = ord(character) - 48
        if not 0 <= code < 64:
            raise ValueError(f'counts hold {character!r} at place {place}, which no compressed RLE has')
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            if code & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError('counts end within a number, so they are cut short')
    return runs


def _overhang(bounds, image: dict) -> float:
    """Return the pixels by which x1, y1, x2, y2 extend beyond the image."""
    if not has_size(image):
        return 0
    return max(-bounds[0], -bounds[1], bounds[2] - image['width'], bounds[3] - image['height'])


def has_size(image: dict) -> bool:
    """Return whether width and height are finite and positive."""
    return all(is_finite(image[side]) and image[side] > 0 for side in ('width', 'height'))


def size_of(image: dict) -> str:
    """Return "width x height"."""
    return f'{image["width"]} x {image["height"]}'


def is_finite(value) -> bool:
    """Return whether ``value`` is a finite number; booleans are not numbers."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
