"""Run a study: python tools/study.py CONFIG [--work-dir DIR]."""

import sys

import mixpro_mm.host_prints  # noqa: F401
from mixpro_mm.mim import with_paths
from mixpro_mm.study.cli import main

sys.exit(main(with_paths(sys.argv[1:])))
