import re
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import ConfigDict
from mmpretrain.registry import DATASETS

from mixpro_mm.datasets import ImageNetA, ImageNetO
from mixpro_mm.datasets.natural_adversarial import imagenet_wnids

INDICES = list(range(2, 1000, 5))  # of the 200 classes here


def wnids(indices=INDICES):
    return [imagenet_wnids()[index] for index in indices]


def write(root, counts):
    """Folders with so many images by name; no test but those that write real ones opens an image."""
    for wnid, count in counts.items():
        (root / wnid).mkdir(parents=True)
        for number in range(count):
            (root / wnid / f'{number:03d}.jpg').touch()


@pytest.fixture
def subset(tmp_path):
    """A set with one image of each class, beside the README.txt of the archive."""
    root = tmp_path / 'set'
    write(root, dict.fromkeys(wnids(), 1))
    (root / 'README.txt').write_text('a few words')
    return root


@pytest.fixture(scope='module')
def imagenet(tmp_path_factory):
    """Validation images of all 1,000 classes, two of each of the 200, as folders and as a list of flat files."""
    root = tmp_path_factory.mktemp('imagenet')
    counts = {wnid: 2 if index in INDICES else 1 for index, wnid in enumerate(imagenet_wnids())}
    write(root / 'folders' / 'val', counts)
    labels = [index for index in range(1000) for _ in range(2 if index in INDICES else 1)]
    lines = [f'ILSVRC2012_val_{number:08d}.JPEG {label}' for number, label in enumerate(reversed(labels))]
    (root / 'list' / 'meta').mkdir(parents=True)
    (root / 'list' / 'val').mkdir()
    (root / 'list' / 'meta' / 'val.txt').write_text('\n'.join(lines) + '\n')
    (root / 'list' / 'val' / lines[0].split()[0]).touch()
    return root


def sentence(error):
    message = str(error.value)
    assert '\n' not in message
    return message


def items(dataset):
    return [dataset.get_data_info(index) for index in range(len(dataset))]


def test_the_list_of_wordnet_ids():
    listed = imagenet_wnids()
    assert len(set(listed)) == 1000
    assert list(listed) == sorted(listed)
    assert all(re.fullmatch(r'n\d{8}', wnid) for wnid in listed)
    known = {0: 'n01440764', 207: 'n02099601', 281: 'n02123045', 817: 'n04285008', 999: 'n15075141'}
    assert {index: listed[index] for index in known} == known  # tench, golden retriever, tabby, sports car, paper


def test_the_list_is_the_one_of_timm_and_indices_of_imagenet_a_are_too(tmp_path):
    timm = pytest.importorskip('timm')
    info = Path(timm.__file__).parent / 'data' / '_info'
    assert list(imagenet_wnids()) == (info / 'imagenet_synsets.txt').read_text().split()
    names = (info / 'imagenet_a_synsets.txt').read_text().split()
    write(tmp_path, dict.fromkeys(names[::-1], 1))
    metainfo = ImageNetA(data_root=str(tmp_path), num_images=None).metainfo
    assert metainfo['indices'] == [int(line) for line in (info / 'imagenet_a_indices.txt').read_text().split()]
    assert metainfo['wnids'] == sorted(names)


def test_labels_count_the_200_and_indices_lead_to_the_1000(subset):
    first, third = wnids()[0], wnids()[2]
    (subset / first / '000.jpg').rename(subset / first / '0_fox _ fox_0.9.JPG')
    for name in ('002.png', '001.jpeg', 'notes.txt', '.hidden.jpg'):
        (subset / third / name).touch()
    config = dict(type='mixpro_mm.ImageNetA', data_root=str(subset), num_images=202)
    dataset = DATASETS.build(ConfigDict(config))
    assert type(dataset) is ImageNetA
    assert (dataset.metainfo['wnids'], dataset.metainfo['indices']) == (wnids(), INDICES)
    assert 'classes' not in dataset.metainfo
    expected = [(f'{subset}/{first}/0_fox _ fox_0.9.JPG', 0), (f'{subset}/{wnids()[1]}/000.jpg', 1)]
    expected += [(f'{subset}/{third}/{name}', 2) for name in ('000.jpg', '001.jpeg', '002.png')]
    expected += [(f'{subset}/{wnid}/000.jpg', label) for label, wnid in enumerate(wnids()[3:], start=3)]
    assert [(item['img_path'], item['gt_label']) for item in items(dataset)] == expected
    assert [imagenet_wnids()[dataset.metainfo['indices'][item['gt_label']]] for item in items(dataset)] == [
        Path(item['img_path']).parent.name for item in items(dataset)
    ]


