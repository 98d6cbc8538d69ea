"""Batches whose pixels tell where they came from."""

import torch


def unique_batch(batch, size, channels=1):
    """Image b is filled with the number b and labelled b."""
    images = torch.arange(batch).float().view(-1, 1, 1, 1).expand(-1, channels, *size).clone()
    return images, torch.eye(batch)
