"""Work that rank 0 does for all ranks."""

from collections.abc import Callable
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process

__all__ = ['from_main']


def from_main(work: Callable[[], Any]) -> Any:
    """Call ``work`` on rank 0; all ranks return its result or raise its exception, RuntimeError for foreign types."""
    outcome = [None, None]
    if is_main_process():
        try:
            outcome[0] = work()
        except Exception as error:
            known = type(error).__module__.split('.')[0] in ('builtins', 'mixpro_mm')  # others may not pickle
            outcome[1] = error if known else RuntimeError(f'{type(error).__name__}: {error}')
    broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]
