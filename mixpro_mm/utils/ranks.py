"""What one process does for all of them."""

import pickle
from collections.abc import Callable
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process

__all__ = ['from_main']


def from_main(work: Callable[[], Any]) -> Any:
    """Do ``work`` on rank 0 alone; every rank returns what it returns there, or raises what it raises there."""
    result, error = None, None
    if is_main_process():
        try:
            result = work()
        except Exception as raised:
            error = _picklable(raised)
    outcome = [result, error]
    broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def _picklable(error: Exception) -> Exception:
    """The error, or its text where it cannot be sent to other ranks, which would wait for it."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f'{type(error).__name__}: {error}')
    return error
