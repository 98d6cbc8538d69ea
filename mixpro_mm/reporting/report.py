"""Until the imports of the study move."""

from mixpro_mm.report.study import write_report

__all__ = ['write_report']
