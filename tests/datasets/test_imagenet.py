import re

import cv2
import numpy as np
import pytest
from mmengine.config import ConfigDict
from mmpretrain.datasets import ImageNet
from mmpretrain.registry import DATASETS

from mixpro_mm.datasets import ImageNet1k

CLASSES = 1000


def wnid(label):
    return f'n{10_000_000 + 7 * label:08d}'


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """1,000 classes, one name of an image each; no test opens them, and those that change something change it back."""
    root = tmp_path_factory.mktemp('folders')
    for split in ('train', 'val'):
        for label in range(CLASSES):
            (root / split / wnid(label)).mkdir(parents=True)
            (root / split / wnid(label) / f'{wnid(label)}_0.JPEG').touch()
    return root


@pytest.fixture
def lists(tmp_path):
    """Images in the folder of their split, and the lists that label them."""
    for split in ('train', 'val'):
        (tmp_path / split).mkdir()
        for name in ('one.JPEG', 'b/two words.JPEG'):
            (tmp_path / split / name).parent.mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / split / name), np.full((6, 8, 3), 40, dtype=np.uint8))
    (tmp_path / 'meta').mkdir()
    (tmp_path / 'meta' / 'train.txt').write_text('one.JPEG 999\nb/two words.JPEG 0\n')
    (tmp_path / 'meta' / 'val.txt').write_text('b/two words.JPEG 17\n')
    return tmp_path


def sentence(error):
    """The message, which is one sentence and ends with the layout that is expected."""
    message = str(error.value)
    assert '\n' not in message
    assert re.search(
        r'expected are 1000 folders named by WordNet ID in each of \S+/train and \S+/val, '
        r'or lists \S+/meta/train.txt and \S+/meta/val.txt',
        message,
    )
    return message


def test_reads_folders_as_the_host_does(folders):
    ours = DATASETS.build(ConfigDict(type='mixpro_mm.ImageNet1k', data_root=str(folders), split='train'))
    host = ImageNet(data_root=str(folders), split='train')
    assert type(ours) is ImageNet1k
    assert len(ours) == CLASSES
    assert [ours.get_data_info(i) for i in range(CLASSES)] == [host.get_data_info(i) for i in range(CLASSES)]
    assert ours.metainfo == host.metainfo
    assert ours.get_data_info(7)['gt_label'] == 7
    assert ours.get_data_info(7)['img_path'] == f'{folders}/train/{wnid(7)}/{wnid(7)}_0.JPEG'


@pytest.mark.parametrize(
    ('split', 'images'),
    [('train', {'one.JPEG': 999, 'b/two words.JPEG': 0}), ('val', {'b/two words.JPEG': 17})],
)
def test_reads_lists_and_their_images(lists, split, images):
    ours = ImageNet1k(data_root=str(lists), split=split, pipeline=[dict(type='LoadImageFromFile')])
    assert {item['img_path']: item['gt_label'] for item in ours} == {
        f'{lists}/{split}/{name}': label for name, label in images.items()
    }
    assert all(item['img'].shape == (6, 8, 3) for item in ours)


def test_a_list_wins_over_folders_and_an_own_list_over_both(folders, tmp_path):
    (tmp_path / 'train').symlink_to(folders / 'train')
    (tmp_path / 'meta').mkdir()
    name = f'{wnid(3)}/{wnid(3)}_0.JPEG'
    (tmp_path / 'meta' / 'train.txt').write_text(f'{name} 5\n')
    (tmp_path / 'meta' / 'tenth.txt').write_text(f'{name} 6\n')
    for wanted, label in ({}, 5), (dict(ann_file='meta/tenth.txt'), 6):
        ours = ImageNet1k(data_root=str(tmp_path), split='train', **wanted)
        assert [ours.get_data_info(i)['gt_label'] for i in range(len(ours))] == [label]


def test_the_test_split_has_no_labels_and_no_folders(tmp_path):
    (tmp_path / 'test').mkdir()
    (tmp_path / 'test' / 'ILSVRC2012_test_00000001.JPEG').touch()
    (item,) = (ImageNet1k(data_root=str(tmp_path), split='test').get_data_info(i) for i in range(1))
    assert 'gt_label' not in item


