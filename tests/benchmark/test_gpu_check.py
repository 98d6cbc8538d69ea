"""The checks for a GPU, all of them on the CPU with small models."""

import json
import math
import os
import runpy
import shutil
import subprocess
import sys
import warnings
from argparse import Namespace
from collections import Counter
from pathlib import Path

import mmcv.ops
import pytest
import torch

from mixpro_mm.benchmark import gpu_check, gpu_speed
from mixpro_mm.benchmark.gpu_ops import OPS, compare_op
from mixpro_mm.benchmark.workbench import Workbench
from mixpro_mm.hooks import labeling
from tests.benchmark.conftest import MICRO

ROOT = Path(__file__).parents[2]
DETECTOR = 'mask-rcnn_pvt-micro_scratch_digit-scenes.py'
SMALL = f'--device=cpu --backbones={MICRO} --batches=4 --size=32 --methods=pair --detector={DETECTOR}'
SMALL = f'{SMALL} --detector-size=96 --rounds=2'.split()
MODEL = f'{Path(MICRO).stem} 4'
# torchvision's ops also where mmcv is compiled; inductor needs a minute for this model
CODE = """
import functools, runpy, sys
import mixpro_mm.utils.mmcv_ops.extension
sys.modules['mmcv._ext'] = mixpro_mm.utils.mmcv_ops.extension
import torch
torch.compile = functools.partial(torch.compile, backend='aot_eager')
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name='__main__')
"""


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """Return records of a run by section and check, its JSON and its page."""
    out = tmp_path_factory.mktemp('gpu_check')
    command = [sys.executable, '-c', CODE, str(ROOT / 'tools' / 'gpu_check.py'), *SMALL, f'--out={out}']
    tests = f'--tests={ROOT}/tests/benchmark'
    done = subprocess.run([*command, tests], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    content = json.loads((out / 'gpu_check.json').read_text())
    records = {(record.pop('section'), record.pop('check')): record for record in content['records']}  # last part
    return records, json.loads((out / 'gpu_check.json').read_text()), (out / 'gpu_check.md').read_text()


@pytest.mark.slow
def test_a_run_has_all_checks_and_its_page(run):
    records, content, page = run
    assert list(records) == [
        ('environment', 'mmcv'),
        *(('ops', f'{name} {dtype}') for name in OPS for dtype in ('float32', 'float16')),
        *(('detection', name) for name in ('fp32', 'AMP')),
        *(('classification', f'{MODEL} {name}') for name in ('fp32', 'bf16', 'bf16 compiled')),
        *(('step', name) for name in ('CutMix', 'MixPro')),
        *(('files', name) for name in ('mmpretrain', 'mixpro_mm')),
        ('synchronisation', 'MixPro'),
        ('tests', 'pytest -m cuda'),
    ]
    assert all(record['ok'] is True for record in records.values())
    assert records['environment', 'mmcv']['compiler'].startswith('none, ops of torchvision')
    assert (content['device'][:5], content['settings']['detector_size']) == ('CPU, ', 96)
    assert page == gpu_check.render(content)
    assert (
        '| deform_conv float32 | True | 0 | 0.0001 | 0 |' in page and '| nms float16 | True | 0 | 0.002 | - |' in page
    )


@pytest.mark.slow
@pytest.mark.parametrize('name', OPS)
def test_ops_differ_by_rounding(name, run):
    full, half = (run[0]['ops', f'{name} {dtype}'] for dtype in ('float32', 'float16'))
    assert full['difference'] < 1e-5 and full.get('gradient_difference', 0) < 1e-5
    if name == 'nms':
        assert half == dict(ok=True, difference=0, limit=2e-3)
    else:
        assert 1e-5 < half['difference'] < 1e-3 and 1e-5 < half['gradient_difference'] < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    ('section', 'names', 'images'),
    [('detection', ('fp32', 'AMP'), 2), ('classification', (f'{MODEL} fp32', f'{MODEL} bf16'), 4)],
)
def test_models_train_in_each_precision(section, names, images, run):
    full, half = (run[0][section, name] for name in names)
    for record in (full, half):
        assert (record['images'], record['rounds']) == (images, 2)
        assert record['images_per_s'] == pytest.approx(1000 * images / record['ms_per_step'])
        assert record['last_loss'] < record['first_loss'] - 0.5
    assert 1e-5 < abs(full['first_loss'] - half['first_loss']) < 0.1


@pytest.mark.slow
def test_the_compiled_model_trains_as_the_eager_one(run):
    eager, compiled = (run[0]['classification', f'{MODEL} {name}'] for name in ('bf16', 'bf16 compiled'))
    assert compiled['last_loss'] == pytest.approx(eager['last_loss'], abs=0.02)


