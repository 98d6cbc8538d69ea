"""Records of studies, runs, tests and benchmarks -> tables, figures and one HTML page."""
