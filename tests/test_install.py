import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / 'requirements' / 'install.sh'


@pytest.mark.parametrize(
    ('setting', 'message'),
    [
        (dict(PYTHON='/no/such/python'), 'needs Python 3.10 to 3.13, but /no/such/python is missing'),
        (dict(MMCV='compiled', CXX='/no/such/compiler'), 'MMCV=compiled needs a C++ compiler'),
        (dict(MMCV='lite'), 'MMCV is pure or compiled, not lite'),
    ],
)
def test_a_missing_requirement_is_reported_before_installation(setting, message, tmp_path):
    (tmp_path / 'requirements').mkdir()
    copy = tmp_path / 'requirements' / 'install.sh'
    copy.write_text(SCRIPT.read_text())
    result = subprocess.run(['bash', str(copy)], env=os.environ | setting, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ['requirements']


@pytest.mark.parametrize(
    ('code', 'study'), [(0, 'configs/fashion/study_fashion.py'), (1, 'configs/digits/study_demo.py')]
)
def test_the_demo_runs_on_the_digits_where_fashion_mnist_cannot_be_fetched(code, study, tmp_path):
    python = tmp_path / 'python'
    python.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/calls\ncase $* in *fashion_mnist) exit {code};; esac\n')
    python.chmod(0o755)
    command = ['make', '--old-file=setup', 'demo', f'PYTHON_VENV={python}']
    subprocess.run(command, cwd=SCRIPT.parents[1], check=True, capture_output=True, timeout=60)
    calls = (tmp_path / 'calls').read_text().splitlines()
    assert calls == ['-m mixpro_mm.datasets.fashion_mnist', f'tools/study.py {study} --work-dir work_dirs/demo']
