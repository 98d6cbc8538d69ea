"""Facts as broken machines give them, in the words of the true errors, and what the doctor makes of each."""

import re
from pathlib import Path

import pytest

from mixpro_mm.doctor.errors import mend_import
from mixpro_mm.doctor.judge import judge
from mixpro_mm.doctor.known import KNOWN, installed, release
from mixpro_mm.doctor.pairs import matching_torchvision, ranges_in
from mixpro_mm.doctor.world import World

ROOT = Path(__file__).parents[2]
ONEDL = {name: version for name, version in KNOWN.items() if name.startswith('onedl-')} | {'torch': '2.11.0'}
ORIGINAL = {
    'torch': '2.1.2',
    'mmengine': '0.10.7',
    'mmcv': '2.2.0',
    'mmpretrain': '1.2.0',
    'mmsegmentation': '1.2.2',
    'mmdet': '3.3.0',
    'openmim': '0.3.9',
}
MMDET = {'mmdet': {'mmcv': ('2.0.0rc4', '2.2.0'), 'mmengine': ('0.7.1', '1.0.0')}}
GPU = dict(name='NVIDIA H100', gigabytes=79.6, capability='9.0')
TORCH = dict(
    version='2.11.0+cu130',
    cuda='13.0',
    numpy='2.2.6',
    bridge=None,
    said=None,
    archs=['sm_75', 'sm_80', 'sm_90', 'sm_100', 'sm_120', 'compute_120'],
    gpus=[],
    nccl='2.28.9',
    computes=None,
    driver=None,
    seen=[],
    unanswered=None,
    hidden=False,
)


def the_one(step, facts, world):
    findings = judge(step, facts, world)
    assert len(findings) == 1
    return findings[0]


def test_the_known_set_is_that_of_the_constraints():
    pins = dict(re.findall(r'^([\w-]+)==([\w.]+)', (ROOT / 'requirements/constraints.txt').read_text(), re.MULTILINE))
    assert {name: pins[name] for name in KNOWN} == KNOWN


@pytest.mark.parametrize('low, high', [('2.0.0rc4', '2.2.0'), ('1.9', '1.10'), ('2.1.0', '2.1.0.1'), ('0.10.7', '1')])
def test_versions_compare_by_number(low, high):
    assert release(low) < release(high)


def test_a_version_with_a_build_is_its_release():
    assert release('2.11.0+cu130') == release('2.11') == (2, 11, 0, 0)


def test_bounds_are_read_in_both_spellings():
    source = (
        "MMCV_MIN = '2.0.0rc4'\nMMCV_MAX = '2.2.0'\nMMENGINE_MIN = '0.5.0'\nMMENGINE_MAX = '1.0.0'\n"
        "assert 1, f'MMCV=={MMCV_MIN}'\n"
    )
    assert ranges_in(source) == {'mmcv': ('2.0.0rc4', '2.2.0'), 'mmengine': ('0.5.0', '1.0.0')}
    source = "mmcv_minimum_version = '2.0.0'\nmmcv_maximum_version = '2.4.0'\nmmcv_version = digit_version(x)\n"
    assert ranges_in(source) == {'mmcv': ('2.0.0', '2.4.0')}
    assert ranges_in("MMCV_MIN = '2.0.0'") == {}


@pytest.mark.parametrize('text', ['MMCV==2.2.0 is used but incompatible. Please install mmcv>=2.0.0rc4.', None])
def test_a_version_that_a_host_refuses_names_its_range(text, mends):
    facts = dict(version='3.3.0') if text is None else dict(error=f'AssertionError: {text}')
    finding = the_one('mmdet', facts, World(ORIGINAL, MMDET))
    assert finding.found == 'mmdet 3.3.0 takes mmcv >=2.0.0rc4,<2.2.0, but mmcv 2.2.0 is installed'
    assert mends(finding) == 'python -m pip install --no-build-isolation "mmcv>=2.0.0rc4,<2.2.0"'


def test_an_original_host_gives_way_to_the_family_of_its_mmcv(mends):
    versions = ONEDL | {'mmdet': '3.3.0'}
    versions.pop('onedl-mmdetection')
    finding = the_one('mmdet', dict(version='3.3.0'), World(versions, MMDET))
    assert mends(finding) == 'python -m pip uninstall -y mmdet && python -m pip install onedl-mmdetection==3.5.1'
    assert (finding.status, 'mmdet') == ('problem', finding.check)


