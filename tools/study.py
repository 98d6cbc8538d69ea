"""Run a study: python tools/study.py CONFIG [--work-dir DIR]."""

import sys

import mixpro_mm.utils.host_prints  # noqa: F401
from mixpro_mm.study.cli import main
from mixpro_mm.utils.configs import with_paths

sys.exit(main(with_paths(sys.argv[1:])))
