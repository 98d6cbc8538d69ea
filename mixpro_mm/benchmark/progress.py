"""Where a benchmark stands: one line, with the time that is left at most."""

import math
import sys
import time
from typing import TextIO

from mixpro_mm.clock import format_duration

__all__ = ['Progress', 'format_duration']

QUIET_SECONDS = 30  # between two lines where there is no terminal


class Progress:
    """Tells the section, its rounds and the time left.

    Args:
        budgets: section -> seconds it may take, in the order in which they come.
        stream: Where to write; standard error if omitted. A terminal gets one line that changes.
    """

    def __init__(self, budgets: dict[str, float], stream: TextIO | None = None):
        self.budgets, self.stream = dict(budgets), sys.stderr if stream is None else stream
        self.section = ''

    def begin(self, section: str) -> None:
        """A section begins; its predecessors are over."""
        for name in list(self.budgets):
            if name == section:
                break
            del self.budgets[name]
        self.section, self.since = section, time.monotonic()
        self.said = -math.inf
        self._say(section)

    def report(self, done: int, total: int) -> None:
        """``done`` of ``total`` rounds of the section are over."""
        self._say(f'{self.section} {done}/{total}', done / total)

    def end(self) -> None:
        """Leave the terminal in order."""
        if self.stream.isatty():
            self.stream.write('\n')

    def seconds_left(self, share: float, spent: float) -> float:
        """At the pace so far, but no more than the budget of this section; the others with all of theirs."""
        others = sum(budget for name, budget in self.budgets.items() if name != self.section)
        own = max(0.0, self.budgets.get(self.section, 0.0) - spent)
        return others + (min(own, spent * (1 - share) / share) if share else own)

    def _say(self, what: str, share: float = 0.0) -> None:
        now = time.monotonic()
        text = f'{what}, at most about {format_duration(self.seconds_left(share, now - self.since))} left'
        if self.stream.isatty():
            self.stream.write(f'\r\033[K{text}')
        elif now - self.said >= QUIET_SECONDS:
            self.said = now
            self.stream.write(f'{text}\n')
        self.stream.flush()
