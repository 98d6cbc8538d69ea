import numpy as np
import pytest
import torch
from mmengine.registry import TRANSFORMS, DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS

from mixpro_mm.datasets import Digits, InMemoryDataset

PACK = [dict(type='PackInputs')]
BLACK = np.zeros((12, 12, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def digits(pipeline=PACK, **kwargs):
    return dict(type='mixpro_mm.Digits', split='test', img_size=12, pipeline=pipeline, **kwargs)


def loader(num_workers=0, wrapper=None, **kwargs):
    dataset = dict(type='mixpro_mm.InMemoryDataset', dataset=digits(), **kwargs)
    config = dict(
        batch_size=100,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='mixpro_mm.keep_batch'),
        dataset=dataset if wrapper is None else wrapper([DATASETS.build(dataset)]),
        num_workers=num_workers,
    )
    return Runner.build_dataloader(config, seed=0)


@pytest.mark.parametrize('workers', [0, 2])
def test_batches_without_augmentation_are_those_of_the_data_set(workers):
    batches, source = loader(workers), InMemoryDataset(digits())
    assert [len(batch['inputs']) for batch in batches] == [100, 100, 100, 55]
    images = torch.cat([batch['inputs'] for batch in batches])
    labels = [int(sample.gt_label) for batch in batches for sample in batch['data_samples']]
    stock = list(DATASETS.build(digits()))
    assert images.dtype == torch.uint8 and torch.equal(images, torch.stack([sample['inputs'] for sample in stock]))
    assert labels == [int(sample['data_samples'].gt_label) for sample in stock] == source.get_gt_labels().tolist()
    assert torch.equal(source[7]['inputs'], images[7]) and int(source[7]['data_samples'].gt_label) == labels[7]
    assert source.metainfo['classes'] == tuple('0123456789')


def test_shifts_and_flips_have_the_distribution_of_mmpretrain():
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - of mmcv's transforms
    image = torch.arange(1, 26, dtype=torch.uint8).view(1, 5, 5)  # every pixel is another
    data = InMemoryDataset(digits(), padding=2, flip_prob=0.3)
    data.images, data.labels = image.expand(1, 3, 5, 5), torch.tensor([4])
    draws = data.__getitems__([0] * 20000)['inputs'][:, 0].flatten(1)
    steps = [dict(type='RandomCrop', crop_size=5, padding=2), dict(type='RandomFlip', prob=0.3)]
    crop, flip = (TRANSFORMS.build(step) for step in steps)
    array = image[0].numpy()[..., None]
    stock = np.stack([flip(crop(dict(img=array)))['img'].ravel() for _ in range(20000)])
    found, expected = (
        dict(zip(map(bytes, keys), counts / 20000, strict=True))
        for keys, counts in (np.unique(each, axis=0, return_counts=True) for each in (draws.numpy(), stock))
    )
    assert found.keys() == expected.keys() and len(found) == 50  # 25 shifts, flipped or not
    # probabilities 0.7 / 25 and 0.3 / 25, standard deviations 0.0012 and 0.0008
    assert max(abs(found[key] - expected[key]) for key in found) < 0.007
    assert abs(sum(sorted(found.values())[25:]) - 0.7) < 0.015


def test_images_in_memory_are_not_changed():
    data = InMemoryDataset(digits())
    before = data.images.clone()
    data.__getitems__([3, 3])['inputs'][:] = 0
    assert torch.equal(data.images, before)


@pytest.mark.parametrize(
    ('kwargs', 'words'),
    [
        (dict(padding=-1), 'padding must be a whole number of at least 0, got -1'),
        (dict(flip_prob=1.5), 'flip_prob must be a number from 0 to 1, got 1.5'),
        (dict(dataset=digits([dict(type='Normalize', mean=[0] * 3, std=[1] * 3), *PACK])), 'torch.float32'),
        (dict(dataset=digits([dict(type='RandomResizedCrop', scale=8), dict(type='RandomApply', prob=0.5,
            transforms=[dict(type='Resize', scale=9)]), *PACK])), r'one size, got .*\(3, 8, 8\).*\(3, 9, 9\)'),
    ],
)  # fmt: skip
def test_invalid_arguments_and_images_raise(kwargs, words):
    with pytest.raises(ValueError, match=words):
        InMemoryDataset(**dict(dataset=digits()) | kwargs)


@pytest.mark.parametrize('label', [[1, 2], None])
def test_samples_without_exactly_one_label_raise(label, monkeypatch):
    monkeypatch.setattr(
        Digits, 'get_data_info', lambda self, idx: dict(img=BLACK, **({} if label is None else dict(gt_label=label)))
    )
    with pytest.raises(ValueError, match='one label per image'):
        InMemoryDataset(digits())


def test_a_wrapped_data_set_raises():
    wrapped = loader(wrapper=torch.utils.data.ConcatDataset)
    with pytest.raises(TypeError, match='cannot be wrapped'):
        next(iter(wrapped))
