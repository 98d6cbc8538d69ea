"""Whether an exception is a sentence of ours: raised on purpose in the package, and it says what is wrong."""

import dis
import re
import traceback
from collections.abc import Mapping
from pathlib import Path

import mixpro_mm

__all__ = ['complaint']

PACKAGE = Path(mixpro_mm.__file__).parent
KINDS = (ValueError, TypeError, KeyError, RuntimeError, FileNotFoundError, ImportError)
LONGEST = 500  # characters; several configs are shown whole
CALLS = re.compile(  # what Python says of the arguments of a call, whoever makes it
    r'\w+(\.__init__)?\(\) '
    r"(got an unexpected keyword argument '\w+'|missing \d+ required [\w ]+: .+|takes no arguments)"
)


def complaint(error: BaseException, names: Mapping[str, object], places: tuple[str, ...]) -> str | None:
    """What is wrong with an exception as the answer to a bad argument; None if nothing is.

    Args:
        error: Caught, so that it knows where it comes from.
        names: Arguments of the class that was to be built, with their values.
        places: Other words that say what is wrong: names of classes, the size of the images.
    """
    message = str(error.args[0]) if error.args else ''
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    *_, last = _links(error.__traceback__)
    path = Path(frame.f_code.co_filename)
    if type(error) is TypeError and CALLS.search(message):
        return None if path.name == 'build_functions.py' or PACKAGE in path.parents else f'a call inside {path}'
    if type(error) is KeyError and path.name == 'build_functions.py' and ' is not in the ' in message:
        return None  # the host's word about a name nobody registered
    if not isinstance(error, KINDS):
        return f'a {type(error).__name__} is no answer'
    if PACKAGE not in path.parents:
        return f'it comes from {path}:{last.tb_lineno}'
    if dis.opname[frame.f_code.co_code[last.tb_lasti]] != 'RAISE_VARARGS':
        return f'it befell {path}:{last.tb_lineno}, nobody raised it'
    if not message or '\n' in message.strip() or len(message) > LONGEST:
        return 'it is not one sentence'
    named = [name for name in names if re.search(rf'\b{name}\b', message, re.IGNORECASE)]
    if not named and not any(place in message for place in places):
        return f'it names none of {", ".join([*names, *places])}'
    shown = [form for name in named for form in _forms(names[name])]
    if not any(part in message for part in (*shown, *places)):
        return f'it names {", ".join(named)} without the value'
    return None


def _links(tb):
    while tb is not None:
        yield tb
        tb = tb.tb_next


def _forms(value) -> list[str]:
    forms = [repr(value), str(value), ' '.join(repr(value).split())[:90]]  # the package cuts what is long
    if isinstance(value, list):
        forms += [repr(tuple(value)), *map(repr, value)]
    if isinstance(value, int | float) and abs(value) < 1e300:
        forms.append(f'{value:g}')
    if isinstance(value, dict):
        forms += [repr(part) for part in (*value, *value.values())]
    return forms
