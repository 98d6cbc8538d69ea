"""The command line of the doctor."""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict

from mixpro_mm.doctor.environment import Finding, check_environment, fix_import, installed, one_line, problem, warning
from mixpro_mm.doctor.steps import CONFIG_STEPS, OPTIONAL, STEPS, run_steps
from mixpro_mm.utils.configs import find_config

__all__ = ['diagnose', 'evaluate_error', 'main']


def main(arguments: list[str] | None = None) -> int:
    """Check whether training will start. Each line is a check; ``->`` is the command that fixes a problem.

    The exit code is 0 if training will start, 1 if not, and 2 if the arguments are invalid. Nothing is changed.
    """
    parser = argparse.ArgumentParser(prog='python -m mixpro_mm.doctor', description=main.__doc__)
    parser.add_argument('config', nargs='?', metavar='CONFIG', help='path or name of a config to check with its data')
    parser.add_argument('--json', action='store_true', help='print the findings as JSON')
    args = parser.parse_args(arguments)
    try:
        config = args.config and str(find_config(args.config))
    except OSError as error:
        parser.error(str(error))
    found = []
    for finding in diagnose(config):
        found.append(finding)
        if not args.json:
            fix = f'\n{"":<24}-> {finding.fix}' if finding.fix else ''
            print(f'{finding.status:<7}  {finding.check:<13}  {finding.found}{fix}', flush=True)
    problems, warnings = (sum(finding.status == status for finding in found) for status in ('problem', 'warning'))
    if args.json:
        print(json.dumps(dict(starts=not problems, findings=[asdict(finding) for finding in found]), indent=2))
    else:
        print(f'\ntraining will {"not " * bool(problems)}start (problems: {problems}, warnings: {warnings})')
    return 1 if problems else 0


def diagnose(config: str | None = None) -> Iterator[Finding]:
    """Yield all findings about the environment and, optionally, a config and its data."""
    environment, toolkits = installed(), None
    yield from check_environment(environment)
    for step, answer in run_steps([step for step in STEPS if config or step not in CONFIG_STEPS], config):
        toolkits = answer.get('toolkits', toolkits)
        findings = [Finding(**finding) for finding in answer.get('findings', ())]
        if 'error' in answer and step != 'toolkits':  # the step 'config' reports an unreadable config
            findings = [evaluate_error(step, answer['error'], environment, toolkits)]
        yield from findings
        if step not in (*OPTIONAL, 'data') and any((each.check, each.status) == (step, 'problem') for each in findings):
            yield warning('...', f'the checks that need {step} did not run')
            return


def evaluate_error(step: str, error: str, environment: dict, toolkits: list[str] | None = None) -> Finding:
    """Return the finding for the error of a step.

    A toolkit is optional if the config does not use it, or, without a config, if it is not installed.
    """
    absent = f"No module named '{step}'" in error and not environment.get(step)
    if 'did not finish' in error:
        return (warning if step == 'data' else problem)(step, error)
    fix = fix_import('mixpro_mm' if step in (*CONFIG_STEPS, 'registries') else step, error, environment)
    if step in OPTIONAL and (absent if toolkits is None else not {*toolkits} & {*OPTIONAL[step]}):
        return warning(step, f'{one_line(error)} (not needed{" by this config" if toolkits else ""})', fix)
    return problem(step, 'not installed' if absent else one_line(error), fix)


if __name__ == '__main__':
    sys.exit(main())
