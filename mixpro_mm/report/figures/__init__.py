"""Figures of reports and of ``tools/visualize.py``; the functions exported here do not need torch."""

from mixpro_mm.report.figures.bars import results_overview
from mixpro_mm.report.figures.curves import factor_curves, learning_curves, transfer_curves
from mixpro_mm.report.figures.occlusion import occlusion_bands, occlusion_curves

__all__ = [
    'factor_curves', 'learning_curves', 'occlusion_bands', 'occlusion_curves', 'results_overview', 'transfer_curves',
]  # fmt: skip
