"""Render work directories: result records and logs in; tables, figures, the report of a study, the paper's tables out.

Needs numpy, scipy, matplotlib and Pillow only, so a report can be made anew on a machine without any mm* package.
"""

from mixpro_mm.report.figures import factor_curve, factor_panels, learning_curves, results_overview, transfer_curves
from mixpro_mm.report.figures.logs import read_scalars, series
from mixpro_mm.reporting.paper_report import write_paper_report
from mixpro_mm.reporting.report import write_report
from mixpro_mm.reporting.tables import results_table, summary

__all__ = [
    'factor_curve',
    'factor_panels',
    'learning_curves',
    'read_scalars',
    'results_overview',
    'results_table',
    'series',
    'summary',
    'transfer_curves',
    'write_paper_report',
    'write_report',
]
