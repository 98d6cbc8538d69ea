"""Imports in new processes."""

import subprocess
import sys

REPORT = 'import sys; print(*sorted({name.partition(".")[0] for name in sys.modules}))'


def modules_after(statement):
    done = subprocess.run(
        [sys.executable, '-c', f'{statement}; {REPORT}'], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_package_imports_nothing_else():
    before, after = modules_after('pass'), modules_after('import mixpro_mm; assert mixpro_mm.__version__')
    assert after - before == {'mixpro_mm'}  # no torch, no numpy, no mm* package


def test_functional_and_labeling_need_torch_only():
    after = modules_after('import mixpro_mm.functional, mixpro_mm.labeling')
    assert {'mixpro_mm', 'torch'} <= after
    assert not after & {'mmengine', 'mmcv', 'mmpretrain', 'mmseg', 'mmdet', 'timm', 'matplotlib', 'cv2'}


def test_debug_messages_of_the_toolkits_on_import_are_not_printed():
    code = (
        'import mixpro_mm.utils.host_prints, mmpretrain.datasets, logging\n'
        'from mmengine.logging import print_log\n'
        "print_log('gone', level=logging.DEBUG)\n"
        "print_log('kept', level=logging.WARNING)"
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout == 'kept\n'