@pytest.mark.slow
def test_methods_are_compared_and_images_are_read_from_files(run):
    pair = [record for record in run[1]['records'] if record['section'] == 'step']
    parts = ('forward and backward', 'with optimizer')
    assert [(r['method'], r['part']) for r in pair] == [(name, part) for part in parts for name in ('CutMix', 'MixPro')]
    assert all(record['rounds'] == 2 and record['batch_images'] == 4 for record in pair)
    assert 'ratio_to_cutmix_low' in pair[1] and 'ratio_to_cutmix' not in pair[0]
    for name in ('mmpretrain', 'mixpro_mm'):
        record = run[0]['files', name]
        assert record['workers'] == len(os.sched_getaffinity(0)) and record['images_per_s'] > 0
        assert math.isfinite(record['last_loss'])


@pytest.mark.slow
def test_tests_that_need_a_gpu_are_selected(run):
    record = run[0]['tests', 'pytest -m cuda']
    skipped = 0 if torch.cuda.is_available() else 42
    assert record == dict(ok=True, passed=42 - skipped, tests=42, failures=0, errors=0, skipped=skipped)


def test_classifiers_are_checked_with_each_batch_and_precision():
    args = gpu_check.parser().parse_args(['--backbones', 'a,b.py', '--batches', '4,8', '--tests', ''])
    names = [check for section, check, _ in gpu_check.checks(args) if section == 'classification']
    kinds = ('fp32', 'bf16', 'bf16 compiled')
    assert names == [f'{model} {batch} {kind}' for model in 'ab' for batch in (4, 8) for kind in kinds]


def test_failures_are_reported_and_other_checks_run(tmp_path, monkeypatch, capsys):
    def fail(*args):
        raise MemoryError('two\nlines')

    monkeypatch.setattr(gpu_check, 'OPS', ())
    monkeypatch.setattr(gpu_check, 'train_classifier', fail)
    monkeypatch.setattr(gpu_check, 'compare_methods', lambda *args: [dict(check='a'), dict(check='b', ok=False)])
    monkeypatch.setattr(gpu_check, 'train_from_files', fail)
    options = '--detector=nowhere.py', '--tests=nowhere', f'--out={tmp_path}'
    assert gpu_check.main([*SMALL, *options]) == 1
    records = json.loads((tmp_path / 'gpu_check.json').read_text())['records']
    assert [record['ok'] for record in records] == [True, *[False] * 5, True, *[False] * 3, True, False]
    assert records[1]['error'].startswith('FileNotFoundError: there is no config at nowhere.py')
    assert {record['error'] for record in records[3:6]} == {'MemoryError: two lines'}
    assert [record['check'] for record in records[6:8]] == ['a', 'b']
    assert records[11]['error'] == 'FileNotFoundError: no test in nowhere is marked cuda'
    assert f'| {MODEL} fp32 | False | MemoryError: two lines |' in (tmp_path / 'gpu_check.md').read_text()


def test_a_failing_test_fails(tmp_path):
    file = tmp_path / 'test_it.py'
    file.write_text('import pytest\n@pytest.mark.cuda\n@pytest.mark.parametrize("n", [1, 2, 3])\n'
                    'def test_it(n):\n    assert n != 2\ndef test_other():\n    assert False\n')  # fmt: skip
    (tmp_path / 'test_without_a_gpu.py').write_text('import nothing_that_exists')
    found = gpu_check.run_tests(str(tmp_path), 'cuda')
    assert found == dict(ok=False, passed=2, tests=3, failures=1, errors=0, skipped=0)
    file.write_text('import pytest\n@pytest.mark.cuda\ndef test_it():\n    pytest.skip("no GPU")\n')
    assert [gpu_check.run_tests(str(tmp_path), device)['ok'] for device in ('cuda', 'cpu')] == [False, True]


