"""The command line of the doctor, also in broken environments."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import packaging
import pytest

from mixpro_mm.doctor.steps import STEPS, run_steps

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def empty(tmp_path_factory):
    """Return python and site-packages of a virtual environment with only this package and ``packaging``."""
    folder = tmp_path_factory.mktemp('empty')
    venv.create(folder, with_pip=False, symlinks=True)
    packages = next(folder.glob('lib/python*/site-packages'))
    (packages / 'packaging').symlink_to(Path(packaging.__file__).parent)
    return folder / 'bin' / 'python', packages


def doctor(python, *arguments, **kwargs):
    clean = {key: value for key, value in os.environ.items() if not key.startswith(('PYTHON', 'COV'))}
    clean['PYTHONPATH'] = str(ROOT)
    command = [str(python), '-m', 'mixpro_mm.doctor', *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=clean, **kwargs)


def test_an_empty_environment(empty, tmp_path):
    done = doctor(empty[0], '--json', cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    torch, rest = report['findings'][1:]
    assert report['starts'] is False and torch['fix'] == 'python -m pip install torch==2.11.0 torchvision==0.26.0'
    assert (torch['status'], torch['check'], torch['found']) == ('problem', 'torch', 'not installed')
    assert (rest['status'], rest['found']) == ('warning', 'the checks that need torch did not run')
    done = doctor(empty[0], 'no/such.py', cwd=tmp_path)
    assert done.returncode == 2 and 'there is no config at no/such.py' in done.stderr
    assert not list(tmp_path.iterdir())


def test_an_import_that_aborts(empty, tmp_path):
    python, packages = empty
    for name, version in (('opencv_python', '4.12.0.88'), ('opencv_contrib_python', '4.9.0.80')):
        folder = packages / f'{name}-{version}.dist-info'
        folder.mkdir()
        (folder / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')
        (folder / 'top_level.txt').write_text('cv2')
    (packages / 'half-1.dist-info').mkdir()  # of an interrupted installation
    (packages / 'torch.py').write_text('import os\nprint("on stdout")\nos.write(2, b"CUDA: no good\\n")\nos.abort()\n')
    done = doctor(python, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, '')
    _, cv2, _, torch, fix, *_, verdict = done.stdout.splitlines()
    builds = 'opencv-contrib-python 4.9.0.80 and opencv-python 4.12.0.88 install the same package cv2'
    assert cv2 == f'warning  cv2            {builds}'
    assert torch == 'problem  torch          its process ended with SIGABRT: CUDA: no good'
    assert fix.strip() == '-> python -m pip install torch==2.11.0 torchvision==0.26.0'
    assert verdict == 'training will not start (problems: 1, warnings: 2)'


def test_other_steps_run_after_one_that_ends_or_hangs(tmp_path, monkeypatch):
    (tmp_path / 'cv2.py').write_text('import ctypes\nctypes.string_at(0)\n')
    (tmp_path / 'mmcv.py').write_text('raise SystemExit(3)\n')
    (tmp_path / 'mim.py').write_text('print("chatter")\n')
    (tmp_path / 'torch.py').write_text('import time\nwhile True: time.sleep(60)\n')
    monkeypatch.setenv('PYTHONPATH', f'{tmp_path}:{ROOT}')
    found = dict(run_steps(['cv2', 'mmcv', 'mim']))
    assert found['cv2']['error'].startswith('its process ended with SIGSEGV')
    assert found['mmcv'] == dict(error='SystemExit: 3') and found['mim']['findings'][0]['status'] == 'ok'
    assert list(run_steps(['torch'], timeout_s=0.5)) == [('torch', dict(error='did not finish within 0.5 seconds'))]


@pytest.mark.long
def test_this_environment_and_a_config_of_ours_will_train(tmp_path):
    """The config is found by its name from another directory."""
    done = doctor(sys.executable, 'deit-micro_mixpro_digits.py', cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == 'training will start (problems: 0, warnings: 0)'
    checks = [line.split()[1] for line in lines[:-2]]
    assert [step for step in STEPS if step not in checks] == ['toolkits']
    assert 'reads its own checkpoints' in done.stdout and 'resolve from mmpretrain, mmseg, mmdet' in done.stdout
    assert 'train_dataloader: 1442 samples, 8 loaded' in done.stdout
