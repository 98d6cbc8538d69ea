"""Imports in new processes."""

import subprocess
import sys

REPORT = '; import sys; print(*sorted({name.partition(".")[0] for name in sys.modules}))'


def printed(code):
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, timeout=120).stdout


def test_the_package_imports_nothing_else():
    before, after = (set(printed(code + REPORT).split()) for code in ('pass', 'import mixpro_mm'))
    assert after - before == {'mixpro_mm'}  # no torch, no numpy, no mm* package


def test_functional_and_labeling_need_torch_only():
    after = set(printed(f'import mixpro_mm.functional, mixpro_mm.labeling{REPORT}').split())
    assert {'mixpro_mm', 'torch'} <= after
    assert not after & {'mmengine', 'mmcv', 'mmpretrain', 'mmseg', 'mmdet', 'timm', 'matplotlib', 'cv2'}


def test_debug_messages_of_the_toolkits_on_import_are_not_printed():
    code = """
import mixpro_mm.utils.host_prints, mmpretrain.datasets, logging
from mmengine.logging import print_log
print_log('gone', level=logging.DEBUG)
print_log('kept', level=logging.WARNING)"""
    assert printed(code) == 'kept\n'
