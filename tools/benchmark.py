"""Measure speed and memory of mixing methods: python tools/benchmark.py [--methods ...] [--backbone ...]."""

import sys

import mixpro_mm.utils.host_prints  # noqa: F401
from mixpro_mm.benchmark.cli import main

sys.exit(main())
