"""Memory that stays in the process, so that timing a tensor is not timing the operating system."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ['reused_memory']

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # names of glibc's mallopt, without their M_
USUAL = {TRIM_THRESHOLD: 128 * 1024, MMAP_MAX: 65536}
NEVER = {TRIM_THRESHOLD: 2**31 - 1, MMAP_MAX: 0}


@contextmanager
def reused_memory(device: torch.device) -> Iterator[bool]:
    """Meanwhile what is freed is handed out again; yields whether that could be brought about.

    glibc gives blocks above 32 MiB back at once and gets them anew page by page, which costs more than writing a mixed
    batch does, and makes any cost jump at that size. A GPU's memory is always reused. Afterwards the thresholds are the
    usual ones, but the heap keeps what it has got: whatever is timed under the usual conditions should come before.

    Args:
        device: whose memory is meant.
    """
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if device.type != 'cpu' or mallopt is None:
        yield device.type != 'cpu'
        return
    try:
        yield [mallopt(name, value) for name, value in NEVER.items()] == [1, 1]  # 1 is its word for success
    finally:
        for name, value in USUAL.items():
            mallopt(name, value)
