"""Draw predictions for images: python tools/predict.py CONFIG CHECKPOINT IMAGE ... [--out DIR] (--help)."""

import sys

import mixpro_mm.utils.host_prints  # noqa: F401
from mixpro_mm.report.predict import main
from mixpro_mm.utils.configs import with_paths

sys.exit(main(with_paths(sys.argv[1:])))
