"""Steps in a child process, which may die on the way."""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator

from mixpro_mm.doctor.finding import one_line

__all__ = ['DID_NOT_END', 'NEEDS', 'OF_CONFIG', 'STEPS', 'probe']

# in this order, for each may build on those before it: functions step_NAME of mixpro_mm.doctor.steps
STEPS = (
    'torch',
    'torchvision',
    'cv2',
    'mmengine',
    'hosts',
    'mmcv',
    'ops',
    'mmpretrain',
    'mmseg',
    'mmdet',
    'mim',
    'scopes',
    'config',
)
OF_CONFIG = ('hosts', 'config')  # only with a config
# what stops one of these stops the step as well
NEEDS = {
    'torchvision': ('torch',),
    'mmengine': ('torch',),
    'hosts': ('torch', 'mmengine'),
    'mmcv': ('torch', 'cv2', 'mmengine'),
    'ops': ('torch', 'cv2', 'mmengine', 'mmcv'),
    'mmpretrain': ('torch', 'torchvision', 'cv2', 'mmengine', 'mmcv'),
    'mmseg': ('torch', 'torchvision', 'cv2', 'mmengine', 'mmcv', 'ops'),
    'mmdet': ('torch', 'torchvision', 'cv2', 'mmengine', 'mmcv', 'ops'),
    'scopes': ('torch', 'torchvision', 'cv2', 'mmengine', 'mmcv', 'mmpretrain'),
    'config': ('torch', 'cv2', 'mmengine', 'mmcv', 'mmpretrain', 'hosts'),
}
LIMIT_S = 300  # of a step: packages on a network disk take a minute to import
GRACE_S = 10
DID_NOT_END = 'did not end within'


def probe(names: list[str], config: str | None = None, limit_s: float = LIMIT_S) -> Iterator[tuple[str, dict]]:
    """Take steps in a child process and yield each name with what it found, as soon as it is there.

    Where the process dies or takes too long, the step it was in yields ``dict(error=...)``, and a new process goes on
    with the next. What builds on a step that took too long is not waited for.

    Args:
        names: Some of STEPS, in their order.
        config: Path for the steps OF_CONFIG.
        limit_s: Seconds that a step may take.
    """
    names = list(names)
    while names:
        with tempfile.TemporaryFile() as said:
            command = [sys.executable, '-m', 'mixpro_mm.doctor.child', ','.join(names), config or '']
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, encoding='utf-8')
            lines, late = queue.SimpleQueue(), False
            threading.Thread(target=_listen, args=(child.stdout, lines), daemon=True).start()
            try:
                while line := lines.get(timeout=limit_s):
                    message = json.loads(line)
                    if 'end' in message:
                        names.remove(message['end'])
                        yield message['end'], message['facts']
            except queue.Empty:
                late = True
            except BaseException:  # Ctrl-C, or nobody asks further
                child.kill()
                raise
            finally:
                _see_off(child, late)
            if names and late:
                error = f'the process that imported it {DID_NOT_END} {limit_s / 60:g} minutes'
                step = names.pop(0)
                above = [name for name in names if step in NEEDS.get(name, ())]
                names = [name for name in names if name not in above]
                yield from ((name, dict(error=error)) for name in (step, *above))
            elif names:
                said.seek(0)
                yield names.pop(0), dict(error=_death(child.returncode, said.read().decode('utf-8', 'replace')))


def _listen(stream, lines: queue.SimpleQueue) -> None:
    """Hand over line by line, and '' at the end."""
    with stream:
        for line in stream:
            lines.put(line)
    lines.put('')


def _see_off(child: subprocess.Popen, late: bool) -> None:
    """Wait for the end; one that is late is killed, and left alone if it hangs in a driver, where nothing ends it."""
    if late:
        child.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(GRACE_S if late else None)


def _death(code: int, said: str) -> str:
    """How a process ended, and its last words."""
    try:
        how = f'died of {signal.Signals(-code).name}' if code < 0 else f'ended with code {code}'
    except ValueError:
        how = f'died of signal {-code}'
    words = [line for line in said.splitlines() if line.strip()][-1:]
    return f'the process that imported it {how}' + (f': {one_line(words[0], 160)}' if words else '')
