"""Test robustness: python tools/robustness.py CONFIG --checkpoint [NAME=]FILE ... [--suites SUITE ...] (--help)."""

import sys

import mixpro_mm.utils.host_prints  # noqa: F401
from mixpro_mm.study.robustness import main
from mixpro_mm.utils.configs import with_paths

if __name__ == '__main__':  # spawned data loader workers import this file
    sys.exit(main(with_paths(sys.argv[1:])))
