import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner, set_random_seed
from PIL import Image
from pycocotools.coco import COCO
from sklearn.datasets import load_digits

from mixpro_mm.datasets import digit_scenes, load_digit_images, split_indices
from mixpro_mm.datasets.digit_scenes import CLASSES, PALETTE, draw_scene, main, write_digit_scenes

CONFIGS = Path(__file__).parents[2] / 'configs' / '_base_'
SMALL = dict(num_train=12, num_val=8, seed=3)
VOC = Path('VOCdevkit') / 'VOC2010'


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return write_digit_scenes(tmp_path_factory.mktemp('data') / 'scenes', **SMALL)


def contents(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob('*') if path.is_file()}


def coco(root, split):
    return COCO(root / 'coco' / 'annotations' / f'instances_{split}2017.json')


def class_map(root, image):
    name = Path(image['file_name']).with_suffix('.png')
    return np.asarray(Image.open(root / VOC / 'SegmentationClassContext' / name))


@pytest.mark.parametrize(('split', 'source'), [('train', 'train'), ('val', 'test')])
def test_train_digits_in_train_scenes_and_held_out_digits_in_val_scenes(scenes, split, source):
    annotations = coco(scenes, split).dataset['annotations']
    drawn = [annotation['digit_index'] for annotation in annotations]
    assert set(drawn) <= set(split_indices(source).tolist())
    assert [annotation['category_id'] - 1 for annotation in annotations] == load_digits().target[drawn].tolist()


def test_digits_stand_out_are_mostly_visible_and_vary_in_size():
    images, _ = load_digit_images('train')
    heights = []
    for number in range(40):
        image, chosen, masks = draw_scene(np.random.default_rng(number), images, size=96, max_digits=4)
        assert 1 <= len(chosen) == len(masks) <= 4 and len(set(chosen.tolist())) == len(chosen)
        assert masks.sum(0).max() == 1  # visible parts do not overlap
        luminance = image @ (0.299, 0.587, 0.114)
        for mask in masks:
            assert abs(np.median(luminance[mask]) - np.median(luminance[~masks.any(0)])) > 25
            assert mask.sum() >= 20
            heights.append(np.ptp(np.flatnonzero(mask.any(1))) + 1)
    assert min(heights) < 25 and max(heights) > 40


@pytest.mark.parametrize('split', ['train', 'val'])
def test_class_maps_and_coco_masks_agree_pixel_by_pixel(scenes, split):
    api = coco(scenes, split)
    assert len(api.imgs) == SMALL[f'num_{split}']
    assert {c['id']: c['name'] for c in api.dataset['categories']} == dict(enumerate(CLASSES[1:], start=1))
    for image in api.dataset['images']:
        expected = np.zeros((96, 96), dtype=np.uint8)
        for annotation in api.loadAnns(api.getAnnIds(image['id'])):
            mask = api.annToMask(annotation).astype(bool)
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            extent = [columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert annotation['bbox'] == extent and annotation['area'] == mask.sum()
            assert (expected[mask] == 0).all()
            expected[mask] = annotation['category_id']
        assert np.array_equal(class_map(scenes, image), expected)
        jpegs = scenes / VOC / 'JPEGImages', scenes / 'coco' / f'{split}2017'
        assert len({(folder / image['file_name']).read_bytes() for folder in jpegs}) == 1


@pytest.mark.parametrize(('name', 'scope', 'first'), [('context', 'mmseg', 0), ('coco', 'mmdet', 1)])
def test_configs_load_the_labels(name, scope, first, scenes):
    set_random_seed(0)
    cfg = Config.fromfile(CONFIGS / f'digit_scenes_{name}.py')
    assert tuple(cfg.metainfo.classes) == CLASSES[first:]
    assert tuple(map(tuple, cfg.metainfo.palette)) == PALETTE[first:]
    for part, count in ((cfg.train_dataloader, 12), (cfg.val_dataloader, 8), (cfg.test_dataloader, 8)):
        part.dataset.data_root = part.dataset.data_root.replace('data/digit_scenes', str(scenes))
        with DefaultScope.overwrite_default_scope(scope):
            loader, preprocessor = Runner.build_dataloader(part, seed=0), MODELS.build(cfg.data_preprocessor)
        batch = preprocessor(next(iter(loader)), training=count == 12)
        assert len(loader.dataset) == count and batch['inputs'].isfinite().all()
    if scope == 'mmseg':
        for image, sample in zip(coco(scenes, 'val').dataset['images'], batch['data_samples'], strict=True):
            assert np.array_equal(sample.gt_sem_seg.data[0], class_map(scenes, image))
    else:
        api, sample = coco(scenes, 'val'), batch['data_samples'][0]
        annotations = api.loadAnns(api.getAnnIds(sample.img_id))
        assert (sample.gt_instances.labels + 1).tolist() == [a['category_id'] for a in annotations]
        assert sample.gt_instances.masks.areas.tolist() == [a['area'] for a in annotations]


def test_the_same_seed_gives_the_same_bytes_and_the_count_does_not_change_a_scene(scenes, tmp_path, monkeypatch):
    assert contents(write_digit_scenes(tmp_path / 'again', **SMALL)) == contents(scenes)
    other = write_digit_scenes(tmp_path / 'other', **{**SMALL, 'num_train': 2, 'num_val': 1, 'seed': 4})
    fewer = write_digit_scenes(tmp_path / 'fewer', **{**SMALL, 'num_train': 2, 'num_val': 1})
    for name in ('train_000001.jpg', 'val_000000.jpg'):
        reference = (scenes / VOC / 'JPEGImages' / name).read_bytes()
        assert (other / VOC / 'JPEGImages' / name).read_bytes() != reference
        assert (fewer / VOC / 'JPEGImages' / name).read_bytes() == reference
    monkeypatch.setattr(digit_scenes, '_write_split', None)
    assert write_digit_scenes(scenes, **SMALL) == scenes  # exists, not written again


def test_an_interrupt_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(digit_scenes, '_annotation_hash', lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_digit_scenes(tmp_path / 'scenes', num_train=1, num_val=1)
    assert list(tmp_path.iterdir()) == []


def test_other_content_raises_and_is_kept(tmp_path):
    root = write_digit_scenes(tmp_path / 'scenes', num_train=1, num_val=1)
    path = root / 'coco' / 'annotations' / 'instances_val2017.json'
    path.write_text(json.dumps({**json.loads(path.read_text()), 'annotations': []}))
    before = contents(root)
    for folder, changed, words in (
        (root, dict(num_val=9, seed=3), r'num_val 1 instead of 9, seed 0 instead of 3'),
        (root, {}, 'annotations that were changed'),
        (tmp_path, {}, r'no readable scenes.json'),
        (tmp_path / 'small', dict(size=16), 'size must be at least 32, not 16'),
    ):
        with pytest.raises(ValueError, match=words):
            write_digit_scenes(folder, **dict(num_train=1, num_val=1) | changed)
    assert contents(root) == before


def test_command_line(tmp_path, capsys):
    main([str(tmp_path / 'scenes'), '--num-train', '2', '--num-val', '1', '--size', '48', '--seed', '5'])
    assert capsys.readouterr().out.strip() == str(tmp_path / 'scenes')
    manifest = json.loads((tmp_path / 'scenes' / 'scenes.json').read_text())
    assert manifest['parameters'] == dict(num_train=2, num_val=1, size=48, max_digits=4, seed=5, format=2)
    assert {split: count['images'] for split, count in manifest['counts'].items()} == dict(train=2, val=1)
