import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS

from mixpro_mm.datasets import FashionMNIST, fashion_mnist, load_fashion_images
from mixpro_mm.datasets.fashion_mnist import INSTALLED, SHA256, __main__, balanced_subset
from tests.datasets.conftest import write_files

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures('tiny_fashion')


@pytest.mark.parametrize('suffix', ['', '.gz'])
@pytest.mark.parametrize('folder', ['', 'FashionMNIST/raw', INSTALLED])
def test_files_are_read_from_all_layouts(folder, suffix, tmp_path):
    write_files(tmp_path / folder, suffix)
    for split, count, first in (('train', 40, 20), ('test', 20, 21)):
        images, labels = load_fashion_images(split, tmp_path)
        assert images.shape == (count, 28, 28) and labels.tolist() == [*range(10)] * (count // 10)
        assert images[:, 25, 4].tolist() == [first + 5 * n for n in range(count)]  # last row of each rectangle
        assert (images[:, 25] > 0).sum(1).tolist() == (8 + labels).tolist()


def test_missing_and_damaged_files_raise(tmp_path):
    with pytest.raises(FileNotFoundError, match=rf'train-images-.*mixpro_mm.datasets.fashion_mnist {tmp_path}'):
        FashionMNIST(str(tmp_path))
    images = write_files(tmp_path, '.gz') / 'train-images-idx3-ubyte.gz'
    content = images.read_bytes()
    test = (tmp_path / 't10k-images-idx3-ubyte.gz').read_bytes()
    for other in (test, b'<html>', content[:-20], content[:40] + content[60:]):
        images.write_bytes(other)
        with pytest.raises(ValueError, match=rf'{images} is damaged, or a file of another data set'):
            FashionMNIST(str(tmp_path))


def test_items_are_padded_bgr_arrays_and_not_shared(tiny_fashion):
    config = dict(type='mixpro_mm.FashionMNIST', data_root=str(tiny_fashion), split='test', img_size=33)
    dataset = DATASETS.build(config)
    images, labels = load_fashion_images('test', tiny_fashion)
    assert type(dataset) is FashionMNIST and dataset.metainfo['classes'][::9] == ('T-shirt/top', 'ankle boot')
    assert np.array_equal(dataset.get_gt_labels(), labels)
    expected = np.zeros((33, 33, 3), dtype=np.uint8)
    expected[2:30, 2:30] = images[7][..., None]
    item = dataset[7]
    assert item['img'].dtype == np.uint8 and np.array_equal(item['img'], expected)
    item['img'][:] = 0
    assert np.array_equal(dataset[7]['img'], expected)


def test_subsets_are_balanced_nested_and_differ_by_seed(tiny_fashion):
    def positions(count, seed=0):
        dataset = FashionMNIST(str(tiny_fashion), num_images=count, seed=seed)
        assert np.bincount(dataset.get_gt_labels()).tolist() == [count // 10] * 10
        for item in dataset:
            assert item['img'][27, 6].tolist() == [20 + 5 * item['position']] * 3
        return [item['position'] for item in dataset]

    small, large = positions(10), positions(20)
    assert set(small) < set(large) and small == sorted(small) == positions(10)
    assert small != positions(10, seed=1)
    assert positions(40) == [*range(40)]
    held_out = FashionMNIST(str(tiny_fashion), split='val', num_images=20)
    assert sorted(positions(20) + [item['position'] for item in held_out]) == [*range(40)]
    assert balanced_subset(np.array([1, 0, 1, 0, 1]), 4, seed=0).tolist() in ([0, 1, 2, 3], [0, 1, 3, 4], [1, 2, 3, 4])


def test_classes_select_images_and_define_labels(tiny_fashion):
    dataset = FashionMNIST(str(tiny_fashion), split='test', classes=[7, 0, 3])
    assert dataset.metainfo['classes'] == ('sneaker', 'T-shirt/top', 'dress')
    assert [item['position'] for item in dataset] == [0, 3, 7, 10, 13, 17]
    assert dataset.get_gt_labels().tolist() == [1, 2, 0, 1, 2, 0]
    subset = FashionMNIST(str(tiny_fashion), split='test', classes=[7, 0, 3], num_images=3)
    assert sorted(item['position'] % 10 for item in subset) == [0, 3, 7]


@pytest.mark.parametrize(
    ('kwargs', 'words'),
    [
        (dict(num_images=15), 'a multiple of 10 and at most 40, got 15'),
        (dict(num_images=50), 'at most 40, got 50'),
        (dict(num_images=30, split='test'), 'at most 20, got 30'),
        (dict(num_images=9, classes=[3, 7]), 'a multiple of 2 and at most 8, got 9'),
        (dict(classes=[3, 10]), r'classes must be distinct labels from 0 to 9, got \[3, 10\]'),
        (dict(split='val'), "given for the split 'val'"),
        (dict(split='dev'), "split 'dev' is unknown; known: test, train, val"),
        (dict(img_size=27), 'img_size must be a whole number of at least 28, got 27'),
    ],
)
def test_invalid_arguments_raise(kwargs, words, tiny_fashion):
    with pytest.raises(ValueError, match=words):
        FashionMNIST(str(tiny_fashion), **kwargs)


def test_config_gives_normalised_batches(tiny_fashion):
    cfg = Config.fromfile(ROOT / 'configs' / '_base_' / 'fashion_mnist.py')
    cfg.test_dataloader.dataset.data_root = cfg.train_dataloader.dataset.dataset.data_root = str(tiny_fashion)
    cfg.train_dataloader.dataset.dataset.num_images = 20
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        loaders = [Runner.build_dataloader(cfg[f'{name}_dataloader'], seed=0) for name in ('train', 'test')]
        preprocessor = MODELS.build(dict(type='ClsDataPreprocessor', **cfg.data_preprocessor))
    train, test = (preprocessor(next(iter(loader)))['inputs'] for loader in loaders)
    assert train.shape == test.shape == (20, 3, 28, 28)
    assert torch.allclose(test.amin((1, 2, 3)), torch.tensor(-0.2860 / 0.3530), atol=1e-4)
    highest = torch.tensor([(21 + 5 * n) / 255 for n in range(20)])
    assert torch.allclose(test.amax((1, 2, 3)), (highest - 0.2860) / 0.3530, atol=1e-3)


@pytest.fixture
def no_source(tmp_path, monkeypatch):
    """Make all sources fail: no package is installed, apt-get and torchvision find no server."""

    def command(name, script):
        (tmp_path / 'bin' / name).write_text(f'#!/bin/sh\n{script}\n')
        (tmp_path / 'bin' / name).chmod(0o755)

    def download(root, download):
        raise RuntimeError('Error downloading train-images-idx3-ubyte.gz:\nno server')

    (tmp_path / 'bin').mkdir()
    command('apt-get', 'echo W: a warning >&2; echo E: no package "$4" >&2; exit 100')
    monkeypatch.setenv('PATH', str(tmp_path / 'bin'), prepend=os.pathsep)
    monkeypatch.setattr(__main__, 'INSTALLED', f'{tmp_path}/absent'[1:])
    monkeypatch.setattr(torchvision.datasets, 'FashionMNIST', download)
    return command


def fetch(root, capsys):
    code = __main__.main([str(root)])
    return code, capsys.readouterr().out.splitlines()


def test_nothing_is_left_when_all_sources_fail(no_source, tmp_path, capsys):
    code, lines = fetch(tmp_path / 'data' / 'fashion-mnist', capsys)
    assert code == 1 and lines == [
        "Fashion-MNIST from Debian's package",
        "Debian's package failed: apt-get stopped with exit code 100: E: no package dataset-fashion-mnist",
        "Fashion-MNIST from torchvision's download",
        "torchvision's download failed: Error downloading train-images-idx3-ubyte.gz: no server",
        f'Fashion-MNIST is not available: copy its four idx files to {tmp_path}/data/fashion-mnist, or use the digits',
    ]
    assert list((tmp_path / 'data').iterdir()) == []


@pytest.mark.parametrize('source', ['unpacked', 'installed', 'torchvision'])
def test_files_are_fetched_once(source, no_source, tiny_fashion, tmp_path, capsys, monkeypatch):
    root = tmp_path / 'data' / 'fashion-mnist'
    if source == 'unpacked':
        no_source('apt-get', 'touch "$4_1.0_all.deb"')
        no_source('dpkg-deb', f'test -f "$2" && mkdir -p "$3/{INSTALLED}" && cp {tiny_fashion}/* "$3/{INSTALLED}"')
    elif source == 'installed':
        monkeypatch.setattr(__main__, 'INSTALLED', str(tiny_fashion)[1:])
        monkeypatch.setattr(fashion_mnist, 'FOLDERS', ('', str(tiny_fashion)[1:]))
    else:
        download = lambda root, download: write_files(root / 'FashionMNIST' / 'raw')  # noqa: E731
        monkeypatch.setattr(torchvision.datasets, 'FashionMNIST', download)
    code, lines = fetch(root, capsys)
    assert code == 0 and lines[-1] == f'{root} has Fashion-MNIST'
    assert len(lines) == (4 if source == 'torchvision' else 2)
    suffix = '' if source == 'torchvision' else '.gz'
    assert sorted(path.name for path in root.iterdir()) == sorted(f'{name}{suffix}' for name in SHA256)
    assert list(root.parent.iterdir()) == [root] and len(FashionMNIST(str(root))) == 40
    assert fetch(root, capsys) == (0, [lines[-1]])


def test_other_content_is_kept(tmp_path, capsys):
    write_files(tmp_path)
    (tmp_path / 't10k-labels-idx1-ubyte').unlink()
    message = f'{tmp_path} is not empty, but incomplete: remove it or name another folder'
    assert fetch(tmp_path, capsys) == (1, [message])
    (tmp_path / 't10k-labels-idx1-ubyte').write_bytes(b'other')
    code, lines = fetch(tmp_path, capsys)
    assert code == 1 and 't10k-labels-idx1-ubyte is damaged' in lines[0]
    assert len(list(tmp_path.iterdir())) == 4
