import json
import sys
from pathlib import Path

import numpy as np
import pytest
from mmseg.datasets import PascalContextDataset
from mmseg.datasets.transforms import LoadAnnotations
from PIL import Image

from mixpro_mm.datasets.pascal_context import check, convert, main

# ids of the merged annotations and their classes
RAW = {0: 'background', 2: 'aeroplane', 9: 'bag', 59: 'car', 284: 'person', 397: 'table', 415: 'track', 458: 'wood'}
NAMES = dict(train=['2008_000002', '2008_000007', '2009_000001'], val=['2008_000003', '2010_000005'])
FAKE = """
import json, numpy as np

class Detail:  # the part of the API that the converter calls
    def __init__(self, annotation_file, image_folder, phase):
        self.content = json.load(open(annotation_file))[phase]

    def getImgs(self):
        return [dict(file_name=name) for name in self.content]

    def getMask(self, image):
        return MASK
"""
MASK = "np.array(self.content[image['file_name']])"


@pytest.fixture
def devkit(tmp_path):
    """VOC 2010 with two images without annotations, and the annotations."""
    voc, rng = tmp_path / 'VOCdevkit' / 'VOC2010', np.random.default_rng(0)
    (voc / 'JPEGImages').mkdir(parents=True)
    (voc / 'ImageSets' / 'Main').mkdir(parents=True)
    annotations = {split: {} for split in NAMES}
    for split, names in NAMES.items():
        for number, name in enumerate([*names, f'2010_{split}']):
            shape = (20 + number, 30)
            Image.fromarray(rng.integers(0, 256, (*shape, 3), dtype=np.uint8)).save(voc / 'JPEGImages' / f'{name}.jpg')
            if name in names:
                annotations[split][f'{name}.jpg'] = rng.choice(list(RAW), shape).tolist()
    (voc / 'trainval_merged.json').write_text(json.dumps(annotations))
    return voc.parent


@pytest.fixture
def detail(tmp_path, monkeypatch):
    """Make the fake Detail API importable in this process and in that of the converter."""
    folder = tmp_path / 'site'
    folder.mkdir()
    (folder / 'detail.py').write_text(FAKE.replace('MASK', MASK))
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv('PYTHONPATH', str(folder))
    return folder / 'detail.py'


def tree(devkit):
    return {path.relative_to(devkit).as_posix() for path in devkit.rglob('*') if path.is_file()}


def class_map(devkit, name):
    return devkit / 'VOC2010' / 'SegmentationClassContext' / f'{name}.png'


def listing(devkit, split):
    return devkit / 'VOC2010' / 'ImageSets' / 'SegmentationContext' / f'{split}.txt'


def test_mmseg_reads_the_converted_data(devkit, detail):
    before = tree(devkit)
    assert convert(devkit) == dict(train=3, val=2) == check(devkit)
    written = {f'VOC2010/SegmentationClassContext/{name}.png' for names in NAMES.values() for name in names}
    assert tree(devkit) - before == written | {f'VOC2010/ImageSets/SegmentationContext/{split}.txt' for split in NAMES}
    annotations = json.loads((devkit / 'VOC2010' / 'trainval_merged.json').read_text())
    for split, names in NAMES.items():
        dataset = PascalContextDataset(
            data_root=str(devkit / 'VOC2010'),
            data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassContext'),
            ann_file=f'ImageSets/SegmentationContext/{split}.txt',
            pipeline=[LoadAnnotations()],
        )
        classes = dataset.metainfo['classes']
        assert [Path(item['img_path']).stem for item in dataset] == sorted(names)
        for item in dataset:
            raw = annotations[split][Path(item['img_path']).name]
            assert [[classes[k] for k in row] for row in item['gt_seg_map']] == [[RAW[k] for k in row] for row in raw]


def test_everything_missing_is_listed(devkit, monkeypatch):
    monkeypatch.setattr(sys, 'path', [path for path in sys.path if not Path(path, 'detail').exists()])
    (devkit / 'VOC2010' / 'trainval_merged.json').unlink()
    for image in (devkit / 'VOC2010' / 'JPEGImages').iterdir():
        image.unlink()
    with pytest.raises(FileNotFoundError) as stop:
        convert(devkit)
    images, annotations, api = str(stop.value).splitlines()
    assert images.startswith(f'{devkit}/VOC2010/JPEGImages') and 'VOCtrainval_03-May-2010.tar' in images
    assert 'trainval_merged.json is missing' in annotations and 'github.com/zhanghang1989/detail-api' in api
    assert not class_map(devkit, 'any').parent.exists()


