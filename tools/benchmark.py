"""Measure what mixing methods cost: python tools/benchmark.py [--methods ...] [--backbone ...]."""

import os
import sys

for name, quiet in (('KINETO_LOG_LEVEL', '5'), ('TORCH_CPP_LOG_LEVEL', 'ERROR')):
    os.environ.setdefault(name, quiet)  # torch's profiler talks of GPUs that are not there; read as torch is imported

import mixpro_mm.host_prints  # noqa: E402, F401
from mixpro_mm.benchmark.cli import main  # noqa: E402

if __name__ == '__main__':  # not in the processes it starts
    sys.exit(main())
