"""ClassCheckHook on different classes of data, model and other sets."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmdet.datasets import CocoDataset
from mmengine.config import Config
from mmengine.dataset import ConcatDataset
from mmengine.runner import EpochBasedTrainLoop, Runner, TestLoop, ValLoop
from mmpretrain.datasets import CustomDataset, ImageNet
from mmseg.datasets import BaseSegDataset
from torch import nn
from torch.utils.data import Subset

from mixpro_mm.datasets.digit_scenes import write_digit_scenes
from mixpro_mm.hooks import ClassCheckHook

DIGITS = Path(__file__).parents[2] / 'configs' / 'digits'


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return write_digit_scenes(tmp_path_factory.mktemp('scenes') / 's', num_train=4, num_val=2)


@pytest.fixture
def downstream(scenes, tmp_path):
    def config(name, **changes):
        config = Config.fromfile(DIGITS / name)
        root = f'{scenes}/{"coco" if "rcnn" in name else "VOCdevkit/VOC2010"}/'
        for split in ('train', 'val', 'test'):
            config[f'{split}_dataloader'].dataset.data_root = root
            config[f'{split}_dataloader'].batch_size = 2
        if 'rcnn' in name:
            for evaluator in (config.val_evaluator, config.test_evaluator):
                evaluator.ann_file = f'{root}annotations/instances_val2017.json'
        config.custom_hooks = [dict(type='mixpro_mm.ClassCheckHook')]
        config.work_dir = str(tmp_path / 'work')
        config.log_level = 'ERROR'
        config.merge_from_dict(changes)
        return config

    return config


def stopped(config):
    with pytest.raises(RuntimeError) as error:
        Runner.from_cfg(config).train()
    return str(error.value)


def test_detection(downstream):
    """The proposal head, which separates objects from background, is not compared."""
    config = downstream('mask-rcnn_pvt-micro_scratch_digit-scenes.py', **{'model.roi_head.bbox_head.num_classes': 80})
    said = stopped(config)
    assert said == (
        'ClassCheckHook: the train set (CocoDataset) has 10 classes, 0 to 9, but roi_head.bbox_head has 80: set '
        'num_classes=10 there.'
    )


LOOPS = dict(train=EpochBasedTrainLoop, val=ValLoop, test=TestLoop)
BIRDS = ('heron', 'kite', 'otter')
PETS = ('cat', 'dog', 'owl')


def said(count, ignore=(), **sets):
    """Return the error of the hook for these data sets and a head with ``count`` classes, or ''."""
    runner = SimpleNamespace(model=nn.Module())
    runner.model.head = nn.Module()
    runner.model.head.num_classes = count
    for split, dataset in sets.items():
        loop = object.__new__(LOOPS[split])
        loop.dataloader = SimpleNamespace(dataset=dataset)
        setattr(runner, f'_{split}_loop', loop)
    try:
        ClassCheckHook(ignore).before_run(runner)
    except RuntimeError as error:
        assert '\n' not in str(error)
        return str(error)
    return ''


@pytest.fixture
def folders(tmp_path):
    def make(split, names, empty=(), kind=CustomDataset, **settings):
        for name in (*names, *empty):
            (tmp_path / split / name).mkdir(parents=True)
        for name in names:
            (tmp_path / split / name / 'a.jpg').touch()
        return kind(data_root=str(tmp_path / split), **settings)

    return make


@pytest.fixture
def coco(tmp_path):
    """Make a CocoDataset of one image with an object of each category, such as 'cat' or (3, 'cat')."""

    def make(categories, classes=PETS, kind=CocoDataset, name='a.json'):
        listed = [each if isinstance(each, tuple) else (number, each) for number, each in enumerate(categories, 1)]
        image = dict(id=1, file_name='a.jpg', height=9, width=9)
        box = dict(image_id=1, bbox=[0, 0, 5, 5], area=25, iscrowd=0)
        content = dict(
            info=dict(categories=['decoy']),
            images=[image],
            annotations=[box | dict(id=i, category_id=category) for i, (category, _) in enumerate(listed, 1)],
            categories=[dict(id=i, name=name, supercategory='é') for i, name in listed],
        )
        (tmp_path / name).write_text(json.dumps(content, ensure_ascii=False), encoding='utf-8')
        metainfo = None if classes is None else dict(classes=classes)
        return kind(ann_file=str(tmp_path / name), data_prefix=dict(img=''), metainfo=metainfo)

    return make


@pytest.mark.parametrize(
    ('categories', 'classes', 'words'),
    [
        (PETS, ('cat', 'dgo', 'owl'), "calls label 1 'dgo', but it is 'owl' in .*a.json: .*, .'cat', 'dog', 'owl'"),
        (('cat', 'dog'), PETS, "calls label 2 'owl', but it is None in .*a.json"),
        (('owl', 'dog', 'cat'), PETS, r"calls label 0 'cat', .* it is 'owl' in .*, \('owl', 'dog', 'cat'\)"),
        (((7, 'cat'), (3, 'owl'), (5, 'dog')), PETS, "calls label 1 'dog', .* it is 'owl'"),
        (((0, 'cat'), *PETS), PETS, "calls label 1 'dog', but it is 'cat'"),
        (PETS, ('cat', 'dog', 'dog'), "calls label 2 'dog', but it is None"),
        (PETS, None, "calls label 0 'person', but it is 'cat'"),
    ],
)
def test_categories_of_a_coco_file_that_are_not_the_classes_stop(coco, categories, classes, words):
    dataset = coco(categories, classes)
    count = len(dataset.metainfo['classes'])
    assert re.match(rf'ClassCheckHook: the train set \(CocoDataset\) {words}', said(count, train=dataset))
    sound = coco(dataset.metainfo['classes'], classes, name='sound.json')
    for split in ('val', 'test'):
        assert re.match(rf'ClassCheckHook: the {split} set .* {words}', said(count, train=sound, **{split: dataset}))
    assert re.match(rf'ClassCheckHook: the test set .* {words}', said(count, test=dataset))


@pytest.mark.parametrize(
    ('categories', 'classes'),
    [
        (PETS, PETS),
        (((0, 'pets'), *PETS), PETS),  # the root category of Roboflow
        (('ant', 'cat', 'bee', 'dog', 'owl', 'yak'), PETS),
        (((90, 'cat'), (7, 'dog'), (8, 'owl')), list(PETS)),
        (CocoDataset.METAINFO['classes'], None),
    ],
)
def test_sound_coco_files_pass(coco, categories, classes):
    dataset = coco(categories, classes)
    assert said(len(dataset.metainfo['classes']), train=dataset, val=dataset, test=dataset) == ''


class ByPlace(CocoDataset):
    """All categories in the order of the file, as in LVISV1Dataset."""

    def load_data_list(self):
        images = super().load_data_list()
        self.cat_ids = [
            each['id'] for each in json.loads(Path(self.ann_file).read_text(encoding='utf-8'))['categories']
        ]
        return images


def test_data_sets_that_count_categories_by_place_may_call_them_otherwise(coco):
    assert said(3, train=coco(('kitty', 'dog', 'owl'), kind=ByPlace)) == ''
    assert "calls label 0 'cat', but" in said(3, train=coco(('dog', 'cat', 'owl'), kind=ByPlace))
    assert "calls label 0 'cat', but" in said(3, train=coco(('pets', 'cat', 'dog', 'owl'), kind=ByPlace))


@pytest.mark.parametrize('wrap', [lambda inner: inner, lambda inner: Subset(inner, [0])])
def test_every_data_set_of_a_concatenation_is_compared(coco, wrap):
    sound, swapped = coco(PETS, name='sound.json'), coco(PETS[::-1], name='swapped.json')
    assert 'swapped.json' in said(3, train=wrap(ConcatDataset([sound, swapped])))
    other = coco(PETS[::-1], PETS[::-1])
    joined = ConcatDataset([sound, other], ignore_keys='classes')
    assert "has other classes, label 0 is 'owl' here and 'cat' in the train set" in said(3, train=wrap(joined))


@pytest.mark.parametrize(
    ('names', 'place', 'here', 'there'),
    [(('heron', 'otter', 'zebra'), 1, 'otter', 'kite'), (('heron', 'kite', 'zebra'), 2, 'zebra', 'otter')],
)
def test_folders_of_training_and_validation_with_other_names_stop(folders, names, place, here, there):
    assert said(3, train=folders('train', BIRDS), val=folders('val', names)) == (
        f'ClassCheckHook: the val set (CustomDataset) has other classes, label {place} is {here!r} here and {there!r} '
        'in the train set (CustomDataset), which has 3 classes: give both the same classes in the same order.'
    )


def test_numbers_of_classes_are_compared_unless_they_are_ignored(folders):
    train, val = folders('train', BIRDS), folders('val', BIRDS[:2])
    assert said(4, train=train).endswith(' has 3 classes, heron to otter, but head has 4: set num_classes=3 there.')
    assert said(4, ignore='head', train=train) == said(4, ignore=('he',), train=train) == ''
    assert "the val set (CustomDataset) has other classes, label 2 is None here and 'otter'" in said(
        3, train=train, val=val
    )


def test_a_class_folder_that_validation_lacks_is_named(folders):
    sentence = said(3, train=folders('train', BIRDS), val=folders('val', BIRDS[::2]))
    assert "label 1 is 'otter' here and 'kite' in the train set" in sentence
    assert 'num_classes=2' not in sentence


@pytest.mark.parametrize('classes', [('otter', 'heron', 'kite'), ('Heron', 'Otter', 'Kite')])
def test_classes_in_another_order_than_the_folders_stop(folders, classes):
    sentence = said(3, train=folders('train', BIRDS, metainfo=dict(classes=classes)))
    place = 0 if classes[0] == 'otter' else 1
    assert f'calls label {place} {classes[place]!r}' in sentence
    assert f'it is {BIRDS[place]!r}' in sentence


@pytest.mark.parametrize('split', ['train', 'val', 'test'])
@pytest.mark.parametrize('head', [3, 4])
@pytest.mark.parametrize('name', ['.ipynb_checkpoints', '__MACOSX'])
@pytest.mark.parametrize('empty', [True, False])
def test_a_folder_that_is_no_class_is_the_fault(folders, split, head, name, empty):
    names, rest = (BIRDS, [name]) if empty else ((*BIRDS, name), [])
    sets = dict(train=folders('sound', BIRDS)) if split != 'train' and head == 3 else {}
    sentence = said(head, **sets, **{split: folders('odd', names, rest)})
    assert sentence.startswith(f'ClassCheckHook: the {split} set (CustomDataset) takes {name!r} in ')
    assert sentence.endswith(f'remove {name!r}.')
    assert 'num_classes' not in sentence


def test_sound_folders_and_lists_pass(folders, tmp_path):
    train = folders('train', BIRDS)
    assert said(3, train=train, val=folders('val', BIRDS)) == ''
    assert said(3, train=train, val=folders('sparse', BIRDS[:2], ['otter'])) == ''
    assert said(3, train=train, val=folders('capitals', ('Heron', 'Kite', 'Otter'))) == ''
    (tmp_path / 'list.txt').write_text('a.jpg 2\n')
    listed = CustomDataset(data_root=str(tmp_path), ann_file='list.txt')
    assert said(3, train=train, val=listed) == said(3, train=listed, val=train) == ''  # no class names
    german = dict(metainfo=dict(classes=('Reiher', 'Milan', 'Otter')))
    assert said(3, train=folders('t', BIRDS, **german), val=folders('v', BIRDS, **german)) == ''


def test_wordnet_ids_and_names_of_imagenet_are_not_compared(folders, tmp_path):
    wnids = [f'n{number:08d}' for number in range(1000)]
    (tmp_path / 'list.txt').write_text('a.jpg 2\n')
    listed = ImageNet(data_root=str(tmp_path), ann_file='list.txt', data_prefix='')
    in_folders = folders('in', wnids, kind=ImageNet)
    assert said(1000, train=listed, val=in_folders) == ''
    assert said(1000, train=in_folders, val=folders('custom', wnids)) == ''


class Pets(BaseSegDataset):
    METAINFO = dict(classes=('yak', *PETS), palette=[[0, 0, 0]] * 4)


def test_classes_of_segmentation():
    def dataset(classes, kind=BaseSegDataset):
        return kind(metainfo=dict(classes=classes), lazy_init=True)

    assert said(3, train=dataset(PETS), val=dataset(list(PETS))) == ''
    assert said(3, train=dataset(PETS, Pets), val=dataset(PETS, Pets)) == ''  # mmseg maps the labels
    for kind in (BaseSegDataset, Pets):
        assert "label 0 is 'owl' here and 'cat' in" in said(3, train=dataset(PETS), val=dataset(PETS[::-1], kind))
