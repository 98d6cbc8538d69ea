"""How a study and its stages end together: a stage never outlives the study that started it."""

import contextlib
import ctypes
import os
import signal
import threading
from collections.abc import Iterator

__all__ = ['die_with_parent', 'noting_interrupts']

LIBC = ctypes.CDLL(None)  # loaded here, for a forked child should load nothing


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """In a child: receive signal ``number`` as soon as the process ``parent`` is gone (Linux)."""
    pr_set_pdeathsig = 1
    LIBC.prctl(pr_set_pdeathsig, number)
    if os.getppid() != parent:  # it died before that call
        os._exit(1)


@contextlib.contextmanager
def noting_interrupts() -> Iterator[list]:
    """Gives a list that is empty until Ctrl-C: Python's own exception is lost if it comes up inside a finaliser."""
    noted: list = []
    if threading.current_thread() is not threading.main_thread():  # only there signals can be handled
        yield noted
        return
    before = signal.signal(signal.SIGINT, lambda number, frame: noted.append(number))
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)
