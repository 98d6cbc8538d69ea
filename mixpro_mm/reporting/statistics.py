"""As __init__ says."""

from mixpro_mm.report.statistics import PairedDifference  # noqa: F401

UNDECIDED = None
