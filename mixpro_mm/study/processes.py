"""Processes that end with their parent, and visible GPUs."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import torch

__all__ = ['die_with_parent', 'start_stage', 'visible_gpus']

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


def start_stage(command: list[str], log: Path, threads: int, environment: Mapping[str, str]) -> subprocess.Popen:
    """Start a command that is killed when this process, its parent, ends, and appends its output to ``log``.

    Args:
        command: Command line.
        log: File; its folder is created.
        threads: Threads of each process.
        environment: Environment variables.
    """
    variables = dict(PYTHONUNBUFFERED='1', OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
    bound = [sys.executable, '-I', '-S', '-c', BOUND, str(os.getpid()), *command]
    log.parent.mkdir(exist_ok=True)
    with open(log, 'ab') as output:
        pipes = dict(stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        return subprocess.Popen(bound, env={**environment, **variables}, **pipes)
