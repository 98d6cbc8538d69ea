"""Scenes of digits and of garments: what is written is the same for both, and read by the hosts' own classes."""

import functools
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner, set_random_seed
from PIL import Image
from pycocotools.coco import COCO
from sklearn.datasets import load_digits

from mixpro_mm.datasets import FashionMNIST, digit_scenes, digits, fashion_scenes, load_fashion_images, scenes
from mixpro_mm.datasets.digit_scenes import cut_digit, write_digit_scenes
from mixpro_mm.datasets.fashion_scenes import cut_garment, silhouette, write_fashion_scenes
from mixpro_mm.datasets.scenes import PALETTE, draw_scene

CONFIGS = Path(__file__).parents[2] / 'configs' / '_base_'
SMALL = dict(num_train=12, num_val=8, seed=3)
VOC = Path('VOCdevkit') / 'VOC2010'


@pytest.fixture(scope='module', params=['digit', 'fashion'])
def written(request, tiny_fashion, tmp_path_factory):
    """Scenes with their classes, base configs, writer, and a function that returns positions and labels of a split."""

    def garments(split):
        labels = load_fashion_images(split, tiny_fashion)[1]
        return np.arange(len(labels)), labels

    if request.param == 'digit':
        made = SimpleNamespace(noun='digit', classes=digit_scenes.CLASSES, configs='digit_scenes')
        made.write = write_digit_scenes
        made.source = lambda split: (digits.split_indices(split), load_digits().target)
    else:
        made = SimpleNamespace(noun='garment', classes=fashion_scenes.CLASSES, configs='fashion_scenes')
        made.write = functools.partial(write_fashion_scenes, data_root=tiny_fashion)
        made.source = garments
    made.root = made.write(tmp_path_factory.mktemp('data') / 'scenes', **SMALL)
    return made


def contents(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob('*') if path.is_file()}


def coco(root, split):
    return COCO(root / 'coco' / 'annotations' / f'instances_{split}2017.json')


def class_map(root, image):
    name = Path(image['file_name']).with_suffix('.png')
    return np.asarray(Image.open(root / VOC / 'SegmentationClassContext' / name))


@pytest.mark.parametrize(('split', 'part'), [('train', 'train'), ('val', 'test')])
def test_train_items_in_train_scenes_and_held_out_items_in_val_scenes(split, part, written):
    annotations = coco(written.root, split).dataset['annotations']
    drawn = [annotation[f'{written.noun}_index'] for annotation in annotations]
    positions, labels = written.source(part)
    assert set(drawn) <= set(positions.tolist())
    assert [annotation['category_id'] - 1 for annotation in annotations] == labels[drawn].tolist()


def test_digits_stand_out_are_mostly_visible_and_vary_in_size():
    images, _ = digits.load_digit_images('train')
    heights = []
    for number in range(40):
        image, chosen, masks = draw_scene(np.random.default_rng(number), images, cut_digit, 96, 4, sides=(24, 56))
        assert 1 <= len(chosen) == len(masks) <= 4 and len(set(chosen.tolist())) == len(chosen)
        assert masks.sum(0).max() == 1  # visible parts do not overlap
        luminance = image @ (0.299, 0.587, 0.114)
        for mask in masks:
            assert abs(np.median(luminance[mask]) - np.median(luminance[~masks.any(0)])) > 25
            assert mask.sum() >= 20
            heights.append(np.ptp(np.flatnonzero(mask.any(1))) + 1)
    assert min(heights) < 25 and max(heights) > 40


def test_held_out_training_images_are_in_val_scenes_only(tiny_fashion, tmp_path):
    root = write_fashion_scenes(tmp_path / 'scenes', tiny_fashion, held_out=20, **SMALL)
    held_out = {item['position'] for item in FashionMNIST(str(tiny_fashion), split='val', num_images=20)}
    train, val = ({a['garment_index'] for a in coco(root, split).dataset['annotations']} for split in ('train', 'val'))
    assert val <= held_out and not train & held_out


