import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mmseg.datasets import PascalContextDataset
from mmseg.datasets.transforms import LoadAnnotations
from PIL import Image

from mixpro_mm.datasets import pascal_context
from mixpro_mm.datasets.pascal_context import check, convert, main

TOOL = Path(__file__).parents[2] / 'tools' / 'prepare_pascal_context.py'
# ids of the merged annotations, and the classes they stand for
RAW = {0: 'background', 2: 'aeroplane', 9: 'bag', 59: 'car', 284: 'person', 397: 'table', 415: 'track', 458: 'wood'}
NAMES = dict(train=['2008_000002', '2008_000007', '2009_000001'], val=['2008_000003', '2010_000005'])
FAKE = """
# Stands for the Detail API: as much of it as the converter calls.
import json
import numpy as np

class Detail:
    def __init__(self, annotation_file, image_folder, phase):
        self.content = json.load(open(annotation_file))[phase]

    def getImgs(self):
        return [dict(file_name=name) for name in self.content]

    def getMask(self, image):
        return np.array(self.content[image['file_name']])
"""


@pytest.fixture
def devkit(tmp_path):
    """VOC 2010 as it is unpacked, with two images more than the annotations have, and the annotations."""
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
    """The Detail API, importable here and in the process of the converter."""
    folder = tmp_path / 'site'
    folder.mkdir()
    (folder / 'detail.py').write_text(FAKE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv('PYTHONPATH', str(folder))
    return folder / 'detail.py'


def tree(devkit):
    return {path.relative_to(devkit).as_posix() for path in devkit.rglob('*') if path.is_file()}


def class_map(devkit, name):
    return devkit / 'VOC2010' / 'SegmentationClassContext' / f'{name}.png'


def listing(devkit, split):
    return devkit / 'VOC2010' / 'ImageSets' / 'SegmentationContext' / f'{split}.txt'


def test_the_converter_of_mmseg_writes_what_mmseg_reads(devkit, detail):
    before = tree(devkit)
    assert convert(devkit) == dict(train=3, val=2) == check(devkit)
    written = {f'VOC2010/SegmentationClassContext/{name}.png' for names in NAMES.values() for name in names}
    assert tree(devkit) - before == written | {f'VOC2010/ImageSets/SegmentationContext/{split}.txt' for split in NAMES}
    assert sorted(path.name for path in devkit.iterdir()) == ['VOC2010']  # no draft is left
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


def test_the_annotations_may_lie_elsewhere(devkit, detail, tmp_path, monkeypatch):
    (devkit / 'VOC2010' / 'trainval_merged.json').rename(tmp_path / 'merged.json')
    monkeypatch.chdir(tmp_path)
    assert convert('VOCdevkit', 'merged.json') == dict(train=3, val=2)


def test_everything_that_is_missing_is_one_sentence(devkit, monkeypatch):
    monkeypatch.setattr(sys, 'path', [path for path in sys.path if not Path(path, 'detail').exists()])
    with pytest.raises(FileNotFoundError) as stop:
        convert(devkit)
    (sentence,) = str(stop.value).splitlines()
    assert 'module detail' in sentence and 'github.com/zhanghang1989/detail-api' in sentence
    assert 'docs/hand_over.md' in sentence and '--check' in sentence
    (devkit / 'VOC2010' / 'trainval_merged.json').unlink()
    for image in (devkit / 'VOC2010' / 'JPEGImages').iterdir():
        image.unlink()
    with pytest.raises(FileNotFoundError) as stop:
        convert(devkit)
    images, annotations, api = str(stop.value).splitlines()
    assert images.startswith(f'{devkit}/VOC2010/JPEGImages holds no images: unpack VOCtrainval_03-May-2010.tar')
    assert annotations.startswith(f'{devkit}/VOC2010/trainval_merged.json is missing')
    assert api == sentence
    assert not class_map(devkit, 'any').parent.exists()


def test_what_is_there_is_not_written_over(devkit, detail):
    convert(devkit)
    stamp = class_map(devkit, '2008_000002').stat().st_mtime_ns
    with pytest.raises(FileExistsError, match=r'SegmentationClassContext is there already: look at it with --check'):
        convert(devkit)
    assert class_map(devkit, '2008_000002').stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    ('fault', 'error', 'sentence'),
    [
        ("raise KeyError('no masks')", RuntimeError, r"mmseg stopped with exit code 1: KeyError: 'no masks'"),
        ('return np.full((20, 30), 3)', RuntimeError, r'mmseg stopped with exit code 1: AssertionError'),  # no class
        ('import os; os._exit(7)', RuntimeError, r'stopped with exit code 7: it said nothing'),
    ],
)
def test_a_conversion_that_fails_leaves_nothing(devkit, detail, fault, error, sentence):
    detail.write_text(FAKE.replace("return np.array(self.content[image['file_name']])", fault))
    before = tree(devkit)
    with pytest.raises(error, match=sentence):
        convert(devkit)
    assert tree(devkit) == before and [path.name for path in devkit.iterdir()] == ['VOC2010']


def test_a_draft_that_is_not_whole_is_kept_and_can_be_looked_at(devkit, detail, capfd):
    detail.write_text(FAKE.replace("return np.array(self.content[image['file_name']])", 'return np.full((20, 30), 2)'))
    before = tree(devkit)
    with pytest.raises(ValueError) as stop:
        convert(devkit)
    *sentences, last = str(stop.value).splitlines()
    (draft,) = {*devkit.iterdir()} - {devkit / 'VOC2010'}
    assert last == f'what was drawn is kept in {draft}: look at it, then remove it'
    assert {path for path in tree(devkit) if path.startswith('VOC2010')} == before  # no data set
    wrong = [class_map(draft, name) for name in ('2008_000007', '2009_000001', '2010_000005')]  # 21, 22 and 21 rows
    assert sentences == [
        f'{path} has the shape (20, 30), its image is {rows} x 30'
        for path, rows in zip(wrong, (21, 22, 21), strict=True)
    ]
    assert (np.asarray(Image.open(wrong[0])) == 1).all()  # it is there to be looked at: id 2 is class 1
    assert main([str(draft), '--check']) == 1
    assert capfd.readouterr().err.splitlines() == sentences
    detail.write_text(FAKE)  # and it is in nobody's way
    assert convert(devkit) == dict(train=3, val=2)


