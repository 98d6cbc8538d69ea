"""What one process does for all of them."""

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
            error = raised
    outcome = [result, error]
    broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]
