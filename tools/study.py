"""Run a study: python tools/study.py CONFIG [--work-dir DIR]."""

import sys

from mixpro_mm.study.cli import main

sys.exit(main())
