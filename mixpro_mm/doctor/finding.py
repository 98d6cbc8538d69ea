"""What one check says."""

from __future__ import annotations  # so that the doctor runs on a Python that is too old, to say so

from dataclasses import dataclass

__all__ = ['OK', 'PROBLEM', 'WARNING', 'Finding', 'ok', 'one_line', 'problem', 'warning']

OK, WARNING, PROBLEM = 'ok', 'warning', 'problem'


@dataclass(frozen=True)
class Finding:
    """One line of the doctor: with a problem training does not start, with a warning it does."""

    status: str  # OK, WARNING or PROBLEM
    check: str  # what was looked at: 'torch', 'data'
    found: str  # one sentence with names and numbers
    mend: str | None = None  # the one command or config line


def ok(check: str, found: str) -> Finding:
    """Nothing to do, or something to know."""
    return Finding(OK, check, found)


def warning(check: str, found: str, mend: str | None = None) -> Finding:
    """Training starts, but not as its user may think."""
    return Finding(WARNING, check, found, mend)


def problem(check: str, found: str, mend: str) -> Finding:
    """Training does not start, or not on what the machine has for it."""
    return Finding(PROBLEM, check, found, mend)


def one_line(text: object, limit: int = 300) -> str:
    """Any text as one line of at most ``limit`` characters."""
    line = ' '.join(str(text).split())
    return line if len(line) <= limit else line[: limit - 3] + '...'
