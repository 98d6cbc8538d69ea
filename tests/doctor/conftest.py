import importlib.util
import re
import shlex
from pathlib import Path

import pytest
from pip._internal.commands import create_command

ROOT = Path(__file__).parents[2]


def check_command(command):
    """Check that the pip options, modules, scripts and programs of a command exist."""
    words = [word for word in shlex.split(command, comments=True) if not re.fullmatch(r'[A-Z_]+=\S*', word)]
    if words[:3] == ['python', '-m', 'pip']:
        assert create_command(words[3]).parser.parse_args(words[4:])[1] or '-e' in words, command
    elif words[:2] == ['python', '-m']:
        assert importlib.util.find_spec(words[2]), words[2]
    else:
        assert words[0] in ('export', 'ln', 'mkdir') or (ROOT / words[1]).is_file(), command


@pytest.fixture
def fixes():
    """Return the fix of a finding after checking its commands."""

    def of(finding):
        if finding.fix and re.match('[A-Z_]+=|python|mkdir|export', finding.fix):
            for command in finding.fix.split(' && '):
                check_command(command)
        return finding.fix

    return of
