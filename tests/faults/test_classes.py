"""ClassCheckHook: classes of data, model and other data sets."""

import json
from types import SimpleNamespace

import pytest
from mmdet.datasets import CocoDataset
from mmengine.dataset import ConcatDataset
from mmengine.runner import EpochBasedTrainLoop, Runner, TestLoop, ValLoop
from mmpretrain.datasets import CustomDataset, ImageNet
from mmseg.datasets import BaseSegDataset
from torch import nn
from torch.utils.data import Subset

from mixpro_mm.hooks import ClassCheckHook

LOOPS = dict(train=EpochBasedTrainLoop, val=ValLoop, test=TestLoop)
BIRDS = ('heron', 'kite', 'otter')
PETS = ('cat', 'dog', 'owl')


def test_a_model_with_another_number_of_classes_stops(tiny, tmp_path):
    with pytest.raises(RuntimeError) as error:
        Runner.from_cfg(tiny(tmp_path, **{'model.head.num_classes': 12})).train()
    assert str(error.value) == (
        'ClassCheckHook: the train set (Digits) has 10 classes, 0 to 9, but head has 12: set num_classes=10 there.'
    )


def error_of(count, ignore=(), **sets):
    """Return the error of the hook for these data sets and a head with ``count`` classes, or ''."""
    runner = SimpleNamespace(model=nn.Module())
    runner.model.head = nn.Module()
    runner.model.head.num_classes = count
    runner.model.rpn_head = nn.Module()
    runner.model.rpn_head.num_classes = 1  # separates objects from background
    for split, dataset in sets.items():
        loop = object.__new__(LOOPS[split])
        loop.dataloader = SimpleNamespace(dataset=dataset)
        setattr(runner, f'_{split}_loop', loop)
    try:
        ClassCheckHook(ignore).before_run(runner)
    except RuntimeError as error:
        return str(error)
    return ''


@pytest.fixture
def folders(tmp_path):
    """Return a function that makes a data set of class folders; those in ``empty`` have no image."""

    def make(split, names, empty=(), kind=CustomDataset, **settings):
        for name in (*names, *empty):
            (tmp_path / split / name).mkdir(parents=True)
        for name in names:
            (tmp_path / split / name / 'a.jpg').touch()
        return kind(data_root=str(tmp_path / split), **settings)

    return make


@pytest.fixture
def coco(tmp_path):
    """Return a function that makes a CocoDataset with an object of each category, such as 'cat' or (3, 'cat')."""

    def make(categories, classes=PETS, name='a.json'):
        listed = [each if isinstance(each, tuple) else (number, each) for number, each in enumerate(categories, 1)]
        box = dict(image_id=1, bbox=[0, 0, 5, 5], area=25, iscrowd=0)
        content = dict(
            info=dict(categories=['not these']),
            images=[dict(id=1, file_name='a.jpg', height=9, width=9)],
            annotations=[box | dict(id=i, category_id=category) for i, (category, _) in enumerate(listed, 1)],
            categories=[dict(id=i, name=name) for i, name in listed],
        )
        (tmp_path / name).write_text(json.dumps(content))
        metainfo = None if classes is None else dict(classes=classes)
        return CocoDataset(ann_file=str(tmp_path / name), data_prefix=dict(img=''), metainfo=metainfo)

    return make


@pytest.mark.parametrize(
    ('categories', 'classes', 'words'),
    [
        (PETS, ('cat', 'dgo', 'owl'), ["'dgo'", 'label 1', 'a.json']),
        (('cat', 'dog'), PETS, ["'owl'", 'label 2', 'a.json']),
        (('owl', 'dog', 'cat'), PETS, ["calls label 0 'cat'", "'owl'", 'a.json']),
        (((0, 'cat'), *PETS), PETS, ["'cat'", 'a.json']),
        (PETS, None, ["'person'", 'label 0', 'a.json']),
    ],
)
def test_categories_of_a_coco_file_that_are_not_the_classes_stop(coco, categories, classes, words):
    dataset = coco(categories, classes)
    count = len(dataset.metainfo['classes'])
    valid = coco(dataset.metainfo['classes'], classes, name='valid.json')
    for sets in (dict(train=dataset), dict(train=valid, val=dataset), dict(test=dataset)):
        error = error_of(count, **sets)
        assert error.startswith(f'ClassCheckHook: the {[*sets][-1]} set (CocoDataset) ')
        assert [word for word in words if word not in error] == []


@pytest.mark.parametrize(
    ('categories', 'classes'),
    [
        (PETS, PETS),
        (((0, 'pets'), *PETS), PETS),  # the root category of Roboflow
        (('ant', 'cat', 'bee', 'dog', 'owl', 'yak'), list(PETS)),
        (CocoDataset.METAINFO['classes'], None),
    ],
)
def test_valid_coco_files_pass(coco, categories, classes):
    dataset = coco(categories, classes)
    assert error_of(len(dataset.metainfo['classes']), train=dataset, val=dataset, test=dataset) == ''


def test_every_part_of_a_concatenation_is_compared(coco):
    valid, swapped = coco(PETS, name='valid.json'), coco(PETS[::-1], name='swapped.json')
    assert 'swapped.json' in error_of(3, train=Subset(ConcatDataset([valid, swapped]), [0]))
    joined = ConcatDataset([valid, coco(PETS[::-1], PETS[::-1])], ignore_keys='classes')
    assert "has other classes, label 0 is 'owl' here and 'cat' in the train set" in error_of(3, train=joined)


