import importlib.util
import re
import shlex
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def check_pip(words):
    """Arguments of pip are specifiers that parse, and options that pip has."""
    from pip._internal.commands import create_command

    command, arguments = words[0], iter(words[1:])
    known = create_command(command).parser
    names = []
    for word in arguments:
        if word == '.':
            names.append(word)
        elif word.startswith('-'):
            assert known.get_option(word), f'pip {command} has no {word}'
            if word == '--no-binary':
                next(arguments)
        else:
            names.append(Requirement(word).name)
    assert names


def check_fix(fix):
    """Every command of a fix names things that exist, every config line is a setting."""
    if fix.startswith('--'):
        assert re.fullmatch(r'--auto-scale-lr|--cfg-options( [\w.]+=\S+)+', fix), fix
        return
    if ' = ' in fix or re.match(r"[\w.]+='", fix):
        return
    for command in fix.split(' && '):
        words = shlex.split(command, comments=True)
        while re.fullmatch(r'[A-Z_]+=\S*', words[0]):  # settings in front
            words.pop(0)
        if words[:3] == ['python', '-m', 'pip']:
            check_pip(words[3:])
        elif words[:2] == ['python', '-m']:
            assert importlib.util.find_spec(words[2]), words[2]
        elif words[0] == 'python':
            assert (ROOT / words[1]).is_file() or Path(words[1]).is_file(), words[1]
        else:
            assert words[0] in ('export', 'ln', 'mkdir'), fix


@pytest.fixture
def fixes():
    """The fix of a finding, after a check that what it names exists."""

    def of(finding):
        if finding.fix:
            check_fix(finding.fix)
        return finding.fix

    return of