@pytest.mark.parametrize('needed, status', [(None, 'problem'), ({'mmdet'}, 'problem'), ({'mmpretrain'}, 'warning')])
def test_a_host_that_fails_counts_where_it_is_used(needed, status, mends):
    world = World(ONEDL, needed=needed)
    finding = the_one('mmdet', dict(error="ModuleNotFoundError: No module named 'pycocotools'"), world)
    assert finding.status == status and mends(finding) == 'python -m pip install pycocotools'
    assert finding.found.endswith(' (not used here)') == (status == 'warning')


@pytest.mark.parametrize('needed, status', [(None, 'warning'), ({'mmseg'}, 'problem'), ({'mmpretrain'}, 'warning')])
def test_a_host_that_is_not_installed_counts_where_the_config_names_it(needed, status, mends):
    finding = the_one('mmseg', dict(error="ModuleNotFoundError: No module named 'mmseg'"), World({}, needed=needed))
    assert (finding.status, finding.found) == (status, 'not installed: no config of segmentation trains')
    assert mends(finding) == 'python -m pip install onedl-mmsegmentation==1.4.2'


@pytest.mark.parametrize('step', ['torch', 'torchvision', 'cv2', 'mmengine', 'mmcv', 'mmpretrain'])
def test_nothing_trains_without_these(step, mends):
    finding = the_one(step, dict(error=f"ModuleNotFoundError: No module named '{step}'"), World({}))
    assert (finding.status, finding.found) == ('problem', 'not installed')
    assert mends(finding)


def test_files_that_are_gone_are_installed_again(mends):
    finding = the_one('mmengine', dict(error="ModuleNotFoundError: No module named 'mmengine'"), World(ONEDL))
    assert finding.found == 'onedl-mmengine 0.10.12 is installed, but its files are gone'
    assert mends(finding) == 'python -m pip install --force-reinstall --no-deps onedl-mmengine==0.10.12'


LIBGL = 'ImportError: libGL.so.1: cannot open shared object file: No such file or directory'
SYMBOL = (
    'ImportError: /site-packages/mmcv/_ext.cpython-311-x86_64-linux-gnu.so: undefined symbol: '
    '_ZNK3c1010TensorImpl27throw_data_ptr_access_errorEv'
)
CUDART = 'ImportError: libcudart.so.11.0: cannot open shared object file: No such file or directory'
ADAFACTOR = "KeyError: 'Adafactor is already registered in optimizer at torch.optim'"
NUMPY = 'ImportError: numpy.core.multiarray failed to import'
NUMPY_ABI = 'ValueError: numpy.dtype size changed, may indicate binary incompatibility. Expected 96, got 88'
BUILD = 'MMCV_WITH_OPS=1 python -m pip install --no-build-isolation'


@pytest.mark.parametrize(
    'step, error, versions, said, mend',
    [
        ('cv2', LIBGL, {'opencv-python': '4.11.0.86'}, 'libGL.so.1', 'opencv-python-headless==4.11.0.86'),
        ('ops', SYMBOL, ONEDL, 'built against another torch than 2.11.0', BUILD),
        ('ops', CUDART, ONEDL, 'libcudart.so.11.0', BUILD),
        ('ops', "ModuleNotFoundError: No module named 'mmcv._ext'", ONEDL, 'built without its ops', BUILD),
        (
            'ops',
            "ModuleNotFoundError: No module named 'mmcv._ext'",
            {'mmcv-lite': '2.2.0'},
            'mmcv-lite has no compiled ops',
            f'python -m pip uninstall -y mmcv-lite && {BUILD}',
        ),
        ('mmengine', ADAFACTOR, ORIGINAL, 'Adafactor is already registered', 'uninstall -y mmengine && python -m pip'),
        ('mmseg', "ModuleNotFoundError: No module named 'ftfy'", ONEDL, 'ftfy', 'python -m pip install ftfy'),
        ('mim', "ModuleNotFoundError: No module named 'pkg_resources'", ORIGINAL, 'pkg_res', '"setuptools>=80,<82"'),
        ('mmdet', NUMPY, ORIGINAL, 'numpy.core.multiarray', 'python -m pip install "numpy<2"'),
        ('mmcv', NUMPY_ABI, ONEDL, 'numpy.dtype size changed', BUILD),
        ('mmpretrain', "SyntaxError: '(' was never closed", ONEDL, 'never closed', '--force-reinstall --no-deps'),
        ('torch', 'OSError: libcublas.so.12: cannot open', {'torch': '2.9.0'}, 'libcublas', 'torch==2.11.0'),
        ('mmcv', 'the process that imported it died of SIGSEGV', ONEDL, 'died of SIGSEGV', BUILD),
    ],
)
def test_the_errors_that_people_meet(step, error, versions, said, mend, mends):
    finding = the_one(step, dict(error=error), World(versions))
    assert finding.status == 'problem'
    assert said in finding.found and '\n' not in finding.found
    assert mend in mends(finding)


