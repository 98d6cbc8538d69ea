"""Where a study stands: a live table on a terminal, a line now and then elsewhere."""

import time

from rich.console import Console
from rich.live import Live
from rich.table import Table

from mixpro_mm.clock import clock

__all__ = ['Display', 'clock']

QUIET_SECONDS = 30  # between two lines where there is no terminal
ROWS = 20  # of the table; of a longer study it shows what runs, and counts the rest


class Display:
    """Shows stages, elapsed time and time left.

    Args:
        title: Shown on top.
        console: Where to write; standard output if omitted.
    """

    def __init__(self, title: str, console: Console | None = None):
        self.title, self.console = title, console or Console()
        self.live: Live | None = None

    def start(self, state, skipped: int = 0) -> None:
        """Begin; ``state`` as in :meth:`update`."""
        self.begin = self.said = time.monotonic()
        self.done_before = _cost_done(state)
        self.since: dict[str, float] = {}
        if skipped:
            self.console.print(f'{self.title}: {skipped} of {len(state)} stages are finished already, going on')
        else:
            self.console.print(f'{self.title}: {len(state)} stage{"s" * (len(state) != 1)}')
        if self.console.is_terminal and not self.console.is_dumb_terminal:
            self.live = Live(self._table(state), console=self.console, refresh_per_second=2)
            self.live.start()

    def started(self, name: str) -> None:
        """A stage begins."""
        self.since[name] = time.monotonic()
        if self.live is None:
            self.console.print(f'{clock(time.monotonic() - self.begin):>6}  {name}: started', soft_wrap=True)

    def finished(self, name: str, seconds: float) -> None:
        """A stage ended well."""
        if self.live is None:
            elapsed = clock(time.monotonic() - self.begin)
            self.console.print(f'{elapsed:>6}  {name}: finished in {clock(seconds)}', soft_wrap=True)

    def update(self, state) -> None:
        """Show ``state``, a list of (stage, 'done' | 'running' | 'waiting', share done)."""
        if self.live is not None:
            self.live.update(self._table(state))
        elif time.monotonic() - self.said > QUIET_SECONDS:
            self.said = time.monotonic()
            running = ', '.join(f'{stage.name} {share:.0%}' for stage, status, share in state if status == 'running')
            self.console.print(f'{self._summary(state)}: {running}', soft_wrap=True)

    def stop(self) -> None:
        """Leave the terminal in order."""
        if self.live is not None:
            self.live.stop()
            self.live = None

    def time_left(self, state) -> float | None:
        """Seconds to go at the pace so far, None before there is a pace."""
        done = _cost_done(state)
        total = sum(stage.cost for stage, _, _ in state)
        if done - self.done_before < 0.02 * total:
            return None
        return (time.monotonic() - self.begin) * (total - done) / (done - self.done_before)

    def _summary(self, state) -> str:
        left = self.time_left(state)
        remaining = 'time left not known yet' if left is None else f'about {clock(left)} left'
        return f'{clock(time.monotonic() - self.begin):>6}  {remaining}'

    def _table(self, state) -> Table:
        table = Table(title=f'{self.title} - {self._summary(state).strip()}', title_justify='left')
        table.add_column('stage')
        table.add_column('state')
        table.add_column('time', justify='right')
        listed = state if len(state) <= ROWS else [row for row in state if row[1] == 'running'][:ROWS]
        for stage, status, share in listed:
            shown = f'{share:.0%}' if status == 'running' else status
            since = self.since.get(stage.name) if status == 'running' else None
            table.add_row(stage.name, shown, clock(time.monotonic() - since) if since else '')
        if len(listed) < len(state):
            every = [status for _, status, _ in state]
            table.add_row(f'{every.count("done")} of {len(state)} done, {every.count("waiting")} waiting', '', '')
        return table


def _cost_done(state) -> float:
    return sum(stage.cost * share for stage, _, share in state)