@pytest.mark.parametrize('split', ['train', 'val'])
def test_class_maps_and_coco_masks_agree_pixel_by_pixel(written, split):
    api = coco(written.root, split)
    assert len(api.imgs) == SMALL[f'num_{split}']
    assert {c['id']: c['name'] for c in api.dataset['categories']} == dict(enumerate(written.classes[1:], start=1))
    for image in api.dataset['images']:
        expected = np.zeros((96, 96), dtype=np.uint8)
        for annotation in api.loadAnns(api.getAnnIds(image['id'])):
            mask = api.annToMask(annotation).astype(bool)
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            extent = [columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert annotation['bbox'] == extent and annotation['area'] == mask.sum()
            assert (expected[mask] == 0).all()
            expected[mask] = annotation['category_id']
        assert np.array_equal(class_map(written.root, image), expected)
        jpegs = written.root / VOC / 'JPEGImages', written.root / 'coco' / f'{split}2017'
        assert len({(folder / image['file_name']).read_bytes() for folder in jpegs}) == 1


@pytest.mark.parametrize(('name', 'scope', 'first'), [('context', 'mmseg', 0), ('coco', 'mmdet', 1)])
def test_configs_load_the_labels(name, scope, first, written):
    set_random_seed(0)
    cfg = Config.fromfile(CONFIGS / f'{written.configs}_{name}.py')
    assert tuple(cfg.metainfo.classes) == written.classes[first:]
    assert tuple(map(tuple, cfg.metainfo.palette)) == PALETTE[first:]
    for part, count in ((cfg.train_dataloader, 12), (cfg.val_dataloader, 8), (cfg.test_dataloader, 8)):
        part.dataset.data_root = part.dataset.data_root.replace(f'data/{written.configs}', str(written.root))
        with DefaultScope.overwrite_default_scope(scope):
            loader, preprocessor = Runner.build_dataloader(part, seed=0), MODELS.build(cfg.data_preprocessor)
        batch = preprocessor(next(iter(loader)), training=count == 12)
        assert tuple(loader.dataset.metainfo['classes']) == written.classes[first:]
        assert len(loader.dataset) == count and batch['inputs'].isfinite().all()
    if scope == 'mmseg':
        for image, sample in zip(coco(written.root, 'val').dataset['images'], batch['data_samples'], strict=True):
            assert np.array_equal(sample.gt_sem_seg.data[0], class_map(written.root, image))
    else:
        api, sample = coco(written.root, 'val'), batch['data_samples'][0]
        annotations = api.loadAnns(api.getAnnIds(sample.img_id))
        assert (sample.gt_instances.labels + 1).tolist() == [a['category_id'] for a in annotations]
        assert sample.gt_instances.masks.areas.tolist() == [a['area'] for a in annotations]


def test_the_same_seed_gives_the_same_bytes_and_the_count_does_not_change_a_scene(written, tmp_path, monkeypatch):
    assert contents(written.write(tmp_path / 'again', **SMALL)) == contents(written.root)
    other = written.write(tmp_path / 'other', **{**SMALL, 'num_train': 2, 'num_val': 1, 'seed': 4})
    fewer = written.write(tmp_path / 'fewer', **{**SMALL, 'num_train': 2, 'num_val': 1})
    for name in ('train_000001.jpg', 'val_000000.jpg'):
        reference = (written.root / VOC / 'JPEGImages' / name).read_bytes()
        assert (other / VOC / 'JPEGImages' / name).read_bytes() != reference
        assert (fewer / VOC / 'JPEGImages' / name).read_bytes() == reference
    monkeypatch.setattr(scenes, '_write_split', None)
    assert written.write(written.root, **SMALL) == written.root  # exists, not written again


def test_an_interrupt_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(scenes, '_annotation_hash', lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
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


def test_command_lines(tiny_fashion, tmp_path, capsys):
    common = ['--num-train', '2', '--num-val', '1', '--size', '48', '--seed', '5']
    more = ['--data-root', str(tiny_fashion), '--max-items', '3', '--max-side', '0.5']
    shared = dict(num_train=2, num_val=1, size=48, seed=5)
    for module, options, own in (
        (digit_scenes, [], dict(max_digits=4, format=2)),
        (fashion_scenes, more, dict(max_items=3, min_side=0.25, max_side=0.5, min_visible=0.7, format=1)),
    ):
        root = tmp_path / module.__name__
        module.main([str(root), *common, *options])
        assert capsys.readouterr().out.strip() == str(root)
        manifest = json.loads((root / 'scenes.json').read_text())
        assert manifest['parameters'] == shared | own
        assert {split: count['images'] for split, count in manifest['counts'].items()} == dict(train=2, val=1)


def test_the_command_names_the_one_that_fetches_missing_data(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        fashion_scenes.main([str(tmp_path / 'scenes'), '--data-root', str(tmp_path / 'fashion')])
    assert stop.value.code == 1
    assert capsys.readouterr().err.endswith(f': python -m mixpro_mm.datasets.fashion_mnist {tmp_path}/fashion\n')
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('kwargs', 'words'),
    [
        (dict(max_items=0), 'max_items must be at least 1, not 0'),
        (dict(min_visible=1.5), 'min_visible must be at most 1, got 1.5'),
        (dict(min_side=0.7), 'not 67 to 58'),
        (dict(size=32, min_side=0.1), 'at least 8 px, from small to large, not 3 to 19'),
    ],
)
def test_difficulty_out_of_range_raises(kwargs, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        write_fashion_scenes(tmp_path / 'scenes', **kwargs)


@pytest.mark.parametrize('max_items', [1, 6])
def test_difficulty_sets_number_size_and_overlap(max_items, tiny_fashion):
    images, _ = load_fashion_images('train', tiny_fashion)  # rectangles, 24 of 30 pixels high with the border
    covered, numbers = 0, set()
    for number in range(40):
        rng = np.random.default_rng(number)
        _, chosen, apart = draw_scene(rng, images, cut_garment, 96, max_items, sides=(30, 45), min_visible=1.0)
        numbers.add(len(chosen))
        for mask, width in zip(apart, 8 + chosen % 10, strict=True):
            height = np.ptp(np.flatnonzero(mask.any(1))) + 1
            assert 23 <= height <= 37
            assert mask.sum() == pytest.approx(height * height * width / 24, rel=0.15)  # nothing is hidden
        rng = np.random.default_rng(number)
        _, _, masks = draw_scene(rng, images, cut_garment, 96, max_items, sides=(30, 45), min_visible=0.2)
        covered += sum(mask.sum() < 0.8 * mask.any(1).sum() * mask.any(0).sum() for mask in masks)
    assert numbers == set(range(1, max_items + 1)) and (covered > 20) == (max_items > 1)


def test_a_silhouette_is_the_largest_part_without_small_holes():
    image = np.zeros((30, 30), dtype=np.uint8)
    image[4:24, 4:24] = 11  # darkest gray value of clothes
    expected = image > 0
    image[6:9, 6:10] = 10  # hole of 12 pixels
    image[12, 6:19] = 10  # 13 pixels, as inside a handle
    expected[12, 6:19] = False
    image[26:28, 26:28] = 200  # another part
    assert np.array_equal(silhouette(image), expected)


def test_dark_clothes_are_opaque_and_the_shade_is_the_gray_value():
    image = np.zeros((28, 28), dtype=np.uint8)
    image[4:24, 4:14], image[4:24, 14:24] = 11, 255
    opacity, shade = cut_garment(image, 60)  # two pixels for one, with a border of one pixel
    assert opacity.shape == shade.shape == (60, 60)
    assert (opacity[12:48, 12:48] == 1).all() and (opacity[:8] == 0).all()
    assert shade[30, [15, 45]].tolist() == pytest.approx([0.3 + 0.7 * 11 / 255, 1], abs=0.01)
