"""The result of a check."""

import textwrap
from dataclasses import dataclass
from functools import partial

__all__ = ['OK', 'PROBLEM', 'WARNING', 'Finding', 'ok', 'one_line', 'problem', 'warning']

OK, WARNING, PROBLEM = 'ok', 'warning', 'problem'


@dataclass(frozen=True)
class Finding:
    """A result. A problem prevents training; with a warning, training may not do what is intended."""

    status: str  # OK, WARNING or PROBLEM
    check: str  # 'torch', 'data'
    found: str  # one sentence with names and numbers
    fix: str | None = None  # one command or config line


ok, warning, problem = (partial(Finding, status) for status in (OK, WARNING, PROBLEM))


def one_line(text: object, limit: int = 300) -> str:
    """Return a text as one line of at most ``limit`` characters."""
    return textwrap.shorten(str(text), limit, placeholder='...')
