"""Processes that end with their parent, and visible GPUs."""

import ctypes
import os
import signal
import sys

import torch

__all__ = ['bound_command', 'die_with_parent', 'visible_gpus']

# instead of preexec_fn: Python code between fork and exec can deadlock on a lock that another thread held
BOUND = """
import ctypes, os, signal, sys
for number in (signal.SIGPIPE, signal.SIGXFSZ):  # ignored by Python, and inherited by exec
    signal.signal(number, signal.SIG_DFL)
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
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


def die_with_parent(parent: int) -> None:
    """Kill this process when its parent process ends (Linux)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1: PR_SET_PDEATHSIG
    if os.getppid() != parent:  # the parent ended before the call
        os._exit(1)


def bound_command(command: list[str]) -> list[str]:
    """Return ``command`` so that it is killed when this process, its parent, ends."""
    return [sys.executable, '-I', '-S', '-c', BOUND, str(os.getpid()), *command]
