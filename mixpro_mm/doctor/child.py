"""The child process: takes one step after the other and writes what it found, a line of JSON for each.

An import that aborts the process takes only this one down; the parent sees which step was begun and goes on after it.
"""

from __future__ import annotations

import json
import os
import sys

__all__ = ['take_step']


def take_step(name: str, config: str | None) -> dict:
    """What one step found, or the error that stopped it, as JSON can hold it."""
    from mixpro_mm.doctor import steps
    from mixpro_mm.doctor.probe import OF_CONFIG

    step = getattr(steps, f'step_{name}')
    try:
        return step(config) if name in OF_CONFIG else step()
    except BaseException as error:  # whatever an import does, sys.exit included
        if isinstance(error, KeyboardInterrupt):
            raise
        return dict(error=f'{type(error).__name__}: {error}')


def main(names: str, config: str = '') -> None:
    """Take the steps, named with commas between. What libraries print goes to stderr."""
    answers = os.fdopen(os.dup(1), 'w', encoding='utf-8')
    os.dup2(2, 1)
    for name in names.split(','):
        print(json.dumps(dict(begin=name)), file=answers, flush=True)
        print(json.dumps(dict(end=name, facts=take_step(name, config or None))), file=answers, flush=True)
    answers.flush()
    os._exit(0)  # some libraries abort while they are torn down


if __name__ == '__main__':
    main(*sys.argv[1:])