def test_a_failed_conversion_leaves_nothing(devkit, detail):
    detail.write_text(FAKE.replace('return MASK', "raise KeyError('no masks')"))
    before = tree(devkit)
    with pytest.raises(RuntimeError, match=r"exit code 1: KeyError: 'no masks'"):
        convert(devkit)
    assert tree(devkit) == before and [path.name for path in devkit.iterdir()] == ['VOC2010']


def test_an_invalid_result_is_kept_for_inspection(devkit, detail, capfd):
    detail.write_text(FAKE.replace('MASK', 'np.full((20, 30), 2)'))
    with pytest.raises(ValueError) as stop:
        convert(devkit)
    *lines, last = str(stop.value).splitlines()
    (draft,) = {*devkit.iterdir()} - {devkit / 'VOC2010'}
    assert str(draft) in last and not class_map(devkit, 'any').parent.exists()
    wrong = {'2008_000007': 21, '2009_000001': 22, '2010_000005': 21}
    shapes = 'has the shape (20, 30), its image is {} x 30'
    assert lines == [f'{class_map(draft, name)} {shapes.format(rows)}' for name, rows in wrong.items()]
    assert main([str(draft), '--check']) == 1
    assert capfd.readouterr().err.splitlines() == lines


@pytest.fixture
def written(devkit):
    """A converted devkit, without the converter."""
    voc = devkit / 'VOC2010'
    class_map(devkit, 'any').parent.mkdir()
    listing(devkit, 'any').parent.mkdir(parents=True)
    for split, names in NAMES.items():
        listing(devkit, split).write_text('\n'.join(names))
        for name in names:
            width, height = Image.open(voc / 'JPEGImages' / f'{name}.jpg').size
            Image.fromarray(np.ones((height, width), dtype=np.uint8)).save(class_map(devkit, name))
    return devkit


NAME = '2008_000007'
DAMAGES = {
    'SegmentationClassContext/2008_000007.png is missing': lambda d: class_map(d, NAME).unlink(),
    'JPEGImages/2008_000007.jpg is missing': lambda d: (d / 'VOC2010' / 'JPEGImages' / f'{NAME}.jpg').unlink(),
    'cannot be read: ': lambda d: class_map(d, NAME).write_bytes(class_map(d, NAME).read_bytes()[:40]),
    '2008_000007.png has the id 60; ids are 0 to 59': lambda d: save(d, np.full((21, 30), 60)),
    'has the shape (21, 30, 3), its image is 21 x 30': lambda d: save(d, np.zeros((21, 30, 3))),
    'SegmentationContext/val.txt is missing or empty': lambda d: listing(d, 'val').unlink(),
    'train.txt is missing or empty': lambda d: listing(d, 'train').write_text('\n'),
    f'{NAME} is listed in both train.txt and val.txt': lambda d: listing(d, 'val').write_text(f'{NAME}\n2008_000003\n'),
    f'{NAME} is listed 2 times in train.txt': lambda d: listing(d, 'train').write_text(
        f'{NAME}\n2008_000002\n{NAME}\n'
    ),
}


def save(devkit, ids):
    Image.fromarray(ids.astype(np.uint8)).save(class_map(devkit, NAME))


@pytest.mark.parametrize('text', DAMAGES)
def test_the_check_names_every_problem(written, text):
    assert check(written) == dict(train=3, val=2)
    DAMAGES[text](written)
    with pytest.raises(ValueError) as stop:
        check(written)
    assert text in str(stop.value) and '\n' not in str(stop.value)


def test_the_command_line(written, detail, capfd):
    with pytest.raises(FileExistsError, match='SegmentationClassContext exists'):
        convert(written)
    assert main([str(written), '--check']) == 0
    assert '3 training and 2 test images' in capfd.readouterr().out
    class_map(written, NAME).unlink()
    assert main([str(written), '--check']) == 1
    assert capfd.readouterr().err == f'{class_map(written, NAME)} is missing\n'


@pytest.mark.parametrize('where', ['subprocess.run', 'mixpro_mm.datasets.pascal_context.check'])
def test_an_interrupt_leaves_nothing(devkit, detail, capfd, monkeypatch, where):
    before = tree(devkit)
    monkeypatch.setattr(where, lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    assert main([str(devkit)]) == 130
    assert capfd.readouterr().err == 'interrupted; no data set was written\n'
    assert tree(devkit) == before and [path.name for path in devkit.iterdir()] == ['VOC2010']