@pytest.mark.parametrize('step', ['scopes', 'config'])
def test_a_step_that_is_no_package_is_not_fetched_as_one(step, mends):
    """There are packages of such names, of other people."""
    finding = the_one(step, dict(error='TypeError: a fault of ours'), World(ONEDL))
    assert mends(finding) == 'python -m pip install --no-build-isolation --no-deps -e .'


def test_a_fault_below_is_told_once(mends):
    world = World(ONEDL)
    assert the_one('cv2', dict(error=LIBGL), world).status == 'problem'
    finding = the_one('mmcv', dict(error=LIBGL), world)
    assert (finding.status, finding.found) == ('warning', 'not checked, for OpenCV comes first')
    assert the_one('mim', dict(error='ImportError: x'), world).status == 'problem'  # does not build on it


def test_torchvision_of_another_torch(mends):
    world = World({'torch': '2.9.1+cu126', 'torchvision': '0.26.0'}, torch_of_vision='2.11.0')
    for facts in (
        dict(error='RuntimeError: operator torchvision::nms does not exist'),
        dict(version='0.26', wrong=None),
    ):
        finding = the_one('torchvision', facts, world)
        assert finding.found == 'torchvision 0.26.0 is made for torch 2.11.0, but torch 2.9.1+cu126 is installed'
        assert mends(finding) == 'python -m pip install torch==2.9.1+cu126 torchvision'
    assert matching_torchvision('2.10.0') == 'python -m pip install torch==2.10.0 torchvision'
    same = World({'torch': '2.11.0+cpu', 'torchvision': '0.26.0'}, torch_of_vision='2.11.0')
    assert the_one('torchvision', dict(version='0.26.0', wrong=None), same).status == 'ok'


def test_operators_that_compute_something_else(mends):
    finding = the_one('torchvision', dict(version='0.26.0', wrong='torchvision.ops.nms kept [0]'), World(ONEDL))
    assert finding.status == 'problem' and mends(finding)
    finding = the_one('ops', dict(wrong='mmcv.ops.nms kept [0], not [0, 2]', gpu=None, cuda='x'), World(ONEDL))
    assert finding.status == 'problem' and mends(finding).startswith(BUILD)


def test_ops_without_gpu_kernels(mends):
    facts = dict(
        wrong=None, gpu='RuntimeError: nms_impl: implementation for device cuda:0 not found', cuda='not available'
    )
    finding = the_one('ops', facts, World(ONEDL))
    assert finding.status == 'problem' and mends(finding).startswith('MMCV_WITH_OPS=1 FORCE_CUDA=1 ')
    assert the_one('ops', facts, World(ONEDL, needed={'mmpretrain'})).status == 'warning'


def test_a_checkpoint_that_mmengine_cannot_read_back(mends):
    facts = dict(version='0.10.7', resume='UnpicklingError: Weights only load failed')
    finding = the_one('mmengine', facts, World(ORIGINAL | {'torch': '2.6.0'}))
    assert 'mmengine 0.10.7 cannot read its own checkpoints with torch 2.6.0' in finding.found
    assert mends(finding) == 'python -m pip uninstall -y mmengine && python -m pip install onedl-mmengine==0.10.12'


def test_files_written_over_by_another_version(mends):
    finding = the_one('mmcv', dict(version='2.2.0'), World(ONEDL | {'mmcv': '2.2.0'}))
    assert finding.found == 'onedl-mmcv 2.3.6 is installed, but 2.2.0 is imported: its files were written over'
    assert mends(finding).startswith('python -m pip uninstall -y onedl-mmcv mmcv && MMCV_WITH_OPS=1 ')


def test_classes_that_do_not_resolve(mends):
    facts = dict(hosts=['mmseg'], classes=34, lost=['HOOKS mixpro_mm.LabelingHook from mmseg', 'MODELS mixpro_mm.PVT'])
    finding = the_one('scopes', facts, World(ONEDL))
    assert finding.found == 'not found: HOOKS mixpro_mm.LabelingHook from mmseg and 1 more'
    assert finding.status == 'problem' and mends(finding)


def test_old_torch_beside_new_numpy(mends):
    findings = judge('torch', TORCH | dict(bridge='Numpy is not available'), World(ORIGINAL))
    assert findings[0].status == 'problem' and mends(findings[0]) == 'python -m pip install "numpy<2"'


