"""Will training start here, on this config and its data, and which command fixes it? ``python -m mixpro_mm.doctor``

Imports the standard library and ``packaging`` only: everything that may fail is imported in a child process.
"""
