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
    """1,000 classes with one empty file each; tests restore what they change."""
    root = tmp_path_factory.mktemp('folders')
    for label in range(CLASSES):
        (root / 'train' / wnid(label)).mkdir(parents=True)
        (root / 'train' / wnid(label) / f'{wnid(label)}_0.JPEG').touch()
    return root


@pytest.fixture
def lists(tmp_path):
    """Two images and the list that labels them."""
    for folder in ('train/b', 'meta'):
        (tmp_path / folder).mkdir(parents=True)
    for name in ('one.JPEG', 'b/two words.JPEG'):
        cv2.imwrite(str(tmp_path / 'train' / name), np.full((6, 8, 3), 40, dtype=np.uint8))
    (tmp_path / 'meta' / 'train.txt').write_text('one.JPEG 999\nb/two words.JPEG 0\n')
    return tmp_path


def message(kind, root, split='train', **kwargs):
    """Return the message of the error, which ends with the expected layout."""
    with pytest.raises(kind) as error:
        ImageNet1k(data_root=str(root), split=split, **kwargs)
    text = str(error.value)
    assert all(part in text for part in ('1000 folders', f'{root}/train', f'{root}/val', f'{root}/meta/val.txt'))
    return text


def test_folders_are_read_like_mmpretrain(folders):
    ours = DATASETS.build(ConfigDict(type='mixpro_mm.ImageNet1k', data_root=str(folders), split='train'))
    reference = ImageNet(data_root=str(folders), split='train')
    assert type(ours) is ImageNet1k and len(ours) == CLASSES
    assert [ours.get_data_info(i) for i in range(CLASSES)] == [reference.get_data_info(i) for i in range(CLASSES)]
    assert ours.metainfo == reference.metainfo


def test_lists_and_their_images_are_read(lists):
    ours = ImageNet1k(data_root=str(lists), split='train', pipeline=[dict(type='LoadImageFromFile')])
    labels = {f'{lists}/train/one.JPEG': 999, f'{lists}/train/b/two words.JPEG': 0}
    assert {item['img_path']: item['gt_label'] for item in ours} == labels
    assert all(item['img'].shape == (6, 8, 3) for item in ours)


def test_a_list_takes_precedence_over_folders(lists):
    (lists / 'meta' / 'tenth.txt').write_text('one.JPEG 6\n')
    (lists / 'train' / wnid(0)).mkdir()
    for wanted, labels in ({}, [999, 0]), (dict(ann_file='meta/tenth.txt'), [6]):
        ours = ImageNet1k(data_root=str(lists), split='train', **wanted)
        assert [ours.get_data_info(i)['gt_label'] for i in range(len(ours))] == labels


def test_a_missing_root_or_split_is_named(tmp_path):
    root = tmp_path / 'imagenet'
    assert f'there is no folder {root};' in message(FileNotFoundError, root)
    (root / 'val').mkdir(parents=True)
    assert f'there is no folder {root}/train;' in message(FileNotFoundError, root)
    (root / 'val' / 'ILSVRC2012_val_00000001.JPEG').touch()
    found = f'{root}/val has 0 class folders and 1 other files, not 1000 class folders;'
    assert found in message(ValueError, root, 'val')


def test_folders_with_another_name_or_without_images_are_named(folders):
    odd, empty = folders / 'train' / '.cache', [0, 4, 998, 999]
    odd.mkdir()
    assert "has a folder '.cache', which is no WordNet ID" in message(ValueError, folders)
    odd.rmdir()
    for label in empty:
        (folders / 'train' / wnid(label) / f'{wnid(label)}_0.JPEG').rename(folders / f'{label}.JPEG')
    shown = ', '.join(map(wnid, empty[:3]))
    words = f'4 of the 1000 class folders in {folders}/train contain no image ({shown}, ...)'
    assert words in message(ValueError, folders)
    for label in empty:
        (folders / f'{label}.JPEG').rename(folders / 'train' / wnid(label) / f'{wnid(label)}_0.JPEG')


@pytest.mark.parametrize('line', ['one.JPEG 1000', 'one.JPEG -1', 'one.JPEG', '', 'one.JPEG n01440764'])
def test_an_invalid_line_of_a_list_is_shown(lists, line):
    path = lists / 'meta' / 'train.txt'
    path.write_text(f'one.JPEG 3\n{line}\none.JPEG 3\n')
    assert f'line 2 of {path} is {line!r}, not a path and a label from 0 to 999' in message(ValueError, lists)


def test_empty_missing_or_misplaced_lists_raise(lists):
    path = lists / 'meta' / 'train.txt'
    path.write_text('')
    assert f'the list {path} is empty;' in message(ValueError, lists)
    assert f'there is no list {lists}/meta/tenth.txt;' in message(FileNotFoundError, lists, ann_file='meta/tenth.txt')
    path.write_text('train/one.JPEG 3\n')
    assert f'{lists}/train/train/one.JPEG of {path} does not exist' in message(FileNotFoundError, lists)
