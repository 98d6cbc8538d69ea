"""Until the figures move into mixpro_mm.report.figures."""
