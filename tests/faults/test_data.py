"""Unreadable images, wrong class maps and wrong COCO annotations."""

import io
import json

import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from mmengine.runner import Runner
from mmseg.datasets.transforms import LoadAnnotations
from PIL import Image
from pycocotools import mask as coco_mask

from mixpro_mm.datasets.coco_check import check_coco, main
from mixpro_mm.datasets.loading import CheckSegmentation, LoadWholeImage

RAMP = np.arange(24).reshape(4, 6)


def encoded(format, size=64):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, format=format)
    return buffer.getvalue()


def written(path, array, dtype=np.uint8):
    Image.fromarray(np.asarray(array).astype(dtype)).save(path)
    return str(path)


BROKEN = r'it is truncated or no image; it has \d+ bytes and begins with .*'


@pytest.mark.parametrize('format', ['JPEG', 'PNG'])
@pytest.mark.parametrize(
    ('damage', 'reason'),
    [
        (lambda data: b'', r'it is empty \(0 bytes\)'),
        (lambda data: data[: len(data) // 2], BROKEN),
        (lambda data: data[:-20], BROKEN),
        (lambda data: b'not found', r"it is truncated or no image; it has 9 bytes and begins with b'not found' .*"),
    ],
)
def test_an_unreadable_image_is_named(tmp_path, damage, reason, format):
    path = tmp_path / 'a.jpg'
    path.write_bytes(damage(encoded(format)))
    with pytest.raises(ValueError, match=rf'^Image {path} cannot be read: {reason}\.$'):
        LoadWholeImage()(dict(img_path=str(path)))
    assert LoadWholeImage(ignore_empty=True)(dict(img_path=str(path))) is None


@pytest.mark.parametrize('data', [encoded('JPEG'), encoded('PNG'), encoded('JPEG') + b'x' * 500, encoded('BMP')])
def test_a_complete_image_equals_the_image_of_mmcv(tmp_path, data):
    """Trailing bytes, as in some ImageNet images, and other formats are accepted."""
    (tmp_path / 'a.jpg').write_bytes(data)
    ours, hosts = (load()(dict(img_path=str(tmp_path / 'a.jpg'))) for load in (LoadWholeImage, LoadImageFromFile))
    assert (ours.pop('img') == hosts.pop('img')).all() and ours == hosts


def test_a_run_ends_at_an_unreadable_image(tiny, tmp_path):
    for number in range(8):
        folder = tmp_path / 'data' / str(number % 2)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f'{number}.jpg').write_bytes(encoded('JPEG', 32)[: 700 if number == 5 else None])
    config = tiny(tmp_path / 'work', **{'model.head.num_classes': 2})
    config.data_preprocessor.num_classes = 2
    pipeline = [dict(type='mixpro_mm.LoadWholeImage'), dict(type='PackInputs')]
    config.train_dataloader.dataset = dict(type='CustomDataset', data_root=str(tmp_path / 'data'), pipeline=pipeline)
    config.val_dataloader = config.val_evaluator = config.val_cfg = None
    with pytest.raises(ValueError, match=rf'Image {tmp_path}/data/1/5\.jpg cannot be read: .* it has 700 bytes'):
        Runner.from_cfg(config).train()
    assert list((tmp_path / 'work').glob('*.pth')) == []


@pytest.mark.parametrize(
    ('name', 'values', 'dtype', 'backend', 'message'),
    [
        ('a.png', RAMP * 40, np.uint16, 'pillow', r'\(mode I;16\) holds values 0 to 920, .*'),
        ('a.tif', RAMP / 23, np.float32, 'pillow', r'\(mode F\) holds values 0\.0 to 1\.0, .*'),
        ('a.png', RAMP * 2600, np.uint16, 'cv2', None),  # divided by 256
        ('a.png', RAMP, np.uint16, 'pillow', None),
        ('a.png', RAMP * 11, np.uint8, 'pillow', None),
    ],
)
def test_an_image_of_16_bits_is_named_if_its_values_are_lost(tmp_path, name, values, dtype, backend, message):
    path = written(tmp_path / name, values, dtype)
    load = LoadWholeImage(imdecode_backend=backend)
    if message:
        with pytest.raises(ValueError, match=rf"^Image {path} {message}'{backend}'"):
            load(dict(img_path=path))
    else:
        hosts = LoadImageFromFile(imdecode_backend=backend)(dict(img_path=path))
        assert (load(dict(img_path=path))['img'] == hosts['img']).all()


def loaded(path, backend='pillow', **more):
    """Return the result of ``LoadAnnotations`` for a class map of an image of 4 x 6 pixels."""
    results = dict(img=np.zeros((4, 6, 3)), img_path='i.jpg', seg_map_path=str(path), seg_fields=[])
    return LoadAnnotations(imdecode_backend=backend, backend_args=None)(results | dict(reduce_zero_label=False) | more)


@pytest.mark.parametrize('backend', ['pillow', 'cv2'])
@pytest.mark.parametrize(
    ('name', 'ids', 'dtype', 'real', 'read'),
    [
        ('m.png', RAMP % 3 + 257, np.uint16, '257, 258, 259 in 24 pixels', '1, 2, 3'),
        ('m.tif', RAMP % 3 * 256, np.int32, '256, 512 in 16 pixels', '0'),
        ('m.tif', RAMP % 3 / 2, np.float32, '0.5 in 8 pixels', '0'),
    ],
)
def test_ids_that_8_bits_do_not_hold_are_named(tmp_path, name, ids, dtype, real, read, backend):
    path = written(tmp_path / name, ids, dtype)
    with pytest.raises(ValueError, match=f'holds ids {real}, which LoadAnnotations reads as {read}: write'):
        CheckSegmentation(num_classes=4)(loaded(path, backend))


@pytest.mark.parametrize('more', [{}, dict(reduce_zero_label=True), dict(label_map={1: 0, 2: 1})])
@pytest.mark.parametrize(('dtype', 'ignored'), [(np.uint8, 255), (np.uint16, 65535)])
def test_ids_that_8_bits_hold_pass_with_any_depth(tmp_path, dtype, ignored, more):
    ids = RAMP % 4
    ids[0, 0] = ignored
    results = loaded(written(tmp_path / 'm.png', ids, dtype), **more)
    assert CheckSegmentation(num_classes=4)(results) is results


@pytest.mark.parametrize(('mode', 'channels', 'backend'), [('RGB', 3, 'pillow'), ('RGBA', 4, 'cv2')])
def test_a_class_map_of_several_channels_is_named(tmp_path, mode, channels, backend):
    Image.fromarray((RAMP % 3).astype(np.uint8)).convert(mode).save(tmp_path / 'm.png')
    with pytest.raises(ValueError, match=rf'm\.png of image i\.jpg has {channels} channels \(mode {mode}\)'):
        CheckSegmentation(num_classes=3)(loaded(tmp_path / 'm.png', backend))


def test_a_palette_passes_with_pillow_and_is_named_with_opencv(tmp_path):
    ids = (RAMP % 2).astype(np.uint8)
    palette = Image.fromarray(ids)
    palette.putpalette([0, 0, 0, 128, 0, 0])
    palette.save(tmp_path / 'p.png')
    check = CheckSegmentation(num_classes=2)
    assert (check(loaded(tmp_path / 'p.png'))['gt_seg_map'] == ids).all()
    with pytest.raises(ValueError, match=r"has a palette \(mode P\).* imdecode_backend='pillow'"):
        check(loaded(tmp_path / 'p.png', 'cv2'))


@pytest.mark.parametrize(
    ('values', 'reduce', 'end'),
    [((0, 255), False, r'the foreground\.$'), ((0, 1), True, r'and set reduce_zero_label=False\.$')],
)
def test_masks_that_train_no_foreground_are_named(tmp_path, monkeypatch, values, reduce, end):
    logged = []
    monkeypatch.setattr('mixpro_mm.datasets.loading.print_log', lambda message, *_: logged.append(message))
    for number in range(3):
        path = written(tmp_path / f'{number}.png', np.array(values)[RAMP % 2])
    message = f'as 0 and 255, which is ignored, .* all 3 maps .* hold {values[0]} and {values[1]}, .* {end}'
    with pytest.raises(ValueError, match=message):
        CheckSegmentation(num_classes=2)(loaded(path, reduce_zero_label=reduce))
    check = CheckSegmentation(num_classes=5)
    check(check(loaded(path, reduce_zero_label=reduce)))
    assert len(logged) == 1 and 'num_classes=5' in logged[0]


@pytest.mark.parametrize(
    ('ids', 'settings', 'message'),
    [
        ([[0, 1, 3, 77, 255, 3]] * 4, {}, 'holds ids 3, 77 in 12 pixels; 3 classes have 0 to 2, and 255 is ignored'),
        (np.zeros((4, 5), int), {}, r'is 5 x 4, the image 6 x 4\.$'),
        (np.zeros((4, 6, 3), int), {}, r'has shape \(4, 6, 3\), not height and width'),
        (np.full((4, 6), 255), dict(ignore_index=0), 'holds ids 255 in 24 pixels'),
        ([[0, 1, 2, 255, 0, 0]] * 4, {}, None),
    ],
)
def test_a_class_map_of_other_ids_or_size_is_named(ids, settings, message):
    results = dict(gt_seg_map=np.asarray(ids), img=np.zeros((4, 6, 3)), seg_map_path='m.png', img_path='i.jpg')
    check = CheckSegmentation(num_classes=3, **settings)
    if message is None:
        assert check(results) is results
        return
    with pytest.raises(ValueError, match=rf'^Class map m\.png of image i\.jpg {message}'):
        check(results)


def small_coco(path, image=(), annotation=(), **parts):
    """Write a COCO file of one image and one annotation with changed fields."""
    image = dict(id=1, file_name='a.jpg', width=10, height=10) | dict(image)
    valid = dict(id=1, image_id=1, category_id=1, area=9.0, bbox=[1, 1, 3, 3], segmentation=[[1, 1, 4, 1, 4, 4]])
    content = dict(images=[image], annotations=[valid | dict(annotation)], categories=[dict(id=1, name='a')])
    path.write_text(json.dumps(content | parts))
    return path


def rle(counts, size=(10, 10)):
    return dict(counts=counts, size=list(size))


@pytest.mark.parametrize(
    'outline, message',
    [
        ([7, [1, 1, 4, 1, 4, 4], [1, 1, 4, 1, 4, None]], '2 polygons of its outline are not three or more pairs x, y'),
        (None, None),
        (rle([1, 99], [10, 10.0]), 'its outline is an RLE of size [10, 10.0], neither polygons'),
        (rle(None), 'its outline is no RLE: counts are of type NoneType'),
        (rle([100]), 'its RLE has no pixel'),
        (rle('a b'), "its outline is no RLE: counts hold ' ' at place 1"),
        (rle([11, 3, 7, 3, 7, 3, 65]), 'its RLE has counts of 99 pixels for 10 x 10 = 100: cut'),
        (rle([11, 3, 7, 3, 7, 3, 66]), None),
        ('[[1, 1, 4, 1, 4, 4]]', 'its outline is of type str'),
        ([[1, 1, 4, 1, 4, 12.5]], 'its outline reaches 2.5 pixels beyond the image of 10 x 10'),
        ([[-0.5, 1, 4, 1, 4, 4]], None),
        ([[4, 4, 7, 4, 7, 7]], 'box [1, 1, 3, 3] is not the one of its outline, [4, 4, 3, 3]: 3 pixels off'),
    ],
)
def test_an_invalid_outline_is_named(tmp_path, outline, message):
    found = check_coco(small_coco(tmp_path / 'a.json', annotation=dict(segmentation=outline)))
    assert len(found) == bool(message)
    assert all(what.startswith('annotation 1 of image 1 (a.jpg): ') and message in what for _, what in found)


def valid_coco(folder):
    """Return content as in COCO: overhang below a pixel, crowds, areas of the mask, an image without annotations."""
    mask = np.zeros((48, 64), dtype=np.uint8, order='F')
    mask[5:30, 10:40] = np.arange(30) % 7 > 0
    compressed = coco_mask.encode(mask)
    flat = mask.flatten(order='F')
    runs = np.diff([0, *(np.flatnonzero(np.diff(flat)) + 1), flat.size]).tolist()
    outlines = [
        (rle(compressed['counts'].decode(), [48, 64]), coco_mask.toBbox(compressed).tolist(), 0),
        (rle(runs, [48, 64]), [0, 0, 64, 48], 1),
        ([[-0.4, 0.2, 64.3, 0.2, 64.3, 48.2]], [0, 0.2, 64.0, 47.8], 0),
        ([[3, 3, 4.2, 3, 4.2, 4.3], [8, 3, 9.1, 3.1, 9.1, 4.3]], [3.01, 3.0, 6.09, 1.3], False),
    ]
    annotations = [
        dict(id=10 + n, image_id=1, category_id=7, area=1.5, bbox=box, iscrowd=crowd, segmentation=outline)
        for n, (outline, box, crowd) in enumerate(outlines)
    ]
    Image.new('RGB', (64, 48)).save(folder / 'a.jpg')
    turned = Image.Exif()
    turned[274] = 6
    Image.new('RGB', (48, 64)).save(folder / 'b.jpg', exif=turned)
    images = [dict(id=i, file_name=name, width=64, height=48) for i, name in ((1, 'a.jpg'), ('b', 'b.jpg'))]
    return dict(images=images, annotations=annotations, categories=[dict(id=7, name='a'), dict(id=9, name='b')])


def test_a_valid_file_has_no_problems(tmp_path, capsys):
    content = valid_coco(tmp_path)
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(content))
    assert check_coco(path, tmp_path) == []
    for annotation in content['annotations']:
        del annotation['segmentation']
    path.write_text(json.dumps(content))
    assert main([str(path)]) == 0
    printed = capsys.readouterr().out
    assert 'trains boxes only' in printed and 'image files were not opened' in printed
    path.write_text(json.dumps(content | dict(annotations=[])))
    assert main([str(path)]) == 1 and 'no annotations' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('part', 'number', 'change', 'message'),
    [
        ('annotations', 0, dict(segmentation=rle('1', [64, 48])), 'RLE has size [64, 48], the image [height, width]'),
        ('annotations', 0, dict(segmentation=rle('o', [48, 64])), 'counts end within a number, so they are cut short'),
        ('annotations', 2, dict(segmentation=None), 'annotation 12 of image 1 has no segmentation'),
        ('annotations', 3, dict(iscrowd='0'), "iscrowd is '0', neither 0 nor 1"),
        ('annotations', 0, dict(bbox=[30, 20, 62, 46]), 'reaches to 92, 66: 28 pixels beyond the image of 64 x 48'),
        ('annotations', 0, dict(bbox=[10, 5, 25, 25]), 'is not the one of its outline, [11, 5, 29, 25]: 5 pixels off'),
        ('annotations', 3, dict(id=True), 'has no number for its id: True'),
        ('annotations', 3, dict(bbox=[1, 1, 10**400, 2]), 'not four finite numbers x, y, width, height'),
        ('annotations', 3, dict(category_id=8), 'category 8 is not among the categories'),
        ('annotations', 3, dict(image_id=8), 'annotation 13 of image 8: there is no such image'),
        ('categories', 1, dict(id=7), 'two categories have the id 7: a and b'),
        ('categories', 1, dict(name='a'), '2 categories have the name a'),
        ('images', 1, dict(file_name='a.jpg'), '2 images have the file name a.jpg'),
        ('images', 1, dict(width=640, height=480), 'b.jpg is 64 x 48 once it is rotated by its EXIF'),
        ('images', 1, dict(width='64'), 'width 64 and height 48 are not two finite numbers above 0'),
    ],
)
def test_a_wrong_entry_is_named(tmp_path, part, number, change, message):
    content = valid_coco(tmp_path)
    content[part][number].update(change)
    (tmp_path / 'a.json').write_text(json.dumps(content))
    ((_, what),) = check_coco(tmp_path / 'a.json', tmp_path)
    assert message in what


@pytest.mark.parametrize('data', [b'', b'version https://git-lfs.github.com/spec/v1\n', encoded('PNG')[:20]])
def test_an_image_file_that_cannot_be_opened_is_named(tmp_path, data):
    (tmp_path / 'a.jpg').write_bytes(data)
    ((_, what),) = check_coco(small_coco(tmp_path / 'a.json'), tmp_path)
    assert what.startswith(f'image 1: {tmp_path}/a.jpg cannot be opened as an image by PIL')


@pytest.mark.parametrize('part', ['images', 'annotations', 'categories'])
@pytest.mark.parametrize('content', [None, {'a': {}}, [3]])
def test_parts_of_a_file_are_lists_of_objects(tmp_path, part, content):
    path = small_coco(tmp_path / 'a.json', **{part: content})
    with pytest.raises(
        ValueError, match=rf'a\.json is no COCO file of instances: .* \({part} is no list of objects\)$'
    ):
        check_coco(path)
