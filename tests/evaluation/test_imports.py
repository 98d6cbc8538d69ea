"""The functions on arrays cost an import of NumPy, seen from fresh interpreters."""

import subprocess
import sys

CLASSES = ('CalibrationMetric', 'OODMetric', 'OcclusionTestLoop', 'RecordedTestLoop')
REPORT = 'import sys; print(*sorted({name.partition(".")[0] for name in sys.modules}))'
FOUND = """
from mmengine.registry import LOOPS, METRICS
names = {names}
for name in names:
    registry = LOOPS if name.endswith('Loop') else METRICS
    assert registry.get({prefix!r} + name).__name__ == name
"""


def after(statement):
    """The top-level modules that are loaded then."""
    done = subprocess.run(
        [sys.executable, '-c', f'{statement}\n{REPORT}'], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_functions_need_numpy_only():
    loaded = after('import mixpro_mm.functional.metrics')
    assert {'mixpro_mm', 'numpy'} <= loaded
    heavy = {name for name in loaded if name.startswith('mm') or name in ('torch', 'matplotlib', 'cv2', 'scipy')}
    assert not heavy


def test_configs_find_the_classes_by_their_scope():
    """Also where the functions have been imported before, without them."""
    after('import mixpro_mm.functional.metrics' + FOUND.format(names=CLASSES, prefix='mixpro_mm.'))


def test_the_plugin_enters_the_plain_names():
    """Also after the functions alone."""
    after('import mixpro_mm.functional.metrics\nimport mixpro_mm.plugin' + FOUND.format(names=CLASSES, prefix=''))
