"""Most memory that a training step holds at a time."""

import gc
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from mixpro_mm.benchmark.workbench import Session

__all__ = ['highest', 'peak_bytes', 'resident_bytes']


def peak_bytes(session: Session) -> int:
    """Bytes of tensors alive at the worst moment of a step of this method, after one step to warm up.

    On CUDA the allocator's own peak. On a CPU the sum of what the step finds (weights, optimizer, batch) and of the
    highest level of what torch's allocator hands out and takes back during the step, as its profiler lists it: a count
    of bytes asked for, the same in every run, which the process's size in the operating system is not.
    """
    with session.attached():
        session.step()
        gc.collect()
        if session.bench.watch.cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            session.step()
            return torch.cuda.max_memory_allocated()
        found = resident_bytes(session)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as recorded:
            session.step()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'trace.json'
        recorded.export_chrome_trace(str(path))
        events = json.loads(path.read_bytes())['traceEvents']
    events = sorted(filter(_on_the_cpu, events), key=lambda event: event['ts'])
    return found + highest((event['args']['Addr'], event['args']['Bytes']) for event in events)


def resident_bytes(session: Session) -> int:
    """Bytes of weights, buffers, optimizer and batch, each storage once."""
    bench = session.bench
    tensors = [bench.draw(bench.settings.batch)['inputs']]
    tensors += [value for state in bench.optim.optimizer.state.values() for value in state.values()]
    for network in session.networks():
        tensors += [*network.parameters(), *network.buffers()]
    storages = [value.untyped_storage() for value in tensors if isinstance(value, Tensor)]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def highest(changes: Iterable[tuple[int, int]]) -> int:
    """Highest sum of what is held, at least 0; ``changes`` are (address, bytes), below 0 where they are taken back.

    What was not handed out among these changes is not taken back either: the profiler also lists tensors from before
    whose address an earlier profile of this process has met, with the size it had then.
    """
    held, level, peak = {}, 0, 0
    for address, change in changes:
        if change > 0:
            held[address] = change
            level += change
        else:
            level -= held.pop(address, 0)
        peak = max(peak, level)
    return peak


def _on_the_cpu(event: dict) -> bool:
    return event.get('name') == '[memory]' and event['args'].get('Device Type') == 0
