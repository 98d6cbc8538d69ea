"""Registration of metrics and loops in a fresh interpreter."""

import subprocess
import sys

CODE = """
import mixpro_mm.functional.metrics
from mmengine.registry import LOOPS, METRICS
names = ('CalibrationMetric', 'OODMetric', 'OcclusionTestLoop', 'RecordedTestLoop')
for plugin, scope in ((False, 'mixpro_mm.'), (True, '')):
    if plugin:
        import mixpro_mm.plugin
    for name in names:
        assert (LOOPS if name.endswith('Loop') else METRICS).get(scope + name).__name__ == name
"""


def test_classes_are_found_by_scope_and_after_the_plugin_by_name():
    done = subprocess.run([sys.executable, '-c', CODE], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
