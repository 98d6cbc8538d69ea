"""Draw a picture: python tools/visualize.py {mixed,masks,attention,factor,curves,occlusion,sweep} ... (--help)."""

import sys

import mixpro_mm.utils.host_prints  # noqa: F401
from mixpro_mm.report.visualize import main
from mixpro_mm.utils.configs import with_paths

sys.exit(main(with_paths(sys.argv[1:])))
