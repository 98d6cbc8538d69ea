"""Unreadable images and wrong annotations."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from mmengine.fileio import BaseStorageBackend, register_backend
from mmengine.runner import Runner
from PIL import Image
from pycocotools import mask as coco_mask

from mixpro_mm.datasets.coco_check import check_coco, main
from mixpro_mm.datasets.loading import CheckSegmentation, LoadWholeImage

DIGITS = Path(__file__).parents[2] / 'configs' / 'digits'


def encoded(format, size=64):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, format=format)
    return buffer.getvalue()


BAD = {
    'empty': (lambda data: b'', r'it is empty \(0 bytes\)'),
    'truncated': (lambda data: data[: len(data) // 2], r'it is truncated or no image; it has \d+ bytes and begins .*'),
    'last bytes': (lambda data: data[:-20], r'it is truncated or no image; it has \d+ bytes and begins .*'),
    'text': (
        lambda data: b'not found',
        r"it is truncated or no image; it has 9 bytes and begins with b'not found' \(AssertionError\)",
    ),
}


@pytest.mark.parametrize('format', ['JPEG', 'PNG'])
@pytest.mark.parametrize('kind', BAD)
def test_an_image_that_cannot_be_read_is_named(tmp_path, kind, format):
    path, (damage, sentence) = tmp_path / 'a.jpg', BAD[kind]
    path.write_bytes(damage(encoded(format)))
    with pytest.raises(ValueError, match=rf'^Image {path} cannot be read: {sentence}\.$'):
        LoadWholeImage()(dict(img_path=str(path)))
    assert LoadWholeImage(ignore_empty=True)(dict(img_path=str(path))) is None


def test_a_decoder_that_does_not_run_is_named_and_its_error_is_the_cause(tmp_path):
    """One unknown backend and one without its library."""
    (tmp_path / 'a.jpg').write_bytes(encoded('JPEG'))
    for backend, kind in (('crayon', ValueError), ('turbojpeg', AttributeError)):
        with pytest.raises(ValueError) as raised:
            LoadWholeImage(imdecode_backend=backend)(dict(img_path=str(tmp_path / 'a.jpg')))
        assert str(raised.value).startswith(
            f"Image {tmp_path}/a.jpg cannot be read: imdecode_backend '{backend}' ended in {kind.__name__}: "
        )
        assert 'no image' not in str(raised.value) and type(raised.value.__cause__) is kind


@pytest.mark.parametrize('data', [encoded('JPEG'), encoded('PNG'), encoded('JPEG') + b'x' * 500, encoded('BMP')])
def test_a_complete_image_equals_the_image_of_mmcv(tmp_path, data):
    """Trailing bytes, as in some ImageNet images, and other formats are accepted."""
    (tmp_path / 'a.jpg').write_bytes(data)
    ours, hosts = (load()(dict(img_path=str(tmp_path / 'a.jpg'))) for load in (LoadWholeImage, LoadImageFromFile))
    assert (ours.pop('img') == hosts.pop('img')).all() and ours == hosts


def test_a_run_ends_at_a_bad_image(tiny, tmp_path):
    for number in range(8):
        folder = tmp_path / 'data' / str(number % 2)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f'{number}.jpg').write_bytes(encoded('JPEG', 32)[: 700 if number == 5 else None])
    config = tiny(tmp_path / 'work', **{'model.head.num_classes': 2})
    config.data_preprocessor.num_classes = 2
    config.train_dataloader.dataset = dict(
        type='CustomDataset',
        data_root=str(tmp_path / 'data'),
        pipeline=[dict(type='mixpro_mm.LoadWholeImage'), dict(type='PackInputs')],
    )
    config.val_dataloader = config.val_evaluator = config.val_cfg = None
    with pytest.raises(
        ValueError, match=rf'Image {tmp_path}/data/1/5\.jpg cannot be read: it is truncated or no image; it has 700'
    ):
        Runner.from_cfg(config).train()
    assert list((tmp_path / 'work').glob('*.pth')) == []


def written(path, array, mode=None):
    image = Image.fromarray(np.asarray(array), mode) if mode else Image.fromarray(np.asarray(array))
    image.save(path)
    return str(path)


RAMP = np.arange(24).reshape(4, 6)


@pytest.mark.parametrize(
    ('name', 'values', 'backend', 'color', 'sentence'),
    [
        ('a.png', (RAMP * 40).astype(np.uint16), 'pillow', 'color', r'\(mode I;16\) holds values 0 to 920, .*'),
        ('a.png', (RAMP * 40).astype(np.uint16), 'pillow', 'grayscale', r'\(mode I;16\) holds values 0 to 920, .*'),
        ('a.tif', (RAMP * 40).astype(np.int32), 'pillow', 'color', r'\(mode I\) holds values 0 to 920, .*'),
        ('a.tif', (RAMP / 23).astype(np.float32), 'pillow', 'color', r'\(mode F\) holds values 0\.0 to 1\.0, .*'),
        ('a.png', (RAMP * 2600).astype(np.uint16), 'cv2', 'color', None),  # divided by 256
        ('a.png', RAMP.astype(np.uint16), 'pillow', 'color', None),
        ('a.png', (RAMP * 40).astype(np.uint16), 'pillow', 'unchanged', None),
        ('a.png', (RAMP * 11).astype(np.uint8), 'pillow', 'color', None),
        ('a.png', np.zeros((4, 6), np.uint16), 'cv2', 'color', None),
    ],
)
def test_an_image_of_16_bits_is_named_where_its_values_are_lost(tmp_path, name, values, backend, color, sentence):
    path = written(tmp_path / name, values)
    for ignore in (False, True):
        load = LoadWholeImage(imdecode_backend=backend, color_type=color, ignore_empty=ignore)
        if sentence:
            with pytest.raises(ValueError, match=rf"^Image {path} {sentence}'{backend}'"):
                load(dict(img_path=path))
        else:
            hosts = LoadImageFromFile(imdecode_backend=backend, color_type=color)(dict(img_path=path))
            assert (load(dict(img_path=path))['img'] == hosts['img']).all()


def test_an_image_of_16_bits_that_opencv_makes_black_is_a_warning_given_once(tmp_path, monkeypatch):
    said, load = said_of(monkeypatch), LoadWholeImage()
    for values in (RAMP, RAMP * 2, RAMP * 2600):
        load(dict(img_path=written(tmp_path / 'a.png', values.astype(np.uint16))))
    assert len(said) == 1 and said[0].startswith(f'Image {tmp_path}/a.png (mode I;16) holds values 0 to 23, and')


def loaded(path, image=(4, 6), backend='pillow', backend_args=None, **more):
    """Return the result of ``LoadAnnotations`` for a file of ids."""
    from mmseg.datasets.transforms import LoadAnnotations

    results = dict(img=np.zeros((*image, 3)), img_path='i.jpg', seg_map_path=str(path), seg_fields=[])
    return LoadAnnotations(imdecode_backend=backend, backend_args=backend_args)(
        results | dict(reduce_zero_label=False) | more
    )


def bits(path, ids, number):
    """Write a grayscale PNG with fewer than 8 bits, which OpenCV and pillow cannot write."""
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    rows = b''
    for row in ids:
        text = ''.join(f'{value:0{number}b}' for value in row)
        text += '0' * (-len(text) % 8)
        rows += b'\0' + bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))
    header = struct.pack('>IIBBBBB', ids.shape[1], ids.shape[0], number, 0, 0, 0, 0)
    path.write_bytes(
        b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')
    )
    return str(path)


DEEP_MAPS = {
    'ids from 257': ('m.png', (RAMP % 3 + 257).astype(np.uint16), '257, 258, 259 in 24 pixels', '1, 2, 3'),
    'ids x 256': ('m.png', (RAMP % 3 * 256).astype(np.uint16), '256, 512 in 16 pixels', '0'),
    'int32': ('m.tif', (RAMP % 3 * 256).astype(np.int32), '256, 512 in 16 pixels', '0'),
    'float': ('m.tif', (RAMP % 3 + 256).astype(np.float32), '256.0, 257.0, 258.0 in 24 pixels', '0, 1, 2'),
    'fractions': ('m.tif', (RAMP % 3 / 2).astype(np.float32), '0.5 in 8 pixels', '0'),
}


@pytest.mark.parametrize('kind', DEEP_MAPS)
def test_ids_that_8_bits_do_not_hold_are_named(tmp_path, kind):
    name, ids, real, read = DEEP_MAPS[kind]
    path = written(tmp_path / name, ids)
    for backend in ('pillow', 'cv2'):
        with pytest.raises(ValueError, match=r'^Class map \S+ of image i.jpg has more than 8 bits a pixel') as error:
            CheckSegmentation(num_classes=4)(loaded(path, backend=backend))
        assert f'holds ids {real}, which LoadAnnotations reads as {read}: write' in str(error.value)
    for more in (dict(reduce_zero_label=True), dict(label_map={1: 0, 2: 1})) if ids.dtype == np.uint16 else ():
        with pytest.raises(ValueError, match=f'holds ids {real}'):
            CheckSegmentation(num_classes=4)(loaded(path, **more))
    if kind == 'ids from 257':
        results = loaded(path) | dict(gt_seg_map=RAMP % 3)  # by a transform that reads 16 bits
        assert CheckSegmentation(num_classes=3)(results) is results


@pytest.mark.parametrize('more', [{}, dict(reduce_zero_label=True), dict(label_map={1: 0, 2: 1})])
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_ids_that_8_bits_hold_pass_with_any_depth(tmp_path, dtype, more):
    ids = RAMP % 4
    ids[0, 0] = 255 if dtype is np.uint8 else 65535  # both ignored
    results = loaded(written(tmp_path / 'm.png', ids.astype(dtype)), **more)
    assert CheckSegmentation(num_classes=4)(results) is results


@pytest.mark.parametrize(('number', 'real', 'read'), [(4, '1, 2', '17, 34'), (2, '1, 2', '85, 170')])
def test_ids_of_fewer_bits_are_scaled_by_the_decoders_and_named(tmp_path, number, real, read):
    path = bits(tmp_path / 'm.png', RAMP % 3, number)
    for backend in ('pillow', 'cv2'):
        with pytest.raises(ValueError, match=rf'{number} bits a pixel .* ids {real} in 16 .* reads as {read}: '):
            CheckSegmentation(num_classes=200)(loaded(path, backend=backend))


@pytest.mark.parametrize(
    ('mode', 'channels', 'backend'), [('RGB', 3, 'pillow'), ('RGBA', 4, 'cv2'), ('LA', 2, 'pillow'), ('LA', 2, 'cv2')]
)
def test_a_class_map_of_several_channels_is_named(tmp_path, mode, channels, backend):
    path = tmp_path / 'm.png'
    Image.fromarray((RAMP % 3).astype(np.uint8)).convert(mode).save(path)
    with pytest.raises(ValueError, match=rf'm\.png of image i\.jpg has {channels} channels \(mode {mode}\)'):
        CheckSegmentation(num_classes=3)(loaded(path, backend=backend))
    results = loaded(path)
    results['gt_seg_map'] = RAMP % 3  # by a transform that knows the colours
    assert CheckSegmentation(num_classes=3)(results) is results


def test_ids_of_a_palette_and_of_one_bit_pass_with_pillow_and_are_named_with_opencv(tmp_path):
    ids = (RAMP % 2).astype(np.uint8)
    palette = Image.fromarray(ids)
    palette.putpalette([0, 0, 0, 128, 0, 0])
    palette.save(tmp_path / 'p.png')
    Image.fromarray(ids.astype(bool)).save(tmp_path / 'b.png')
    for name, said in (('p.png', r'has a palette \(mode P\)'), ('b.png', r'one bit a pixel \(mode 1\), and 1 .* 255')):
        results = loaded(tmp_path / name)
        assert (CheckSegmentation(num_classes=2)(results)['gt_seg_map'] == ids).all()
        with pytest.raises(ValueError, match=rf"{said}.* imdecode_backend='pillow'"):
            CheckSegmentation(num_classes=2)(loaded(tmp_path / name, backend='cv2'))


def said_of(monkeypatch):
    said = []
    monkeypatch.setattr('mixpro_mm.datasets.loading.print_log', lambda sentence, *rest: said.append(sentence))
    return said


@pytest.mark.parametrize(
    ('values', 'reduce', 'sentence'),
    [
        ((0, 255), False, r'hold 0 and 255, so that no foreground trains with num_classes=2: .* the foreground\.$'),
        ((0, 255), True, r'hold 0 and 255, so .* for the foreground, and set reduce_zero_label=False\.$'),
        ((0, 1), True, r'hold 0 and 1, so .* for the foreground, and set reduce_zero_label=False\.$'),
    ],
)
def test_masks_that_train_no_foreground_are_named(tmp_path, monkeypatch, values, reduce, sentence):
    said = said_of(monkeypatch)
    for number in range(3):
        path = written(tmp_path / f'{number}.png', np.array(values, np.uint8)[RAMP % 2])
    written(tmp_path / 'image.png', np.zeros((4, 6, 3), np.uint8))
    (tmp_path / 'broken.png').touch()
    with pytest.raises(ValueError, match=rf'as 0 and 255, which is ignored, and so are all 3 maps .* {sentence}'):
        CheckSegmentation(num_classes=2)(loaded(path, reduce_zero_label=reduce))
    check = CheckSegmentation(num_classes=5)
    check(check(loaded(path, reduce_zero_label=reduce)))
    assert len(said) == 1 and 'num_classes=5' in said[0]


@pytest.mark.parametrize('num_classes', [2, 21])
def test_one_class_and_its_border_in_one_image_is_sound(tmp_path, monkeypatch, num_classes):
    """In any order of images, and with label_map."""
    said = said_of(monkeypatch)
    border = written(tmp_path / 'a.png', (RAMP % 2 * 255).astype(np.uint8))
    whole = written(tmp_path / 'b.png', (RAMP % 2).astype(np.uint8))
    for order in ((border, whole), (whole, border)):
        check = CheckSegmentation(num_classes=num_classes)
        for path in order:
            check(loaded(path))
    (tmp_path / 'x').mkdir()
    alone = written(tmp_path / 'x' / 'a.png', (RAMP % 2 * 255).astype(np.uint8))
    CheckSegmentation(num_classes=num_classes)(loaded(alone, label_map={255: 1}))
    others = written(tmp_path / 'x' / 'b.png', (RAMP % 3 * 2).astype(np.uint8))
    CheckSegmentation(num_classes=num_classes)(loaded(others, label_map={2: 255, 4: 255}))  # a choice of classes
    assert said == []


def test_a_class_map_that_is_a_jpeg_is_named_once(tmp_path, monkeypatch):
    said, check = said_of(monkeypatch), CheckSegmentation(num_classes=3)
    path = written(tmp_path / 'm.jpg', np.zeros((4, 6), np.uint8))
    check(check(loaded(path)))
    assert len(said) == 1 and said[0].startswith(f'Class map {path} of image i.jpg is a JPEG')


class Elsewhere(BaseStorageBackend):
    def __init__(self, root):
        self.root = root

    def get(self, filepath):
        return (Path(self.root) / filepath).read_bytes()

    def get_text(self, filepath, encoding='utf-8'):
        raise NotImplementedError


def test_the_depth_of_a_class_map_that_is_no_local_file_is_read_too(tmp_path, monkeypatch):
    register_backend('elsewhere', Elsewhere, force=True)
    said, args = said_of(monkeypatch), dict(backend='elsewhere', root=str(tmp_path))
    written(tmp_path / 'deep.png', (RAMP % 3 + 257).astype(np.uint16))
    results = loaded('deep.png', backend_args=args)
    with pytest.raises(
        ValueError, match=r'deep\.png of image i\.jpg has more than 8 bits .* ids 257, 258, 259 in 24 pix'
    ):
        CheckSegmentation(num_classes=4, backend_args=args)(results)
    assert said == []
    check = CheckSegmentation(num_classes=4)
    check(check(results))
    assert len(said) == 1 and 'deep.png' in said[0] and 'backend_args=None' in said[0]


def class_map(ids, image=(4, 6)):
    return dict(gt_seg_map=np.asarray(ids), img=np.zeros((*image, 3)), seg_map_path='m.png', img_path='i.jpg')


def test_a_class_map_with_other_ids_or_of_another_size_is_named():
    check = CheckSegmentation(num_classes=3)
    good = class_map([[0, 1, 2, 255, 0, 0]] * 4)
    assert check(good) is good
    with pytest.raises(ValueError) as error:
        check(class_map([[0, 1, 3, 77, 255, 3]] * 4))
    assert str(error.value) == (
        'Class map m.png of image i.jpg holds ids 3, 77 in 12 pixels; 3 classes have 0 to 2, and 255 is ignored.'
    )
    with pytest.raises(ValueError, match=r'^Class map m\.png of image i\.jpg is 5 x 4, the image 6 x 4\.$'):
        check(class_map(np.zeros((4, 5), dtype=int)))
    with pytest.raises(ValueError, match=r'has shape \(4, 6, 3\), not height and width'):
        check(class_map(np.zeros((4, 6, 3), dtype=int)))
    with pytest.raises(ValueError, match='holds ids 255 in 24 pixels'):
        CheckSegmentation(num_classes=3, ignore_index=0)(class_map(np.full((4, 6), 255)))


def small_coco(path, image=(), annotation=(), **parts):
    """Write a COCO file of one image and one annotation with changed fields."""
    image = dict(id=1, file_name='a.jpg', width=10, height=10) | dict(image)
    sound = dict(id=1, image_id=1, category_id=1, area=9.0, bbox=[1, 1, 3, 3], segmentation=[[1, 1, 4, 1, 4, 4]])
    content = dict(images=[image], annotations=[sound | dict(annotation)], categories=[dict(id=1, name='a')])
    path.write_text(json.dumps(content | parts))
    return path


@pytest.mark.parametrize(
    'outline, sentence',
    [
        ([], 'its outline is empty'),
        ([[1, 1, 4, 1]], '1 polygon of its outline is not three or more pairs x, y'),
        ([[1, 1, 4, 1, 4, 4, 2]], '1 polygon of its outline is not three or more pairs x, y'),
        ([7, [1, 1, 4, 1, 4, 4], [1, 1, 4, 1, 4, None]], '2 polygons of its outline are not three or more pairs x, y'),
        (None, None),
        (dict(polygons=[[1, 1, 4, 1, 4, 4]]), 'its outline is an object with polygons, neither polygons (a list) nor'),
        (dict(counts=[[1, 1, 4, 1, 4, 4]], size=[10, 10]), 'its outline is no RLE: counts hold [1, 1, 4, 1, 4, 4]'),
        (dict(counts=[1, 99], size=[10, 10.0]), 'its outline is an RLE of size [10, 10.0], neither polygons'),
        (dict(size=[10, 10]), 'its outline is no RLE: counts are of type NoneType'),
        (dict(counts=[100], size=[10, 10]), 'its RLE has no pixel'),
        (dict(counts=[50, -2, 52], size=[10, 10]), 'its outline is no RLE: counts hold -2 at place 1'),
        (dict(counts='RLE', size=[10, 10]), 'its outline is no RLE: counts hold -126 at place 0'),
        (dict(counts='a b', size=[10, 10]), "its outline is no RLE: counts hold ' ' at place 1"),
        (dict(counts=[11, 3, 7, 3, 7, 3, 65], size=[10, 10]), 'its RLE has counts of 99 pixels for 10 x 10 = 100: cut'),
        (dict(counts=[11, 3, 7, 3, 7, 3, 67], size=[10, 10]), 'pixels for 10 x 10 = 100: too long'),
        (dict(counts=[11, 3, 7, 3, 7, 3, 66], size=[10, 10]), None),
        ('[[1, 1, 4, 1, 4, 4]]', 'its outline is of type str'),
        ([[1, 1, 4, 1, 4, 12.5]], 'its outline reaches 2.5 pixels beyond the image of 10 x 10'),
        ([[-2.5, 1, 4, 1, 4, 4]], 'its outline reaches 2.5 pixels beyond'),
        ([[-0.5, 1, 4, 1, 4, 4]], None),
        ([[4, 4, 7, 4, 7, 7]], 'box [1, 1, 3, 3] is not the one of its outline, [4, 4, 3, 3]: 3 pixels off'),
    ],
)
def test_an_invalid_outline_is_named(tmp_path, outline, sentence):
    found = check_coco(small_coco(tmp_path / 'a.json', annotation=dict(segmentation=outline)))
    assert len(found) == bool(sentence)
    assert all(what.startswith('annotation 1 of image 1 (a.jpg): ') and sentence in what for _, what in found)


def realistic_coco(folder):
    """Return valid content: overhang below a pixel, crowds, areas of the mask, an image without annotations."""
    mask = np.zeros((48, 64), dtype=np.uint8, order='F')
    mask[5:30, 10:40] = np.arange(30) % 7 > 0
    rle = coco_mask.encode(mask)
    flat = mask.flatten(order='F')
    changes = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *changes, flat.size]).tolist()
    full = coco_mask.encode(np.asfortranarray(np.ones((48, 64), dtype=np.uint8)))
    tight = coco_mask.toBbox(rle).tolist()
    outlines = [
        (dict(size=[48, 64], counts=rle['counts'].decode()), tight, 0),
        (dict(size=[48, 64], counts=runs), [0, 0, 64, 48], 1),
        (dict(size=[48, 64], counts=full['counts'].decode()), [0, 0, 64, 48], 0),
        ([[-0.4, 0.2, 64.3, 0.2, 64.3, 48.2]], [0, 0.2, 64.0, 47.8], 0),
        ([[3, 3, 4.2, 3, 4.2, 4.3], [8, 3, 9.1, 3.1, 9.1, 4.3]], [3.01, 3.0, 6.09, 1.3], False),
        ([[1, 1, 9, 1, 9, 9]], [1, 1, 63.7, 47.6], True),
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


def test_nothing_is_wrong_with_what_coco_has(tmp_path, capsys):
    content = realistic_coco(tmp_path)
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(content))
    assert check_coco(path, tmp_path) == []
    for annotation in content['annotations']:
        del annotation['segmentation']
    path.write_text(json.dumps(content))
    assert main([str(path)]) == 0
    said = capsys.readouterr().out
    assert 'no annotation has a segmentation, so the file trains boxes only' in said
    assert 'image files were not opened' in said


def cut(content, by):
    rle = content['annotations'][0]['segmentation']
    rle['counts'] = rle['counts'][:-by]


COCO_FAULTS = {
    'swapped': (
        lambda c: c['annotations'][0]['segmentation'].update(size=[64, 48]),
        'its RLE has size [64, 48], the image [height, width] [48, 64]; width and height are swapped',
    ),
    'other size': (
        lambda c: c['annotations'][1]['segmentation'].update(size=[24, 32]),
        'its RLE has size [24, 32], the image [height, width] [48, 64]',
    ),
    'cut': (lambda c: cut(c, 31), 'pixels for 48 x 64 = 3072: cut short'),
    'cut within a number': (lambda c: cut(c, 1), 'counts end within a number, so they are cut short'),
    'too long': (
        lambda c: c['annotations'][1]['segmentation']['counts'].append(1),
        'counts of 3073 pixels for 48 x',
    ),
    'no outline': (lambda c: c['annotations'][2].pop('segmentation'), 'annotation 12 of image 1 has no segmentation'),
    'null': (lambda c: c['annotations'][1].update(segmentation=None), 'annotation 11 of image 1 has no segmentation'),
    'crowds': (lambda c: [a.update(iscrowd=1) for a in c['annotations']], 'every annotation (6) has iscrowd'),
    'no annotations': (lambda c: c['annotations'].clear(), 'there are no annotations, of 2 images'),
    'no crowd': (lambda c: c['annotations'][3].update(iscrowd='0'), "iscrowd is '0', neither 0 nor 1"),
    'corners': (
        lambda c: c['annotations'][0].update(bbox=[30, 20, 62, 46]),
        '(x, y, width, height, not x1, y1, x2, y2) reaches to 92, 66: 28 pixels beyond the image of 64 x 48',
    ),
    'corner left': (
        lambda c: c['annotations'][0].update(bbox=[-3, 5, 43, 25]),
        'reaches to 40, 30: 3 pixels beyond the image of 64 x 48',
    ),
    'box of another': (
        lambda c: c['annotations'][0].update(bbox=[10, 5, 25, 25]),
        'box [10, 5, 25, 25] is not the one of its outline, [11, 5, 29, 25]: 5 pixels off',
    ),
    'category twice': (lambda c: c['categories'][1].update(id=7), 'two categories have the id 7: a and b'),
    'name twice': (lambda c: c['categories'][1].update(name='a'), '2 categories have the name a'),
    'no name': (lambda c: c['categories'][1].pop('name'), 'category 9 has no name'),
    'file twice': (lambda c: c['images'][1].update(file_name='a.jpg'), '2 images have the file name a.jpg'),
    'bool': (lambda c: c['annotations'][5].update(id=True), 'has no number for its id: True'),
    'nan': (lambda c: c['categories'][1].update(id=float('nan')), 'has no number for its id'),
    'size': (lambda c: c['images'][1].update(width=640, height=480), 'b.jpg is 64 x 48 once it is rotated by its EXIF'),
}


@pytest.mark.parametrize('kind', COCO_FAULTS)
def test_what_trains_something_else_is_named(tmp_path, kind):
    change, sentence = COCO_FAULTS[kind]
    content = realistic_coco(tmp_path)
    change(content)
    (tmp_path / 'a.json').write_text(json.dumps(content))
    ((_, what),) = check_coco(tmp_path / 'a.json', tmp_path)
    assert sentence in what


@pytest.mark.parametrize('format', ['JPEG', 'PNG', 'WEBP', 'TIFF'])
@pytest.mark.parametrize('orientation', [1, 3, 6, 8])
def test_the_size_of_an_image_file_is_the_one_mmcv_reads(tmp_path, format, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    Image.new('RGB', (20, 10)).save(tmp_path / 'a.jpg', format=format, exif=exif)
    height, width = LoadImageFromFile()(dict(img_path=str(tmp_path / 'a.jpg')))['img_shape']
    path = small_coco(tmp_path / 'a.json', image=dict(width=width, height=height))
    assert check_coco(path, tmp_path) == []
    path = small_coco(tmp_path / 'a.json', image=dict(width=height, height=width))
    ((_, what),) = check_coco(path, tmp_path)
    assert f'a.jpg is {width} x {height}' in what and what.endswith(f'the JSON says {height} x {width}')
    assert ('EXIF' in what) == (format in ('JPEG', 'PNG') and orientation > 4)


@pytest.mark.parametrize('data', [b'', b'version https://git-lfs.github.com/spec/v1\n', encoded('PNG')[:20]])
def test_an_image_file_that_is_none_is_named(tmp_path, data):
    (tmp_path / 'a.jpg').write_bytes(data)
    ((_, what),) = check_coco(small_coco(tmp_path / 'a.json'), tmp_path)
    assert what.startswith(f'image 1: {tmp_path}/a.jpg cannot be opened as an image by PIL')


@pytest.mark.parametrize('part', ['images', 'annotations', 'categories'])
@pytest.mark.parametrize('content', [None, 3, {'a': {}}, [3], [None], ['a']])
def test_parts_of_a_file_are_lists_of_objects(tmp_path, part, content):
    path = small_coco(tmp_path / 'a.json', **{part: content})
    with pytest.raises(
        ValueError, match=rf'a\.json is no COCO file of instances: .* \({part} is no list of objects\)$'
    ):
        check_coco(path)


@pytest.mark.parametrize('size', [(None, 10), (10, '10'), (float('nan'), 10), (10, float('inf')), (0, 10), ([], {})])
def test_an_image_of_no_size_is_named(tmp_path, size):
    found = check_coco(small_coco(tmp_path / 'a.json', image=dict(width=size[0], height=size[1])), tmp_path)
    assert found[0][1] == (f'image 1 (a.jpg): width {size[0]} and height {size[1]} are not two finite numbers above 0')
    assert len(found) == 2 and found[1][0] == 'image not there'  # and its annotation is as sound as it was


def test_ids_that_are_none_are_named(tmp_path):
    def told(**changes):
        return [what for _, what in check_coco(small_coco(tmp_path / 'a.json', **changes), tmp_path)]

    assert told(image=dict(id=[1]))[0].startswith("image {'id': [1], 'file_name': 'a.jpg', ")
    assert told(image=dict(file_name=None))[0].endswith('no text for its file_name')
    for key in ('id', 'image_id', 'category_id'):
        assert told(annotation={key: {}})[-1].endswith(f' has no number for its {key}: {{}}')
    assert "category {'id': [1]} has no number for its id" in told(categories=[dict(id=[1])])
    assert told(annotation=dict(bbox=[1, 1, 10**400, 2]))[-1].endswith('not four finite numbers x, y, width, height')