def test_without_a_gpu_it_stops(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(SystemExit):
        gpu_check.main([])
    assert f'torch {torch.__version__} finds no CUDA device' in capsys.readouterr().err


def test_a_difference_above_the_limit_fails(monkeypatch):
    assert compare_op('nms', 'cpu', torch.float32) == dict(ok=True, difference=0, limit=1e-4)
    nms = mmcv.ops.nms
    monkeypatch.setattr(mmcv.ops, 'nms', lambda *args: (None, nms(*args)[1].flip(0)))
    assert compare_op('nms', 'cpu', torch.float32)['ok'] is False
    loss = mmcv.ops.sigmoid_focal_loss
    monkeypatch.setattr(mmcv.ops, 'sigmoid_focal_loss', lambda x, *args: loss(x, *args) + 0 * x.sub(x.detach()).sqrt())
    found = compare_op('focal_loss', 'cpu', torch.float32)  # the gradient is NaN
    assert found['difference'] < 1e-5 and math.isnan(found['gradient_difference']) and found['ok'] is False


@pytest.mark.parametrize('device', ['cpu', 'cuda'])
def test_a_loss_that_is_not_finite_fails(device, monkeypatch):
    events, losses = [], iter([1.0, 2.0, math.nan, 4.0])
    monkeypatch.setattr(torch.cuda, 'reset_peak_memory_stats', lambda: events.append('reset'))
    monkeypatch.setattr(torch.cuda, 'max_memory_allocated', lambda: 3 * 2**20)

    def step(data):
        events.append(data)
        return torch.tensor(next(losses))

    monkeypatch.setattr(torch.cuda, 'synchronize', lambda: None)
    found = gpu_speed.time_steps(lambda: 'step', step, 8, Namespace(device=device, rounds=2))
    assert (found['ok'], found['rounds'], found['first_loss'], found['last_loss']) == (False, 2, 1, 4)
    assert found.get('peak_mib') == (3 if device == 'cuda' else None)
    assert events == ['step', 'step', *(['reset'] if device == 'cuda' else []), 'step', 'step']


def test_synchronisation_is_counted_by_line(monkeypatch):
    """The warning is that of torch.cuda.set_sync_debug_mode."""
    args = Namespace(device='cpu', size=32)

    def slow(work):
        return lambda *a: (
            warnings.warn(gpu_check.SYNC, stacklevel=1) or warnings.warn('other', stacklevel=1) or work(*a)
        )

    monkeypatch.setattr(labeling, 'pure_tokens', slow(labeling.pure_tokens))
    monkeypatch.setattr(Workbench, 'draw', slow(Workbench.draw))
    found, shown = gpu_check.count_syncs(args, MICRO, 4), warnings.showwarning
    lines = Path(labeling.__file__).read_text().splitlines()
    (number,) = (number for number, line in enumerate(lines, 1) if 'else pure_tokens(' in line)
    assert found == dict(here=1, others=1, places=f'hooks/labeling.py:{number} (1)', ok=False)
    assert warnings.showwarning is shown


def test_wheels_are_the_pure_packages_and_those_named():
    own, others = runpy.run_path(ROOT / 'requirements' / 'gpu_wheels.py')['needed'](['pycocotools'], '3.12')
    own, others = ({package.partition('==')[0] for package in packages} for packages in (own, others))
    assert {
        'onedl-mmcv',
        'onedl-mmdetection',
        'onedl-mmengine',
        'onedl-mmpretrain',
        'pytest',
        'rich',
        'pycocotools',
    } < own
    assert {'torch', 'torchvision', 'numpy', 'scipy', 'shapely'} < others
    assert not own & others and not {'mixpro-mm', 'sympy', 'threadpoolctl'} & {*own, *others}  # sympy comes with torch


@pytest.mark.slow
def test_it_runs_from_wheels_and_the_torch_of_another_python(tmp_path):
    """The script stands for the tool: it prints where its imports come from."""
    wheels = tmp_path / 'wheels'
    command = [sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '--no-build-isolation', '-w', wheels, ROOT]
    subprocess.run(command, check=True, timeout=300)
    for name in ('requirements', 'tools'):
        (tmp_path / name).mkdir()
    shutil.copy(ROOT / 'requirements' / 'gpu_check.sh', tmp_path / 'requirements')
    (tmp_path / 'tools' / 'gpu_check.py').write_text(
        'import sys, mixpro_mm, torch\n'
        'finders = [getattr(finder, "__name__", "") for finder in sys.meta_path]\n'
        'print(mixpro_mm.__file__, torch.__file__, "MmcvOpsFinder" in finders, sys.argv[1:])\n'
    )
    env = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'} | dict(PYTHON=sys.executable)
    command = ['bash', str(tmp_path / 'requirements' / 'gpu_check.sh'), str(wheels), '--rounds', '3']
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=300)
    place, other, finder, options = done.stdout.split(maxsplit=3)
    assert Path(place).is_relative_to(tmp_path / 'work_dirs' / 'gpu_check' / 'env')
    assert (other, finder, options) == (torch.__file__, 'True', "['--rounds', '3']\n")


def test_the_debug_mode_of_cuda_is_switched_off_again(monkeypatch):
    modes = []
    monkeypatch.setattr(torch.cuda, 'set_sync_debug_mode', modes.append)
    with pytest.raises(ZeroDivisionError), gpu_check.sync_places('cuda', Counter()):
        1 / 0  # noqa: B018
    assert modes == ['warn', 'default']