def test_indices_count_1000_outputs_or_what_metainfo_says(subset):
    assert ImageNetA(data_root=str(subset), num_images=200).metainfo['num_outputs'] == 1000
    shifted = dict(indices=[index + 1 for index in INDICES], num_outputs=1001)
    metainfo = ImageNetA(data_root=str(subset), num_images=200, metainfo=shifted).metainfo
    assert metainfo == shifted | dict(wnids=wnids())
    with pytest.raises(ValueError, match='columns of the 200 classes, got 199'):
        ImageNetA(data_root=str(subset), num_images=200, metainfo=dict(indices=INDICES[1:]))


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=rf'there is no folder {tmp_path}/none; expected are 200 folders') as e:
        ImageNetA(data_root=str(tmp_path / 'none'))
    sentence(e)
    lazy = ImageNetA(data_root=str(tmp_path / 'none'), lazy_init=True)  # looks when it is needed
    with pytest.raises(FileNotFoundError):
        len(lazy)


DAMAGE = {  # folders removed, folders added with an image, folders emptied -> what the sentence says
    'one class missing': ([0], [], [], '199 folders of classes of ImageNet-1k instead of 200'),
    'one class too many': ([], [imagenet_wnids()[0]], [], '201 folders of classes of ImageNet-1k instead of 200'),
    'a folder too deep': (
        range(200),
        ['imagenet-a'],
        [],
        '1 folder named otherwise (imagenet-a), 0 folders of classes',
    ),
    'not of ImageNet-1k': ([], ['n00000001', 'n99999999'], [], '2 folders named otherwise (n00000001, n99999999)'),
    'one renamed': ([7], ['n00000001'], [], 'otherwise (n00000001), 199 folders of classes of ImageNet-1k instead of'),
    'a hidden folder': ([], ['.cache'], [], '1 folder named otherwise (.cache)'),
    'no image': ([], [], [3], f'1 folder of classes without an image ({wnids()[3]})'),
    'many without': ([], [], range(9), f'9 folders of classes without an image ({", ".join(wnids()[:5])}, ...)'),
    'all at once': (
        [0, 1],
        ['odd', 'other'],
        [198, 199],
        '2 folders named otherwise (odd, other), 198 folders of classes of ImageNet-1k instead of 200, '
        f'2 folders of classes without an image ({wnids()[198]}, {wnids()[199]})',
    ),
}


@pytest.mark.parametrize('damage', DAMAGE)
def test_damage_is_one_sentence_that_lists_it(subset, damage):
    removed, added, emptied, words = DAMAGE[damage]
    for index in (*removed, *emptied):
        (subset / wnids()[index] / '000.jpg').unlink()
    for index in removed:
        (subset / wnids()[index]).rmdir()
    write(subset, dict.fromkeys(added, 1))
    with pytest.raises(ValueError) as error:
        ImageNetA(data_root=str(subset), num_images=None)
    message = sentence(error)
    assert message.startswith(f'{subset} is not whole: it has ')
    assert f'{words}' in message
    assert message.endswith('; expected are 200 folders named by WordNet IDs of ImageNet-1k')
    assert 'images' not in message


@pytest.mark.parametrize('missing', [0, 1, -1])
def test_7500_images_unless_told_otherwise(tmp_path, missing):
    counts = {wnid: 37 + index % 2 for index, wnid in enumerate(wnids())}
    assert sum(counts.values()) == 7500
    counts[wnids()[5]] -= missing
    write(tmp_path, counts)
    assert len(ImageNetA(data_root=str(tmp_path), num_images=None)) == 7500 - missing
    if not missing:
        assert len(ImageNetA(data_root=str(tmp_path))) == 7500
        return
    with pytest.raises(ValueError) as error:
        ImageNetA(data_root=str(tmp_path))
    assert f'it has {7500 - missing} images instead of 7500; expected are 200 folders' in sentence(error)
    assert sentence(error).endswith('that hold 7500 images')


@pytest.mark.parametrize('layout', ['folders', 'list'])
def test_imagenet_o_stands_behind_the_validation_images_of_its_classes(subset, imagenet, layout):
    settings = dict(data_root=str(subset), imagenet_root=str(imagenet / layout), num_images=200, num_val_images=400)
    dataset = DATASETS.build(ConfigDict(type='mixpro_mm.ImageNetO', **settings))
    assert type(dataset) is ImageNetO
    assert (dataset.metainfo['wnids'], dataset.metainfo['indices']) == (wnids(), INDICES)
    flags = {item['img_path']: item['ood'] for item in items(dataset)}
    val = imagenet / layout / 'val'
    if layout == 'folders':
        known = {f'{val}/{wnid}/{number:03d}.jpg' for wnid in wnids() for number in range(2)}
    else:
        lines = (imagenet / layout / 'meta' / 'val.txt').read_text().splitlines()
        known = {f'{val}/{line.split()[0]}' for line in lines if int(line.split()[1]) % 5 == 2}
    assert flags == dict.fromkeys(known, 0) | {f'{subset}/{wnid}/000.jpg': 1 for wnid in wnids()}
    assert Counter(flags.values()) == {0: 400, 1: 200}
    assert len(dataset) == 600  # each once
    assert not any('gt_label' in item for item in items(dataset))


