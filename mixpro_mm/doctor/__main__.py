"""``python -m mixpro_mm.doctor``."""

import sys

from mixpro_mm.doctor.cli import main

sys.exit(main())
