"""Checks of installed distributions, and fixes of real import errors."""

import importlib.metadata
import re
import shlex
from pathlib import Path
from unittest.mock import Mock

import mmcv.ops
import pytest
import torch
import torchvision

from mixpro_mm.doctor import steps
from mixpro_mm.doctor.__main__ import evaluate_error
from mixpro_mm.doctor.environment import KNOWN, check_environment
from mixpro_mm.utils.mmcv_ops import extension

ROOT = Path(__file__).parents[2]
PURE = 'python -m pip install --no-cache-dir onedl-mmcv==2.3.6'
AGAIN = 'python -m pip install --force-reinstall --no-deps --no-cache-dir onedl-mmcv==2.3.6'


def checked(fix):
    """Return a fix after checking that the options of its pip commands exist."""
    from pip._internal.commands import create_command  # pip before setuptools would break the import of mim

    for command in fix.split(' && '):
        words = [word for word in shlex.split(command, comments=True) if not re.fullmatch(r'[A-Z_]+=\S*', word)]
        assert words[:3] == ['python', '-m', 'pip']
        assert create_command(words[3]).parser.parse_args(words[4:])[1] or '-e' in words, command
    return fix


def environment(**owners):
    """Return an environment from distributions of modules, such as ``mmcv='onedl-mmcv==2.3.6; mmcv==2.2.0'``."""
    return {module: dict(pin.split('==') for pin in text.split('; ')) for module, text in owners.items()}


ONEDL = environment(**KNOWN)
VISION = 'torchvision 0.26.0 requires torch==2.11.0, but torch 2.9.1+cu126 is installed'
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
    'pins, found, fix',
    [
        (
            dict(mmdet='mmdet==3.3.0; onedl-mmdetection==3.5.1'),
            'mmdet 3.3.0 and onedl-mmdetection 3.5.1 ins',
            'y mmdet on',
        ),
        (dict(mmcv='mmcv==2.1.0; mmcv-lite==2.2.0'), 'install the same package mmcv', f'-y mmcv mmcv-lite && {PURE}'),
        (dict(cv2='opencv-python==4.9.0.80; headless==4.12.0.88'), 'same package cv2', 'opencv-python==4.12.0.88 head'),
        (dict(cv2='opencv-python==4.12.0.88; opencv-python-headless==4.12.0.88'), None, None),
        (dict(torch='torch==2.9.1+cu126', torchvision='torchvision==0.26.0'), VISION, 'torch==2.9.1+cu126 torchvision'),
        (dict(torch='torch==2.11.0+cpu', torchvision='torchvision==0.26.0'), None, None),
    ],
)
def test_conflicts(pins, found, fix, monkeypatch):
    monkeypatch.setattr(importlib.metadata, 'requires', lambda name: ['numpy', 'torch==2.11.0', 'gdown; extra == "x"'])
    conflicts = wrong(environment(**pins))
    assert len(conflicts) == (found is not None)
    for conflict in conflicts:
        assert found in conflict.found and fix in checked(conflict.fix)
        assert conflict.status == ('warning' if 'cv2' in pins else 'problem')


LIBGL = 'ImportError: libGL.so.1: cannot open shared object file: No such file or directory'
SYMBOL = 'ImportError: mmcv/_ext.cpython-311-x86_64-linux-gnu.so: undefined symbol: _ZNK3c1010TensorImpl27throw_data'
UNREAD = 'RuntimeError: cannot read its own checkpoints with torch 2.6.0: numpy.core.multiarray._reconstruct'
KNOWN_MMENGINE = 'python -m pip uninstall -y mmengine && python -m pip install onedl-mmengine==0.10.12'
NO_CUDA = 'RuntimeError: compiled by GCC 12.2, do not run on cuda: nms_impl: implementation for device cuda:0'
NO_VISION = "RuntimeError: ops of torchvision 0.25.0+cpu, do not run on cuda: Could not run 'torchvision::nms' with"
NO_EXT = "ModuleNotFoundError: No module named 'mmcv._ext'"


