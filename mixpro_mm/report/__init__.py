"""Records and logs of runs as tables, figures and one HTML page."""
