"""Checks of installed distributions, and fixes of real import errors."""

import importlib.metadata
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from mixpro_mm.doctor import steps
from mixpro_mm.doctor.__main__ import evaluate_error
from mixpro_mm.doctor.environment import KNOWN, check_environment, installed

ROOT = Path(__file__).parents[2]
BUILD = 'MMCV_WITH_OPS=1 python -m pip install --no-build-isolation'


def environment(**owners):
    """Return an environment from distributions of modules, such as ``mmcv='onedl-mmcv==2.3.6; mmcv==2.2.0'``."""
    return {module: dict(pin.split('==') for pin in text.split('; ')) for module, text in owners.items()}


ONEDL = environment(**KNOWN)
ORIGINAL = environment(torch='torch==2.1.2', mmengine='mmengine==0.10.7', mmcv='mmcv==2.2.0', mmdet='mmdet==3.3.0')


def wrong(environment):
    return [finding for finding in check_environment(environment) if finding.status != 'ok']


def test_versions():
    assert set(KNOWN.values()) <= {*(ROOT / 'requirements/constraints.txt').read_text().splitlines()}
    assert [(finding.status, finding.found) for finding in check_environment(ONEDL)] == [('ok', 'all tested')]
    found = next(check_environment(environment(torch='torch==2.9.0+cu130', mmcv='onedl-mmcv==2.3.6'))).found
    assert found == 'tested, except torch 2.9.0+cu130 (2.11.0)'
    assert wrong(ORIGINAL) == wrong(environment()) == []


@pytest.mark.parametrize(
    'module, pins, status, fix',
    [
        ('mmdet', 'mmdet==3.3.0; onedl-mmdetection==3.5.1', 'problem', 'uninstall -y mmdet onedl-mmdetection && '),
        ('mmcv', 'mmcv==2.1.0; mmcv-lite==2.2.0', 'problem', f'uninstall -y mmcv mmcv-lite && {BUILD}'),
        ('cv2', 'opencv-python==4.9.0.80; opencv-python-headless==4.12.0.88', 'warning', 'opencv-python==4.12.0.88 '),
        ('cv2', 'opencv-python==4.12.0.88; opencv-python-headless==4.12.0.88', None, ''),
    ],
)
def test_two_distributions_of_one_package(module, pins, status, fix, fixes):
    found = wrong(environment(**{module: pins}))
    assert [finding.status for finding in found] == [status] * bool(status)
    for finding in found:
        assert finding.found == f'{pins.replace("==", " ").replace(";", " and")} install the same package {module}'
        assert fix in fixes(finding)


def test_torchvision_of_another_torch(monkeypatch, fixes):
    monkeypatch.setattr(importlib.metadata, 'requires', lambda name: ['numpy', 'torch==2.11.0', 'gdown; extra == "x"'])
    (finding,) = wrong(environment(torch='torch==2.9.1+cu126', torchvision='torchvision==0.26.0'))
    assert finding.found == 'torchvision 0.26.0 requires torch==2.11.0, but torch 2.9.1+cu126 is installed'
    assert fixes(finding) == 'python -m pip install torch==2.9.1+cu126 torchvision'
    assert wrong(environment(torch='torch==2.11.0+cpu', torchvision='torchvision==0.26.0')) == []


