"""As __init__ says."""

from mixpro_mm.report.labels import LOWER_IS_BETTER, canonical, label

__all__ = ['canonical', 'label', 'lower_is_better', 'short_label']


def short_label(name):
    """The label without the part before its colon."""
    return label(name).rpartition(': ')[2]


def lower_is_better(metric):
    """Whether a smaller value of the metric is better."""
    return metric in LOWER_IS_BETTER
