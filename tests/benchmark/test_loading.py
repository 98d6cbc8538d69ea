"""Images as usual as those of ImageNet, and the pipeline of the configs on them."""

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mixpro_mm.benchmark import loading
from mixpro_mm.benchmark.loading import made_up_jpeg, measure_loading
from tests.config_rows import read

ROOT = Path(__file__).parents[2]


def test_made_up_images_have_the_usual_size_and_are_all_different():
    files = [made_up_jpeg(seed) for seed in (0, 0, 1)]
    assert files[0] == files[1] != files[2]
    for file in files:
        assert len(file) == pytest.approx(110_000, rel=0.05)
        image = Image.open(io.BytesIO(file))
        assert (image.format, image.size, image.mode) == ('JPEG', (500, 375), 'RGB')
    assert np.asarray(image).std() > 20  # not a grey area


def test_images_per_second_are_those_of_the_real_pipeline(monkeypatch):
    """Each look at the clock is 4 seconds later: a quarter of a second for each of 16 images."""
    ticks, made, packed = itertools.count(step=4), [], []

    class Spy(loading.Compose):
        def __init__(self, transforms):
            made.append(transforms)
            super().__init__(transforms)

        def __call__(self, data):
            packed.append((data['img_path'], super().__call__(data)))

    monkeypatch.setattr(loading, 'Compose', Spy)
    monkeypatch.setattr(loading.time, 'process_time', lambda: next(ticks))
    told = []
    (record,) = measure_loading(2, 1e9, lambda *counts: told.append(counts))
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert (record['rounds'], record['median_s'], record['images_per_s_and_core']) == (2, 0.25, 4.0)
    assert record['file_kb'] == pytest.approx(110, rel=0.05)
    assert made == [read(ROOT / 'configs' / '_base_' / 'in1k.py').train_dataloader.dataset.pipeline]
    assert len(packed) == 16 * 3
    assert len({path for path, _ in packed}) == 16
    for _, sample in packed:
        assert (sample['inputs'].shape, sample['inputs'].dtype) == ((3, 224, 224), torch.uint8)
