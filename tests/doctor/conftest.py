import importlib.util
import re
import shlex
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from pip._internal.commands import create_command

ROOT = Path(__file__).parents[2]


def check_command(command):
    """Check that the pip options, modules, scripts and programs of a command exist."""
    words = shlex.split(command, comments=True)
    while re.fullmatch(r'[A-Z_]+=\S*', words[0]):  # environment variables
        words.pop(0)
    if words[:3] == ['python', '-m', 'pip']:
        known, names = create_command(words[3]).parser, [word for word in words[4:] if not word.startswith('-')]
        assert names and all(known.get_option(word) for word in words[4:] if word.startswith('-')), command
        assert all(name == '.' or Requirement(name) for name in names)
    elif words[:2] == ['python', '-m']:
        assert importlib.util.find_spec(words[2]), words[2]
    elif words[0] == 'python':
        assert (ROOT / words[1]).is_file() or Path(words[1]).is_file(), words[1]
    else:
        assert words[0] in ('export', 'ln', 'mkdir'), command


@pytest.fixture
def fixes():
    """Return the fix of a finding after checking its commands and config lines."""

    def of(finding):
        if finding.fix and finding.fix.startswith('--'):
            assert re.fullmatch(r'--auto-scale-lr|--cfg-options( [\w.]+=\S+)+', finding.fix), finding.fix
        elif finding.fix and ' = ' not in finding.fix and not re.match(r"[\w.]+='", finding.fix):
            for command in finding.fix.split(' && '):
                check_command(command)
        return finding.fix

    return of
