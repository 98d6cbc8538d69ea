"""Seconds between marks, on the wall's clock, the GPU's, or the one that counts what this process was given."""

import time

import torch

__all__ = ['CLOCKS', 'Stopwatch']

CLOCKS = {'wall': time.perf_counter, 'cpu': time.process_time}


class Stopwatch:
    """Start, mark, read. On CUDA the marks are events in the stream, so that marking does not hold up the GPU.

    Args:
        device: Where the work to be timed runs.
        clock: On a CPU, 'wall' for the time that passes, or 'cpu' for the time that this process computes, which other
            work on the machine disturbs less; it adds up over threads.
    """

    def __init__(self, device: torch.device, clock: str = 'wall'):
        self.cuda, self.clock = device.type == 'cuda', CLOCKS[clock]
        self._marks = []

    def start(self) -> None:
        """Forget earlier marks and begin, once the device is idle."""
        if self.cuda:
            torch.cuda.synchronize()
        self._marks = [self._mark()]

    def mark(self) -> None:
        """Note the time at which everything asked for so far is done."""
        self._marks.append(self._mark())

    def seconds(self) -> list[float]:
        """From the start to each mark."""
        first, *marks = self._marks
        if not self.cuda:
            return [mark - first for mark in marks]
        torch.cuda.synchronize()
        return [first.elapsed_time(mark) / 1000 for mark in marks]

    def _mark(self):
        if not self.cuda:
            return self.clock()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event
