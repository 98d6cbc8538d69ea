"""Work that rank 0 does for all ranks."""

import pickle
from collections.abc import Callable
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process

__all__ = ['from_main']


def from_main(work: Callable[[], Any]) -> Any:
    """Call ``work`` on rank 0; all ranks return its result or raise its exception."""
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
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f'{type(error).__name__}: {error}')
    return error
