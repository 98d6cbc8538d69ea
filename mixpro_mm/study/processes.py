"""Processes that end with their parent, visible GPUs, and deferred Ctrl-C."""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator

import torch

__all__ = ['bound_command', 'defer_sigint', 'die_with_parent', 'visible_gpus']

# instead of preexec_fn: Python code between fork and exec can deadlock on a lock that another thread held
BOUND = """
import ctypes, os, signal, sys
for number in (signal.SIGPIPE, signal.SIGXFSZ):  # ignored by Python, and inherited by exec
    signal.signal(number, signal.SIG_DFL)
ctypes.CDLL(None).prctl(1, int(sys.argv[1]))
if os.getppid() == int(sys.argv[2]):
    os.execvp(sys.argv[3], sys.argv[3:])
"""


def visible_gpus() -> list[str]:
    """Return the visible GPUs as ``CUDA_VISIBLE_DEVICES`` names them, without initialising CUDA.

    All MIG devices in the variable count, although one process uses only one of them.
    """
    count, named = torch.cuda.device_count(), os.environ.get('CUDA_VISIBLE_DEVICES')
    if named is None or not count:
        return [str(index) for index in range(count)]
    names = [name.strip() for name in named.split(',')]
    return [name for name in names if name] if names[0].startswith('MIG-') else names[:count]


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Receive signal ``number`` in this process when its parent process ends (Linux)."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, number)
    if os.getppid() != parent:  # the parent ended before the call
        os._exit(1)


def bound_command(command: list[str], number: int = signal.SIGKILL) -> list[str]:
    """Return ``command`` with :func:`die_with_parent` in front. Start it from this process."""
    return [sys.executable, '-I', '-S', '-c', BOUND, str(int(number)), str(os.getpid()), *command]


@contextlib.contextmanager
def defer_sigint() -> Iterator[list]:
    """Collect SIGINT in a list: Python ignores a KeyboardInterrupt that is raised in a finaliser."""
    received = []
    before = signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, before)