def test_a_missing_root_or_split_is_named(tmp_path):
    root = tmp_path / 'imagenet'
    with pytest.raises(FileNotFoundError) as error:
        ImageNet1k(data_root=str(root), split='train')
    assert f'there is no folder {root};' in sentence(error)
    root.mkdir()
    (root / 'val').mkdir()
    with pytest.raises(FileNotFoundError) as error:
        ImageNet1k(data_root=str(root), split='train')
    assert f'there is no folder {root}/train;' in sentence(error)
    ImageNet1k(data_root=str(root), split='train', lazy_init=True)  # asks for names only


@pytest.mark.parametrize(('folders_there', 'files_there'), [(0, 0), (0, 3), (999, 1), (1001, 0)])
def test_another_number_of_folders_is_counted(tmp_path, folders_there, files_there):
    (tmp_path / 'val').mkdir()
    for label in range(folders_there):
        (tmp_path / 'val' / wnid(label)).mkdir()
    for number in range(files_there):  # validation images as they come, or a file forgotten there
        (tmp_path / 'val' / f'ILSVRC2012_val_{number:08d}.JPEG').touch()
    with pytest.raises(ValueError) as error:
        ImageNet1k(data_root=str(tmp_path), split='val')
    found = f'{tmp_path}/val has {folders_there} class folders and {files_there} other files, not 1000 class folders;'
    assert found in sentence(error)


def test_a_folder_of_another_name_would_shift_labels(folders):
    odd = folders / 'train' / '.cache'
    odd.mkdir()
    try:
        with pytest.raises(ValueError, match=r"has a folder '\.cache', which is no WordNet ID") as error:
            ImageNet1k(data_root=str(folders), split='train')
        sentence(error)
    finally:
        odd.rmdir()


def test_classes_without_images_are_counted_and_named(folders):
    labels = (0, 4, 998, 999)
    images = [folders / 'val' / wnid(label) / f'{wnid(label)}_0.JPEG' for label in labels]
    for image in images:
        image.rename(image.with_suffix('.txt'))
    try:
        with pytest.raises(ValueError) as error:
            ImageNet1k(data_root=str(folders), split='val')
        shown = ', '.join(wnid(label) for label in labels[:3])
        assert f'4 of the 1000 class folders in {folders}/val hold no image ({shown}, ...)' in sentence(error)
    finally:
        for image in images:
            image.with_suffix('.txt').rename(image)
    assert len(ImageNet1k(data_root=str(folders), split='val')) == CLASSES


@pytest.mark.parametrize(
    ('text', 'number', 'line'),
    [
        ('one.JPEG 3\none.JPEG 1000\n', 2, 'one.JPEG 1000'),
        ('one.JPEG -1\n', 1, 'one.JPEG -1'),
        ('one.JPEG 3\none.JPEG\n', 2, 'one.JPEG'),
        ('one.JPEG\t3\n', 1, 'one.JPEG\t3'),
        ('one.JPEG 3\n\none.JPEG 3\n', 2, ''),
        ('one.JPEG,3\n', 1, 'one.JPEG,3'),
        ('one.JPEG n01440764\n', 1, 'one.JPEG n01440764'),
    ],
)
def test_a_bad_line_of_a_list_is_shown(lists, text, number, line):
    (lists / 'meta' / 'train.txt').write_text(text)
    with pytest.raises(ValueError) as error:
        ImageNet1k(data_root=str(lists), split='train')
    path = lists / 'meta' / 'train.txt'
    wanted = f'line {number} of {path} is {line!r}, not a path, a blank and a label from 0 to 999;'
    assert wanted in sentence(error)


def test_lists_that_are_empty_or_missing_or_of_other_folders(lists):
    (lists / 'meta' / 'train.txt').write_text('')
    with pytest.raises(ValueError, match=r'the list \S+/meta/train.txt is empty;') as error:
        ImageNet1k(data_root=str(lists), split='train')
    sentence(error)
    with pytest.raises(FileNotFoundError, match=r'there is no list \S+/meta/tenth.txt;') as error:
        ImageNet1k(data_root=str(lists), split='train', ann_file='meta/tenth.txt')
    sentence(error)
    (lists / 'meta' / 'train.txt').write_text('train/one.JPEG 3\n')
    with pytest.raises(FileNotFoundError, match=r'begins with \S+/train/train/one.JPEG, which does not exist') as error:
        ImageNet1k(data_root=str(lists), split='train')
    sentence(error)
