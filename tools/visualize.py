"""Draw a picture: python tools/visualize.py {mixed,masks,attention,factor,curves,occlusion,sweep} ... (--help)."""

import sys

import mixpro_mm.host_prints  # noqa: F401
from mixpro_mm.mim import with_paths
from mixpro_mm.report.visualize import main

sys.exit(main(with_paths(sys.argv[1:])))
