"""Register every class under its plain name by ``custom_imports = dict(imports=['mixpro_mm.plugin'])``."""

import mixpro_mm.augments
import mixpro_mm.datasets
import mixpro_mm.evaluation
import mixpro_mm.hooks
import mixpro_mm.models  # noqa: F401
