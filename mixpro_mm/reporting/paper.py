"""As __init__ says."""

from mixpro_mm.report.paper import find_configs, published_tables  # noqa: F401
