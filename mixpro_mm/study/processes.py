"""How a study and its stages end together: a stage never outlives the study that started it."""

import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator

__all__ = ['bound_command', 'defer_sigint', 'die_with_parent']

# no preexec_fn: Python code between fork and exec may wait for ever for a lock that another thread held at the fork
BOUND = """
import ctypes, os, signal, sys
for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and what it becomes would too
    signal.signal(number, signal.SIG_DFL)
ctypes.CDLL(None).prctl(1, int(sys.argv[1]))
if os.getppid() == int(sys.argv[2]):
    os.execvp(sys.argv[3], sys.argv[3:])
"""


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """In a child: receive signal ``number`` as soon as the process ``parent`` is gone (Linux)."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, number)
    if os.getppid() != parent:  # it died before that call
        os._exit(1)


def bound_command(command: list[str], number: int = signal.SIGKILL) -> list[str]:
    """``command``, to be started by this process, as one that does :func:`die_with_parent` first."""
    return [sys.executable, '-I', '-S', '-c', BOUND, str(int(number)), str(os.getpid()), *command]


@contextlib.contextmanager
def defer_sigint() -> Iterator[list]:
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
