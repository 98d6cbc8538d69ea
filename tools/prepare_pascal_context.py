"""Prepare Pascal Context: python tools/prepare_pascal_context.py DEVKIT [--annotations JSON] [--check]."""

import sys

from mixpro_mm.datasets.pascal_context import main

sys.exit(main())
