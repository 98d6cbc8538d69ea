"""A training run on paper, numbers in and numbers out: steps, gradients between GPUs, memory, learning rates."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ['Cluster', 'line_through', 'linear_rate', 'ring_seconds', 'root_rate', 'steps_per_epoch']

GB = 1e9


@dataclass(frozen=True)
class Cluster:
    """GPUs, and what is assumed of the wires between them; the defaults are assumptions too.

    Args:
        gpus: In all.
        per_node: GPUs in a node.
        nvlink: GB/s (1e9 bytes) that a GPU sends within its node, all links together.
        network: GB/s that a node sends to others; the default is one port of 100 Gbit/s.
        overlap: Share of the all-reduce that hides behind the backward pass; 0 hides nothing, which is the worst.

    Raises:
        ValueError: for a number that makes no sense.
    """

    gpus: int
    per_node: int = 8
    nvlink: float = 100.0
    network: float = 12.5
    overlap: float = 0.0

    def __post_init__(self):
        if min(self.gpus, self.per_node) < 1 or min(self.nvlink, self.network) <= 0 or not 0 <= self.overlap <= 1:
            raise ValueError(
                'GPUs must be at least 1, bandwidths above 0 and the overlap between 0 and 1, got '
                f'{self.gpus} GPUs, {self.per_node} in a node, {self.nvlink} and {self.network} GB/s, {self.overlap}'
            )

    @property
    def nodes(self) -> int:
        """Number of nodes, the last perhaps not full."""
        return math.ceil(self.gpus / self.per_node)

    @property
    def bandwidth(self) -> float:
        """Bytes per second of the slowest wire in a ring of all GPUs: it sets the pace of the whole ring."""
        return GB * (self.nvlink if self.nodes == 1 else min(self.nvlink, self.network))

    def waiting_seconds(self, size: float) -> float:
        """What a step is longer by for summing up ``size`` bytes of gradients."""
        return (1 - self.overlap) * ring_seconds(size, self.gpus, self.bandwidth)


def ring_seconds(size: float, ranks: int, bandwidth: float) -> float:
    """Seconds of an all-reduce of ``size`` bytes, without latency: 2 (n - 1) / n x size / bandwidth.

    Each rank sends (n - 1) of n parts to be summed and as many sums; no algorithm of sends and receives needs fewer.
    Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations", 2009; the same formula
    turns times into bus bandwidth in NVIDIA's nccl-tests (doc/PERFORMANCE.md).

    Args:
        size: bytes of every rank.
        ranks: n.
        bandwidth: bytes per second that a rank sends.
    """
    return 2 * (ranks - 1) / ranks * size / bandwidth


def steps_per_epoch(images: int, gpus: int, batch: int) -> int:
    """Steps of each rank as the host deals images out: as many to each, rounded up; the last batch may be short."""
    return math.ceil(math.ceil(images / gpus) / batch)


def line_through(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """(at zero, slope) of the line through the two points of largest x.

    The smaller ones may not lie on it: the peak of a small batch is not where activations are, but in the update.

    Raises:
        ValueError: if there are not two different x.
    """
    points = sorted(dict(points).items())
    if len(points) < 2:
        raise ValueError(f'a line needs two different batches, got {points}')
    (x, y), (right, top) = points[-2:]
    slope = (top - y) / (right - x)
    return y - slope * x, slope


def linear_rate(rate: float, base: int, batch: int) -> float:
    """Learning rate of a global batch in proportion to it: Goyal et al., arXiv:1706.02677, for SGD."""
    return rate * batch / base


def root_rate(rate: float, base: int, batch: int) -> float:
    """Learning rate with the root of the batch: Malladi et al., arXiv:2205.10287, for Adam and its kin."""
    return rate * math.sqrt(batch / base)
