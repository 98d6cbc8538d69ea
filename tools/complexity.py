"""Parameters, multiply-adds, class attention of classifiers: python tools/complexity.py [CONFIG ...] [--write FILE]."""

import sys

import mixpro_mm.host_prints  # noqa: F401
from mixpro_mm.benchmark.complexity import main
from mixpro_mm.mim import with_paths

sys.exit(main(with_paths(sys.argv[1:])))
