"""Check that an exception is an intended error message."""

import dis
import re
import traceback
from pathlib import Path

import mixpro_mm

__all__ = ['complaint']

PACKAGE = Path(mixpro_mm.__file__).parent
KINDS = (ValueError, TypeError, KeyError, RuntimeError, FileNotFoundError, ImportError)
CALLS = r"\(\) (got an unexpected keyword argument '\w+'|missing \d+ required|takes no arguments)"  # of Python
UNKNOWN = r" is not in the |^Failed to get '?$"  # of mmengine, for an unregistered name and for an empty one


def complaint(error: BaseException, names: list[str]) -> str | None:
    """Return why an exception is no proper error for an invalid argument, or None.

    Args:
        error: Caught exception.
        names: Words of which the message has one: names of the arguments, classes, image sizes.
    """
    message = str(error.args[0]) if error.args else ''
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    last = error.__traceback__
    while last.tb_next:
        last = last.tb_next
    path = Path(frame.f_code.co_filename)
    of_registry = path.name in ('build_functions.py', 'registry.py')
    if type(error) is TypeError and re.search(CALLS, message):
        return None if of_registry or PACKAGE in path.parents else f'a call inside {path}'
    if of_registry and re.search(UNKNOWN, message):
        return None
    if not isinstance(error, KINDS):
        return f'unexpected {type(error).__name__}'
    if PACKAGE not in path.parents or dis.opname[frame.f_code.co_code[last.tb_lasti]] != 'RAISE_VARARGS':
        return f'not raised by the package: {path}:{line}'
    if not message or '\n' in message.strip() or len(message) > 500:
        return 'empty, long or multi-line message'
    named = any(re.search(rf'\b{re.escape(name)}\b', message, re.IGNORECASE) for name in names)
    return None if named else f'no name of {", ".join(names)}'
