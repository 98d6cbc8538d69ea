"""As __init__ says."""

from mixpro_mm.report.labels import canonical, label, lower_is_better, short_label  # noqa: F401
