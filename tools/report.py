"""Show results in the tables of the paper: python tools/report.py DIR... [--out DIR] [--latex].

Or as one page on the claims of the paper: python tools/report.py --evidence RESULTS.json [--out PAGE.md].
"""

import sys

import mixpro_mm.utils.host_prints  # noqa: F401
from mixpro_mm.report.paper_report import main

sys.exit(main())