@pytest.mark.parametrize(
    'facts, statuses, said',
    [
        (dict(), ['ok'], 'no GPU: trains on the CPU'),
        (dict(seen=['A100'], driver='470.1', hidden=True), ['ok'], 'hidden by CUDA_VISIBLE_DEVICES'),
        (dict(seen=['A100'], driver='470.1', cuda=None), ['problem'], 'torch 2.11.0+cu130 is built without CUDA'),
        (dict(seen=['A100'], driver='470.1', said='driver too old'), ['problem'], 'cannot use it: driver too old'),
        (dict(gpus=[GPU] * 8, driver='580.1'), ['ok', 'ok'], '8 x NVIDIA H100 (79.6 GB); driver 580.1'),
        (dict(gpus=[GPU | dict(capability='7.0')]), ['problem', 'ok'], 'compute capability 7.0'),
        (dict(gpus=[GPU | dict(capability='8.6')]), ['ok', 'ok'], '1 x NVIDIA'),
        (dict(gpus=[GPU | dict(capability='13.0')]), ['ok', 'ok'], '1 x NVIDIA'),  # by PTX
        (dict(gpus=[GPU], nccl=None), ['ok', 'warning'], '1 x NVIDIA'),
        (dict(gpus=[GPU] * 2, nccl=None), ['ok', 'problem'], '2 x NVIDIA'),
        (dict(gpus=[GPU] * 2, computes='RuntimeError: NCCL error'), ['ok', 'problem'], '2 x NVIDIA'),
    ],
)
def test_gpus(facts, statuses, said, mends):
    findings = judge('torch', TORCH | facts, World(ONEDL))[1:]
    assert [finding.status for finding in findings] == statuses
    assert said in findings[0].found
    for finding in findings:
        mends(finding)


SILENT = 'nvidia-smi did not answer within 20 seconds'


@pytest.mark.parametrize(
    'facts, status, found',
    [
        (dict(), 'warning', f'torch finds none, and {SILENT}: its driver may hang'),
        (dict(hidden=True), 'ok', 'hidden by CUDA_VISIBLE_DEVICES: trains on the CPU'),
        (dict(gpus=[GPU]), 'ok', f'1 x NVIDIA H100 (79.6 GB); driver {SILENT}, torch built for CUDA 13.0'),
    ],
)
def test_a_driver_that_says_nothing_is_one_line(facts, status, found, mends):
    finding = judge('torch', TORCH | dict(unanswered=SILENT) | facts, World(ONEDL))[1]
    assert (finding.status, finding.found) == (status, found)
    mends(finding)


@pytest.mark.parametrize('version', ['2.9.1', '2.9.1+cpu'])
def test_another_build_is_of_the_torch_that_is_there_and_comes_with_what_it_needs(version, mends):
    facts = TORCH | dict(version=version, seen=['A100'], driver='470.1', cuda=None)
    remove, install = mends(judge('torch', facts, World(ONEDL))[1]).split(' && ')
    assert remove == 'python -m pip uninstall -y torch torchvision'  # pip keeps 2.9.1+cpu where 2.9.1 is asked for
    assert install == 'python -m pip install torch==2.9.1 torchvision'
    facts |= dict(cuda='13.0', said='driver too old')
    mend = mends(judge('torch', facts, World(ONEDL))[1])
    command, _, then = mend.partition('  # ')
    assert command == remove  # which runs as it stands; whence the other build comes is not for us to say
    assert then == 'then the command that pytorch.org/get-started shows for torch 2.9.1 and another CUDA'


LATE = 'the process that imported it did not end within 5 minutes'


@pytest.mark.parametrize('step, mend', [('torch', 'torch'), ('config', 'config CONFIG'), ('mim', 'mim')])
def test_what_does_not_end_is_not_said_to_be_broken(step, mend, mends):
    finding = the_one(step, dict(error=LATE), World(ONEDL))
    assert (finding.status, finding.found) == ('problem', LATE)
    assert mends(finding) == f'python -m mixpro_mm.doctor.child {mend}  # Ctrl-C there shows what it waits for'


def test_an_unknown_module_is_asked_for_by_its_package():
    assert mend_import('mmdet', "No module named 'sklearn.metrics'", {}) == 'python -m pip install scikit-learn'
    assert mend_import('mmdet', "No module named 'cv2'", {}).endswith('opencv-python-headless==4.12.0.88')


def test_distributions_are_read_from_their_metadata(tmp_path):
    for name, version in (('Onedl_MMCV', '2.3.6'), ('mmcv.lite', '2.2.0')):
        folder = tmp_path / f'{name}-{version}.dist-info'
        folder.mkdir()
        (folder / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')
    (tmp_path / 'half-1.dist-info').mkdir()  # what an interrupted installation leaves behind
    assert installed([str(tmp_path)]) == {'onedl-mmcv': '2.3.6', 'mmcv-lite': '2.2.0'}
