from collections import Counter
from pathlib import Path

import pytest
from mmengine.config import ConfigDict
from mmpretrain.registry import DATASETS

from mixpro_mm.datasets import ImageNetA, ImageNetO, ImageNetR, ImageNetSketch, ImageNetV2
from mixpro_mm.datasets.imagenet_variants import imagenet_wnids

INDICES = list(range(2, 1000, 5))


def wnids(indices=INDICES):
    return [imagenet_wnids()[index] for index in indices]


def write(root, counts):
    """Create folders with ``counts`` empty files."""
    for wnid, count in counts.items():
        (root / wnid).mkdir(parents=True)
        for number in range(count):
            (root / wnid / f'{number:03d}.jpg').touch()


@pytest.fixture
def subset(tmp_path):
    """A set with one image per class and the README.txt of the archive."""
    root = tmp_path / 'set'
    write(root, dict.fromkeys(wnids(), 1))
    (root / 'README.txt').write_text('a few words')
    return root


@pytest.fixture(scope='module')
def imagenet(tmp_path_factory):
    """Validation images of 1,000 classes, two for each of the 200, as folders and as a list."""
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


def items(dataset):
    return [dataset.get_data_info(index) for index in range(len(dataset))]


def test_wordnet_ids_and_indices_are_those_of_timm(tmp_path):
    timm = pytest.importorskip('timm')
    info = Path(timm.__file__).parent / 'data' / '_info'
    assert list(imagenet_wnids()) == (info / 'imagenet_synsets.txt').read_text().split()
    names = (info / 'imagenet_a_synsets.txt').read_text().split()
    write(tmp_path, dict.fromkeys(names[::-1], 1))
    metainfo = ImageNetA(data_root=str(tmp_path), num_images=None).metainfo
    assert metainfo['indices'] == [int(line) for line in (info / 'imagenet_a_indices.txt').read_text().split()]
    assert metainfo['wnids'] == sorted(names)


def test_labels_are_0_to_199_and_indices_are_columns_of_1000_outputs(subset):
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


DAMAGE = {  # words -> removed, added and emptied folders
    '199 folders of classes of ImageNet-1k instead of 200': ([4], [], []),
    '201 folders of classes of ImageNet-1k instead of 200': ([], [imagenet_wnids()[0]], []),
    '1 folder with other names (imagenet-a), 0 folders of classes': (range(200), ['imagenet-a'], []),
    f'9 folders of classes without an image ({", ".join(wnids()[:5])}, ...)': ([], [], range(9)),
    '2 folders with other names (odd, other), 198 folders of classes of ImageNet-1k instead of 200, '
    f'2 folders of classes without an image ({wnids()[198]}, {wnids()[199]})': ([0, 1], ['odd', 'other'], [198, 199]),
}


@pytest.mark.parametrize('words', DAMAGE)
def test_the_message_lists_all_problems_of_the_folders(subset, words):
    removed, added, emptied = DAMAGE[words]
    for index in (*removed, *emptied):
        (subset / wnids()[index] / '000.jpg').unlink()
    for index in removed:
        (subset / wnids()[index]).rmdir()
    write(subset, dict.fromkeys(added, 1))
    with pytest.raises(ValueError) as error:
        ImageNetA(data_root=str(subset), num_images=None)
    assert str(subset) in str(error.value) and words in str(error.value)


@pytest.mark.parametrize('layout', ['folders', 'list'])
def test_imagenet_o_follows_the_validation_images_of_its_classes(subset, imagenet, layout):
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


def test_metainfo_overrides_indices_and_outputs_but_not_the_known_images(subset, imagenet):
    assert ImageNetA(data_root=str(subset), num_images=200).metainfo['num_outputs'] == 1000
    shifted = dict(indices=[index + 1 for index in INDICES], num_outputs=1001)
    dataset = ImageNetO(str(subset), str(imagenet / 'folders'), num_images=200, num_val_images=400, metainfo=shifted)
    assert dataset.metainfo == shifted | dict(wnids=wnids())
    assert {Path(item['img_path']).parent.name for item in items(dataset) if not item['ood']} == set(wnids())


def test_missing_validation_images_are_named(subset, tmp_path):
    root = tmp_path / 'imagenet'
    config = dict(data_root=str(subset), imagenet_root=str(root), num_images=None, num_val_images=None)
    with pytest.raises(FileNotFoundError, match='ImageNet-1k is not as expected: there is no folder'):
        ImageNetO(**config)
    write(root / 'val', dict.fromkeys(['n00000001', *imagenet_wnids()[1:]], 1))
    with pytest.raises(ValueError, match=r'1 folder with other names \(n00000001\)'):
        ImageNetO(**config)
    (root / 'meta').mkdir()
    labels = [index for index in range(1000) if index not in (INDICES[3], INDICES[8])]
    (root / 'meta' / 'val.txt').write_text('\n'.join(f'n00000001/000.jpg {label}' for label in labels))
    with pytest.raises(ValueError, match=rf'no image of 2 of the 200 classes .* \({wnids()[3]}, {wnids()[8]}\)'):
        ImageNetO(**config)


def test_the_number_of_images_is_checked_by_default(subset, imagenet):
    root = str(imagenet / 'folders')
    with pytest.raises(ValueError, match='200 images instead of 7500'):
        ImageNetA(str(subset))
    with pytest.raises(ValueError, match=rf'400 images of these classes instead of 10000 \({wnids()[0]}: 2, '):
        ImageNetO(str(subset), root, num_images=None)


def test_imagenet_r_has_200_and_sketch_1000_classes(subset, imagenet):
    assert ImageNetR(str(subset), num_images=200).metainfo['indices'] == INDICES
    with pytest.raises(ValueError, match='200 images instead of 30000'):
        ImageNetR(str(subset))
    sketches = str(imagenet / 'folders' / 'val')
    assert ImageNetSketch(sketches, num_images=1200).metainfo['indices'] == list(range(1000))
    with pytest.raises(ValueError, match='1200 images instead of 50889'):
        ImageNetSketch(sketches)


def test_folders_of_imagenet_v2_are_in_numerical_order(tmp_path):
    write(tmp_path, dict.fromkeys(map(str, range(1000)), 1))
    dataset = ImageNetV2(str(tmp_path), num_images=1000)
    assert [Path(item['img_path']).parent.name for item in items(dataset)] == [str(label) for label in range(1000)]
    assert [item['gt_label'] for item in items(dataset)] == dataset.metainfo['indices'] == list(range(1000))
    assert dataset.metainfo['wnids'] == list(imagenet_wnids())
    (tmp_path / '007').mkdir()
    with pytest.raises(ValueError, match=r'1 folder with other names \(007\).*1000 folders named 0 to 999'):
        ImageNetV2(str(tmp_path))
