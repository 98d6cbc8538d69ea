import importlib.util
import re
import shlex
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
WITH_VALUE = ('--no-binary', '--index-url', '--extra-index-url')


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
            if word in WITH_VALUE:
                next(arguments)
        else:
            names.append(Requirement(word).name)
    assert names


def check_mend(mend):
    """Every command of a mend names things that exist, every config line is a setting."""
    if mend.startswith('--'):
        assert re.fullmatch(r'--auto-scale-lr|--work-dir \S+|--cfg-options( [\w.]+=\S+)+', mend), mend
        return
    if ' = ' in mend or re.match(r"[\w.]+='", mend):
        return
    for command in mend.split(' && '):
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
            assert words[0] in ('export', 'ln', 'mkdir', 'docker', 'python3.11', 'nvidia-smi'), mend


@pytest.fixture
def mends():
    """The mend of a finding, after a look that what it names exists."""

    def of(finding):
        assert finding.status != 'problem' or finding.mend, f'no mend: {finding}'
        if finding.mend:
            check_mend(finding.mend)
        return finding.mend

    return of
