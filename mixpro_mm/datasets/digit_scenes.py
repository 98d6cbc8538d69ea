"""Scenes of scanned digits in the layouts of Pascal Context and COCO: ``python -m mixpro_mm.datasets.digit_scenes``."""

import argparse
import hashlib
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from mixpro_mm.datasets.digits import load_digit_images, split_indices
from mixpro_mm.datasets.paint import INK_LUMINANCE, ground, opacity, resized, tints

__all__ = ['CLASSES', 'PALETTE', 'draw_scene', 'write_digit_scenes']

CLASSES = ('background', *'0123456789')
PALETTE = ((60, 60, 60), (230, 25, 75), (245, 130, 48), (255, 225, 25), (170, 255, 60), (60, 180, 75), (70, 240, 240))
PALETTE += ((0, 130, 200), (145, 30, 180), (240, 50, 230), (170, 110, 40))  # one per class, background first

FORMAT = 2  # increase it if the same parameters give other scenes
ON_MASK = 0.4  # a pixel belongs to a digit from this opacity on
MIN_VISIBLE = 0.7  # share of each digit that later digits leave visible


def draw_scene(rng: np.random.Generator, digits: np.ndarray, size: int, max_digits: int):
    """Draw a scene with 1 to ``max_digits`` different scans, later ones over earlier ones.

    Args:
        rng: Random generator.
        digits: Scans to choose from, (N, 8, 8) uint8, ink 255.
        size: Side of the scene in pixels; the side of a digit is 1/4 to 7/12 of it.
        max_digits: Maximum number of digits. A digit without a free position is left out.

    Returns:
        The image (size, size, 3) uint8 RGB, the chosen positions in ``digits`` (K,), and the masks of the visible
        pixels (K, size, size) bool, which do not overlap.
    """
    image = ground(rng, size)
    candidates = rng.choice(len(digits), rng.integers(1, max_digits + 1), replace=False)
    hues = rng.random() + np.arange(len(candidates)) / len(candidates)
    inks = tints(hues, rng.uniform(*INK_LUMINANCE, size=len(candidates)))

    chosen, masks = [], np.zeros((0, size, size), dtype=bool)
    full = np.zeros(0)  # pixels of each digit before others covered it
    for index, ink in zip(candidates, inks, strict=True):
        side = rng.integers(size // 4, size * 7 // 12 + 1)
        stroke = opacity(resized(np.pad(digits[index], 1), side))
        for top, left in rng.integers(0, size - side + 1, (20, 2)):
            alpha = np.pad(stroke, ((top, size - side - top), (left, size - side - left)))
            mask = alpha > ON_MASK
            uncovered = masks & ~mask
            if (uncovered.sum((1, 2)) >= MIN_VISIBLE * full).all():
                image = image * (1 - alpha[..., None]) + ink * alpha[..., None]
                masks, full = np.concatenate([uncovered, mask[None]]), np.append(full, mask.sum())
                chosen.append(index)
                break
    return np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8), np.array(chosen), masks


def _write_split(root: Path, split: str, count: int, size: int, max_digits: int, seed: int) -> dict:
    from pycocotools import mask as coco_mask

    source = 'train' if split == 'train' else 'test'
    (digits, labels), positions = load_digit_images(source), split_indices(source)
    voc, coco = root / 'VOCdevkit' / 'VOC2010', root / 'coco'
    folders = [voc / 'JPEGImages', voc / 'SegmentationClassContext', coco / f'{split}2017']
    for folder in (*folders, coco / 'annotations', voc / 'ImageSets' / 'SegmentationContext'):
        folder.mkdir(parents=True, exist_ok=True)

    names, images, annotations = [], [], []
    for number in range(count):
        rng = np.random.default_rng([seed, split != 'train', number])
        image, chosen, masks = draw_scene(rng, digits, size, max_digits)
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
            annotations.append(annotation | dict(digit_index=int(position)))
    (voc / 'ImageSets' / 'SegmentationContext' / f'{split}.txt').write_text('\n'.join(names) + '\n')
    categories = [dict(id=i, name=name, supercategory='digit') for i, name in enumerate(CLASSES) if i > 0]
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
        raise ValueError(f'{root} contains digit scenes with {fault}: remove it or name another directory')
    return True


def write_digit_scenes(
    root, num_train: int = 240, num_val: int = 80, size: int = 96, max_digits: int = 4, seed: int = 0
) -> Path:
    """Write the scenes to ``root`` unless they exist there; the directory appears complete or not at all::

        ROOT/VOCdevkit/VOC2010/   JPEGImages, SegmentationClassContext (0 = background, 1..10 = digits), ImageSets
        ROOT/coco/                annotations/instances_{train,val}2017.json (visible parts as RLE), train2017, val2017
        ROOT/scenes.json          parameters, counts, and a hash over all annotation files

    Both layouts contain the same scenes. Train scenes show train digits, val scenes held-out ones; ``digit_index`` of a
    COCO annotation is the position in scikit-learn's file. A scene depends on its number, not on the number of scenes.

    Args:
        root: Directory of the set; it must be missing, empty, or the same set.
        num_train, num_val: Number of scenes in each part.
        size: Side of a scene in pixels.
        max_digits: Maximum number of digits in a scene.
        seed: The same seed gives the same bytes with the same versions of numpy and Pillow.

    Raises:
        ValueError: A number is too small, or ``root`` contains something else.
    """
    root = Path(root).resolve()
    parameters = dict(num_train=num_train, num_val=num_val, size=size, max_digits=max_digits, seed=seed)
    for key, least in dict(num_train=1, num_val=1, size=32, max_digits=1, seed=0).items():
        if parameters[key] < least:
            raise ValueError(f'{key} must be at least {least}, not {parameters[key]}')
    parameters['format'] = FORMAT
    if _is_written(root, parameters):
        return root

    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=f'.{root.name}-') as temporary:
        draft = Path(temporary, 'scenes')
        parts = dict(train=num_train, val=num_val)
        counts = {split: _write_split(draft, split, count, size, max_digits, seed) for split, count in parts.items()}
        manifest = dict(parameters=parameters, counts=counts, sha256=_annotation_hash(draft))
        (draft / 'scenes.json').write_text(json.dumps(manifest, indent=2) + '\n')
        try:
            draft.rename(root)
        except OSError:  # another process may have written the same set
            if not _is_written(root, parameters):
                raise
    return root


def main(argv=None):
    parser = argparse.ArgumentParser(description='Write digit scenes in the layouts of Pascal Context and COCO.')
    parser.add_argument('root', type=Path)
    for name, default in dict(num_train=240, num_val=80, size=96, max_digits=4, seed=0).items():
        parser.add_argument(f'--{name.replace("_", "-")}', type=int, default=default, help='%(default)s')
    args = vars(parser.parse_args(argv))
    print(write_digit_scenes(args.pop('root'), **args))


if __name__ == '__main__':
    main()
