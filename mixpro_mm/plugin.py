"""``custom_imports = dict(imports=['mixpro_mm.plugin'])`` registers every class under its plain name.

Scoped names (``mixpro_mm.MixPro``) need no import.
"""

import mixpro_mm.augments
import mixpro_mm.datasets
import mixpro_mm.evaluation
import mixpro_mm.hooks
import mixpro_mm.models  # noqa: F401
