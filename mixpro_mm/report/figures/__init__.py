"""The figures of reports and of ``tools/visualize.py``."""