@pytest.mark.parametrize(
    'step, error, environment, fix',
    [
        ('cv2', LIBGL, ONEDL, 'opencv-python-headless==4.12.0.88'),
        ('mmcv.ops', SYMBOL, ONEDL, AGAIN),
        ('mmcv.ops', NO_CUDA, ONEDL, AGAIN),
        ('mmcv.ops', NO_VISION, environment(torchvision='torchvision==0.25.0+cpu'), '--no-deps torchvision==0.25.0'),
        ('mmcv.ops', NO_EXT, environment(mmcv='mmcv-lite==2.2.0'), f'python -m pip uninstall -y mmcv-lite && {PURE}'),
        ('mmcv.ops', NO_EXT, ONEDL, 'python -m pip install --no-build-isolation --no-deps -e .'),
        ('mmcv', 'ValueError: numpy.dtype size changed, may indicate binary incompatibility', ONEDL, AGAIN),
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
def test_fixes_of_import_errors(step, error, environment, fix):
    finding = evaluate_error(step, error, environment)
    assert (finding.status, finding.check, finding.found) == ('problem', step, error) and fix in checked(finding.fix)


@pytest.mark.parametrize('toolkits, status', [(None, 'problem'), (['mmdet'], 'problem'), (['mmpretrain'], 'warning')])
def test_errors_of_unused_toolkits_are_warnings(toolkits, status):
    assert evaluate_error('mmcv.ops', 'ImportError: x', ONEDL, toolkits).status == status
    assert evaluate_error('mmdet', "ModuleNotFoundError: No module named 'mmdet'", ONEDL, toolkits).status == status
    assert evaluate_error('mmseg', "ModuleNotFoundError: No module named 'mmseg'", {}, toolkits).status == 'warning'
    assert evaluate_error('data', 'did not finish within 600 seconds', ONEDL, toolkits).status == 'warning'


@pytest.mark.parametrize(
    'seen, devices, cuda, error, words',
    [
        (0, 0, '13.0', None, 'ok none: training runs on the CPU'),
        (8, 8, '13.0', None, 'ok 8 x NVIDIA H100; torch 2.9.1 built for CUDA 13.0'),
        (0, 1, None, None, 'problem torch 2.9.1 built without CUDA cannot use /dev/nvidia0: CUDA is not available'),
        (0, 1, '13.0', None, 'problem torch 2.9.1 built for CUDA 13.0 cannot use /dev/nvidia0: CUDA is not available'),
        (1, 1, '13.0', 'no kernel', 'problem torch 2.9.1 built for CUDA 13.0 cannot use NVIDIA H100: no kernel'),
    ],
)
def test_gpus(seen, devices, cuda, error, words, monkeypatch):
    """The GPUs are those that torch and /dev have; the error is that of the first kernel."""
    failing = Mock(side_effect=RuntimeError(error))
    monkeypatch.setattr(torch, 'ones', lambda *shape, device=None: failing() if device and error else Mock())
    monkeypatch.setattr(torch, '__version__', '2.9.1')
    monkeypatch.setattr(torch.version, 'cuda', cuda)
    for name, value in dict(is_available=seen > 0, device_count=seen, get_device_name='NVIDIA H100').items():
        monkeypatch.setattr(torch.cuda, name, lambda *args, value=value: value)
    monkeypatch.setattr(steps.glob, 'glob', lambda pattern: ['/dev/nvidia0'] * devices)
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    gpu = steps.TESTS['torch']()[1]
    assert f'{gpu.status} {gpu.found}' == words
    assert gpu.status == 'ok' or 'uninstall -y torch torchvision  # ' in checked(gpu.fix)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    assert error or steps.TESTS['torch']()[1].status == 'ok'


def test_substitutes_that_are_turned_off(monkeypatch):
    monkeypatch.setenv('MIXPRO_MM_MMCV_OPS', '0')
    assert evaluate_error('mmcv.ops', NO_EXT, ONEDL).fix == 'unset MIXPRO_MM_MMCV_OPS'


@pytest.mark.parametrize('compiled', [True, False])
def test_ops_in_use_and_their_devices(compiled, monkeypatch):
    """Where ops do not run on a device, as those that were compiled without CUDA, an error says so."""
    module = Mock(get_compiler_version=lambda: 'GCC 12.2') if compiled else extension
    monkeypatch.setattr(mmcv.ops.info, 'ext_module', module)
    monkeypatch.setattr(mmcv._ext, '__file__', '_ext.so' if compiled else extension.__file__)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    (finding,) = steps.TESTS['mmcv.ops']()
    kind = 'compiled by GCC 12.2' if compiled else f'ops of torchvision {torchvision.__version__}'
    assert (finding.status, finding.found) == ('ok', f'{kind}, run on cpu')
    monkeypatch.setattr(mmcv.ops, 'nms', Mock(side_effect=RuntimeError('no implementation')))
    with pytest.raises(RuntimeError) as raised:
        steps.TESTS['mmcv.ops']()
    assert str(raised.value) == f'{kind}, do not run on cpu: no implementation'


def test_steps_in_this_environment():
    for step in ('mmengine', 'mmcv.ops', 'registries'):
        assert [(finding.status, finding.check) for finding in steps.TESTS[step]()] == [('ok', step)]
