"""``custom_imports = dict(imports=['mixpro_mm.plugin'])`` enters every class under its plain name.

Scoped names (``mixpro_mm.MixPro``) need no import line at all.
"""

import mixpro_mm.augments
import mixpro_mm.backbones
import mixpro_mm.datasets
import mixpro_mm.guard
import mixpro_mm.labeling.hook
import mixpro_mm.losses
import mixpro_mm.randomness
import mixpro_mm.robustness.metrics
import mixpro_mm.robustness.occlusion
import mixpro_mm.robustness.record
import mixpro_mm.schedule
import mixpro_mm.transfer  # noqa: F401
