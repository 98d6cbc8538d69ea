"""The finder of the substitutes, which Python installs at its start."""

import os
import subprocess
import sys

import pytest

STARTED = "import sys; print([f.__name__ for f in sys.meta_path if 'Mmcv' in str(f)], *sys.modules)"
SEARCH = "from importlib.util import find_spec; print(getattr(find_spec('mmcv._ext'), 'origin', None))"
WORKER = """
import multiprocessing
from importlib.util import find_spec

if __name__ == '__main__':
    with multiprocessing.get_context('spawn').Pool(1) as pool:
        print(pool.apply(find_spec, ['mmcv._ext']).origin)
"""


@pytest.fixture
def python(tmp_path):
    """Return a function that runs Python where mmcv is an empty package, or one with a module ``_ext``."""

    def run(*arguments, extension=False, **settings):
        (tmp_path / 'mmcv').mkdir(exist_ok=True)
        (tmp_path / 'mmcv' / '__init__.py').touch()
        if extension:
            (tmp_path / 'mmcv' / '_ext.py').touch()
        path = os.pathsep.join((str(tmp_path), os.environ.get('PYTHONPATH', '')))
        env = dict(os.environ, PYTHONPATH=path, OMP_NUM_THREADS='1', **settings)
        env = {name: value for name, value in env.items() if value is not None}
        result = subprocess.run([sys.executable, *arguments], env=env, capture_output=True, text=True, timeout=300)
        return result.stdout + result.stderr

    (tmp_path / 'worker.py').write_text(WORKER)
    (tmp_path / 'script.py').write_text(SEARCH)
    return run


def test_python_starts_with_the_finder_and_imports_nothing_else(python):
    finders, *modules = python('-c', STARTED).replace('] ', ']\n', 1).split()
    assert 'MmcvOpsFinder' in finders
    assert not [name for name in modules if name.partition('.')[0] in ('torch', 'torchvision', 'mmcv', 'mixpro_mm')]


@pytest.mark.parametrize('command', [['script.py'], ['worker.py'], ['-m', 'torch.distributed.run', 'script.py']])
def test_each_process_finds_the_substitutes(command, python, tmp_path):
    """A script, a spawned worker and a launcher."""
    said = python(*command[:-1], str(tmp_path / command[-1]))
    assert said.splitlines()[-1].endswith('mixpro_mm/utils/mmcv_ops/extension.py'), said


def test_an_extension_of_mmcv_takes_precedence(python, tmp_path):
    assert python('-c', SEARCH, extension=True).strip() == str(tmp_path / 'mmcv' / '_ext.py')


def test_the_finder_is_turned_off(python):
    assert python('-c', SEARCH, MIXPRO_MM_MMCV_OPS='0').strip() == 'None'
