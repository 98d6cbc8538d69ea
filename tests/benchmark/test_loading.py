import builtins
import itertools
import resource

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose
from PIL import Image

from mixpro_mm.benchmark import loading
from tests.benchmark.conftest import shorten_loading
from tests.config_rows import CONFIGS, read


@pytest.fixture
def small(monkeypatch):
    shorten_loading(monkeypatch)


def test_pipelines_are_those_of_the_recipe_with_the_same_draws(bench, small, monkeypatch):
    """Each call of the clock adds 2 seconds, which is 0.5 seconds for each of 4 images."""
    ticks, made, packed, drawn, call = itertools.count(step=2), [], [], {}, Compose.__call__

    def load(pipeline, sample):
        drawn.setdefault(id(pipeline), []).append(np.random.get_state()[1][:3].tolist())  # noqa: NPY002
        packed.append(call(pipeline, sample))
        return packed[-1]

    monkeypatch.setattr(loading, 'Compose', lambda transforms: made.append(transforms) or Compose(transforms))
    monkeypatch.setattr(Compose, '__call__', load)
    monkeypatch.setattr(loading.time, 'process_time', lambda: next(ticks))
    monkeypatch.setattr(loading, '_workers', lambda *args: [])
    records = loading.loading(bench)
    config = read(CONFIGS / '_base_' / 'in1k.py')
    assert made == [config.train_pipeline, config.train_dataloader.dataset.pipeline]
    assert [step['type'] for step in made[1]] == [
        'mixpro_mm.LoadRandomResizedCrop',
        'mixpro_mm.RandAugment',
        'mixpro_mm.RandomErasing',
        'PackInputs',
    ]
    assert [(r['pipeline'], r['width_px'], r['height_px']) for r in records] == [
        (name, *size) for size in ((80, 60), (40, 50)) for name in ('mmpretrain', 'mixpro_mm', 'decoding', 'timm')
    ]
    for record in records:
        assert (record['rounds'], record['median_s'], record['images_per_s_and_core']) == (3, 0.5, 2.0)
        assert ('ratio_to_mmpretrain' in record) == (record['pipeline'] != 'mmpretrain')
        assert ('ratio_to_decoding' in record) == (record['pipeline'] != 'decoding')
    (host, ours), first = drawn.values(), slice(None, None, 4)  # the first image of a round
    assert host[first] == ours[first] and len({str(state) for state in host[first]}) == 4
    assert {(sample['inputs'].shape, sample['inputs'].dtype) for sample in packed} == {((3, 224, 224), torch.uint8)}


def test_timm_is_optional(monkeypatch, tmp_path):
    (load,) = loading._timm().values()
    Image.new('RGB', (80, 60), 'red').save(path := tmp_path / 'a.jpg')
    packed = load(dict(img_path=str(path)))
    assert (packed.shape, packed.dtype) == ((3, 224, 224), torch.uint8)
    find = builtins.__import__

    def without_timm(name, *args):
        if name.startswith('timm'):
            raise ImportError(name)
        return find(name, *args)

    monkeypatch.setattr(builtins, '__import__', without_timm)
    assert loading._timm() == {}


def test_workers_load_uint8_batches(bench, small, tmp_path, monkeypatch):
    """Each image of a process adds 1 MiB to its memory in a file like ``/proc/self/statm``."""
    kept, paths, page = [], loading.photographs(tmp_path, (80, 60)), resource.getpagesize()
    monkeypatch.setattr(loading, 'STATM', tmp_path / 'statm')
    loading.STATM.write_text('0 0')

    def load(sample):
        kept.append(None)
        loading.STATM.write_text(f'0 {len(kept) * 2**20 // page}')
        return dict(inputs=torch.ones(3, 4, 4, dtype=torch.uint8))

    first, second = loading._workers(bench, dict(mmpretrain=load, mixpro_mm=load), paths)
    assert (first['workers'], first['batch_images'], second['pipeline']) == (1, 2, 'mixpro_mm')
    assert first['images_per_s'] > 0 and 'ratio_to_mmpretrain' in second
    assert second['growth_mib'] == 18  # of 20 images, after the first batch of two
    with pytest.raises(RuntimeError, match='not uint8'):
        loading._workers(bench, dict(mmpretrain=lambda sample: dict(inputs=torch.ones(3, 4, 4))), paths)
