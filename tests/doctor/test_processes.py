"""The doctor as it is called, in environments that are broken in earnest."""

import ast
import json
import os
import signal
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from mixpro_mm.doctor.probe import probe
from mixpro_mm.doctor.steps import _driver

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / 'mixpro_mm' / 'doctor').glob('*.py'))


@pytest.fixture(scope='module')
def empty(tmp_path_factory):
    """A virtual environment that holds this package and nothing else: its python, its folder of packages."""
    folder = tmp_path_factory.mktemp('empty')
    venv.create(folder, with_pip=False, symlinks=True)
    packages = next(folder.glob('lib/python*/site-packages'))
    (packages / 'mixpro_mm.pth').write_text(str(ROOT))
    return folder / 'bin' / 'python', packages


def doctor(python, *arguments, **kwargs):
    clean = {key: value for key, value in os.environ.items() if not key.startswith(('PYTHON', 'COV'))}
    command = [str(python), '-m', 'mixpro_mm.doctor', *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=clean, **kwargs)


def write(folder, name, source):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)


def install(folder, name, version):
    write(folder, f'{name}-{version}.dist-info/METADATA', f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')


def test_every_module_loads_with_the_standard_library_alone(empty, tmp_path):
    modules = [f'mixpro_mm.doctor.{path.stem}' for path in FILES if path.stem not in ('__init__', '__main__')]
    code = (
        f'import importlib, sys\nfor name in {modules}: importlib.import_module(name)\n'
        "print([name for name in sys.modules if name.startswith(('mm', 'torch', 'numpy', 'rich', 'packaging'))])"
    )
    done = subprocess.run([empty[0], '-c', code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == '[]'


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_a_python_that_is_too_old_gets_as_far_as_being_told(path):
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    annotated = any(isinstance(node, (ast.FunctionDef, ast.AnnAssign)) for node in ast.walk(tree))
    assert not annotated or 'from __future__ import annotations' in path.read_text()


def test_an_empty_environment_is_told_everything_it_lacks(empty, tmp_path):
    done = doctor(empty[0], '--json', cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    assert report['starts'] is False
    found = {finding['check']: finding for finding in report['findings']}
    for check in ('torch', 'torchvision', 'OpenCV', 'mmengine', 'mmcv', 'mmpretrain'):
        assert found[check]['status'] in ('problem', 'warning'), check
    assert found['torch'] == dict(
        status='problem',
        check='torch',
        found='not installed',
        mend='python -m pip install torch==2.11.0 torchvision==0.26.0',
    )
    assert found['mmpretrain']['found'] == 'not checked, for torch comes first'
    assert not list(tmp_path.iterdir())  # nothing is left behind


def test_a_broken_environment_is_told_line_by_line(empty, tmp_path):
    python, packages = empty
    for name, version in [
        ('torch', '2.11.0'),
        ('opencv_python', '4.12.0.88'),
        ('opencv_contrib_python', '4.9.0.80'),
        ('mmcv', '2.2.0'),
        ('onedl_mmcv', '2.3.6'),
        ('openmim', '0.3.9'),
        ('setuptools', '82.0.0'),
    ]:
        install(packages, name, version)
    write(
        packages, 'torch/__init__.py', 'import os\nprint("on stdout")\nos.write(2, b"CUDA: no good\\n")\nos.abort()\n'
    )
    libgl = 'libGL.so.1: cannot open shared object file: No such file or directory'
    write(packages, 'cv2/__init__.py', f'raise ImportError({libgl!r})\n')
    write(packages, 'mim/__init__.py', 'import pkg_resources\n')
    write(packages, 'mmengine/__init__.py', 'raise SystemExit(3)\n')
    done = doctor(python, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert done.stderr == ''
    lines = done.stdout.splitlines()
    told = {tuple(line.split()[:2]): line.split(None, 2)[2] for line in lines if line[:1] not in ('', ' ')}
    assert told['problem', 'torch'].endswith('the process that imported it died of SIGABRT: CUDA: no good')
    assert libgl in told['problem', 'OpenCV']
    assert told['problem', 'families'] == 'onedl-mmcv 2.3.6 and mmcv 2.2.0 write over the same folder mmcv'
    assert told['warning', 'mmengine'] == 'not checked, for torch comes first'  # and its SystemExit ended nothing
    assert "No module named 'pkg_resources'" in told['problem', 'mim']
    assert told['problem', 'setuptools'] == 'setuptools 82.0.0 has no pkg_resources: mmcv cannot be built'
    assert 'half of each' in done.stdout
    after = lines[next(index for index, line in enumerate(lines) if line.startswith('problem  OpenCV')) + 1]
    assert after.strip() == '-> python -m pip install --force-reinstall --no-deps opencv-python-headless==4.12.0.88'
    assert lines[-1].startswith('training will not start: 5 problems')
    assert '\033' not in done.stdout  # no colour where nobody looks


def test_a_step_that_kills_its_process_costs_only_itself(tmp_path, monkeypatch):
    write(tmp_path, 'cv2.py', 'import ctypes\nctypes.string_at(0)\n')
    write(tmp_path, 'mim.py', 'print("chatter")\n')
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    found = dict(probe(['cv2', 'mim']))
    assert found['mim'] == {}
    assert found['cv2']['error'].startswith('the process that imported it died of SIG')


def test_steps_that_do_not_end_are_ended_and_nothing_that_builds_on_them_is_waited_for(tmp_path, monkeypatch):
    """However little time a step is given, these take more; so how fast the machine is does not matter."""
    for name in ('torch', 'mim'):
        write(tmp_path, f'{name}.py', 'import time\nwhile True: time.sleep(60)\n')
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    started, begin = [], subprocess.Popen
    monkeypatch.setattr(
        subprocess, 'Popen', lambda *args, **kwargs: started.append(begin(*args, **kwargs)) or started[-1]
    )
    found = list(probe(['torch', 'mmcv', 'mim', 'config'], 'none.py', limit_s=0.6))
    assert [name for name, _ in found] == ['torch', 'mmcv', 'config', 'mim']
    assert {facts['error'] for _, facts in found} == {'the process that imported it did not end within 0.01 minutes'}
    assert [child.args[-2] for child in started] == ['torch,mmcv,mim,config', 'mim']
    assert [child.returncode for child in started] == [-signal.SIGKILL] * 2


def test_nvidia_smi_that_hangs_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / 'nvidia-smi').write_text(f'#!{sys.executable}\nimport time\nwhile True: time.sleep(60)\n')
    (tmp_path / 'nvidia-smi').chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path))
    assert _driver(limit_s=0.5) == (None, [], 'nvidia-smi did not answer within 0.5 seconds')
    (tmp_path / 'nvidia-smi').write_text(f'#!{sys.executable}\nprint("580.1, NVIDIA H100")\n')
    assert _driver(limit_s=1e6) == ('580.1', ['NVIDIA H100'], None)
    (tmp_path / 'nvidia-smi').unlink()
    assert _driver() == (None, [], None)


def test_a_wrong_call_is_told_apart(empty, tmp_path):
    done = doctor(empty[0], 'no/such.py', cwd=tmp_path)
    assert done.returncode == 2 and 'there is no file no/such.py' in done.stderr
    assert doctor(empty[0], '--repair', cwd=tmp_path).returncode == 2


@pytest.mark.slow
def test_this_environment_and_a_config_of_ours_will_train():
    done = doctor(sys.executable, 'configs/digits/deit-micro_mixpro_digits.py', cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'problem' not in done.stdout
    assert done.stdout.splitlines()[-1].startswith('training will start')
    for line in (
        'mmcv._ext computes',
        'reads its own checkpoints',
        'classes mixpro_mm.* resolve from mmpretrain, mmseg',
    ):
        assert line in done.stdout