def test_validation_with_other_class_folders_stops(folders):
    assert error_of(3, train=folders('train', BIRDS), val=folders('val', ('heron', 'otter', 'zebra'))).startswith(
        "ClassCheckHook: the val set (CustomDataset) has other classes, label 1 is 'otter' here and 'kite' in the "
        'train set (CustomDataset), which has 3 classes'
    )


def test_numbers_of_classes_are_compared_unless_they_are_ignored(folders):
    train, val = folders('train', BIRDS), folders('val', BIRDS[::2])
    assert error_of(4, train=train).endswith(' has 3 classes, heron to otter, but head has 4: set num_classes=3 there.')
    assert error_of(4, ignore='head', train=train) == error_of(4, ignore=('he',), train=train) == ''
    error = error_of(3, train=train, val=val)
    assert 'the val set (CustomDataset) has ' in error
    assert "label 1 is 'otter' here and 'kite' in the train set" in error and 'num_classes=2' not in error


@pytest.mark.parametrize('classes', [('otter', 'heron', 'kite'), ('Heron', 'Otter', 'Kite')])
def test_classes_in_another_order_than_the_folders_stop(folders, classes):
    error = error_of(3, train=folders('train', BIRDS, metainfo=dict(classes=classes)))
    place = 0 if classes[0] == 'otter' else 1
    assert f'calls label {place} {classes[place]!r}' in error and f' is {BIRDS[place]!r}' in error


@pytest.mark.parametrize(('split', 'head'), [('train', 3), ('train', 4), ('val', 3), ('test', 4)])
def test_a_folder_that_is_no_class_is_named(folders, split, head):
    name = '.ipynb_checkpoints'
    sets = dict(train=folders('valid', BIRDS)) if split == 'val' else {}
    error = error_of(head, **sets, **{split: folders('odd', BIRDS, [name])})
    assert error.startswith(f'ClassCheckHook: the {split} set (CustomDataset) takes {name!r} in ')
    assert error.endswith(f'remove {name!r}.') and 'num_classes' not in error


@pytest.mark.parametrize(('odd', 'head'), [('train', 3), ('train', 4), ('val', 3)])
def test_an_empty_folder_is_named(folders, odd, head):
    sets = {split: folders(split, BIRDS, ['lark'] if split == odd else []) for split in ('train', 'val')}
    assert f"'lark' in {sets[odd].img_prefix} has no image, remove it" in error_of(head, **sets)


def test_other_folders_under_the_same_class_names_stop(folders):
    named = dict(metainfo=dict(classes=('A', 'B', 'C')))
    train, val = folders('train', BIRDS, **named), folders('val', ('heron', 'otter', 'zebra'), **named)
    assert "label 1 is 'otter' here and 'kite' in" in error_of(3, train=train, val=val)


def test_the_classes_of_a_test_are_those_that_the_checkpoint_was_trained_on(folders):
    loop = object.__new__(TestLoop)
    loop.dataloader = SimpleNamespace(dataset=folders('val', ('kite', 'otter', 'zebra')))
    runner = SimpleNamespace(_train_loop=None, _val_loop=None, _test_loop=loop)
    hook, saved = ClassCheckHook(), dict(meta=dict(dataset_meta=dict(classes=BIRDS)))
    with pytest.raises(RuntimeError, match=r"label 0 is 'kite' here and 'heron' in the training of the checkpoint"):
        hook.after_load_checkpoint(runner, saved)
    for other in ({}, dict(meta=None), dict(meta=dict(dataset_meta=dict(classes=('kite', 'otter', 'zebra'))))):
        hook.after_load_checkpoint(runner, other)


def test_valid_folders_and_lists_pass(folders, tmp_path):
    train = folders('train', BIRDS)
    assert error_of(3, train=train, val=folders('sparse', BIRDS[:2], ['otter'])) == ''
    assert error_of(3, train=train, val=folders('capitals', ('Heron', 'Kite', 'Otter'))) == ''
    (tmp_path / 'list.txt').write_text('a.jpg 2\n')
    listed = CustomDataset(data_root=str(tmp_path), ann_file='list.txt')
    assert error_of(3, train=train, val=listed) == error_of(3, train=listed, val=train) == ''  # no class names
    german = dict(metainfo=dict(classes=('Reiher', 'Milan', 'Otter')))
    assert error_of(3, train=folders('t', BIRDS, **german), val=folders('v', BIRDS, **german)) == ''
    listed = ImageNet(data_root=str(tmp_path), ann_file='list.txt', data_prefix='')
    wnids = folders('in', [f'n{number:08d}' for number in range(1000)], kind=ImageNet)
    assert error_of(1000, train=listed, val=wnids) == ''  # names and WordNet IDs are not compared


class Pets(BaseSegDataset):
    METAINFO = dict(classes=('yak', *PETS), palette=[[0, 0, 0]] * 4)


def test_classes_of_segmentation():
    def dataset(classes, kind=BaseSegDataset):
        return kind(metainfo=dict(classes=classes), lazy_init=True)

    assert error_of(3, train=dataset(PETS), val=dataset(list(PETS))) == ''
    assert error_of(3, train=dataset(PETS, Pets), val=dataset(PETS, Pets)) == ''  # mmseg maps the labels
    assert "label 0 is 'owl' here and 'cat' in" in error_of(3, train=dataset(PETS), val=dataset(PETS[::-1]))
