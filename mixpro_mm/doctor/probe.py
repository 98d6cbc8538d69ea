"""Runs the steps of the doctor in a child process: an import that aborts or hangs ends the child, not the doctor."""

import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator

from mixpro_mm.doctor.finding import one_line
from mixpro_mm.doctor.steps import STEPS

__all__ = ['probe']

TIMEOUT_S = 300  # of one step: packages on a network disk take a minute to import


def probe(steps: list[str], config: str | None = None, timeout_s: float = TIMEOUT_S) -> Iterator[tuple[str, dict]]:
    """Yield each step with its answer, see ``steps.main``; ``{'error': ...}`` where it ended or exceeded the time."""
    steps = list(steps)
    while steps:
        with tempfile.TemporaryFile() as stderr:
            command = [sys.executable, '-m', 'mixpro_mm.doctor.steps', config or '', *steps]
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, encoding='utf-8')
            late = threading.Event()
            try:
                timer = _kill_after(timeout_s, child, late)
                for line in child.stdout:
                    timer.cancel()
                    yield steps.pop(0), json.loads(line)
                    timer = _kill_after(timeout_s, child, late)
            finally:
                timer.cancel()
                child.stdout.close()
                if child.poll() is None and steps:  # interrupted
                    child.kill()
                child.wait()
            if not steps:
                return
            stderr.seek(0)
            error = _death(child.returncode, stderr.read().decode('utf-8', 'replace'))
            if late.is_set():
                error = f'did not finish within {timeout_s:g} seconds'
            failed = steps.pop(0)
            yield failed, dict(error=error)
            for step in [step for step in steps if failed in STEPS[step]]:
                steps.remove(step)
                yield step, dict(error=f'{failed} failed')


def _kill_after(timeout_s: float, child: subprocess.Popen, late: threading.Event) -> threading.Timer:
    def kill():
        late.set()
        child.kill()

    timer = threading.Timer(timeout_s, kill)
    timer.daemon = True
    timer.start()
    return timer


def _death(code: int, stderr: str) -> str:
    """How a process ended, and the last line it printed."""
    how = f'died of {signal.Signals(-code).name}' if code < 0 else f'ended with code {code}'
    words = [line for line in stderr.splitlines() if line.strip()][-1:]
    return f'the process that imported it {how}' + (f': {one_line(words[0], 160)}' if words else '')
