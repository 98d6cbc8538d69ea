"""Run the train or test script of the toolkit that a config belongs to (``mim train mixpro_mm``)."""

import argparse
import importlib.util
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from mixpro_mm.utils.configs import find_config, read_config

__all__ = ['main', 'scope_of', 'toolkit_script']

# default_scope of a config, also the name of the toolkit's module -> package
TOOLKITS = dict(mmpretrain='onedl-mmpretrain', mmseg='onedl-mmsegmentation', mmdet='onedl-mmdetection')
SUFFIXES = ('.py', '.json', '.yaml', '.yml')  # of configs that mmengine reads
# options of the train and test scripts with a value
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

{Script}s CONFIG with the {script} script of mmpretrain, mmseg or mmdet, according to its default_scope. CONFIG is a
path or the name of a config of mixpro_mm. All arguments are passed to that script. Show its options with

    python tools/{script}.py CONFIG --help
"""


def main(script: str, arguments: Sequence[str] | None = None) -> int:
    """Run ``tools/{script}.py`` of the toolkit in this process.

    Args:
        script: 'train' or 'test'.
        arguments: Command line; that of this process by default. The config is the first argument with the suffix of a
            config that is neither an option nor the value of one.

    Returns:
        The exit code: 0, or 2 if there is no such config, scope or toolkit.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    position = _config_position(arguments)
    if position is None and {'-h', '--help'} & set(arguments):
        print(HELP.format(script=script, Script=script.capitalize()), end='')
        return 0
    try:
        if position is None:
            raise ValueError(f'tools/{script}.py needs a config: python tools/{script}.py CONFIG [arguments]')
        config = find_config(arguments[position])
        path = toolkit_script(scope_of(config), script)
    except (ValueError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    arguments[position] = str(config)
    sys.argv = [str(path), *arguments]
    sys.path[0] = str(path.parent)  # as in a direct run; tools/ here has a test.py, too
    import mixpro_mm.utils.host_prints  # noqa: F401, imported late because mim asks for help before each run

    runpy.run_path(str(path), run_name='__main__')
    return 0


class _Parser(argparse.ArgumentParser):
    """Argument parser that raises ValueError instead of exiting."""

    def error(self, message: str) -> None:
        raise ValueError(message)


def _config_position(arguments: Sequence[str]) -> int | None:
    parser = _Parser(add_help=False)
    for option in WITH_VALUE:
        parser.add_argument(f'--{option}', nargs='?')
    parser.add_argument('--cfg-options', nargs='*')
    parser.add_argument('--show', action='store_true')  # otherwise an abbreviation of --show-dir
    numbered = [word if word.startswith('-') else str(n) for n, word in enumerate(arguments)]
    try:
        rest = parser.parse_known_args(numbered)[1]
    except ValueError:  # ambiguous abbreviation; the script reports it
        rest = numbered
    positions = (int(word) for word in rest if word.isdigit())
    return next((n for n in positions if arguments[n].endswith(SUFFIXES)), None)


def scope_of(config: str | Path) -> str:
    """Return the toolkit of a config: 'mmpretrain', 'mmseg' or 'mmdet'.

    Raises:
        ValueError: If its ``default_scope`` is missing or unknown, or the config cannot be read.
    """
    scope = read_config(config).get('default_scope')
    if scope not in TOOLKITS:
        found = 'no default_scope' if scope is None else f'default_scope {scope!r}'
        raise ValueError(f'{config} has {found}; mixpro_mm can run configs of {", ".join(TOOLKITS)}')
    return scope


def toolkit_script(scope: str, script: str) -> Path:
    """Return the path of a toolkit's script, in its ``.mim`` or beside its module in a checkout.

    Raises:
        FileNotFoundError: If the toolkit is not installed or has no scripts.
    """
    spec = importlib.util.find_spec(scope)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f'this config needs {scope}, which is not installed: mim install {TOOLKITS[scope]}')
    module = Path(spec.origin).parent
    for tools in (module / '.mim' / 'tools', module.parent / 'tools'):
        if (tools / f'{script}.py').is_file():
            return tools / f'{script}.py'
    raise FileNotFoundError(f'{module} was installed without .mim/tools/{script}.py: reinstall {TOOLKITS[scope]}')
