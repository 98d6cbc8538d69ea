"""Batches whose pixels identify their image."""

import torch


def unique_batch(batch, size, channels=1):
    """Return images filled with their index, and one-hot labels."""
    images = torch.arange(batch).float().view(-1, 1, 1, 1).expand(-1, channels, *size).clone()
    return images, torch.eye(batch)
