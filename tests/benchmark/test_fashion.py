"""Training speed on a tiny Fashion-MNIST."""

import pytest
import torch
from mmengine.model import BaseModel

from mixpro_mm.benchmark import fashion
from mixpro_mm.utils.configs import read_config


@pytest.fixture
def tiny(tiny_fashion, monkeypatch):
    def read(path):
        config = read_config(path)
        config.train_dataloader.dataset.dataset.update(data_root=str(tiny_fashion), num_images=20)
        config.train_dataloader.batch_size = 8
        return config

    monkeypatch.setattr(fashion, 'read_config', read)


def test_both_recipes_are_trained_in_the_same_rounds(bench, tiny, monkeypatch):
    seen = {}  # class of the backbone and size of its images -> losses

    def train_step(model, data, optim_wrapper):
        losses = train(model, data, optim_wrapper)
        key = type(model.backbone).__name__, tuple(torch.stack([*data['inputs']]).shape[1:])
        seen.setdefault(key, []).append(float(losses['loss'].detach()))
        return losses

    train = BaseModel.train_step
    monkeypatch.setattr(BaseModel, 'train_step', train_step)
    ticks = iter(range(10**6))
    monkeypatch.setattr(bench, 'now', lambda: next(ticks))
    rows = fashion.fashion(bench)
    assert seen.keys() == {('ClassTokenViT', (3, 28, 28)), ('VisionTransformer', (3, 32, 32))}
    # a warm-up round and three rounds of 5 steps
    assert all(len(losses) == len(set(losses)) == 20 for losses in seen.values())
    assert [(row['loading'], row['size_px'], row['batch_images']) for row in rows] == [
        ('in memory', 28, 8),
        ('per image', 32, 8),
    ]
    assert [(row['rounds'], row['median_s'], row['images_per_s']) for row in rows] == [(3, 1 / 5, 40)] * 2
    assert (rows[0]['ratio_to_per_image'], 'ratio_to_per_image' in rows[1]) == (1, False)
