"""The command line of the doctor."""

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace

from mixpro_mm.doctor.environment import MODULES, Environment, check_environment
from mixpro_mm.doctor.finding import OK, PROBLEM, WARNING, Finding, one_line, problem, warning
from mixpro_mm.doctor.fixes import fix_import
from mixpro_mm.doctor.probe import probe
from mixpro_mm.doctor.steps import STEPS

__all__ = ['diagnose', 'evaluate', 'main']

COLOURS = {OK: '32', WARNING: '33', PROBLEM: '31'}
OF_CONFIG = ('hosts', 'config', 'data')
# step -> hosts that need it; None: only the command line does
OPTIONAL = {'mmcv.ops': {'mmdet'}, 'mmseg': {'mmseg'}, 'mmdet': {'mmdet'}}


def main(arguments: list[str] | None = None) -> int:
    """Will training start here? One line for each check, and the command that fixes what is wrong."""
    parser = argparse.ArgumentParser(
        prog='python -m mixpro_mm.doctor',
        description=main.__doc__,
        epilog='Exit code: 0 if training will start, 1 if not, 2 for a wrong call. Nothing is changed or trained.',
    )
    parser.add_argument('config', nargs='?', metavar='CONFIG', help='also check this config and its data: path or name')
    parser.add_argument('--json', action='store_true', help='print the findings as JSON')
    args = parser.parse_args(arguments)
    if args.config and not os.path.isfile(args.config):
        args.config = own_config(args.config) or parser.error(f'there is no file {args.config}')
    found = []
    for finding in diagnose(args.config):
        found.append(finding)
        if not args.json:
            print(*_lines(finding), sep='\n', flush=True)
    counts = {status: sum(finding.status == status for finding in found) for status in COLOURS}
    if args.json:
        print(json.dumps(dict(starts=not counts[PROBLEM], findings=[asdict(finding) for finding in found]), indent=2))
    else:
        starts = 'will not start' if counts[PROBLEM] else 'will start'
        print(f'\ntraining {starts}; problems: {counts[PROBLEM]}, warnings: {counts[WARNING]}')
    return 1 if counts[PROBLEM] else 0


def diagnose(config: str | None = None) -> Iterator[Finding]:
    """Every finding about this installation and, if given, about a config and its data."""
    environment = Environment.read()
    yield from check_environment(environment)
    failed, hosts = set(), None
    for step, answer in probe([step for step in STEPS if config or step not in OF_CONFIG], config):
        hosts = set(answer['hosts']) if 'hosts' in answer else hosts
        findings = evaluate(step, answer, environment, failed, hosts)
        if any(finding.status == PROBLEM for finding in findings):
            failed.add(step)
        if step != 'hosts':  # an unreadable config is reported by its own step
            yield from findings


def evaluate(step: str, answer: dict, environment: Environment, failed: set[str], hosts: set[str] | None) -> list[Finding]:
    """Findings of one step.

    Args:
        step: One of ``STEPS``.
        answer: ``findings`` or ``error`` of the child process.
        environment: The installed distributions.
        failed: Steps before it that had a problem.
        hosts: Toolkits that the config uses; None without a config: all that are installed have to work.
    """
    if 'error' not in answer:
        return [Finding(**finding) for finding in answer.get('findings', ())]
    cause = next((each for each in STEPS[step] if each in failed), None)
    if cause:
        return [warning(step, f'not checked, because {cause} failed')]
    error, module = answer['error'], 'mixpro_mm' if step in (*OF_CONFIG, 'registries') else step
    absent = re.search(rf"No module named '{step}'", error) and step not in environment.owners
    text = 'not installed' if absent else one_line(re.sub(r'^(ImportError|ModuleNotFoundError|OSError|RuntimeError|AssertionError): ', '', error))
    finding = problem(step, text, fix_import(module, error, environment))
    if step in OPTIONAL and (absent if hosts is None else not hosts & OPTIONAL[step]) or step == 'mim' and absent:
        finding = replace(finding, status=WARNING, found=f'{text} (not needed{" by this config" if hosts else ""})')
    return [finding]


def own_config(name: str) -> str | None:
    """A config of this package by its name; None where there is none or nothing imports."""
    try:
        from mixpro_mm.mim import find_config

        return str(find_config(name))
    except (ImportError, ValueError, OSError):
        return None


def _lines(finding: Finding) -> Iterator[str]:
    """Status, check and sentence; below them the fix."""
    status = f'{finding.status:<7}'
    if sys.stdout.isatty() and 'NO_COLOR' not in os.environ:
        status = f'\033[{COLOURS[finding.status]}m{status}\033[0m'
    yield f'{status}  {finding.check:<13}  {finding.found}'
    if finding.fix:
        yield f'{"":<24}-> {finding.fix}'
