"""Check that an exception is an intended error message of the package."""

import dis
import re
import traceback
from collections.abc import Mapping
from pathlib import Path

import mixpro_mm

__all__ = ['complaint']

PACKAGE = Path(mixpro_mm.__file__).parent
KINDS = (ValueError, TypeError, KeyError, RuntimeError, FileNotFoundError, ImportError)
LONGEST = 500  # characters
CALLS = re.compile(  # errors of Python about the arguments of a call
    r'\w+(\.__init__)?\(\) '
    r"(got an unexpected keyword argument '\w+'|missing \d+ required [\w ]+: .+|takes no arguments)"
)


def complaint(error: BaseException, names: Mapping[str, object], places: tuple[str, ...]) -> str | None:
    """Return why an exception is not a proper error for an invalid argument, or None.

    Args:
        error: Caught exception.
        names: Arguments of the component and their values.
        places: Other words that identify the problem, such as class names and image sizes.
    """
    message = str(error.args[0]) if error.args else ''
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    last = error.__traceback__
    while last.tb_next:
        last = last.tb_next
    path = Path(frame.f_code.co_filename)
    if type(error) is TypeError and CALLS.search(message):
        return None if path.name == 'build_functions.py' or PACKAGE in path.parents else f'a call inside {path}'
    if type(error) is KeyError and path.name == 'build_functions.py' and ' is not in the ' in message:
        return None  # an unregistered name
    if not isinstance(error, KINDS):
        return f'unexpected {type(error).__name__}'
    if PACKAGE not in path.parents:
        return f'raised in {path}:{last.tb_lineno}'
    if dis.opname[frame.f_code.co_code[last.tb_lasti]] != 'RAISE_VARARGS':
        return f'not raised explicitly in {path}:{last.tb_lineno}'
    if not message or '\n' in message.strip() or len(message) > LONGEST:
        return 'empty, long or multi-line message'
    named = [name for name in names if re.search(rf'\b{name}\b', message, re.IGNORECASE)]
    if not named and not any(place in message for place in places):
        return f'no name of {", ".join([*names, *places])}'
    shown = [form for name in named for form in _forms(names[name])]
    if not any(part in message for part in (*shown, *places)):
        return f'no value of {", ".join(named)}'
    return None


def _forms(value) -> list[str]:
    forms = [repr(value), str(value), ' '.join(repr(value).split())[:90]]  # long values are truncated
    if isinstance(value, list):
        forms += [repr(tuple(value)), *map(repr, value)]
    if isinstance(value, int | float) and abs(value) < 1e300:
        forms.append(f'{value:g}')
    if isinstance(value, dict):
        forms += [repr(part) for part in (*value, *value.values())]
    return forms
