"""Steps in a child process, which may die on the way."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from mixpro_mm.doctor.finding import one_line

__all__ = ['OF_CONFIG', 'STEPS', 'probe']

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


def probe(names: list[str], config: str | None = None) -> Iterator[tuple[str, dict]]:
    """Take steps in a child process and yield each name with what it found, as soon as it is there.

    Where the process dies, the step it was in yields ``dict(error=...)``, and a new process goes on with the next.

    Args:
        names: Some of STEPS, in their order.
        config: Path for the steps OF_CONFIG.
    """
    names = list(names)
    while names:
        with tempfile.TemporaryFile() as said:
            command = [sys.executable, '-m', 'mixpro_mm.doctor.child', ','.join(names), config or '']
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, encoding='utf-8')
            try:
                for line in child.stdout:
                    message = json.loads(line)
                    if 'end' in message:
                        names.remove(message['end'])
                        yield message['end'], message['facts']
            except BaseException:  # Ctrl-C, or nobody asks further
                child.kill()
                raise
            finally:
                child.stdout.close()
                child.wait()
            if names:
                said.seek(0)
                yield names.pop(0), dict(error=_death(child.returncode, said.read().decode('utf-8', 'replace')))


def _death(code: int, said: str) -> str:
    """How a process ended, and its last words."""
    try:
        how = f'died of {signal.Signals(-code).name}' if code < 0 else f'ended with code {code}'
    except ValueError:
        how = f'died of signal {-code}'
    words = [line for line in said.splitlines() if line.strip()][-1:]
    return f'the process that imported it {how}' + (f': {one_line(words[0], 160)}' if words else '')
