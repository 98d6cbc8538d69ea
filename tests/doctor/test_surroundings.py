"""Checks that import nothing."""

import shutil
from collections import namedtuple

import pytest

from mixpro_mm.doctor import surroundings
from mixpro_mm.doctor.known import KNOWN

Usage = namedtuple('Usage', 'total used free')
GB = 1024**3


@pytest.mark.parametrize(
    'version, status', [((3, 9, 1), 'problem'), ((3, 10, 0), 'ok'), ((3, 12, 9), 'ok'), ((3, 13, 0), 'problem')]
)
def test_python(version, status, mends):
    finding = surroundings.check_python(version)
    assert finding.status == status
    mends(finding)


def test_one_family_alone_is_silent():
    assert list(surroundings.check_families(KNOWN)) == []
    assert list(surroundings.check_families({'mmengine': '0.10.7', 'mmcv': '2.1.0', 'mmdet': '3.3.0'})) == []


def test_two_distributions_of_one_folder(mends):
    found = list(surroundings.check_families(KNOWN | {'mmdet': '3.3.0', 'mmcv-lite': '2.2.0'}))
    assert [finding.status for finding in found] == ['problem', 'problem']
    assert found[1].found == 'onedl-mmdetection 3.5.1 and mmdet 3.3.0 write over the same folder mmdet'
    assert (
        mends(found[1])
        == 'python -m pip uninstall -y onedl-mmdetection mmdet && python -m pip install onedl-mmdetection==3.5.1'
    )
    assert mends(found[0]).startswith('python -m pip uninstall -y onedl-mmcv mmcv-lite && MMCV_WITH_OPS=1 ')


def test_mmcv_beside_its_lite_build_in_the_original_family(mends):
    found = list(surroundings.check_families({'mmcv': '2.1.0', 'mmcv-lite': '2.2.0'}))
    assert [finding.found for finding in found] == ['mmcv 2.1.0 and mmcv-lite 2.2.0 write over the same folder mmcv']
    mends(found[0])


def test_families_mixed(mends):
    found = list(surroundings.check_families({'mmengine': '0.10.7', 'onedl-mmcv': '2.3.6'}))
    assert [(finding.status, finding.found[:15]) for finding in found] == [('warning', 'mmengine 0.10.7')]
    assert mends(found[0]) == 'python -m pip uninstall -y mmengine && python -m pip install onedl-mmengine==0.10.12'


def test_the_known_set_is_compared_to_know():
    assert surroundings.check_known_set(KNOWN).found == 'those known to work together'
    other = surroundings.check_known_set(KNOWN | {'torch': '2.9.0'})
    assert (other.status, other.found) == ('ok', 'others than known to work: torch 2.9.0 (2.11.0)')
    assert surroundings.check_known_set({}).found.startswith('nothing')


def test_opencv_twice(mends):
    assert surroundings.check_opencv({'opencv-python': '4.12.0.88'}) is None
    same = {'opencv-python': '4.12.0.88', 'opencv-python-headless': '4.12.0.88'}
    assert surroundings.check_opencv(same).status == 'ok'
    finding = surroundings.check_opencv(same | {'opencv-contrib-python': '4.9.0.80'})
    assert finding.status == 'warning' and 'half of each' in finding.found
    assert mends(finding).endswith(
        'opencv-contrib-python==4.12.0.88 opencv-python==4.12.0.88 opencv-python-headless==4.12.0.88'
    )


@pytest.mark.parametrize(
    'versions, has, status',
    [
        ({'setuptools': '82.0.0', 'onedl-mmcv': '2.3.6'}, False, 'warning'),  # built already
        ({'setuptools': '82.0.0'}, False, 'problem'),
        ({'setuptools': '82.0.0', 'mmcv': '2.1.0', 'openmim': '0.3.9'}, False, 'problem'),  # mim does not start
        ({}, False, 'problem'),
        ({'setuptools': '81.0.0'}, True, 'ok'),
    ],
)
def test_setuptools(versions, has, status, mends):
    finding = surroundings.check_setuptools(versions, has)
    assert finding.status == status
    if status != 'ok':
        assert mends(finding) == 'python -m pip install "setuptools>=80,<82"'


@pytest.mark.parametrize('free, status', [(20 * GB, 'ok'), (2 * GB, 'warning'), (GB // 100, 'problem')])
def test_disk(free, status, tmp_path, monkeypatch, mends):
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: Usage(100 * GB, 0, free))
    finding = surroundings.check_disk(tmp_path / 'not' / 'yet')
    assert finding.status == status
    mends(finding)


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch, mends):
    monkeypatch.setattr(surroundings.os, 'access', lambda path, mode: False)  # root may write anywhere
    finding = surroundings.check_disk(tmp_path / 'runs')
    assert finding.status == 'problem' and f'{tmp_path} cannot be written to' in finding.found
    mends(finding)


@pytest.mark.parametrize(
    'total, workers, status',
    [(GB // 16, None, 'warning'), (GB // 16, 4, 'warning'), (GB // 16, 0, 'ok'), (8 * GB, 4, 'ok')],
)
def test_shared_memory(total, workers, status, tmp_path, monkeypatch, mends):
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: Usage(total, 0, total))
    finding = surroundings.check_shm(workers, str(tmp_path))
    assert finding.status == status
    mends(finding)
    assert surroundings.check_shm(workers, str(tmp_path / 'none')) is None
