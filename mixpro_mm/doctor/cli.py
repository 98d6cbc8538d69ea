"""The doctor's command line: all checks in order, a line for each as soon as it is known."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from mixpro_mm.doctor import surroundings
from mixpro_mm.doctor.finding import OK, PROBLEM, WARNING, Finding
from mixpro_mm.doctor.judge import judge
from mixpro_mm.doctor.known import installed
from mixpro_mm.doctor.pairs import asserted_ranges, torch_of_vision
from mixpro_mm.doctor.probe import OF_CONFIG, STEPS, probe
from mixpro_mm.doctor.world import World

__all__ = ['diagnose', 'lines', 'main']

COLOURS = {OK: '32', WARNING: '33', PROBLEM: '31'}
WIDTH = max(map(len, COLOURS))


def main(arguments: list[str] | None = None) -> int:
    """Will training start here? A line for each check and, where something is wrong, the one command that mends it."""
    parser = argparse.ArgumentParser(
        prog='python -m mixpro_mm.doctor',
        description=main.__doc__,
        epilog='Exit code: 0 if training will start, 1 if not, 2 for a wrong call. Nothing is changed or trained.',
    )
    parser.add_argument(
        'config',
        nargs='?',
        metavar='CONFIG',
        help='also check what this config needs: a path, or the name of one of ours',
    )
    parser.add_argument('--work-dir', help='where checkpoints will go, if not where the config says')
    parser.add_argument('--json', action='store_true', help='print the findings as JSON instead')
    args = parser.parse_args(arguments)
    if args.config and not os.path.isfile(args.config):
        args.config = _own_config(args.config) or parser.error(f'there is no file {args.config}')
    found = []
    try:
        for finding in diagnose(args.config, args.work_dir):
            found.append(finding)
            if not args.json:
                print(*lines(finding, _in_colour()), sep='\n', flush=True)
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return 130
    problems = [finding for finding in found if finding.status == PROBLEM]
    if args.json:
        print(json.dumps(dict(starts=not problems, findings=[asdict(finding) for finding in found]), indent=2))
    else:
        print(_verdict(problems, sum(finding.status == WARNING for finding in found)))
    return 1 if problems else 0


def diagnose(config: str | None = None, work_dir: str | None = None) -> Iterator[Finding]:
    """Every finding about this installation and machine and, if given, about a config."""
    versions = installed()
    yield surroundings.check_python()
    yield from surroundings.check_families(versions)
    yield surroundings.check_known_set(versions)
    for check in (surroundings.check_opencv(versions), surroundings.check_setuptools(versions)):
        if check:
            yield check
    ranges = {host: asserted_ranges(host) for host in ('mmpretrain', 'mmseg', 'mmdet')}
    world = World(versions, ranges, torch_of_vision())
    workers, folder = None, 'work_dirs'
    steps = [step for step in STEPS if config or step not in OF_CONFIG]
    for step, facts in probe(steps, config):
        if step == 'hosts':  # no line of its own: what is wrong with the config is said by its checks
            world.needed = set(facts['hosts']) if 'hosts' in facts else None
            workers, folder = facts.get('workers'), facts.get('work_dir') or f'work_dirs/{Path(config).stem}'
        else:
            yield from judge(step, facts, world)
    shm = surroundings.check_shm(workers)
    if shm:
        yield shm
    yield surroundings.check_disk(work_dir or folder)


def lines(finding: Finding, colour: bool = False) -> Iterator[str]:
    """A finding as it is printed: status, check, what was found; below it what mends it."""
    status = f'{finding.status:<{WIDTH}}'
    if colour:
        status = f'\033[{COLOURS[finding.status]}m{status}\033[0m'
    yield f'{status}  {finding.check:<13}  {finding.found}'
    if finding.mend:
        yield f'{"":{WIDTH}}  {"":<13}  -> {finding.mend}'


def _own_config(name: str) -> str | None:
    """A config of this package by its bare name, as mim takes it; None where there is none or nothing imports."""
    try:
        from mixpro_mm.mim import find_config

        return str(find_config(name))
    except (ImportError, ValueError, OSError):
        return None


def _in_colour() -> bool:
    return sys.stdout.isatty() and 'NO_COLOR' not in os.environ


def _verdict(problems: list[Finding], warnings: int) -> str:
    also = f', {warnings} warning{"s" * (warnings > 1)}' if warnings else ''
    if problems:
        return f'\ntraining will not start: {len(problems)} problem{"s" * (len(problems) > 1)}{also}'
    return f'\ntraining will start{also}'
