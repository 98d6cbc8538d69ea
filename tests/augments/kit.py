"""A small frozen classifier, and batches whose pixels identify their image."""

import torch

EXTRACTOR = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, base_channels=4, stem_channels=4),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=5, in_channels=32),
)


def unique_batch(batch, size=(64, 64), classes=None):
    """Return images filled with their index, and one-hot labels."""
    images = torch.arange(batch).float().view(-1, 1, 1, 1).expand(-1, 3, *size).clone()
    return images, torch.eye(classes or batch)[torch.arange(batch) % (classes or batch)]
