"""Check this package on a GPU: python tools/gpu_check.py [--device cpu] [--tests FOLDER]."""

import sys

import mixpro_mm.utils.host_prints  # noqa: F401
from mixpro_mm.benchmark.gpu_check import main

sys.exit(main())
