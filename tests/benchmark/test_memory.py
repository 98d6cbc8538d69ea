"""Peak memory against allocations counted by hand."""

from contextlib import nullcontext
from types import SimpleNamespace

import torch
from torch import nn

from mixpro_mm.benchmark.memory import highest, peak_bytes, resident_bytes
from mixpro_mm.benchmark.stopwatch import Stopwatch
from mixpro_mm.benchmark.workbench import Session


def test_the_highest_level_of_ups_and_downs():
    assert highest([(10, 4), (10, -4), (20, 3), (10, 2), (20, -3), (30, 2)]) == 5
    assert highest([]) == 0


def test_what_was_there_before_is_not_taken_back():
    assert highest([(10, -4), (20, 3), (10, 2), (10, -2), (10, -2), (30, 1)]) == 5


class Steps:
    """Stands in for a session whose step asks for memory in a known order."""

    def __init__(self):
        self.network, self.done = nn.Linear(10, 5, bias=False), 0  # 200 bytes
        optimizer = torch.optim.SGD(self.network.parameters())
        self.bench = SimpleNamespace(
            watch=Stopwatch(torch.device('cpu')),
            settings=SimpleNamespace(batch=2),
            draw=lambda batch: dict(inputs=torch.zeros(batch, 8, dtype=torch.uint8)),  # 16 bytes
            optim=SimpleNamespace(optimizer=optimizer),
        )

    def attached(self):
        return nullcontext()

    def networks(self):
        return [self.network]

    def step(self):
        self.done += 1
        first = torch.empty(1000)
        second = torch.empty(500)
        del first
        third = torch.empty(3000)  # 2000 + 12000 bytes now, 6000 before
        del second, third
        torch.empty(3400)  # 13600


def test_the_peak_of_a_step_is_counted_to_the_byte():
    steps = Steps()
    assert resident_bytes(steps) == 216
    assert peak_bytes(steps) == 216 + 14000
    assert steps.done == 2


def test_weights_optimizer_and_batch_are_resident_once(bench):
    session = Session(bench, 'TokenMix')
    session.turn()
    weights = sum(p.numel() for p in bench.model.parameters()) * 4
    buffers = sum(b.numel() * b.element_size() for b in session.ema.ema_model.module.buffers())
    buffers += sum(b.numel() * b.element_size() for b in bench.model.buffers())
    steps = 4 * len(list(bench.model.parameters()))  # AdamW counts in fp32
    assert resident_bytes(session) == weights * (1 + 1 + 2) + buffers + steps + 4 * 3 * 48 * 48


def test_the_peak_is_the_same_every_time_and_grows_with_what_a_method_keeps(bench, monkeypatch):
    session = Session(bench, 'MixPro')
    peak = peak_bytes(session)
    assert peak_bytes(session) == peak
    kept, mix = [], session.augment.mix

    def hoarding(*args):
        kept[:] = [torch.empty(250_000)]  # a megabyte that lives through the step
        return mix(*args)

    monkeypatch.setattr(session.augment, 'mix', hoarding)
    assert peak_bytes(session) == peak + 1_000_000
