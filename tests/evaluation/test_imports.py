"""Registration of metrics and loops in a fresh interpreter."""

import subprocess
import sys

CODE = """
from mmengine.registry import LOOPS, METRICS
for scope in ('mixpro_mm.', ''):
    for name in ('CalibrationMetric', 'OODMetric', 'OcclusionTestLoop', 'RecordedTestLoop'):
        assert (LOOPS if name.endswith('Loop') else METRICS).get(scope + name).__name__ == name
    import mixpro_mm.plugin
"""


def test_classes_are_found_by_scope_and_after_the_plugin_by_name():
    subprocess.run([sys.executable, '-c', CODE], check=True, timeout=300)
