"""Runs the steps of the doctor in a child process: an import that aborts or hangs ends the child, not the doctor."""

import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator

from mixpro_mm.doctor.finding import one_line

__all__ = ['probe']


def probe(steps: list[str], config: str | None = None, timeout_s: float = 600) -> Iterator[tuple[str, dict]]:
    """Yield each step with its answer, see ``steps.main``; ``{'error': ...}`` where the process ended.

    A step may take ``timeout_s`` seconds: packages and data may be on a network disk.
    """
    steps = list(steps)
    while steps:
        with tempfile.TemporaryFile() as stderr:
            command = [sys.executable, '-m', 'mixpro_mm.doctor.steps', config or '', *steps]
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, encoding='utf-8')
            line = late = None
            try:
                while line != '' and steps:
                    timer = threading.Timer(timeout_s, child.kill)
                    timer.start()
                    line = child.stdout.readline()
                    late = not timer.is_alive()
                    timer.cancel()
                    if line:
                        yield steps.pop(0), json.loads(line)
                child.wait()
            finally:  # also if the caller stops, or is interrupted
                timer.cancel()
                child.kill()
                child.stdout.close()
            stderr.seek(0)
            death = _death(child.returncode, stderr.read().decode('utf-8', 'replace'))
        if steps:
            yield steps.pop(0), dict(error=f'did not finish within {timeout_s:g} seconds' if late else death)


def _death(code: int, stderr: str) -> str:
    """How a process ended, and the last line it printed."""
    how = f'died of {signal.Signals(-code).name}' if code < 0 else f'ended with code {code}'
    words = [line for line in stderr.splitlines() if line.strip()][-1:]
    return f'the process that imported it {how}' + (f': {one_line(words[0], 160)}' if words else '')
