"""Which stage runs on which GPUs of this machine."""

import os
from collections.abc import Sequence

import torch

__all__ = ['GpuPool', 'visible_gpus']


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them; CUDA is not initialised.

    A process sees only one MIG device, however many are named: all of them count here, for each may go to a process.
    """
    count, named = torch.cuda.device_count(), os.environ.get('CUDA_VISIBLE_DEVICES')
    if named is None or not count:
        return [str(index) for index in range(count)]
    names = [name.strip() for name in named.split(',')]
    return [name for name in names if name] if names[0].startswith('MIG-') else names[:count]


class GpuPool:
    """Hands out GPUs; a stage gets the least used ones.

    Args:
        names: As of :func:`visible_gpus`.
        sharing: How many stages may run on one GPU at a time.
    """

    def __init__(self, names: Sequence[str], sharing: int = 1):
        self.sharing = sharing
        self.stages: dict[str, list[str]] = {name: [] for name in names}  # on each GPU

    def take(self, stage: str, count: int) -> str | None:
        """``CUDA_VISIBLE_DEVICES`` for a stage on ``count`` GPUs, or None where not so many are free."""
        free = [name for name, stages in self.stages.items() if len(stages) < self.sharing]
        if len(free) < count:
            return None
        taken = sorted(free, key=lambda name: len(self.stages[name]))[:count]
        for name in taken:
            self.stages[name].append(stage)
        return ','.join(taken)

    def give_back(self, stage: str) -> None:
        """Free the GPUs of a stage."""
        for stages in self.stages.values():
            if stage in stages:
                stages.remove(stage)
