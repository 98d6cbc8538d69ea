"""What ``mim train mixpro_mm`` and ``mim test mixpro_mm`` run: the script of the toolkit that a config is for."""

import argparse
import importlib.util
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from mixpro_mm.utils.configs import find_config

__all__ = ['host_script', 'main', 'scope_of']

# default_scope of a config, which is also the name of the toolkit's module, and the package that brings it
HOSTS = dict(mmpretrain='onedl-mmpretrain', mmseg='onedl-mmsegmentation', mmdet='onedl-mmdetection')
SUFFIXES = ('.py', '.json', '.yaml', '.yml')  # of configs, as mmengine reads them
# options of the train and test scripts whose value is the next word; --cfg-options takes all words up to an option
WITH_VALUE = (
    'interval',
    'launcher',
    'local-rank',
    'local_rank',
    'out',
    'out-item',
    'show-dir',
    'wait-time',
    'work-dir',
)
HELP = """usage: python tools/{script}.py CONFIG [arguments]

{Script}s CONFIG with the {script} script of mmpretrain, mmseg or mmdet, whichever its default_scope names. CONFIG is a
path, or the name of one of mixpro_mm's own configs. All arguments go on to that script; it shows them with

    python tools/{script}.py CONFIG --help
"""


def main(script: str, arguments: Sequence[str] | None = None) -> int:
    """Run ``tools/{script}.py`` of the toolkit a config is for, in this process and with all its arguments.

    Args:
        script: 'train' or 'test'.
        arguments: Of the command line; the config is the first that ends as a config does and is neither an option nor
            the value of one. Those of this process if omitted.

    Returns:
        The exit code: 0, or 2 after one sentence where there is no such config, scope or toolkit.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    place = _place_of_config(arguments)
    if place is None and {'-h', '--help'} & set(arguments):
        print(HELP.format(script=script, Script=script.capitalize()), end='')
        return 0
    try:
        if place is None:
            raise ValueError(f'tools/{script}.py needs a config: python tools/{script}.py CONFIG [arguments]')
        config = find_config(arguments[place])
        host = host_script(scope_of(config), script)
    except (ValueError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    arguments[place] = str(config)
    sys.argv = [str(host), *arguments]
    sys.path[0] = str(host.parent)  # as Python would have it; ours has a test.py, too
    import mixpro_mm.utils.host_prints  # noqa: F401, here as mim asks for help before each run

    runpy.run_path(str(host), run_name='__main__')
    return 0


class _Parser(argparse.ArgumentParser):
    """Raises ValueError instead of ending the process."""

    def error(self, message: str) -> None:
        raise ValueError(message)


def _place_of_config(arguments: Sequence[str]) -> int | None:
    # finds the values of options as the scripts do
    parser = _Parser(add_help=False)
    for option in WITH_VALUE:
        parser.add_argument(f'--{option}', nargs='?')
    parser.add_argument('--cfg-options', nargs='*')
    parser.add_argument('--show', action='store_true')  # else it would be taken for --show-dir, cut short
    numbered = [word if word.startswith('-') else str(n) for n, word in enumerate(arguments)]
    try:
        rest = parser.parse_known_args(numbered)[1]
    except ValueError:  # an abbreviation of options of several scripts: the script itself will tell
        rest = numbered
    places = (int(word) for word in rest if word.isdigit())
    return next((n for n in places if arguments[n].endswith(SUFFIXES)), None)


def scope_of(config: str | Path) -> str:
    """The toolkit a config is for: 'mmpretrain', 'mmseg' or 'mmdet'.

    Raises:
        ValueError: if its ``default_scope`` is another or missing, or it cannot be read.
    """
    from mixpro_mm.utils.config_walk import read_config  # here, for mim asks for help before each run

    scope = read_config(config).get('default_scope')
    if scope not in HOSTS:
        said = 'no default_scope' if scope is None else f'default_scope {scope!r}'
        raise ValueError(f'{config} has {said}; mixpro_mm can run configs of {", ".join(HOSTS)}')
    return scope


def host_script(scope: str, script: str) -> Path:
    """Where a toolkit keeps its train or test script: in its ``.mim``, or beside its module in a checkout.

    Raises:
        FileNotFoundError: if the toolkit is not installed, or is without scripts.
    """
    spec = importlib.util.find_spec(scope)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f'this config is for {scope}, which is not installed: mim install {HOSTS[scope]}')
    module = Path(spec.origin).parent
    for tools in (module / '.mim' / 'tools', module.parent / 'tools'):
        if (tools / f'{script}.py').is_file():
            return tools / f'{script}.py'
    raise FileNotFoundError(f'{module} was installed without .mim/tools/{script}.py: install {HOSTS[scope]} anew')