def test_distributions_are_read_from_metadata(tmp_path, monkeypatch):
    for name, version in (('Onedl_MMCV', '2.3.6'), ('mmcv.lite', '2.2.0')):
        folder = tmp_path / f'{name}-{version}.dist-info'
        folder.mkdir()
        (folder / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')
        (folder / 'top_level.txt').write_text('mmcv\n')
    (tmp_path / 'half-1.dist-info').mkdir()  # of an interrupted installation
    monkeypatch.setattr('sys.path', [str(tmp_path)])
    assert installed()['mmcv'] == {'mmcv-lite': '2.2.0', 'onedl-mmcv': '2.3.6'}


LIBGL = 'ImportError: libGL.so.1: cannot open shared object file: No such file or directory'
SYMBOL = 'ImportError: mmcv/_ext.cpython-311-x86_64-linux-gnu.so: undefined symbol: _ZNK3c1010TensorImpl27throw_data'
UNREAD = 'RuntimeError: cannot read its own checkpoints with torch 2.6.0: numpy.core.multiarray._reconstruct'
KNOWN_MMENGINE = 'python -m pip uninstall -y mmengine && python -m pip install onedl-mmengine==0.10.12'
NO_EXT = "ModuleNotFoundError: No module named 'mmcv._ext'"


@pytest.mark.parametrize(
    'step, error, environment, fix',
    [
        ('cv2', LIBGL, ONEDL, 'opencv-python-headless==4.12.0.88'),
        ('mmcv.ops', SYMBOL, ONEDL, BUILD),
        ('mmcv.ops', 'AssertionError: nms on cpu kept boxes [0], not [0, 2]', ONEDL, BUILD),
        ('mmcv.ops', NO_EXT, environment(mmcv='mmcv-lite==2.2.0'), f'python -m pip uninstall -y mmcv-lite && {BUILD}'),
        ('mmcv', 'ValueError: numpy.dtype size changed, may indicate binary incompatibility', ONEDL, BUILD),
        ('mmcv', "ModuleNotFoundError: No module named 'yapf'", ONEDL, 'python -m pip install yapf'),
        ('mmengine', "KeyError: 'Adafactor is already registered in optimizer'", ORIGINAL, KNOWN_MMENGINE),
        ('mmengine', UNREAD, ORIGINAL, KNOWN_MMENGINE),
        ('mmengine', "ModuleNotFoundError: No module named 'mmengine'", ONEDL, '--force-reinstall --no-deps onedl-mm'),
        ('mmdet', 'AssertionError: MMCV==2.2.0 is used.', ORIGINAL, 'install onedl-mmdetection==3.5.1'),
        ('mmdet', 'ImportError: numpy.core.multiarray failed to import', ORIGINAL, 'python -m pip install "numpy<2"'),
        ('mmdet', "ModuleNotFoundError: No module named 'sklearn.x'", ONEDL, 'python -m pip install scikit-learn'),
        ('mmseg', "ModuleNotFoundError: No module named 'ftfy'", ONEDL, 'python -m pip install ftfy'),
        ('mim', "ModuleNotFoundError: No module named 'pkg_resources'", ORIGINAL, '"setuptools>=80,<82"'),
        ('mmpretrain', "SyntaxError: '(' was never closed", ONEDL, '--force-reinstall --no-deps onedl-mmpretrain==1.3'),
        ('torch', 'OSError: libcublas.so.12: cannot open', ORIGINAL, 'pip install torch==2.11.0 torchvision==0.26.0'),
        ('torch', 'RuntimeError: Numpy is not available', ORIGINAL, 'python -m pip install "numpy<2"'),
        ('registries', 'TypeError: x', ONEDL, 'python -m pip install --no-build-isolation --no-deps -e .'),
    ],
)  # fmt: skip
def test_fixes_of_import_errors(step, error, environment, fix, fixes):
    finding = evaluate_error(step, error, environment)
    assert (finding.status, finding.check) == ('problem', step)
    assert finding.found == error
    assert fix in fixes(finding)


@pytest.mark.parametrize('toolkits, status', [(None, 'problem'), (['mmdet'], 'problem'), (['mmpretrain'], 'warning')])
def test_errors_of_unused_toolkits_are_warnings(toolkits, status):
    assert evaluate_error('mmcv.ops', 'ImportError: x', ONEDL, toolkits).status == status
    assert evaluate_error('mmdet', "ModuleNotFoundError: No module named 'mmdet'", ONEDL, toolkits).status == status
    assert evaluate_error('mmseg', "ModuleNotFoundError: No module named 'mmseg'", {}, toolkits).status == 'warning'
    assert evaluate_error('data', 'did not finish within 600 seconds', ONEDL, toolkits).status == 'warning'


def test_gpus(monkeypatch, fixes):
    def found(seen=0, devices=0, cuda='13.0', error=None):
        """Return the finding for numbers of GPUs in torch and in /dev, and an error of the first kernel."""
        failing = Mock(side_effect=RuntimeError(error))
        monkeypatch.setattr(torch, 'ones', lambda *shape, device=None: failing() if device and error else Mock())
        monkeypatch.setattr(torch, '__version__', '2.9.1')
        monkeypatch.setattr(torch.version, 'cuda', cuda)
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: seen > 0)
        monkeypatch.setattr(torch.cuda, 'device_count', lambda: seen)
        monkeypatch.setattr(torch.cuda, 'get_device_name', lambda index: 'NVIDIA H100')
        monkeypatch.setattr(steps.glob, 'glob', lambda pattern: ['/dev/nvidia0'] * devices)
        return steps.TESTS['torch']()[1]

    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    assert found().found == 'none: training runs on the CPU'
    assert found(seen=8).found == '8 x NVIDIA H100; torch 2.9.1 built for CUDA 13.0'
    finding = found(devices=1, cuda=None)
    assert finding.found == 'torch 2.9.1 built without CUDA cannot use /dev/nvidia0: CUDA is not available'
    assert fixes(finding).startswith('python -m pip uninstall -y torch torchvision  # ')
    finding = found(seen=1, error='no kernel image is available')
    assert finding.found.endswith('for CUDA 13.0 cannot use NVIDIA H100: no kernel image is available')
    assert finding.status == found(devices=1).status == 'problem'
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    assert found(devices=1).status == 'ok'


@pytest.mark.parametrize('step', ['mmengine', 'mmcv.ops', 'registries'])
def test_steps_in_this_environment(step):
    assert [(finding.status, finding.check) for finding in steps.TESTS[step]()] == [('ok', step)]
