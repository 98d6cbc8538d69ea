"""Processes of a study: the GPUs they get, and that they end with it."""

import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator

import torch

__all__ = ['bound_command', 'defer_sigint', 'die_with_parent', 'visible_gpus']

# no preexec_fn: Python code between fork and exec can deadlock on a lock that another thread held at the fork
BOUND = """
import ctypes, os, signal, sys
for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and the program it becomes would too
    signal.signal(number, signal.SIG_DFL)
ctypes.CDLL(None).prctl(1, int(sys.argv[1]))
if os.getppid() == int(sys.argv[2]):
    os.execvp(sys.argv[3], sys.argv[3:])
"""


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them; CUDA is not initialised.

    All MIG devices that are named count, although one process sees only one of them.
    """
    count, named = torch.cuda.device_count(), os.environ.get('CUDA_VISIBLE_DEVICES')
    if named is None or not count:
        return [str(index) for index in range(count)]
    names = [name.strip() for name in named.split(',')]
    return [name for name in names if name] if names[0].startswith('MIG-') else names[:count]


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """In a child: receive signal ``number`` as soon as the process ``parent`` ends (Linux)."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, number)
    if os.getppid() != parent:  # it ended before that call
        os._exit(1)


def bound_command(command: list[str], number: int = signal.SIGKILL) -> list[str]:
    """``command`` so that its process, started by this one, does :func:`die_with_parent` first."""
    return [sys.executable, '-I', '-S', '-c', BOUND, str(int(number)), str(os.getpid()), *command]


@contextlib.contextmanager
def defer_sigint() -> Iterator[list]:
    """Collect Ctrl-C in a list instead of raising: Python loses a KeyboardInterrupt raised inside a finaliser."""
    received: list = []
    if threading.current_thread() is not threading.main_thread():  # signals can be handled only there
        yield received
        return
    before = signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, before)
