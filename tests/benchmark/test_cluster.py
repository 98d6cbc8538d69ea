"""A run on paper against counts by hand, a ring played through, and the host's own way of dealing images out."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, DistributedSampler

from mixpro_mm.benchmark.cluster import (
    Cluster,
    line_through,
    linear_rate,
    ring_seconds,
    root_rate,
    steps_per_epoch,
)


def play_ring(rows):
    """All-reduce of a list a rank, in as many parts as ranks; what each has then, and how many numbers it sent."""
    ranks, part = len(rows), len(rows[0]) // len(rows)
    rows, sent = [list(row) for row in rows], [0] * len(rows)
    for turn in range(2 * (ranks - 1)):
        sending = []
        for rank in range(ranks):
            at = (rank - turn) % ranks * part  # the part goes round behind the rank that began with it
            sending.append((at, rows[rank][at : at + part]))
            sent[rank] += part
        for rank, (at, numbers) in enumerate(sending):
            row = rows[(rank + 1) % ranks]
            for offset, number in enumerate(numbers):
                row[at + offset] = number + (row[at + offset] if turn < ranks - 1 else 0)
    return rows, sent


@pytest.mark.parametrize('ranks', [2, 3, 4, 8])
def test_the_formula_is_that_of_a_ring_played_through(ranks):
    rows = [[100 * rank + place for place in range(3 * ranks)] for rank in range(ranks)]
    summed, sent = play_ring(rows)
    assert summed == [[sum(column) for column in zip(*rows, strict=True)]] * ranks
    for count in sent:  # numbers of a byte each, a byte a second
        assert ring_seconds(3 * ranks, ranks, 1.0) == pytest.approx(count)


def test_four_ranks_by_hand():
    # each sends 3 quarters of 2 GB twice: 3 GB at 10 GB/s
    assert ring_seconds(2e9, 4, 10e9) == pytest.approx(0.3)
    assert ring_seconds(2e9, 1, 10e9) == 0


@pytest.mark.parametrize(('gpus', 'steps'), [(8, 1252), (64, 157), (1, 10_010)])
def test_steps_of_an_epoch_of_imagenet(gpus, steps):
    assert steps_per_epoch(1_281_167, gpus, 128) == steps


@given(st.integers(1, 5000), st.integers(1, 9), st.integers(1, 60))
def test_steps_are_those_of_a_data_loader(images, gpus, batch):
    loader = DataLoader(range(images), batch, sampler=DistributedSampler(range(images), gpus, 0))
    assert steps_per_epoch(images, gpus, batch) == len(loader)


def test_a_node_waits_for_nvlink_and_many_nodes_for_the_network():
    # 88 MB: 2 x 7/8 x 88e6 / 100e9, and 2 x 63/64 x 88e6 / 12.5e9
    assert Cluster(8).waiting_seconds(88e6) == pytest.approx(0.00154)
    assert Cluster(64).waiting_seconds(88e6) == pytest.approx(0.01386)
    assert (Cluster(8).nodes, Cluster(9).nodes, Cluster(64).nodes) == (1, 2, 8)
    assert Cluster(64, overlap=0.75).waiting_seconds(88e6) == pytest.approx(0.01386 / 4)
    assert Cluster(64, overlap=1.0).waiting_seconds(88e6) == Cluster(1).waiting_seconds(88e6) == 0
    assert Cluster(16, nvlink=5.0).waiting_seconds(1e9) == pytest.approx(0.375)  # what is slower sets the pace


@given(st.integers(2, 500), st.floats(0.1, 1000), st.floats(0.1, 1000), st.floats(0, 0.9), st.floats(1e3, 1e10))
def test_more_gpus_or_bytes_never_wait_less_and_better_wires_never_more(gpus, nvlink, network, overlap, size):
    wait = Cluster(gpus, 8, nvlink, network, overlap).waiting_seconds(size)
    assert Cluster(gpus + 1, 8, nvlink, network, overlap).waiting_seconds(size) >= wait > 0
    assert Cluster(gpus, 8, nvlink, network, overlap).waiting_seconds(2 * size) == pytest.approx(2 * wait)
    assert Cluster(gpus, 8, 2 * nvlink, 2 * network, overlap).waiting_seconds(size) == pytest.approx(wait / 2)
    assert Cluster(gpus, 8, nvlink, network, overlap + 0.1).waiting_seconds(size) < wait


@pytest.mark.parametrize(
    'wrong', [dict(gpus=0), dict(gpus=8, per_node=0), dict(gpus=8, nvlink=0), dict(gpus=8, overlap=1.1)]
)
def test_clusters_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match='GPUs must be at least 1, bandwidths above 0 and the overlap between 0 and 1'):
        Cluster(**wrong)


def test_a_line_goes_through_the_two_largest_batches():
    assert line_through([(8, 50.0), (2, 39.0), (4, 30.0)]) == (10.0, 5.0)
    assert line_through([(1, 7.0), (3, 7.0)]) == (7.0, 0.0)
    with pytest.raises(ValueError, match=r'a line needs two different batches, got \[\(4, 2.0\)\]'):
        line_through([(4, 1.0), (4, 2.0)])


def test_learning_rates_of_a_larger_batch():
    assert linear_rate(1e-3, 1024, 8192) == pytest.approx(8e-3)
    assert root_rate(1e-3, 1024, 8192) == pytest.approx(2e-3 * math.sqrt(2))
    assert linear_rate(1e-3, 1024, 1024) == root_rate(1e-3, 1024, 1024) == 1e-3
