"""As __init__ says."""

from mixpro_mm.report.tables import Cell, ResultsTable, Row, markdown_table, results_table  # noqa: F401
