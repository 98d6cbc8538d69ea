"""Scenes of small images in the layouts of Pascal Context and COCO: what digit scenes and fashion scenes share."""

import argparse
import hashlib
import inspect
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from mixpro_mm.datasets.paint import INK_LUMINANCE, ground, tints

__all__ = ['PALETTE', 'draw_scene', 'run_command', 'write_scenes']

PALETTE = ((60, 60, 60), (230, 25, 75), (245, 130, 48), (255, 225, 25), (170, 255, 60), (60, 180, 75), (70, 240, 240))
PALETTE += ((0, 130, 200), (145, 30, 180), (240, 50, 230), (170, 110, 40))  # one per class, background first

ON_MASK = 0.4  # a pixel belongs to an item from this opacity on


def draw_scene(
    rng: np.random.Generator,
    images: np.ndarray,
    cut: Callable,
    size: int,
    max_items: int,
    sides: tuple[int, int],
    min_visible: float = 0.7,
):
    """Draw a scene with 1 to ``max_items`` different images, later ones over earlier ones.

    Args:
        rng: Random generator.
        images: Images to choose from, (N, h, w) uint8.
        cut: Function of an image and a side that returns opacity and shade in 0..1, (side, side) each; the shade may be
            a number.
        size: Side of the scene in pixels.
        max_items: Maximum number of items. An item without a free position is left out.
        sides: Minimum and maximum side of an item in pixels.
        min_visible: Share of each item that later items leave visible.

    Returns:
        The image (size, size, 3) uint8 RGB, the chosen positions in ``images`` (K,), and the masks of the visible
        pixels (K, size, size) bool, which do not overlap.
    """
    image = ground(rng, size)
    candidates = rng.choice(len(images), rng.integers(1, max_items + 1), replace=False)
    hues = rng.random() + np.arange(len(candidates)) / len(candidates)
    inks = tints(hues, rng.uniform(*INK_LUMINANCE, size=len(candidates)))

    chosen, masks = [], np.zeros((0, size, size), dtype=bool)
    full = np.zeros(0)  # pixels of each item before others covered it
    for index, ink in zip(candidates, inks, strict=True):
        side = rng.integers(sides[0], sides[1] + 1)
        opacity, shade = (np.broadcast_to(part, (side, side)) for part in cut(images[index], side))
        for top, left in rng.integers(0, size - side + 1, (20, 2)):
            place = ((top, size - side - top), (left, size - side - left))
            alpha, colour = np.pad(opacity, place)[..., None], np.pad(shade, place)[..., None] * ink
            mask = alpha[..., 0] > ON_MASK
            uncovered = masks & ~mask
            if (uncovered.sum((1, 2)) >= min_visible * full).all():
                image = image * (1 - alpha) + colour * alpha
                masks, full = np.concatenate([uncovered, mask[None]]), np.append(full, mask.sum())
                chosen.append(index)
                break
    return np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8), np.array(chosen), masks


def _write_split(root: Path, split: str, count: int, size: int, seed: int, noun: str, classes, load, draw) -> dict:
    from pycocotools import mask as coco_mask

    items, labels, positions = load('train' if split == 'train' else 'test')
    voc, coco = root / 'VOCdevkit' / 'VOC2010', root / 'coco'
    folders = [voc / 'JPEGImages', voc / 'SegmentationClassContext', coco / f'{split}2017']
    for folder in (*folders, coco / 'annotations', voc / 'ImageSets' / 'SegmentationContext'):
        folder.mkdir(parents=True, exist_ok=True)

    names, images, annotations = [], [], []
    for number in range(count):
        rng = np.random.default_rng([seed, split != 'train', number])
        image, chosen, masks = draw(rng, items)
        class_ids = labels[chosen] + 1
        name = f'{split}_{number:06d}'
        names.append(name)
        Image.fromarray(image).save(folders[0] / f'{name}.jpg', quality=95, subsampling=0)
        shutil.copyfile(folders[0] / f'{name}.jpg', folders[2] / f'{name}.jpg')
        class_map = Image.fromarray((masks * class_ids[:, None, None]).sum(0).astype(np.uint8), mode='P')
        class_map.putpalette(np.array(PALETTE, dtype=np.uint8).tobytes())
        class_map.save(folders[1] / f'{name}.png')
        images.append(dict(id=number + 1, file_name=f'{name}.jpg', width=size, height=size))
        for mask, class_id, position in zip(masks, class_ids, positions[chosen], strict=True):
            rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
            annotation = dict(id=len(annotations) + 1, image_id=number + 1, category_id=int(class_id))
            annotation |= dict(bbox=coco_mask.toBbox(rle).tolist(), area=int(coco_mask.area(rle)), iscrowd=0)
            annotation['segmentation'] = dict(size=[size, size], counts=rle['counts'].decode('ascii'))
            annotations.append(annotation | {f'{noun}_index': int(position)})
    (voc / 'ImageSets' / 'SegmentationContext' / f'{split}.txt').write_text('\n'.join(names) + '\n')
    categories = [dict(id=i, name=name, supercategory=noun) for i, name in enumerate(classes) if i > 0]
    instances = dict(images=images, annotations=annotations, categories=categories)
    (coco / 'annotations' / f'instances_{split}2017.json').write_text(json.dumps(instances))
    return dict(images=len(images), instances=len(annotations))