def damage(devkit, kind):
    name = '2008_000007'
    png = class_map(devkit, name)
    if kind == 'no map':
        png.unlink()
    elif kind == 'no image':
        (devkit / 'VOC2010' / 'JPEGImages' / f'{name}.jpg').unlink()
    elif kind == 'half a map':
        png.write_bytes(png.read_bytes()[:60])
    elif kind == 'raw ids':
        Image.fromarray(np.full((21, 30), 60, dtype=np.uint8)).save(png)
    elif kind == 'other size':
        Image.fromarray(np.zeros((30, 21), dtype=np.uint8)).save(png)
    elif kind == 'colours':
        Image.fromarray(np.zeros((21, 30, 3), dtype=np.uint8)).save(png)
    elif kind == 'no list':
        listing(devkit, 'val').unlink()
    elif kind == 'empty list':
        listing(devkit, 'train').write_text('\n')
    elif kind == 'both lists':
        listing(devkit, 'val').write_text(f'{name}\n2008_000003\n')
    elif kind == 'twice':
        listing(devkit, 'train').write_text(f'{name}\n2008_000002\n{name}\n')


SENTENCES = {
    'no map': '{voc}/SegmentationClassContext/2008_000007.png is missing',
    'no image': '{voc}/JPEGImages/2008_000007.jpg is missing',
    'half a map': '2008_000007 cannot be read: ',
    'raw ids': '{voc}/SegmentationClassContext/2008_000007.png holds the id 60; they go from 0 to 59',
    'other size': '{voc}/SegmentationClassContext/2008_000007.png has the shape (30, 21), its image is 21 x 30',
    'colours': '{voc}/SegmentationClassContext/2008_000007.png has the shape (21, 30, 3), its image is 21 x 30',
    'no list': '{voc}/ImageSets/SegmentationContext/val.txt is missing or empty',
    'empty list': '{voc}/ImageSets/SegmentationContext/train.txt is missing or empty',
    'both lists': '2008_000007 is listed both to train and to test',
    'twice': '2008_000007 is listed 2 times in train.txt',
}


@pytest.mark.parametrize('kind', SENTENCES)
def test_every_damage_is_named(devkit, detail, kind):
    convert(devkit)
    assert check(devkit) == dict(train=3, val=2)
    damage(devkit, kind)
    with pytest.raises(ValueError) as stop:
        check(devkit)
    (line,) = str(stop.value).splitlines()
    assert line.startswith(SENTENCES[kind].format(voc=devkit / 'VOC2010'))


def test_of_many_damages_the_first_are_named_and_the_rest_counted(devkit, detail):
    convert(devkit)
    extra = [f'2011_{number:06d}' for number in range(9)]
    listing(devkit, 'val').write_text('\n'.join([*NAMES['val'], *extra]))
    damage(devkit, 'raw ids')
    with pytest.raises(ValueError) as stop:
        check(devkit)
    lines = str(stop.value).splitlines()
    assert len(lines) == 13 and sum(line == 'and 4 more of that kind' for line in lines) == 2  # images, class maps
    assert sum('holds the id 60' in line for line in lines) == 1


def test_the_command_line(devkit, detail, capfd, monkeypatch):
    def run(*args):
        code = main([str(word) for word in (devkit, *args)])
        said = capfd.readouterr()
        return code, said.out.splitlines()[-1:], said.err

    code, said, problem = run()
    assert (code, problem) == (0, '') and f'{devkit / "VOC2010"} is whole: 3 images to train, 2 to test; ' in said[0]
    assert '4996 and 5104' in said[0] and '4998 and 5105' in said[0]
    with monkeypatch.context() as patch:
        patch.setattr(pascal_context, 'EXPECTED', dict(train=3, val=2))
        assert run('--check')[1][0].endswith('2 to test, as many as the merged annotations hold')
    files = {path: os.stat(devkit / path).st_mtime_ns for path in tree(devkit)}
    assert run('--check') == (0, said, '')
    damage(devkit, 'no map')
    assert run('--check') == (1, [], f'{class_map(devkit, "2008_000007")} is missing\n')
    left = {path: os.stat(devkit / path).st_mtime_ns for path in tree(devkit)}
    assert len(left) == len(files) - 1 and left.items() < files.items()  # it wrote nothing
    code, said, problem = run('--annotations', devkit / 'elsewhere.json')
    assert (code, said) == (1, []) and problem.startswith(f'{devkit}/elsewhere.json is missing')


def test_the_tool_is_the_command_line(devkit, detail):
    done = subprocess.run([sys.executable, TOOL, devkit, '--check'], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2:] == [f'{listing(devkit, split)} is missing or empty' for split in NAMES]


@pytest.mark.parametrize('where', ['subprocess.run', 'mixpro_mm.datasets.pascal_context.check'])
def test_an_interrupt_is_one_sentence_and_leaves_nothing(devkit, detail, capfd, monkeypatch, where):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    before = tree(devkit)
    monkeypatch.setattr(where, interrupt)
    assert main([str(devkit)]) == 130
    assert capfd.readouterr().err == 'interrupted; no data set was written\n'
    assert tree(devkit) == before and [path.name for path in devkit.iterdir()] == ['VOC2010']