def test_known_images_are_found_by_label_whatever_the_outputs(subset, imagenet):
    settings = dict(num_images=200, num_val_images=400)
    shifted = dict(indices=[index + 1 for index in INDICES], num_outputs=1001)
    dataset = ImageNetO(str(subset), str(imagenet / 'folders'), metainfo=shifted, **settings)
    known = {Path(item['img_path']).parent.name for item in items(dataset) if not item['ood']}
    assert known == set(wnids())


def test_imagenet_o_has_2000_and_10000_images_unless_told_otherwise(tmp_path, imagenet):
    write(tmp_path / 'o', dict.fromkeys(wnids(), 10))
    write(tmp_path / 'val', {wnid: 50 if index in INDICES else 1 for index, wnid in enumerate(imagenet_wnids())})
    settings = dict(data_root=str(tmp_path / 'o'), imagenet_root=str(tmp_path))
    assert len(ImageNetO(**settings)) == 12_000
    (tmp_path / 'val' / wnids()[1] / '049.jpg').unlink()
    with pytest.raises(ValueError) as error:
        ImageNetO(**settings)
    words = f'9999 images of these classes instead of 10000 ({wnids()[1]}: 49)'
    assert sentence(error) == f'the validation images of {tmp_path} are not whole: {words}'
    assert len(ImageNetO(num_val_images=None, **settings)) == 11_999
    (tmp_path / 'o' / wnids()[1] / '009.jpg').unlink()
    with pytest.raises(ValueError, match='it has 1999 images instead of 2000;') as error:
        ImageNetO(num_val_images=None, **settings)
    sentence(error)


def test_validation_images_that_are_not_there(subset, tmp_path):
    def build():
        return ImageNetO(data_root=str(subset), imagenet_root=str(tmp_path), num_images=None, num_val_images=None)

    with pytest.raises(FileNotFoundError, match='ImageNet-1k is not as expected: there is no folder'):
        build()
    (tmp_path / 'val').mkdir()
    (tmp_path / 'val' / 'a.JPEG').touch()
    (tmp_path / 'meta').mkdir()
    labels = [index for index in range(1000) if index not in (INDICES[3], INDICES[8])]
    (tmp_path / 'meta' / 'val.txt').write_text('\n'.join(f'a.JPEG {label}' for label in labels))
    with pytest.raises(ValueError) as error:
        build()
    words = f'no image of 2 of the 200 classes of {subset} ({wnids()[3]}, {wnids()[8]})'
    assert sentence(error) == f'the validation images of {tmp_path} are not whole: {words}'


def test_validation_folders_of_other_classes_would_shift_the_labels(subset, tmp_path):
    write(tmp_path / 'val', dict.fromkeys(['n00000001', *imagenet_wnids()[1:]], 1))
    with pytest.raises(ValueError, match=r'not whole: 1 folder of no class of ImageNet-1k \(n00000001\)') as error:
        ImageNetO(data_root=str(subset), imagenet_root=str(tmp_path), num_images=None, num_val_images=None)
    sentence(error)


def test_the_flag_reaches_the_data_sample(subset, imagenet):
    for path in (subset / wnids()[0] / '000.jpg', imagenet / 'folders' / 'val' / wnids()[0] / '000.jpg'):
        cv2.imwrite(str(path), np.full((6, 8, 3), 40, dtype=np.uint8))
    pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs', algorithm_keys=['ood'])]
    known = dict(pipeline=pipeline, num_images=None)
    o = ImageNetO(str(subset), str(imagenet / 'folders'), num_val_images=None, **known)
    samples = [o[index]['data_samples'] for index in (0, 400)]
    assert [sample.ood for sample in samples] == [0, 1]
    assert [Path(sample.img_path).parent.parent.name for sample in samples] == ['val', 'set']
    assert not any('gt_label' in sample for sample in samples)
    sample = ImageNetA(str(subset), **known)[0]['data_samples']
    assert (sample.gt_label.tolist(), 'ood' in sample) == ([0], False)