def _annotation_hash(root: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(p for p in root.glob('*/**/*') if p.suffix in ('.json', '.png', '.txt')):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _is_written(root: Path, parameters: dict) -> bool:
    """Return whether ``root`` contains this set; raise a ValueError if it contains something else."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        manifest = json.loads((root / 'scenes.json').read_text())
        found = dict(manifest['parameters'])
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(f'{root} has no readable scenes.json: remove it or name another directory') from None
    fault = ', '.join(f'{k} {found.get(k)} instead of {v}' for k, v in parameters.items() if found.get(k) != v)
    if not fault and _annotation_hash(root) != manifest.get('sha256'):
        fault = 'annotations that were changed after writing'
    if fault:
        raise ValueError(f'{root} contains scenes with {fault}: remove it or name another directory')
    return True


def write_scenes(root, parameters: dict, noun: str, classes: tuple, load: Callable, draw: Callable) -> Path:
    """Write the scenes to ``root`` unless they exist there; the directory appears complete or not at all::

        ROOT/VOCdevkit/VOC2010/   JPEGImages, SegmentationClassContext (0 = background), ImageSets
        ROOT/coco/                annotations/instances_{train,val}2017.json (visible parts as RLE), train2017, val2017
        ROOT/scenes.json          parameters, counts, and a hash over all annotation files

    Both layouts contain the same scenes. A scene depends on its number, not on the number of scenes.

    Args:
        root: Directory of the set; it must be missing, empty, or the same set.
        parameters: What determines the set: ``num_train``, ``num_val``, ``size`` and ``seed``, other parameters of the
            drawing, and ``format``.
        noun: Supercategory of all classes; ``NOUN_index`` of an annotation is the position that ``load`` returns.
        classes: Names of the classes, background first.
        load: Function of 'train' or 'test' that returns images (N, h, w), labels (N,) and positions (N,).
        draw: Function of a random generator and images that returns what :func:`draw_scene` does.

    Raises:
        ValueError: A number is too small, or ``root`` contains something else.
    """
    root = Path(root).resolve()
    for key, value in parameters.items():
        least = dict(size=32, seed=0).get(key, 1)
        if isinstance(value, int) and value < least:
            raise ValueError(f'{key} must be at least {least}, not {value}')
    if _is_written(root, parameters):
        return root

    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=f'.{root.name}-') as temporary:
        draft = Path(temporary, 'scenes')
        common = parameters['size'], parameters['seed'], noun, classes, load, draw
        counts = {split: _write_split(draft, split, parameters[f'num_{split}'], *common) for split in ('train', 'val')}
        manifest = dict(parameters=parameters, counts=counts, sha256=_annotation_hash(draft))
        (draft / 'scenes.json').write_text(json.dumps(manifest, indent=2) + '\n')
        try:
            draft.rename(root)
        except OSError:  # another process may have written the same set
            if not _is_written(root, parameters):
                raise
    return root


def run_command(write: Callable, description: str, argv=None) -> None:
    """Run a function that writes scenes as a command; its arguments with defaults become options."""
    parser = argparse.ArgumentParser(description=description)
    root, *options = inspect.signature(write).parameters.values()
    parser.add_argument(root.name, type=Path)
    for each in options:
        option = f'--{each.name.replace("_", "-")}'
        parser.add_argument(option, type=type(each.default), default=each.default, help='%(default)s')
    args = vars(parser.parse_args(argv))
    try:
        print(write(args.pop(root.name), **args))
    except (FileNotFoundError, ValueError) as error:
        parser.exit(1, f'{error}\n')
