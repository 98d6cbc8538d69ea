"""Parameters, multiply-adds, class attention of classifiers: python tools/complexity.py [CONFIG ...] [--write FILE]."""

import sys

from mixpro_mm.benchmark.complexity import main

sys.exit(main())
