"""A process that ends with its parent, so that a stage never outlives the study that started it."""

import ctypes
import os
import signal

__all__ = ['die_with_parent']

LIBC = ctypes.CDLL(None)  # loaded here, for a forked child should load nothing


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """In a child: receive signal ``number`` as soon as the process ``parent`` is gone (Linux)."""
    pr_set_pdeathsig = 1
    LIBC.prctl(pr_set_pdeathsig, number)
    if os.getppid() != parent:  # it died before that call
        os._exit(1)
