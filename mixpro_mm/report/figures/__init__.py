"""Figures of reports and of ``tools/visualize.py``."""
